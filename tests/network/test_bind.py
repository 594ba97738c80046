"""bind(2) and listen(2), and connecting to what the session itself has bound."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from sydd.kernel import landlock_calls
from tests.escapes.arena import ROOT, Arena
from tests.network.conftest import Servers, reached

REFUSED = f"{errno.EACCES}\n"
UNNAMED = ("allow bind unix:unnamed",)

DENIED = {
    "port": "s = socket.socket(); print(code(s.bind, ('127.0.0.1', free())))",
    "wildcard": "s = socket.socket(); print(code(s.bind, ('0.0.0.0', 0)))",
    "wildcard6": "s = socket.socket(socket.AF_INET6); print(code(s.bind, ('::', 0)))",
    "listen unbound": "s = socket.socket(); print(code(s.listen))",
    "abstract": "s = socket.socket(socket.AF_UNIX); print(code(s.bind, chr(0) + 'sydd' + str(os.getpid())))",
    "autobind": "s = socket.socket(socket.AF_UNIX); print(code(s.bind, ''))",
    "outside": "s = socket.socket(socket.AF_UNIX); print(code(s.bind, '../outside/new'))",
}
HELPERS = """
import multiprocessing, socket, subprocess
def code(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return error.errno
    return 0
def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
"""


@pytest.mark.parametrize("text", DENIED.values(), ids=DENIED.keys())
def test_denied(text: str, arena: Arena) -> None:
    """What `build` does not let a program bind."""
    argv = arena.python(HELPERS + text)
    arena.native(argv)
    assert arena.output == "0\n", arena.errors
    arena.reset()
    arena.confined(argv)
    assert arena.output == REFUSED, arena.errors
    assert "1 access denied" in arena.errors
    arena.reset()
    arena.confined(argv, rules=["allow bind any", f"allow write {arena.outside}/**"])
    assert arena.output == "0\n", arena.errors


FOLLOWED = {
    "same process": """
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
print(client.getpeername() == server.getsockname())
""",
    "duplicated": """
import fcntl
for copies in (
    lambda fd: os.dup(fd),
    lambda fd: libc.dup2(fd, 70),
    lambda fd: libc.dup3(fd, 71, os.O_CLOEXEC),
    lambda fd: fcntl.fcntl(fd, fcntl.F_DUPFD, 72),
    lambda fd: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 73),
):
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    name, copy = server.getsockname(), copies(server.fileno())
    server.close()
    kept = socket.socket(fileno=copy)
    kept.listen()
    print(socket.create_connection(name).getpeername() == name)
""",
    "inet6": """
server = socket.create_server(("::1", 0), family=socket.AF_INET6)
print(socket.create_connection(server.getsockname()[:2]).getpeername() == server.getsockname())
""",
    "mapped": """
server = socket.create_server(("127.0.0.1", 0))
client = socket.socket(socket.AF_INET6)
print(code(client.connect, ("::ffff:127.0.0.1", server.getsockname()[1])) == 0)
""",
    "child": """
server = socket.create_server(("127.0.0.1", 0))
child = os.fork()
if not child:
    os._exit(code(socket.socket().connect, server.getsockname()))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0)
""",
    "another program": """
server = socket.create_server(("127.0.0.1", 0))
text = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
print(subprocess.run([sys.executable, "-I", "-S", "-c", text]).returncode == 0)
""",
    "sibling": """
reader, writer = os.pipe()
child = os.fork()
if not child:
    server = socket.create_server(("127.0.0.1", 0))
    os.write(writer, str(server.getsockname()[1]).encode())
    server.accept()
    os._exit(0)
port = int(os.read(reader, 10))
child = os.fork()
if not child:
    os._exit(code(socket.socket().connect, ("127.0.0.1", port)))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0)
""",
    "unix": """
os.mkdir("d")
for given in ("plain", "d/below", os.getcwd() + "/absolute"):
    server = socket.socket(socket.AF_UNIX)
    server.bind(given)
    server.listen()
    print(server.getsockname() == given, oct(os.stat(given).st_mode))
    client = socket.socket(socket.AF_UNIX)
    client.connect(given)
    print(client.getpeername() == given, server.accept()[0].getsockname() == given)
    print(code(socket.socket(socket.AF_UNIX).bind, given) == errno.EADDRINUSE)
    os.rename(given, "moved")
    print(code(socket.socket(socket.AF_UNIX).connect, "moved") == 0)
    os.unlink("moved")
""",
    "packets": """
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind("packets")
server.listen()
print(code(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect, "packets") == 0)
""",
    "autobind": """
