"""`[network] namespace = "private"`: what works inside, and that nothing outside can be reached.

The servers are outside, of this process, and it looks there whether something came. Every way is first taken
by the same program in a session that has the caller's network, or without sydd.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from sydd.kernel.namespace_probe import private_network_in_child
from sydd.kernel.probe import probe
from tests.session.conftest import PATIENCE, Session
from tests.support.unprivileged import Unprivileged, make_home, remove_home

pytestmark = pytest.mark.skipif(private_network_in_child() != 0, reason="needs network namespaces")

ENGINES = ("hybrid", "supervisor", "landlock")
WHO = ("user", pytest.param("root", marks=pytest.mark.root))

PROFILE = """
extends = "build"
rules = ["allow net any"]
[network]
namespace = "{}"
"""

NETLINK_USERSOCK = 2

WAYS = """
import errno, json, os, socket, sys
address = json.loads(sys.argv[1])
LOOPBACK = {"4": "127.0.0.1", "6": "::1"}
told = {}

def stream(family, place):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.connect(place)
        s.sendall(b"out")

def datagram(family, place, protocol=0):
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as s:
        s.sendto(b"out", place)

def seqpacket(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(place)
        s.send(b"out")

WAYS = {
    "tcp": lambda port: stream(socket.AF_INET, ("127.0.0.1", port)),
    "tcp-mapped": lambda port: stream(socket.AF_INET6, ("::ffff:127.0.0.1", port)),
    "tcp-any": lambda port: stream(socket.AF_INET, ("0.0.0.0", port)),
    "tcp6": lambda port: stream(socket.AF_INET6, ("::1", port)),
    "udp": lambda port: datagram(socket.AF_INET, ("127.0.0.1", port)),
    "udp6": lambda port: datagram(socket.AF_INET6, ("::1", port)),
    "abstract-stream": lambda name: stream(socket.AF_UNIX, "\\0" + name),
    "abstract-dgram": lambda name: datagram(socket.AF_UNIX, "\\0" + name),
    "abstract-seqpacket": lambda name: seqpacket("\\0" + name),
    "netlink": lambda number: datagram(socket.AF_NETLINK, (number, 0), 2),
}
for way, place in address.items():
    try:
        WAYS[way](place)
        told[way] = "sent"
    except OSError as error:
        told[way] = errno.errorcode[error.errno]
print(json.dumps(told))
"""
"""Sends to every address and prints what became of it."""


class Outside:
    """Servers of this process, in its network, one for each way to it."""

    def __init__(self) -> None:
        name = os.path.basename(tempfile.mktemp(prefix="sydd-outside-"))  # noqa: S306  # a name that nobody has
        inet, inet6, unix = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
        stream, dgram, seqpacket = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
        wanted: dict[str, tuple[int, int, int, Any]] = {
            "tcp": (inet, stream, 0, ("127.0.0.1", 0)),
            "tcp-mapped": (inet, stream, 0, ("127.0.0.1", 0)),
            "tcp-any": (inet, stream, 0, ("127.0.0.1", 0)),
            "tcp6": (inet6, stream, 0, ("::1", 0)),
            "udp": (inet, dgram, 0, ("127.0.0.1", 0)),
            "udp6": (inet6, dgram, 0, ("::1", 0)),
            "abstract-stream": (unix, stream, 0, f"\0{name}-stream"),
            "abstract-dgram": (unix, dgram, 0, f"\0{name}-dgram"),
            "abstract-seqpacket": (unix, seqpacket, 0, f"\0{name}-seqpacket"),
            "netlink": (socket.AF_NETLINK, dgram, NETLINK_USERSOCK, (0, 0)),
        }
        self.sockets: dict[str, socket.socket] = {}
        self.addresses: dict[str, Any] = {}
        for way, (family, kind, protocol, place) in wanted.items():
            made = self.sockets[way] = socket.socket(family, kind, protocol)
            made.bind(place)
            made.setblocking(False)
            if kind != dgram:
                made.listen()
            own = made.getsockname()
            if family == unix:
                self.addresses[way] = own[1:].decode()
            else:
                self.addresses[way] = own[0] if family == socket.AF_NETLINK else own[1]

    def heard(self) -> set[str]:
        """The ways by which something has come since the last time."""
        came = set()
        for way, each in self.sockets.items():
            with contextlib.suppress(BlockingIOError):
                if each.type == socket.SOCK_DGRAM:
                    each.recv(16)
                else:
                    each.accept()[0].close()
                came.add(way)
        return came

    def close(self) -> None:
        """Close them."""
        for each in self.sockets.values():
            each.close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    """Servers outside."""
    servers = Outside()
    yield servers
    servers.close()


@pytest.fixture
def session() -> Iterator[Session]:
    """Sessions in a work directory of their own."""
    home = make_home()
    yield Session(Unprivileged(home))
    remove_home(home)


def launch(
    session: Session, who: str, *command: str, profile: str, options: tuple[str, ...] = (), **how: Any
) -> subprocess.CompletedProcess[str]:
    """Launch a command as a user or as root."""
    return native(session, who, *session.command(*command, profile=profile, options=options), **how)


def native(session: Session, who: str, *command: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a user or as root, without sydd."""
    identity = {} if who == "root" else session.user.identity()
    how.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        command,
        cwd=session.work,
        env=session.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        **identity,
        **how,
    )


