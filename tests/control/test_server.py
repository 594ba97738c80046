"""The server with clients that behave."""

from __future__ import annotations

import array
import json
import os
import resource
import socket
import subprocess
import tempfile

import pytest

from sydd.control.limits import Limits
from sydd.control.peer import ask_for_writers, receive
from sydd.kernel.peergroups import NGROUPS_MAX
from tests.control.raw import Raw
from tests.support.fakedaemon import FakeDaemon
from tests.support.unprivileged import Unprivileged

NO_SESSION = {"error": "org.sydd.NoSuchSession", "parameters": {"session": "zz"}}


def test_a_call_is_answered(daemon: FakeDaemon) -> None:
    """Parameters go in and come out, and an error has its fields."""
    with Raw(daemon.path) as raw:
        raw.call("org.sydd.GetProfile", {"name": "build"})
        assert raw.reply()["parameters"]["text"] == "rules = []\n"
        raw.call("org.sydd.ListRules", {"session": "zz"})
        assert raw.reply() == NO_SESSION


def test_calls_in_one_piece_are_answered_in_order(daemon: FakeDaemon) -> None:
    """A client need not wait for a reply before it sends the next call."""
    with Raw(daemon.path) as raw:
        calls = [
            {"method": "org.sydd.GetProfile", "parameters": {"name": name}} for name in ("build", "x", "y")
        ]
        raw.socket.sendall(b"".join(json.dumps(call).encode() + b"\0" for call in calls))
        assert raw.reply()["parameters"]["name"] == "build"
        assert [raw.reply()["parameters"]["name"] for _ in range(2)] == ["x", "y"]


def test_a_call_byte_by_byte(daemon: FakeDaemon) -> None:
    """A call may come in pieces."""
    with Raw(daemon.path) as raw:
        for byte in b'{"method":"org.sydd.ListProfiles"}\0':
            raw.socket.send(bytes([byte]))
        assert raw.reply()["parameters"]["profiles"][0]["name"] == "build"


def test_a_call_without_reply(daemon: FakeDaemon) -> None:
    """`oneway` has no reply, not even an error."""
    with Raw(daemon.path) as raw:
        raw.call("org.sydd.ListRules", {"session": "zz"}, oneway=True)
        raw.call("org.sydd.CreateSession", {"profile": "build", "directory": "/"}, oneway=True)
        raw.call("org.sydd.ListRules", {"session": "zz"})
        assert raw.reply() == NO_SESSION
    assert len(daemon.backend.requests) == 1


@pytest.mark.parametrize(
    ("method", "parameters", "more", "expected"),
    [
        ("org.sydd.Nothing", {}, {}, {"error": "org.varlink.service.MethodNotFound"}),
        ("org.example.Info", {}, {}, {"error": "org.varlink.service.InterfaceNotFound"}),
        ("org.sydd.Wait", {}, {}, {"error": "org.varlink.service.InvalidParameter"}),
        ("org.sydd.Wait", {"session": 1}, {}, {"error": "org.varlink.service.InvalidParameter"}),
        ("org.sydd.Wait", {"session": "s1", "x": 1}, {}, {"error": "org.varlink.service.InvalidParameter"}),
        ("org.sydd.Subscribe", {}, {}, {"error": "org.varlink.service.ExpectedMore"}),
        ("org.sydd.Info", {}, {"upgrade": True}, {"error": "org.varlink.service.MethodNotImplemented"}),
        (
            "org.sydd.Lock",
            {"session": "s1", "lock": "x"},
            {},
            {"error": "org.varlink.service.InvalidParameter"},
        ),
        ("org.sydd.Wait", {"session": "a\0b"}, {}, {"error": "org.sydd.BadArgument"}),
        ("org.sydd.Wait", {"session": "\ud800"}, {}, {"error": "org.sydd.BadArgument"}),
        ("org.sydd.CreateSession", {"profile": "x", "directory": "a"}, {}, {"error": "org.sydd.BadArgument"}),
        (
            "org.sydd.CreateSession",
            {"profile": "x", "directory": "/", "umask": -1},
            {},
            {"error": "org.sydd.BadArgument"},
        ),
        (
            "org.sydd.Run",
            {"profile": "x", "directory": "/", "argv": []},
            {},
            {"error": "org.sydd.BadArgument"},
        ),
        (
            "org.sydd.Run",
            {"profile": "x", "directory": "/", "argv": ["a"], "environment": {"": "x"}},
            {},
            {"error": "org.sydd.BadArgument"},
        ),
        (
            "org.sydd.Attach",
            {"session": "s1", "listener": 0, "pid": 1},
            {},
            {"error": "org.varlink.service.InvalidParameter"},
        ),
        (
            "org.sydd.Attach",
            {"session": "s1", "listener": -1, "pid": 1},
            {},
            {"error": "org.varlink.service.InvalidParameter"},
        ),
    ],
)
def test_wrong_calls(
    daemon: FakeDaemon,
    method: str,
    parameters: dict[str, object],
    more: dict[str, bool],
    expected: dict[str, str],
) -> None:
    """A call that is one, but wrong, gets an error; the connection goes on."""
    with Raw(daemon.path) as raw:
        raw.call(method, parameters, **more)
        assert raw.reply()["error"] == expected["error"]
        raw.call("org.sydd.ListRules", {"session": "zz"})
        assert raw.reply() == NO_SESSION


