"""connect(2): every form of an address, denied and allowed; the denied one works without sydd."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

import pytest

from sydd.supervisor.destination import services
from tests.escapes.arena import Arena
from tests.network.conftest import Servers, reached

CLIENT = """
import ast, socket
family, kind, address = ast.literal_eval(sys.argv[1])
client = socket.socket(family, kind)
print("came to", client.connect_ex(address))
try:
    print(client.getpeername())
except OSError:
    pass
"""
FOUR, SIX, UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)
STREAM, PACKETS = socket.SOCK_STREAM, socket.SOCK_SEQPACKET


class Form(NamedTuple):
    """One way to name a server.

    Attributes:
        family: of the client's socket.
        server: family and address of the server; of a path, its last component.
        given: the address by which the client names it, the port put in.
        rule: the pattern that allows it, likewise.
        kind: of both sockets.
    """

    family: int
    server: tuple[int, str]
    given: Callable[[Arena, int], object]
    rule: Callable[[Arena, int], str]
    kind: socket.SocketKind = STREAM


def by_host(family: int, server: str, host: str, pattern: str) -> Form:
    """An internet address."""
    at = (FOUR if "." in server else SIX, server)
    return Form(family, at, lambda _arena, port: (host, port), lambda _arena, port: f"{pattern}!{port}")


def by_path(prefix: Callable[[Arena], str], kind: socket.SocketKind = STREAM) -> Form:
    """A unix socket outside of the work directory."""
    return Form(
        UNIX,
        (UNIX, "server"),
        lambda arena, _port: f"{prefix(arena)}/server",
        lambda arena, _port: f"unix:{arena.outside}/server",
        kind,
    )


FORMS = {
    "inet": by_host(FOUR, "127.0.0.1", "127.0.0.1", "127.0.0.1"),
    "network": by_host(FOUR, "127.0.0.1", "127.0.0.1", "127.0.0.0/8"),
    "inet zero": by_host(FOUR, "127.0.0.1", "0.0.0.0", "127.0.0.1"),
    "inet6": by_host(SIX, "::1", "::1", "[::1]"),
    "inet6 zero": by_host(SIX, "::1", "::", "[::1]"),
    "mapped": by_host(SIX, "127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"),
    "absolute": by_path(lambda arena: arena.outside),
    "relative": by_path(lambda _arena: "../outside"),
    "packets": by_path(lambda arena: arena.outside, PACKETS),
    "abstract": Form(
        UNIX,
        (UNIX, "\0"),
        lambda arena, _port: f"\0{os.path.basename(arena.root)}",
        lambda arena, _port: f"@{os.path.basename(arena.root)}",
    ),
}


def start(form: Form, arena: Arena, servers: Servers) -> tuple[socket.socket, int]:
    """The server of a form, and its port."""
    family, name = form.server
    address: object = (name, 0)
    if family == UNIX:
        address = f"\0{os.path.basename(arena.root)}" if name == "\0" else f"{arena.outside}/{name}"
    server = servers.listen(family, address, form.kind)
    return server, 0 if family == UNIX else server.getsockname()[1]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_forms(form: Form, arena: Arena, servers: Servers) -> None:
    """Natively, denied with an event that has the rule, and allowed by that rule."""
    server, port = start(form, arena, servers)
    argv = arena.python(CLIENT, repr((form.family, int(form.kind), form.given(arena, port))))
    arena.native(argv)
    assert reached(server), arena.errors
    native = arena.output
    events = f"{arena.root}/events"
    arena.confined(argv, options=("--events", events))
    assert arena.output == f"came to {errno.EACCES}\n", arena.errors
    assert not reached(server)
    with open(events, encoding="utf-8") as file:
        (event,) = (value for value in map(json.loads, file) if value["type"] == "event")
    assert (event["access"], event["syscall"], event["errno"]) == ("connect", "connect", "EACCES")
    arena.confined(argv, rules=[event["allow"]])
    assert arena.output == native, arena.errors
    assert reached(server)
    arena.confined(argv, rules=[f"allow connect {form.rule(arena, port)}"])
    assert arena.output == native, arena.errors
    arena.confined(argv, rules=["allow connect any", f"deny connect {form.rule(arena, port)}"])
    assert arena.output == f"came to {errno.EACCES}\n", arena.errors


def test_what_it_is_called(arena: Arena) -> None:
    """An event has the name by which a rule knows the address, and that of the port's service."""
    events = f"{arena.root}/events"
    profile = arena.profile(
        'rules = ["allow connect localhost!1", "allow net netlink:route"]\n[network]\nfollow_bind = false\n'
    )
    argv = arena.python(CLIENT, repr((FOUR, int(STREAM), ("127.0.0.1", 80))))
    arena.confined(argv, profile=profile, options=("--events", events))
    service = services().get((80, "tcp"), "")  # a small system may have none
    known = ", ".join(filter(None, ("localhost", service)))
    assert f"deny connect 127.0.0.1!80  (connect: EACCES)\n    known as:    {known}\n" in arena.errors
    with open(events, encoding="utf-8") as file:
        (event,) = (value for value in map(json.loads, file) if value["type"] == "event")
    assert (event["host"], event["service"]) == ("localhost", service)