def profile(session: Session, namespace: str, more: str = "") -> str:
    """A profile that allows all sockets, in the caller's network or in one of its own."""
    return session.write(f"{namespace}.toml", PROFILE.format(namespace) + more)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("engine", ENGINES)
def test_outside_is_out_of_reach(session: Session, outside: Outside, who: str, engine: str) -> None:
    """Every way leads to the servers from the caller's network, and none from a private one."""
    arguments = (sys.executable, "-c", WAYS, json.dumps(outside.addresses))
    # Without Landlock, which would keep abstract sockets away by itself.
    everywhere = ("--engine", "supervisor")
    before = launch(session, who, *arguments, profile=profile(session, "host"), options=everywhere)
    assert json.loads(before.stdout) == dict.fromkeys(outside.addresses, "sent"), before.stderr
    assert outside.heard() == set(outside.addresses)
    done = launch(session, who, *arguments, profile=profile(session, "private"), options=("--engine", engine))
    assert "sent" not in {said for way, said in json.loads(done.stdout).items() if not way.startswith("udp")}
    assert outside.heard() == set()


INSIDE = """
import os, socket
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.create_server((host, 0), family=family) as server:
        with socket.create_connection(server.getsockname()[:2]) as client:
            client.sendall(b"tcp")
            with server.accept()[0] as accepted:
                assert accepted.recv(8) == b"tcp"
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))
        server.sendto(b"udp", server.getsockname())
        assert server.recv(8) == b"udp"
for place in ("\\0inside", "inside"):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(place)
        server.listen()
        client.connect(place)
print(*[name for _, name in socket.if_nameindex()])
print(*os.getresuid(), *os.getresgid())
"""


@pytest.mark.parametrize("who", WHO)
def test_what_works_inside(session: Session, who: str) -> None:
    """Loopback of both families, unix sockets; one interface; the command's own ids."""
    done = launch(session, who, sys.executable, "-c", INSIDE, profile=profile(session, "private"))
    user, group = (0, 0) if who == "root" else (session.user.uid, session.user.gid)
    assert done.stdout == f"lo\n{user} {user} {user} {group} {group} {group}\n", done.stderr