server = socket.socket(socket.AF_UNIX)
server.bind("")
server.listen()
print(code(socket.socket(socket.AF_UNIX).connect, server.getsockname()) == 0)
""",
    "peer": """
import struct
server = socket.socket(socket.AF_UNIX)
server.bind("peer")
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect("peer")
for end in (client, server.accept()[0]):
    _, uid, gid = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    print((uid, gid) == (os.geteuid(), os.getegid()))
""",
}


@pytest.mark.parametrize("text", FOLLOWED.values(), ids=FOLLOWED.keys())
def test_followed(text: str, arena: Arena) -> None:
    """Under `build` a program reaches its own servers, whoever of it asks, as it does natively."""
    argv = arena.python(HELPERS + text)
    arena.native(argv)
    native = arena.output
    assert "True" in native, arena.errors
    assert "False" not in native
    arena.reset()
    arena.confined(argv, rules=UNNAMED)
    assert arena.output == native, arena.errors


@pytest.mark.root
def test_peer_of_another_user(arena: Arena) -> None:
    """A process of root that has become another user is that user to its peers."""
    text = "os.chmod('.', 0o777); os.setgroups([]); os.setresgid(1, 1, 1); os.setresuid(1, 1, 1)\n"
    argv = arena.python(HELPERS + text + FOLLOWED["peer"])
    arena.native(argv)
    native = arena.output
    assert native == "True\nTrue\n", arena.errors
    arena.reset()
    arena.confined(argv)
    assert arena.output == native, arena.errors


ENDED = {
    "tcp": """
server = socket.create_server(("127.0.0.1", 0))
name = server.getsockname()
client = lambda: code(socket.socket().connect, name)
""",
    "tcp6": """
server = socket.create_server(("::1", 0), family=socket.AF_INET6)
name = server.getsockname()
client = lambda: code(socket.socket(socket.AF_INET6).connect, name)
""",
    "unix": """
server = socket.socket(socket.AF_UNIX)
server.bind("name")
server.listen()
client = lambda: code(socket.socket(socket.AF_UNIX).connect, "name")
""",
    "autobind": """
server = socket.socket(socket.AF_UNIX)
server.bind("")
name = server.getsockname()
server.listen()
client = lambda: code(socket.socket(socket.AF_UNIX).connect, name)
""",
}


@pytest.mark.parametrize("text", ENDED.values(), ids=ENDED.keys())
def test_stops_once_it_is_closed(text: str, arena: Arena) -> None:
    """The last descriptor of several, in whichever process: as natively, nobody is there then."""
    code = """
print(client())
copy = os.dup(server.fileno())
reader, writer = os.pipe()
child = os.fork()
if not child:
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
server.close()
os.close(copy)
print(client())
os.close(writer)
os.waitpid(child, 0)
print(client())
"""
    argv = arena.python(HELPERS + text + code)
    arena.native(argv)
    assert arena.output == f"0\n0\n{errno.ECONNREFUSED}\n", arena.errors
    arena.reset()
    arena.confined(argv, rules=UNNAMED)
    # A unix socket that nobody has open any more is not known to be the session's.
    ended = errno.ECONNREFUSED if "127" in text or "::1" in text else errno.EACCES
    assert arena.output == f"0\n0\n{ended}\n", arena.errors


WAITING = """
port = free()
for each in (
    socket.socket(),
    socket.socket(socket.AF_INET6),
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
):
    print(code(each.connect, ("::ffff:127.0.0.1" if each.family == socket.AF_INET6 else "127.0.0.1", port)))