def test_rule_for_a_socket(arena: Arena) -> None:
    """A family or protocol that no rule speaks of: the line that is suggested is about no other."""
    code = "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15)"
    argv = arena.python(code)
    arena.native(argv)
    assert arena.status == 0, arena.errors
    arena.confined(argv)
    assert "deny connect netlink:kobject_uevent raw  (socket: EACCES)\n" in arena.errors
    assert "to allow it: allow net netlink:kobject_uevent\n" in arena.errors
    arena.confined(argv, rules=["allow net netlink:kobject_uevent"])
    assert arena.status == 0, arena.errors
    arena.confined(argv, rules=["filter net netlink:kobject_uevent"])
    assert arena.errors.endswith("PermissionError: [Errno 13] Permission denied\n")
    arena.confined(
        argv, rules=["allow connect,send netlink:kobject_uevent", "deny bind netlink:kobject_uevent"]
    )
    assert "deny bind netlink:kobject_uevent raw  (socket: EACCES)\n" in arena.errors
    assert "rule:        deny bind netlink:kobject_uevent" in arena.errors
    arena.confined(arena.python("import socket; socket.socket(socket.AF_VSOCK)"))
    assert "to allow it: allow net family:vsock\n" in arena.errors


def test_other_port(arena: Arena, servers: Servers) -> None:
    """A rule about one port allows no other."""
    good, bad = (servers.listen(FOUR, ("127.0.0.1", 0)) for _ in range(2))
    argv = arena.python(CLIENT, repr((FOUR, int(STREAM), bad.getsockname())))
    arena.confined(argv, rules=[f"allow connect 127.0.0.1!{good.getsockname()[1]}"])
    assert arena.output == f"came to {errno.EACCES}\n", arena.errors
    assert not reached(bad)


@pytest.mark.parametrize("profile", ["offline", "readonly"])
def test_no_sockets(profile: str, arena: Arena, servers: Servers) -> None:
    """Where no rule allows any address, there is not even a socket."""
    server = servers.listen(FOUR, ("127.0.0.1", 0))
    argv = arena.python(CLIENT, repr((FOUR, int(STREAM), server.getsockname())))
    arena.confined(argv, profile=profile)
    assert "Permission denied" in arena.errors
    assert not reached(server)


def test_nobody_there(arena: Arena) -> None:
    """What is allowed fails as it does natively: no server, no file, a file that is no socket."""
    code = """
import socket
for address in ("missing", "plain"):
    open("plain", "w").close()
    print(socket.socket(socket.AF_UNIX).connect_ex(address))
server = socket.create_server(("127.0.0.1", 0))
name = server.getsockname()
server.close()
print(socket.socket().connect_ex(name))
print(socket.socket(socket.AF_UNIX).connect_ex("/proc/self/fd/0/x"))
"""
    argv = arena.python(code)
    arena.native(argv)
    native = arena.output
    arena.confined(argv, rules=["allow connect loopback"])
    assert arena.output == native, arena.errors


def test_waiting(arena: Arena, servers: Servers) -> None:
    """A connect that has to wait holds up nobody, ends with its time-out, and is interrupted by a signal."""
    server = servers.listen(UNIX, f"{arena.outside}/full")
    server.listen(0)
    code = f"""
import socket, signal, struct, threading, time
path = {arena.outside + "/full"!r}
first = socket.socket(socket.AF_UNIX)
first.connect(path)
late = socket.socket(socket.AF_UNIX)
late.setsockopt(socket.SOL_SOCKET, 21, struct.pack("@ll", 0, 200000))
before = time.monotonic()
print(late.connect_ex(path), 0.15 < time.monotonic() - before < 5)
class Heard(Exception):
    pass
def hear(*_):
    raise Heard
signal.signal(signal.SIGALRM, hear)
signal.setitimer(signal.ITIMER_REAL, 0.3)
def elsewhere():
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    done.set()
done = threading.Event()
threading.Timer(0.05, elsewhere).start()
try:
    socket.socket(socket.AF_UNIX).connect(path)
except Heard:
    print("heard", done.is_set())
"""
    argv = arena.python(code)
    arena.native(argv)
    native = arena.output
    assert native == f"{errno.EAGAIN} True\nheard True\n", arena.errors
    reached(server)
    arena.confined(argv, rules=[f"allow connect unix:{arena.outside}/full"])
    assert arena.output == native, arena.errors