def test_two_sessions_do_not_meet(session: Session, outside: Outside) -> None:
    """A port that is taken outside is free inside."""
    port = outside.addresses["tcp"]
    code = f"import socket; print(socket.create_server(('127.0.0.1', {port})).getsockname()[1])"
    before = launch(session, "user", sys.executable, "-c", code, profile=profile(session, "host"))
    assert "Address already in use" in before.stderr
    done = launch(session, "user", sys.executable, "-c", code, profile=profile(session, "private"))
    assert done.stdout == f"{port}\n", done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_the_rules_hold_inside(session: Session, engine: str) -> None:
    """An address that no rule allows is refused inside as well, and not only found unreachable."""
    path = session.write("none.toml", 'extends = "build"\n[network]\nnamespace = "private"\n')
    code = "import socket; socket.create_connection(('10.0.0.1', 9))"
    done = launch(session, "user", sys.executable, "-c", code, profile=path, options=("--engine", engine))
    assert "PermissionError" in done.stderr


GAINS = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
for line in open("/proc/self/status"):
    if line.startswith("Cap"):
        print(*line.split())
def tell(call, *arguments):
    print(call, errno.errorcode[ctypes.get_errno()] if libc[call](*arguments) < 0 else "done")
tell("chown", b"own", 0, 0)
tell("mount", b"none", b"sub", b"tmpfs", 0, None)
tell("sethostname", b"name", 4)
tell("unshare", 0x20000)
tell("unshare", 0x10000000)
tell("setns", os.open("/proc/self/ns/net", os.O_RDONLY), 0)
tell("setgroups", 0, None)
tell("setuid", 0)
tell("chmod", b"own", 0o640)
print(oct(os.stat("own").st_mode), os.stat("own").st_uid)
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_the_user_namespace_gives_nothing(session: Session, engine: str) -> None:
    """No capability is left, so what they would give is refused; what the user may, it may as before."""
    # In a user namespace with capabilities a mount succeeds, and so would here what they give.
    inside = native(session, "user", "unshare", "-Urnm", "mount", "-t", "tmpfs", "none", "/mnt")
    assert inside.returncode == 0, inside.stderr
    session.write("own", "")
    os.mkdir(f"{session.work}/sub")
    session.user.give(session.work)
    done = launch(
        session,
        "user",
        sys.executable,
        "-c",
        GAINS,
        profile=profile(session, "private"),
        options=("--engine", engine),
    )
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    none = [f"{name}: {'0' * 16}" for name in sets]
    lines = done.stdout.splitlines()
    assert lines[:5] == none, done.stderr
    refused = dict(line.split() for line in lines[5:-2])
    # chown(2) to an id that is not mapped is EINVAL to the kernel; the worker has none of the right's.
    assert refused.pop("chown") in ("EPERM", "EINVAL")
    assert refused.pop("setuid") in ("EPERM", "EINVAL")
    assert refused == dict.fromkeys(("mount", "sethostname", "unshare", "setns", "setgroups"), "EPERM")
    assert lines[-2:] == ["chmod done", f"0o100640 {session.user.uid}"]


FAMILIES = """
import socket
made = []
for family in range(64):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW):
        try:
            socket.socket(family, kind).close()
            made.append(family)
            break
        except OSError:
            pass
print(*made)
"""


@pytest.mark.parametrize("who", WHO)
def test_families_without_namespaces(session: Session, who: str) -> None:
    """Sockets of virtual machines and the like, which no namespace confines, are not there."""
    before = native(session, who, sys.executable, "-c", FAMILIES)
    done = launch(session, who, sys.executable, "-c", FAMILIES, profile=profile(session, "private"))
    kept = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    assert {*map(int, done.stdout.split())} == kept, done.stderr
    assert kept < {*map(int, before.stdout.split())}


