"""The client: every method, every error, and daemons that come and go."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sydd import client as package
from sydd.client import (
    BadArgument,
    BadProfile,
    BeyondCeiling,
    CallError,
    Client,
    DisconnectedError,
    Failed,
    NoSuchProfile,
    NoSuchQuestion,
    NoSuchSession,
    NotRunningError,
    TooSlowError,
    find_socket,
)
from tests.support.fakebackend import RULES, SESSION
from tests.support.fakedaemon import FakeDaemon


def test_values(daemon: FakeDaemon) -> None:
    """What the daemon tells comes out as it is."""
    with Client(daemon.path) as client:
        assert client.info()["pid"] == os.getpid()
        assert client.health()["healthy"] is True
        assert [entry["name"] for entry in client.list_profiles()] == ["build"]
        assert client.get_profile("build")["text"] == "rules = []\n"
        assert client.validate_profile("rules = []") == []
        assert client.validate_profile("x", "mine")[0]["file"] == "mine"
        assert client.put_profile("mine", "rules = []") == []
        client.remove_profile("mine")
        assert client.list_sessions(ended=True) == [SESSION]
        assert client.inspect_session("s1")["session"] == SESSION
        assert client.kill_session("s1") == 9
        assert client.kill_session("s1", 15) == 15
        assert client.list_rules("self") == RULES
        assert client.add_rules("s1", ["deny read /etc/**"])["runtime"][0]["rule"] == "deny read /etc/**"
        assert client.remove_rules("s1", ["deny read /etc/**"]) == RULES
        assert client.lock("s1", "exec") == "exec"
        client.set_mode("s1", "audit")
        assert [verdict["allowed"] for verdict in client.check("s1", "read", "/etc")] == [True]
        client.decide("q1", allow=True)
    assert daemon.backend.decisions == [("q1", True)]


def test_errors_have_fields(daemon: FakeDaemon) -> None:
    """Errors of the interface are exceptions with its fields."""
    with Client(daemon.path) as client:
        with pytest.raises(NoSuchSession, match="no session 'zz'") as no_session:
            client.inspect_session("zz")
        assert no_session.value.session == "zz"
        with pytest.raises(NoSuchProfile):
            client.get_profile("zz")
        with pytest.raises(BadProfile, match=r"mine:1:2: no rules \(write some\)") as bad:
            client.put_profile("mine", "x")
        assert (bad.value.file, bad.value.line, bad.value.column) == ("mine", 1, 2)
        with pytest.raises(BadArgument):
            client.put_profile("build", "rules = []")
        with pytest.raises(BeyondCeiling) as beyond:
            client.add_rules("s1", ["allow write /etc/**"])
        assert beyond.value.ceiling == RULES["ceiling"]
        with pytest.raises(NoSuchQuestion):
            client.decide("zz", allow=False)
        with pytest.raises(Failed, match="cannot execute 'missing'"):
            client.run("build", ["missing"])
        with pytest.raises(CallError, match=r"org\.varlink\.service\.InvalidParameter \(parameter=session\)"):
            client.inspect_session(7)  # type: ignore[arg-type]
        assert client.list_sessions() == [SESSION]
    assert daemon.server.connections <= 1


def test_run(daemon: FakeDaemon) -> None:
    """What a command needs goes over, its descriptors too; a pidfd comes back, and the status in the end."""
    reading, writing = os.pipe()
    with Client(daemon.path) as client:
        environment = {"PATH": "/bin", "ODD": "\udcff"}
        session = client.run(
            "build",
            ["make", "\udcfe"],
            directory="/srv",
            environment=environment,
            descriptors=(reading, writing),
            rules=["allow net any"],
            sets={"out": "/srv/out"},
            mode="audit",
            engine="supervisor",
            label="zlib",
            umask=0o27,
        )
        with session:
            assert (session.session, session.pid) == ("s1", os.getpid())
            with open(f"/proc/self/fdinfo/{session.fileno()}", encoding="ascii") as file:
                assert f"Pid:\t{os.getpid()}\n" in file.read()
            threading.Timer(0.05, daemon.finish).start()
            assert session.wait()["status"] == 3
            assert session.kill() == 9
    (request,) = daemon.backend.requests
    assert (request.profile, request.argv, request.directory) == ("build", ("make", "\udcfe"), "/srv")
    assert (request.environment, request.rules, request.sets) == (
        environment,
        ("allow net any",),
        {"out": "/srv/out"},
    )
    assert (request.mode, request.engine, request.label, request.umask) == (
        "audit",
        "supervisor",
        "zlib",
        0o27,
    )
    assert [name.partition(b":")[0] for name in daemon.backend.received] == [b"pipe", b"pipe"]
    os.close(reading)
    os.close(writing)


def test_launch(daemon: FakeDaemon) -> None:
    """A session for a command that the client starts: one descriptor comes, the listener goes."""
    with Client(daemon.path) as client:
        created = client.create_session("build", ["make"])
        assert os.pread(created["launch"], 100, 0) == b'{"v": 1}'
        pidfd = os.pidfd_open(os.getpid())
        client.attach(created["session"], created["launch"], os.getpid(), pidfd)
        client.attach(created["session"], created["launch"], os.getpid())
        os.close(pidfd)
        os.close(created["launch"])
    assert daemon.backend.received == [b'{"v": 1}'] * 2
    assert daemon.backend.requests[0].directory == os.getcwd()


def test_streams(daemon: FakeDaemon) -> None:
    """Notices and questions come one by one, until the end or until the client has enough."""
    with Client(daemon.path) as client:
        assert [item["kind"] for item in client.subscribe("s1", follow=False)] == ["access", "lost"]
        assert [item["kind"] for item in client.subscribe(kinds=["lost"], follow=False)] == ["lost"]
        with client.subscribe() as stream:
            assert next(stream)["position"] == 1
            daemon.until(lambda: daemon.backend.waiting == 1)
            assert client.list_sessions() == [SESSION]
            assert stream.buffered or select.select([stream], [], [], 5)[0]
        daemon.until(lambda: daemon.backend.waiting == 0)
        assert list(stream) == []
        assert [question["question"] for question in client.questions(follow=False)] == ["q1"]


def test_threads_share_a_client(daemon: FakeDaemon) -> None:
    """Each thread gets its own answers."""
    wrong: list[str] = []

    def ask(name: str) -> None:
        for _ in range(20):
            try:
                client.inspect_session(name)
            except NoSuchSession as error:
                if error.session != name:
                    wrong.append(error.session)

    with Client(daemon.path) as client:
        threads = [threading.Thread(target=ask, args=(f"t{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_daemon_is_restarted() -> None:
    """After a restart the next call goes to the new daemon."""
    with FakeDaemon() as old:
        client = Client(old.path)
        assert client.list_sessions() == [SESSION]
    with pytest.raises(NotRunningError):
        client.list_sessions()
    with FakeDaemon() as new:
        client.path = new.path
        assert client.list_sessions() == [SESSION]
    client.close()
    client.close()


def test_a_connection_is_made_again(daemon: FakeDaemon) -> None:
    """A connection that the daemon has closed meanwhile is replaced."""
    with Client(daemon.path) as client:
        client.list_sessions()
        (connection,) = daemon.server._interfaces
        daemon.loop.call_soon_threadsafe(connection.close)
        daemon.until(lambda: daemon.server.connections == 0)
        assert client.list_sessions() == [SESSION]


def test_nobody_listens(tmp_path: Path) -> None:
    """No socket, no daemon behind it, no directory, and none to be found."""
    path = str(tmp_path / "sydd.sock")
    with Client(path) as client, pytest.raises(NotRunningError, match=r"sydd\.sock: No such file") as missing:
        client.info()
    assert missing.value.path == path
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    with Client(path) as client, pytest.raises(NotRunningError, match="Connection refused"):
        client.info()
    with Client("") as client, pytest.raises(NotRunningError):
        client.info()


def test_a_daemon_that_says_nothing(tmp_path: Path) -> None:
    """No answer in time is an error, and so is a connection that ends without one."""
    path = str(tmp_path / "sydd.sock")

    def hang_up() -> None:
        for _ in range(2):  # the one that was too impatient is still in the queue
            listening.accept()[0].close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        with Client(path, timeout=0.05) as client, pytest.raises(TooSlowError, match=r"within 0\.05 s"):
            client.info()
        with Client(path) as client:
            thread = threading.Thread(target=hang_up)
            thread.start()
            with pytest.raises(DisconnectedError):
                client.info()
            thread.join()


def test_where_the_socket_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable first, then the system's, then the user's own; none when there is none."""
    monkeypatch.setattr("sydd.client.connection.SYSTEM_SOCKET", str(tmp_path / "system"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("SYDD_SOCKET", raising=False)
    assert find_socket() == ""
    own = tmp_path / "sydd" / "sydd.sock"
    own.parent.mkdir()
    own.touch()
    assert find_socket() == str(own)
    (tmp_path / "system").touch()
    assert find_socket() == str(tmp_path / "system")
    monkeypatch.setenv("SYDD_SOCKET", "/nowhere")
    assert find_socket() == "/nowhere"


HEAVY = {"asyncio", "dataclasses", "inspect", "logging", "pydantic", "subprocess", "threading", "typing"}


def imported() -> tuple[set[str], float]:
    """What `import sydd.client` imports in a bare interpreter, and the ms of processor time that takes."""
    script = (
        f"import sys, time; sys.path.insert(0, {os.path.dirname(os.path.dirname(package.__path__[0]))!r})\n"
        "begun = time.process_time()\nimport sydd.client\nprint(1000 * (time.process_time() - begun))\n"
        "print(*sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    took, modules = result.stdout.splitlines()
    return set(modules.split()), float(took)


def test_the_client_needs_little() -> None:
    """The client imports the standard library, and of that nothing that is slow; of sydd its values alone."""
    modules, _ = imported()
    assert modules & HEAVY == set()
    own = {name for name in modules if name.startswith("sydd.")}
    assert {name for name in own if not name.startswith(("sydd.client", "sydd.wire"))} == set()
    others = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"sydd", "__main__"}
    assert others == set()


@pytest.mark.slow
def test_the_client_is_imported_quickly() -> None:
    """It takes less than 10 ms."""
    assert min(imported()[1] for _ in range(10)) < 10