def test_a_mistake_of_the_daemon_is_an_error(daemon: FakeDaemon, caplog: pytest.LogCaptureFixture) -> None:
    """What the backend does not catch is told to the caller and logged, and the daemon lives."""

    async def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError("seven")

    daemon.backend.list_profiles = broken  # type: ignore[assignment]
    daemon.backend.get_profile = lambda *_: broken_value()  # type: ignore[assignment]

    async def broken_value() -> object:
        return {"name": 7}

    with Raw(daemon.path) as raw:
        raw.call("org.sydd.ListProfiles")
        assert raw.reply() == {
            "error": "org.sydd.Failed",
            "parameters": {"reason": "a mistake of sydd's own, please report it: ZeroDivisionError: seven"},
        }
        raw.call("org.sydd.GetProfile", {"name": "build"})
        assert raw.reply()["error"] == "org.sydd.Failed"
    assert "org.sydd.ListProfiles failed" in caplog.text


def test_who_calls_is_known(daemon: FakeDaemon) -> None:
    """The backend is told pid, user, group, groups and a pidfd of who connected."""
    with Raw(daemon.path) as raw:
        raw.call("org.sydd.Info")
        raw.reply()
        peer = daemon.backend.peers[0]
        assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
        assert sorted(peer.groups) == sorted(os.getgroups())
        if peer.pidfd >= 0:  # Linux 6.5
            with open(f"/proc/self/fdinfo/{peer.pidfd}", encoding="ascii") as file:
                assert f"Pid:\t{os.getpid()}\n" in file.read()


INFO = b'{"method":"org.sydd.Info"}\0'


def _by_another(connection: socket.socket, data: bytes) -> int:
    """Have another process write something into a connection; its pid, when it has ended."""
    with subprocess.Popen(
        ["printf", data.decode().replace("\0", "\\0")], stdout=connection.fileno()
    ) as process:
        assert process.wait(20) == 0
        return process.pid


def test_who_has_written_a_call_is_known(daemon: FakeDaemon) -> None:
    """Whoever connected; of a call that several have written nobody is, not even who ended it."""
    own = os.getpid()
    with Raw(daemon.path) as raw:
        expected = [own]
        raw.socket.sendall(INFO)
        expected.append(_by_another(raw.socket, INFO))
        raw.socket.sendall(INFO[:-1])
        _by_another(raw.socket, INFO[-1:])
        expected.append(0)
        _by_another(raw.socket, INFO[:5])
        raw.socket.sendall(INFO[5:] + INFO)
        expected += [0, own]
        for _ in expected:
            raw.reply()
    assert [peer.writer for peer in daemon.backend.peers] == expected
    assert {peer.pid for peer in daemon.backend.peers} == {own}