RAW = """
import errno, socket
for family, protocol in ((socket.AF_INET, socket.IPPROTO_UDP), (socket.AF_PACKET, socket.htons(3))):
    try:
        socket.socket(family, socket.SOCK_RAW, protocol).close()
        print("made")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@pytest.mark.root
def test_raw_and_packet_sockets(session: Session) -> None:
    """Root makes them, but not here."""
    assert native(session, "root", sys.executable, "-c", RAW).stdout == "made\nmade\n"
    done = launch(session, "root", sys.executable, "-c", RAW, profile=profile(session, "private"))
    assert done.stdout == "EPERM\nEAFNOSUPPORT\n"


FOLLOWED = """
import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname())
one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
one.bind(("127.0.0.1", 0))
other.sendto(b"there", one.getsockname())
text, name = one.recvfrom(9)
one.sendto(b"and back", name)
print(text, other.recv(9))
port = server.getsockname()[1]
server.close()
print(socket.socket().connect_ex(("127.0.0.1", port)))
"""


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
def test_followed_inside(session: Session, who: str, engine: str) -> None:
    """Under `build` a program reaches what it has bound itself, and nothing that is not there any more."""
    path = session.write("p.toml", 'extends = "build"\n[network]\nnamespace = "private"\n')
    code = (sys.executable, "-c", FOLLOWED)
    done = launch(session, who, *code, profile=path, options=("--engine", engine))
    assert done.stdout == f"b'there' b'and back'\n{errno.ECONNREFUSED}\n", done.stderr


BACK = """
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
print("done" if libc.setns(int(sys.argv[1]), 0) == 0 else errno.errorcode[ctypes.get_errno()])
socket.create_connection(("127.0.0.1", int(sys.argv[2])))
"""


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES)
def test_back_by_setns(session: Session, outside: Outside, engine: str) -> None:
    """A descriptor of the network outside, even one that the command is given, is no way back."""
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        code = (sys.executable, "-c", BACK, str(fd), str(outside.addresses["tcp"]))
        before = native(session, "root", "unshare", "-n", *code, pass_fds=(fd,))
        assert (before.stdout, outside.heard()) == ("done\n", {"tcp"}), before.stderr
        path = profile(session, "private", f"[descriptors]\nkeep = [{fd}]\n")
        done = launch(session, "root", *code, profile=path, options=("--engine", engine), pass_fds=(fd,))
        assert (done.stdout, outside.heard()) == ("EPERM\n", set())
        assert "Connection refused" in done.stderr
    finally:
        os.close(fd)


SETTING = "/proc/sys/net/ipv4/conf/lo/medium_id"


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES)
def test_settings_are_those_inside(session: Session, engine: str) -> None:
    """Settings of the network that root may change are its own, also where the worker opens the file."""
    with open(SETTING, encoding="ascii") as file:
        before = file.read()
    options = ("--engine", engine, "--rule", f"allow modify,truncate {SETTING}")
    script = f"echo 7 > {SETTING} && cat {SETTING}"
    try:
        done = launch(session, "root", "sh", "-c", script, profile=profile(session, "host"), options=options)
        with open(SETTING, encoding="ascii") as file:
            assert (done.stdout, file.read()) == ("7\n", "7\n")
    finally:
        with open(SETTING, "w", encoding="ascii") as file:
            file.write(before)
    done = launch(session, "root", "sh", "-c", script, profile=profile(session, "private"), options=options)
    with open(SETTING, encoding="ascii") as file:
        assert file.read() == before
    # Landlock has granted the file of the network outside, which is another one.
    assert done.stdout == ("7\n" if engine == "supervisor" else "")


def test_out_of_a_namespace_of_its_own(session: Session, outside: Outside) -> None:
    """Where user namespaces are allowed too, root of one is as far away."""
    more = '[restrict]\nuser_namespaces = "allow"\n'
    code = (sys.executable, "-c", WAYS, json.dumps(outside.addresses))
    wrapped = ("unshare", "-U", *code)
    before = launch(session, "user", *wrapped, profile=profile(session, "host", more))
    assert json.loads(before.stdout)["tcp"] == "sent", before.stderr
    assert "tcp" in outside.heard()
    done = launch(session, "user", *wrapped, profile=profile(session, "private", more))
    assert json.loads(done.stdout)["tcp"] == "ECONNREFUSED", done.stderr
    assert outside.heard() == set()


INHERITED = """
import socket, sys
with socket.socket(fileno=0) as own:
    own.sendto(b"out", ("127.0.0.1", int(sys.argv[1])))
