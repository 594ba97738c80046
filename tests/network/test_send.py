"""Messages that name their destination: every call and form of address, denied and allowed."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.escapes.arena import Arena
from tests.network.conftest import Receivers, got
from tests.support.compiler import compile_for

FOUR, SIX, UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)
DGRAM = socket.SOCK_DGRAM

CLIENT = """
import ast, socket, struct
way, family, address = ast.literal_eval(sys.argv[1])
client = socket.socket(family, socket.SOCK_DGRAM)
def many(*names):
    # struct mmsghdr: name, its size, vector, its size, control, its size, flags; how much was sent
    kept, array = [], bytearray()
    for name in names:
        raw, text = sockaddr(name), ctypes.create_string_buffer(b"many")
        vector = (ctypes.c_uint64 * 2)(ctypes.addressof(text), 4)
        raw = ctypes.create_string_buffer(raw, len(raw))
        kept += [raw, text, vector]
        address, places = ctypes.addressof(raw), ctypes.addressof(vector)
        array += struct.pack("=QI4xQQQQi4xI4x", address, len(raw), places, 1, 0, 0, 0, 0)
    messages = ctypes.create_string_buffer(bytes(array), len(array))
    result = libc.sendmmsg(client.fileno(), messages, len(names), 0)
    told = [struct.unpack_from("=I", messages, 64 * place + 56)[0] for place in range(len(names))]
    return (result, told) if result >= 0 else -ctypes.get_errno()
def sockaddr(name):
    if family == socket.AF_UNIX:
        return struct.pack("=H", family) + name.encode()
    number = socket.inet_pton(family, name[0])
    port = struct.pack("!H", name[1])
    rest = number + bytes(8) if len(number) == 4 else bytes(4) + number + bytes(4)
    return struct.pack("=H", family) + port + rest
WAYS = {
    "sendto": lambda: client.sendto(b"text", address),
    "sendmsg": lambda: client.sendmsg([b"te", b"xt"], [], 0, address),
    "sendmmsg": lambda: many(address),
    "connect": lambda: (client.connect(address), client.send(b"text"))[1],
}
try:
    print(WAYS[way]())
except OSError as error:
    print(-error.errno)
"""


class Form(NamedTuple):
    """One way to name a receiver; see test_connect.py."""

    family: int
    at: tuple[int, str]
    given: Callable[[Arena, int], object]
    rule: Callable[[Arena, int], str]


def by_host(family: int, at: str, host: str, pattern: str) -> Form:
    """An internet address."""
    return Form(
        family,
        (FOUR if "." in at else SIX, at),
        lambda _arena, port: (host, port),
        lambda _arena, port: f"{pattern}!{port}",
    )


FORMS = {
    "inet": by_host(FOUR, "127.0.0.1", "127.0.0.1", "127.0.0.1"),
    "inet zero": by_host(FOUR, "127.0.0.1", "0.0.0.0", "127.0.0.1"),
    "inet6": by_host(SIX, "::1", "::1", "[::1]"),
    "inet6 zero": by_host(SIX, "::1", "::", "[::1]"),
    "mapped": by_host(SIX, "127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"),
    "path": Form(
        UNIX,
        (UNIX, "there"),
        lambda arena, _port: f"{arena.outside}/there",
        lambda arena, _port: f"unix:{arena.outside}/there",
    ),
    "relative": Form(
        UNIX,
        (UNIX, "there"),
        lambda _arena, _port: "../outside/there",
        lambda arena, _port: f"unix:{arena.outside}/there",
    ),
    "abstract": Form(
        UNIX,
        (UNIX, "\0"),
        lambda arena, _port: f"\0{os.path.basename(arena.root)}",
        lambda arena, _port: f"@{os.path.basename(arena.root)}",
    ),
}
EVERY_WAY = [(form, way) for form in FORMS for way in ("sendto", "sendmsg", "sendmmsg", "connect")]
ORDINARY = [(form, "sendto") for form in FORMS] + [
    ("inet", "sendmsg"),
    ("path", "sendmmsg"),
    ("mapped", "connect"),
]


def start(form: Form, arena: Arena, receivers: Receivers) -> tuple[socket.socket, int]:
    """The receiver of a form, and its port."""
    family, name = form.at
    address: object = (name, 0)
    if family == UNIX:
        address = f"\0{os.path.basename(arena.root)}" if name == "\0" else f"{arena.outside}/{name}"
    receiver = receivers.bind(family, address)
    return receiver, 0 if family == UNIX else receiver.getsockname()[1]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(*each, marks=[] if each in ORDINARY else [pytest.mark.slow], id=" ".join(each))
        for each in EVERY_WAY
    ],
)
def test_forms(name: str, way: str, arena: Arena, receivers: Receivers) -> None:
    """Natively, denied with an event that has the rule, and allowed by that rule."""
    form = FORMS[name]
    receiver, port = start(form, arena, receivers)
    argv = arena.python(CLIENT, repr((way, form.family, form.given(arena, port))))
    arena.native(argv)
    assert got(receiver) == 1, arena.errors
    native = arena.output
    # So that there is a socket.
    some = ["allow send 192.0.2.1", "allow send [2001:db8::1]", "allow send @nobody", "allow connect any"]
    events = f"{arena.root}/events"
    arena.confined(argv, rules=some, options=("--events", events))
    assert arena.output == f"{-errno.EACCES}\n", arena.errors
    assert not got(receiver)
    with open(events, encoding="utf-8") as file:
        (event,) = (value for value in map(json.loads, file) if value["type"] == "event")
    assert (event["access"], event["syscall"], event["errno"]) == ("send", way, "EACCES")
    arena.confined(argv, rules=[*some, event["allow"]])
    assert arena.output == native, arena.errors
    assert got(receiver) == 1
    arena.confined(argv, rules=["allow net any", f"deny send {form.rule(arena, port)}"])
    assert arena.output == f"{-errno.EACCES}\n", arena.errors
    assert not got(receiver)


FOLLOWED = {
    "udp": """
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.sendto(b"to", server.getsockname())
text, name = server.recvfrom(10)
server.sendto(b"back", name)
print(text, client.recv(10))
""",
    "udp6 connected": """
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::1", 0))
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client.connect(server.getsockname())
client.send(b"to")
text, name = server.recvfrom(10)
server.sendto(b"back", name)
print(text, client.recv(10))
""",
    "udp mapped": """
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client.sendto(b"to", ("::ffff:127.0.0.1", server.getsockname()[1]))
print(server.recv(10))
""",
    "udp child": """
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
name, copy = server.getsockname(), os.dup(server.fileno())
server.close()
if not os.fork():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"to", name)
    os._exit(0)