def test_who_has_written_is_known_of_what_came_before_the_daemon() -> None:
    """Of a connection that was made, and calls that were sent, while nobody had asked the kernel for it."""
    with (
        tempfile.TemporaryDirectory(prefix="control-") as directory,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        listening.bind(f"{directory}/socket")
        listening.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{directory}/socket")
            client.sendall(b"before")
            with listening.accept()[0] as accepted:
                ask_for_writers(accepted)
                early = receive(accepted, 100)
                client.sendall(b"after")
                late = receive(accepted, 100)
        ask_for_writers(listening)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{directory}/socket")
            client.sendall(b"before")
            with listening.accept()[0] as accepted:
                asked = receive(accepted, 100)
    assert early.writer in (0, os.getpid())  # not known since Linux 6.16
    assert (late.data, late.writer) == (b"after", os.getpid())
    assert (asked.data, asked.writer) == (b"before", os.getpid())


def test_nobody_names_another_writer(daemon: FakeDaemon, unprivileged: Unprivileged) -> None:
    """Who is not privileged can send no other number than its own."""
    script = """
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
for pid in (os.getppid(), os.getpid()):
    control = struct.pack("iII", pid, os.getuid(), os.getgid())
    try:
        claim = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, control)
        s.sendmsg([b'{"method":"org.sydd.Info"}' + bytes(1)], [claim])
    except PermissionError:
        print("PermissionError", flush=True)
s.recv(1)
print(os.getpid())
"""
    result = unprivileged.run(["/usr/bin/python3", "-c", script, daemon.path])
    assert result.returncode == 0, result.stderr
    refused, own = result.stdout.split()
    assert refused == "PermissionError"
    assert [peer.writer for peer in daemon.backend.peers] == [int(own)]


@pytest.mark.root
def test_another_user_is_told_apart(daemon: FakeDaemon, unprivileged: Unprivileged) -> None:
    """Who connects as another user is that user, without groups."""
    script = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        ' s.send(b\'{"method":"org.sydd.Info"}\\0\'); s.recv(1)'
    )
    result = unprivileged.run(["/usr/bin/python3", "-c", script, daemon.path])
    assert result.returncode == 0, result.stderr
    assert (daemon.backend.peers[0].uid, daemon.backend.peers[0].groups) == (unprivileged.uid, ())


@pytest.mark.root
@pytest.mark.parametrize("count", [257, NGROUPS_MAX])
def test_a_user_of_many_groups(daemon: FakeDaemon, count: int) -> None:
    """As many as the kernel lets a process have."""
    script = (
        "import os, socket, sys; os.setgroups(range(1000, 1000 + int(sys.argv[2]))); os.setuid(65534);"
        " s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        ' s.send(b\'{"method":"org.sydd.Info"}\\0\'); s.recv(1)'
    )
    subprocess.run(["/usr/bin/python3", "-c", script, daemon.path, str(count)], check=True, timeout=50)
    assert daemon.backend.peers[0].groups == tuple(range(1000, 1000 + count))


def test_descriptors_come_and_go(daemon: FakeDaemon) -> None:
    """A descriptor reaches the backend, one comes back, and neither stays open in the daemon."""
    before = len(os.listdir("/proc/self/fd"))
    fd = os.memfd_create("test")
    os.write(fd, b"hello")
    with Raw(daemon.path) as raw:
        call = {"method": "org.sydd.Attach", "parameters": {"session": "s1", "listener": 1, "pid": 1}}
        socket.send_fds(raw.socket, [json.dumps(call).encode() + b"\0"], [0, fd])
        assert raw.reply() == {}
        assert daemon.backend.received == [b"hello"]
        call = {"method": "org.sydd.CreateSession", "parameters": {"profile": "build", "directory": "/"}}
        raw.socket.sendall(json.dumps(call).encode() + b"\0")
        data, descriptors, _, _ = socket.recv_fds(raw.socket, 4096, 4)
        assert json.loads(data[:-1])["parameters"] == {"session": "s1", "launch": 0}
        assert os.pread(descriptors[0], 100, 0) == b'{"v": 1}'
        os.close(descriptors[0])
    os.close(fd)
    with Raw(daemon.path) as raw:  # it is served after the other is closed
        raw.call("org.sydd.Info")
        raw.reply()
        assert len(os.listdir("/proc/self/fd")) <= before + 3