"""


def test_inherited_sockets(session: Session, outside: Outside) -> None:
    """A socket stays in the network that it was made in: such ones are refused, streams of unix are not."""
    code = (sys.executable, "-c", INHERITED, str(outside.addresses["udp"]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inherited:
        before = native(session, "user", "unshare", "-Un", *code, stdin=inherited)
        assert outside.heard() == {"udp"}, before.stderr
        done = launch(session, "user", *code, profile=profile(session, "private"), stdin=inherited)
        assert done.returncode == 125
        assert "descriptor 0 is a socket of the network outside" in done.stderr
        assert outside.heard() == set()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"text")
        ours.shutdown(socket.SHUT_WR)
        done = launch(session, "user", "cat", profile=profile(session, "private"), stdin=theirs)
        assert done.stdout == "text"


@pytest.mark.parametrize(
    ("setting", "drop"), [("max_net_namespaces", ()), ("max_user_namespaces", ("-sys_admin",))]
)
def test_where_there_are_none(session: Session, setting: str, drop: tuple[str, ...]) -> None:
    """The command does not start, and the error and the doctor name the setting."""
    if not probe().user_namespaces:
        pytest.skip("needs user namespaces for users, in which such a limit can be set")
    without = ("setpriv", f"--bounding-set={drop[0]}", f"--inh-caps={drop[0]}") if drop else ()
    script = f'echo 0 > /proc/sys/user/{setting}; exec "$@"'
    limited = ("unshare", "-Ur", "sh", "-c", script, "sh", *without)
    command = session.command("echo", "started", profile=profile(session, "private"))
    assert native(session, "user", "unshare", "-Ur", *without, *command).stdout == "started\n"
    done = native(session, "user", *limited, *command)
    assert (done.stdout, done.returncode) == ("", 125)
    assert f"user.{setting} is 0" in done.stderr
    assert done.stderr.count("\n") == 1
    doctor = native(session, "user", *limited, sys.executable, "-m", "sydctl", "doctor", "--json")
    (feature,) = [one for one in json.loads(doctor.stdout)["features"] if one["name"] == "private_network"]
    assert not feature["present"]
    assert f"user.{setting} is 0" in feature["detail"]


def test_inside_a_session(session: Session) -> None:
    """A session inside another one cannot have one, and says so; it gets the outer one's."""
    path = profile(session, "private", "")
    inner = session.command("true", profile=path)
    done = launch(session, "user", *inner, profile=profile(session, "host"))
    assert done.returncode == 125
    assert "cannot be had inside a session" in done.stderr


def test_audit_stops_nothing(session: Session, outside: Outside) -> None:
    """The network stays the caller's, as every other wall is left out."""
    code = (sys.executable, "-c", WAYS, json.dumps({"tcp": outside.addresses["tcp"]}))
    path = profile(session, "private")
    done = launch(session, "user", *code, profile=path, options=("--mode", "audit"))
    assert json.loads(done.stdout) == {"tcp": "sent"}
    assert outside.heard() == {"tcp"}


def test_it_is_shown(session: Session) -> None:
    """By `profile show` and by the plan, as text and as JSON."""
    path = profile(session, "private")
    show = (sys.executable, "-m", "sydctl", "profile", "show", path)
    assert "\nnetwork:\n  namespace: private\n" in native(session, "user", *show).stdout
    assert json.loads(native(session, "user", *show, "--json").stdout)["network"]["namespace"] == "private"
    plan = launch(session, "user", profile=path, options=("--plan",)).stdout
    assert "\nnetwork: its own, with loopback alone" in plan
    value = json.loads(launch(session, "user", profile=path, options=("--plan", "--json")).stdout)
    assert value["network"]["private"] is True
    plan = launch(session, "user", profile=path, options=("--plan", "--mode", "audit")).stdout
    assert "network: the caller's; audit mode makes no private one" in plan