print(os.read(copy, 10))
os.wait()
""",
    "path": """
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind("server")
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
client.bind(os.getcwd() + "/client")
client.sendto(b"to", "server")
text, name = server.recvfrom(10)
server.sendto(b"back", name)
print(text, name == os.getcwd() + "/client", client.recv(10))
""",
    "autobind": """
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind("")
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
client.sendto(b"to", server.getsockname())
client.connect(server.getsockname())
client.send(b"too")
print(server.recv(10), server.recv(10))
""",
    "pair": """
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
one.sendmsg([b"to"])
print(other.recv(10))
""",
}


@pytest.mark.parametrize("text", FOLLOWED.values(), ids=FOLLOWED.keys())
def test_followed(text: str, arena: Arena) -> None:
    """Under `build` a program sends to its own sockets, and gets answers, as it does natively."""
    argv = arena.python("import socket\n" + text)
    arena.native(argv)
    native = arena.output
    assert native, arena.errors
    arena.reset()
    arena.confined(argv, rules=["allow bind unix:unnamed"])
    assert arena.output == native, arena.errors


def test_not_followed(arena: Arena, receivers: Receivers) -> None:
    """What is not the session's gets nothing: another program's port, and one that was let go."""
    receiver = receivers.bind(FOUR, ("127.0.0.1", 0))
    code = f"""
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def send(name):
    try:
        return client.sendto(b"to", name)
    except OSError as error:
        return -error.errno
mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mine.bind(("127.0.0.1", 0))
name = mine.getsockname()
print(send({receiver.getsockname()}), send(("127.255.255.255", name[1])) < 0, send(name))
mine.close()
print(send(name))
"""
    argv = arena.python(code)
    arena.native(argv)
    assert got(receiver) == 1, arena.errors
    assert arena.output.startswith("2 True 2\n2"), arena.errors
    arena.confined(argv)
    assert arena.output == f"{-errno.EACCES} True 2\n{-errno.EACCES}\n", arena.errors
    assert not got(receiver)


def test_second_message(arena: Arena, receivers: Receivers) -> None:
    """Of several messages in one call each is judged; those before the denied one are sent, and counted."""
    good, bad = (receivers.bind(FOUR, ("127.0.0.1", 0)) for _ in range(2))
    names = [each.getsockname() for each in (good, bad, good)]
    argv = arena.python(CLIENT + f"print(many(*{names}))", repr(("sendto", FOUR, names[0])))
    arena.native(argv)
    assert (got(good), got(bad)) == (3, 1), arena.errors
    assert arena.output == "4\n(3, [4, 4, 4])\n"
    arena.confined(argv, rules=[f"allow send 127.0.0.1!{names[0][1]}"])
    assert (got(good), got(bad)) == (2, 0), arena.errors
    assert arena.output == "4\n(1, [4, 0, 0])\n"


ELSEWHERE = """
import socket, struct
def send(family, host, level, kind, content):
    there = socket.socket(family, socket.SOCK_DGRAM)
    there.bind((host, 0))
    try:
        sender = socket.socket(family, socket.SOCK_DGRAM)
        return sender.sendmsg([b"x"], [(level, kind, content)], 0, there.getsockname())
    except OSError as error:
        return -error.errno