each = socket.socket()
each.setblocking(False)
print(code(each.connect, ("127.0.0.1", port)))
"""


def test_nobody_listens_yet(arena: Arena, servers: Servers) -> None:
    """Who waits for a server of the session sees that it is not there: no denial, and no event."""
    argv = arena.python(HELPERS + WAITING)
    arena.confined(argv)
    assert arena.output == f"{errno.ECONNREFUSED}\n" * 4, arena.errors
    assert arena.errors == ""
    one = "print(code(socket.socket().connect, ('127.0.0.1', free())))"
    profile = arena.profile("[network]\nfollow_bind = false\n")
    arena.confined(arena.python(HELPERS + one), profile=profile)
    assert arena.output == REFUSED, arena.errors
    server = servers.listen(2, ("127.0.0.1", 0))
    other = f"print(code(socket.socket().connect, {server.getsockname()}))"
    arena.confined(arena.python(HELPERS + other))
    assert arena.output == REFUSED, arena.errors
    assert not reached(server)


WAITS = """
import socket
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
copy = os.dup(server.fileno())
server.close()
os.close(copy)
print(port, flush=True)
sys.stdin.readline()
print(socket.socket().connect_ex(("127.0.0.1", port)), flush=True)
"""


def test_ends_with_the_socket(arena: Arena, servers: Servers) -> None:
    """A port that the session has let go is nobody's: who takes it then is not reached."""
    for launch in (
        [],
        [sys.executable, "-P", "-m", "sydctl", "launch", "build", "--engine", arena.engine, "--"],
    ):
        with subprocess.Popen(
            [*launch, *arena.python(WAITS)],
            cwd=arena.work,
            env={"PATH": "/usr/bin:/bin", "HOME": arena.home, "PYTHONPATH": ROOT, "TMPDIR": arena.root},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            server = servers.listen(2, ("127.0.0.1", int(process.stdout.readline())))
            process.stdin.write("\n")
            process.stdin.flush()
            result = int(process.stdout.readline())
        assert result == (errno.EACCES if launch else 0)
        assert reached(server) == (not launch)


def test_replaced_name(arena: Arena, servers: Servers) -> None:
    """A socket of somebody else's that comes to have the name of one of the session's is not reached."""
    server = servers.listen(1, f"{arena.work}/theirs")
    code = """
server = socket.socket(socket.AF_UNIX)
server.bind("ours")
server.listen()
os.rename("theirs", "ours")
print(code(socket.socket(socket.AF_UNIX).connect, "ours"))
"""
    argv = arena.python(HELPERS + code)
    arena.confined(argv)
    assert arena.output == REFUSED, arena.errors
    assert not reached(server)
    subprocess.run(["mv", "ours", "theirs"], cwd=arena.work, check=True)
    arena.native(argv)
    assert arena.output == "0\n", arena.errors
    assert reached(server)


def test_no_following(arena: Arena) -> None:
    """Without the key the rules alone decide."""
    profile = arena.profile("[network]\nfollow_bind = false\n")
    argv = arena.python(HELPERS + FOLLOWED["mapped"])
    arena.confined(argv, profile=profile)
    assert arena.output == "False\n", arena.errors


@pytest.mark.parametrize(
    ("level", "name"),
    [(1, 25), (1, 62), (0, 4), (41, 57), (0, 50), (41, 76)],
    ids=["device", "interface", "options", "route", "unicast", "unicast6"],
)
def test_redirecting(level: int, name: int, arena: Arena) -> None:
    """Options by which packets go elsewhere than the address says."""
    text = f"s = socket.socket(socket.AF_INET6); print(code(s.setsockopt, {level}, {name}, bytes(4)))"
    arena.confined(arena.python(HELPERS + text))
    assert arena.output == f"{errno.EPERM}\n", arena.errors


def test_fast_open(arena: Arena, servers: Servers) -> None:
    """A first message that connects is judged as a connect."""
    server = servers.listen(2, ("127.0.0.1", 0))
    text = f"s = socket.socket(); print(code(s.sendto, b'x', socket.MSG_FASTOPEN, {server.getsockname()}))"
    argv = arena.python(HELPERS + text)
    arena.native(argv)
    assert arena.output == "0\n", arena.errors
    assert reached(server)
    arena.confined(argv)
    assert arena.output == REFUSED, arena.errors
    assert "deny connect" in arena.errors
    assert not reached(server)
    arena.confined(argv, rules=[f"allow connect 127.0.0.1!{server.getsockname()[1]}"])
    assert arena.output == "0\n", arena.errors
    assert reached(server)


CONFINED = """
# LANDLOCK_ACCESS_NET_CONNECT_TCP is handled, and nothing allowed. Under `supervisor` there is no Landlock.
server = socket.create_server(("127.0.0.1", 0))
attributes = (0).to_bytes(8, "little") + (2).to_bytes(8, "little") + bytes(8)
ruleset = call(444, attributes, len(attributes), 0)
libc.prctl(38, 1, 0, 0, 0)
if call(446, ruleset, 0) == 0:
    print(code(socket.socket().connect, server.getsockname()))
else:
    print(errno.EACCES)
"""


def test_own_domain(arena: Arena) -> None:
    """Who has forbidden itself to connect is not connected by the supervisor, which stands outside."""
    if landlock_calls.abi() < 4:
        pytest.skip("needs Landlock with rules about ports (Linux 6.7)")
    argv = arena.python(HELPERS + CONFINED)
    arena.native(argv)
    assert arena.output == REFUSED, arena.errors
    arena.confined(argv)
    assert arena.output == REFUSED, arena.errors