def test_what_is_only_kept_gives_way_to_who_connects(daemon: FakeDaemon) -> None:
    """Without descriptors nobody waits until something happens to be closed."""
    daemon.spare = [os.memfd_create("kept") for _ in range(3)]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        number = os.dup(client.fileno())  # the lowest that is free
        os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
        try:
            client.connect(daemon.path)
            client.sendall(b'{"method":"org.sydd.Info"}\0')
            assert b'"version"' in client.recv(4096)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert daemon.spare == []


def test_descriptors_belong_to_the_call_that_they_came_with(daemon: FakeDaemon) -> None:
    """Calls before and after one with a descriptor, in one read, do not get it."""
    fd = os.memfd_create("test")
    os.write(fd, b"mine")
    attach = json.dumps(
        {"method": "org.sydd.Attach", "parameters": {"session": "s1", "listener": 0, "pid": 1}}
    )
    with Raw(daemon.path) as raw:
        # The daemon's thread is kept busy while they arrive, so that it finds them all at once.
        daemon.loop.call_soon_threadsafe(raw.socket.sendall, attach.encode() + b"\0")
        daemon.loop.call_soon_threadsafe(socket.send_fds, raw.socket, [attach.encode() + b"\0"], [fd])
        daemon.loop.call_soon_threadsafe(raw.socket.sendall, attach.encode() + b"\0")
        refused = "org.varlink.service.InvalidParameter"
        assert [raw.reply().get("error") for _ in range(3)] == [refused, None, refused]
    os.close(fd)
    assert daemon.backend.received == [b"mine"]


def test_a_stream(daemon: FakeDaemon) -> None:
    """Items come as they are there; the last reply has none."""
    with Raw(daemon.path) as raw:
        raw.call("org.sydd.Subscribe", {"follow": False}, more=True)
        first, second, last = raw.reply(), raw.reply(), raw.reply()
        assert [reply.get("continues") for reply in (first, second, last)] == [True, True, None]
        assert (first["parameters"]["notice"]["position"], last["parameters"]["notice"]) == (1, None)
        raw.call("org.sydd.ListRules", {"session": "zz"})
        assert raw.reply() == NO_SESSION


@pytest.mark.parametrize("method", ["Wait", "Subscribe"])
def test_who_hangs_up_is_waited_for_no_more(daemon: FakeDaemon, method: str) -> None:
    """A call that waits ends when its caller has gone, although there is nothing to send."""
    with Raw(daemon.path) as raw:
        raw.call(f"org.sydd.{method}", {"session": "s1"}, more=method == "Subscribe")
        if method == "Subscribe":
            raw.reply()
            raw.reply()
        daemon.until(lambda: daemon.backend.waiting == 1)
    daemon.until(lambda: daemon.backend.waiting == 0)


def test_who_sends_no_more_is_still_answered(daemon: FakeDaemon) -> None:
    """A client may shut its direction down and wait for the replies."""
    with Raw(daemon.path) as raw:
        raw.call("org.sydd.Wait", {"session": "s1"})
        raw.socket.shutdown(socket.SHUT_WR)
        daemon.until(lambda: daemon.backend.waiting == 1)
        daemon.finish()
        (reply,) = raw.replies()
        assert reply["parameters"]["status"] == 3


def test_a_slow_reader_holds_up_nobody() -> None:
    """Who does not read its replies is waited for, others are served meanwhile; in the end it is closed."""
    with FakeDaemon(Limits(write_seconds=0.3)) as daemon, Raw(daemon.path) as slow, Raw(daemon.path) as other:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        call = json.dumps(
            {"method": "org.varlink.service.GetInterfaceDescription", "parameters": {"interface": "org.sydd"}}
        )
        for _ in range(60):
            slow.socket.sendall(call.encode() + b"\0")
        daemon.until(lambda: daemon.server.connections == 2)
        other.call("org.sydd.ListRules", {"session": "zz"})
        assert other.reply() == NO_SESSION
        daemon.until(lambda: daemon.server.connections == 1)


def test_no_message_has_more_descriptors_than_there_is_room_for() -> None:
    """SCM_RIGHTS holds at most 253 descriptors; the server receives so many, so that none is lost unseen."""
    left, right = socket.socketpair()
    with left, right, open("/dev/null", "rb") as null:
        rights = array.array("i", [null.fileno()] * 254)
        with pytest.raises(OSError, match="Invalid"):
            left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