FOUR, SIX = (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")
print(
    send(*FOUR, 0, 7, bytes(4)),  # IP_RETOPTS
    send(*FOUR, 0, 8, struct.pack("=i8x", 2)),  # IP_PKTINFO
    send(*SIX, 41, 50, bytes(16) + struct.pack("=i", 2)),  # IPV6_PKTINFO
    send(*SIX, 41, 57, bytes(8)),  # IPV6_RTHDR
    send(*SIX, 41, 5, bytes(8)),  # IPV6_2292RTHDR
    send(*FOUR, 0, 8, struct.pack("=i8x", 1)),
)
"""


def test_led_elsewhere(arena: Arena) -> None:
    """Ancillary data by which a packet goes another way than its destination says."""
    argv = arena.python(ELSEWHERE)
    arena.native(argv)
    assert str(-errno.EPERM) not in arena.output.split(), arena.errors
    arena.confined(argv)
    assert arena.output.split() == [str(-errno.EPERM)] * 5 + ["1"], arena.errors


SHOWN = """
import socket, struct
os.setgroups([])
os.setresgid(1, 1, 1)
os.setresuid(1, 1, 1)
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
def claim(*ids):
    try:
        one.sendmsg([b"x"], [(socket.SOL_SOCKET, 2, struct.pack("3i", *ids))])
    except OSError as error:
        return -error.errno
    return struct.unpack("3i", other.recvmsg(9, 99)[1][0][2])[1:]
print(claim(os.getpid(), 1, 1), claim(os.getpid(), 0, 0), claim(1, 1, 1))
one.sendmsg([b"x"])
print(struct.unpack("3i", other.recvmsg(9, 99)[1][0][2])[1:])
message = ctypes.create_string_buffer(b"ab")
vector = (ctypes.c_uint64 * 2)(ctypes.addressof(message), 2)
header = struct.pack("=QI4xQQQQi4xI4x", 0, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0)
array = ctypes.create_string_buffer(header, 64)
print(libc.sendmmsg(one.fileno(), array, 1, 0), struct.unpack_from("=I", array, 56))
"""


@pytest.mark.root
def test_who_sends(arena: Arena) -> None:
    """A process of root that has become another user is that user to who receives."""
    argv = arena.python(SHOWN)
    arena.native(argv)
    native = arena.output
    assert native == f"(1, 1) {-errno.EPERM} {-errno.EPERM}\n(1, 1)\n1 (2,)\n", arena.errors
    arena.confined(argv)
    assert arena.output == native, arena.errors


NATIVELY = """0 4 4
1 4 4
2 244 244
3 4 4
4 4 4
5 244 244
6 -14 -14
7 -14 -14
4
-22
4
way
"""


def test_narrow(arena: Arena, receivers: Receivers) -> None:
    """By the calls of 32-bit programs, whose structures are others, and which have them behind socketcall."""
    program = compile_for("i386", f"{os.path.dirname(__file__)}/c32/narrow.c", f"{arena.root}/narrow")
    good, bad = (receivers.bind(FOUR, ("127.0.0.1", 0)) for _ in range(2))
    ports = [str(each.getsockname()[1]) for each in (good, bad)]
    arena.native([program, *ports])
    assert arena.output == NATIVELY, arena.errors
    assert (got(good), got(bad)) == (8, 8)
    arena.confined([program, *ports], rules=["allow net any", f"deny send 127.0.0.1!{ports[1]}"])
    denied = [
        line if number > 5 else f"{line.rpartition(' ')[0]} {-errno.EACCES}"
        for number, line in enumerate(NATIVELY.splitlines())
    ]
    assert arena.output.splitlines() == denied, arena.errors
    assert (got(good), got(bad)) == (8, 0)
