"""What a judged message comes to: results, errnos, signals and waiting are as natively."""

from __future__ import annotations

import pytest

from tests.escapes.arena import Arena

RULES = ("allow net any", "deny net 192.0.2.255")
"""Everything is judged, and all that is tried here allowed."""

PRELUDE = """
import array, select, signal, socket, struct, threading, time
INET, SIX, UNIX = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
STREAM, DGRAM, PACKETS = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
kept = []
def at(content):
    kept.append(ctypes.create_string_buffer(bytes(content), max(len(content), 1)))
    return ctypes.addressof(kept[-1])
def header(to=None, parts=(b"text",), control=b"", **other):
    places = []
    for part in parts:
        places += part if isinstance(part, tuple) else (at(part), len(part))
    f = dict(name=at(to) if to else 0, name_size=len(to or b""), vector=at(struct.pack(f"={len(places)}Q",
        *places)), count=len(places) // 2, control=at(control) if control else 0,
    control_size=len(control or b""), flags=0)
    if "place" in other:
        f["control"] = other.pop("place")
    f.update(other)
    return struct.pack("=QI4xQQQQi4x", *f.values())
def did(result):
    return result if result >= 0 else "-" + errno.errorcode[ctypes.get_errno()]
def sendmsg(s, *arguments, flags=0, **other):
    return did(call(46, s if isinstance(s, int) else s.fileno(), at(header(*arguments, **other)), flags))
def sendto(s, text, name=b"", flags=0, pointer=None, size=None, length=None):
    place = at(text) if pointer is None else pointer
    where = 0 if name is None else name if isinstance(name, int) else at(name)
    size = len(name or b"") if size is None else size
    return did(call(44, s.fileno(), place, len(text) if length is None else length, flags, where, size))
def cmsg(level, kind, content, length=None):
    raw = struct.pack("=Qii", 16 + len(content) if length is None else length, level, kind) + content
    return raw + bytes(-len(raw) % 8)
def inet(s):
    host, port = s.getsockname()[:2]
    return struct.pack("=H", INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8)
def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return "-" + errno.errorcode[error.errno]
def udp(family=INET, host="127.0.0.1"):
    made = socket.socket(family, DGRAM)
    made.bind((host, 0))
    return made
def waits(number):
    # The main thread is in this call. A supervisor that answers a later one, this bind, has looked at it.
    while not open(f"/proc/self/task/{os.getpid()}/syscall").read().startswith(f"{number} "):
        pass
    udp().close()
def late(number, act):
    thread = threading.Thread(target=lambda: (waits(number), act()))
    thread.start()
    return thread
BAD = 0xDEAD000
"""

CASES = {
    "pointers": """
there, s = udp(), socket.socket(INET, DGRAM)
to = inet(there)
print(sendto(s, b"x", to, pointer=BAD, length=1), sendto(s, b"x", BAD, size=16), sendto(s, b"x", None,
    size=16))
print(sendto(s, b"x", to, size=129), sendto(s, b"x", to, size=-1), sendto(s, b"x", to, size=8), sendto(s,
    b"x", to, size=0))
print(sendto(s, b"x", to, pointer=1 << 63, length=1), sendto(s, b"x", to, pointer=(1 << 64) - 1, length=1))
print(did(call(46, s.fileno(), BAD, 0)), did(call(46, s.fileno(), 0, 0)), did(call(46, 99, BAD, 0)),
    did(call(46, 1, BAD, 0)))
print(sendmsg(s, to, vector=BAD), sendmsg(s, to, count=1025), sendmsg(s, to, count=0), sendmsg(s, to,
    [(at(b"x"), 1 << 63)]))
print(sendmsg(s, to, [(BAD, 1)]), sendmsg(s, to, [b"x", (BAD, 1)]), sendmsg(s, to, [(BAD, 0)]),
    sendmsg(s, to, [(0, 0)]))
print(sendmsg(s, to, [(1 << 63, 0)]), sendmsg(s, to, [(at(b"x"), -1 & (1 << 64) - 1)]))
print(sendmsg(s, to, name=BAD), sendmsg(s, to, name=0), sendmsg(s, to, name_size=1 << 31), sendmsg(s, to,
    name_size=4000))
print(sendmsg(s, to, place=BAD, control_size=16), sendmsg(s, to, place=BAD, control_size=1 << 40))
print(sendmsg(s, to, place=at(bytes(20)), control_size=1 << 21), sendmsg(s, to, control_size=24))
print(sendmsg(s, to, [b"x"] * 1024), len(there.recv(2000)))
print(sendmsg(s, to, flags=1 << 31), sendmsg(s, to, flags=1 << 19), sendmsg(s, to, flags=-2))
""",
    "many": """
there, s = udp(), socket.socket(INET, DGRAM)
def many(*headers, count=None, flags=0, place=None):
    array = b"".join(one + bytes(8) for one in headers)
    place = place or at(array)
    result = did(call(307, s.fileno(), place, len(headers) if count is None else count, flags))
    told = ctypes.string_at(place, len(array)) if array else b""
    return result, [struct.unpack_from("=I", told, 64 * n + 56)[0] for n in range(len(headers))]
to = inet(there)
print(many(), many(count=0), did(call(307, s.fileno(), BAD, 0, 0)), did(call(307, s.fileno(), BAD, 1, 0)))
print(many(header(to), header(to, [b"longer"]), header(to, [b""])))
print(many(header(to), header(to[:4]), header(to)), many(header(to[:4]), header(to)))
print(many(*[header(to)] * 3, count=2), many(header(to, control=b"x" * 16)))
print(many(header(to), header(to, vector=BAD)), many(header(to, name=BAD)))
print(many(*[header(to, [b""])] * 1030)[0])
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, 4096, 3, 0x22, -1, 0)
ctypes.memmove(page, header(to) + bytes(8) + header(to) + bytes(8), 128)
libc.mprotect(ctypes.c_void_p(page), 4096, 1)
print(did(call(307, s.fileno(), page, 2, 0)), did(call(307, 99, page, 2, 0)))
""",
    "names": """
there, s = udp(), socket.socket(INET, DGRAM)
to = inet(there)
print(sendto(s, b"x", struct.pack("=H", 0) + to[2:]), sendto(s, b"x", struct.pack("=H", 99) + to[2:]))
print(sendto(s, b"x", to + bytes(100)), sendto(s, b"x", to[:15]), sendto(s, b"x", b"x"), sendto(s, b"x",
    to[:2] + bytes(14)))
six = socket.socket(SIX, DGRAM)
raw = struct.pack("=H", SIX) + to[2:4] + bytes(4) + bytes(10) + b"\\xff\\xff" + to[4:8] + bytes(4)
print(sendto(six, b"x", to), sendto(six, b"x", raw), sendto(six, b"x", raw[:24]), sendto(six, b"x",
    raw[:23]), sendto(six, b"x", bytes(16)))
six.connect(("::ffff:127.0.0.1", there.getsockname()[1]))
print(sendto(six, b"x", bytes(16)), sendto(six, b"x", bytes(2)), six.send(b"x"), sendto(six, b"x", None))
print(attempt(s.sendto, b"x", ("255.255.255.255", 9)), attempt(s.send, b"x"), sendmsg(s), sendmsg(s, to))
s.connect(there.getsockname())
print(sendmsg(s), sendto(s, b"x", None), s.send(b"y"))
print(did(call(42, s.fileno(), at(bytes(16)), 16)), attempt(s.send, b"x"), attempt(s.getpeername))
one, other = socket.socketpair(UNIX, STREAM)
print(sendto(one, b"x", to), sendmsg(one, to), sendto(socket.socket(UNIX), b"x", to),
    sendmsg(socket.socket()))
one, other = socket.socketpair(UNIX, PACKETS)
print(sendto(one, b"x", to), sendmsg(one, to), sendmsg(one, b"xx"), other.recv(9))
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
print(sendto(client, b"x", to), sendmsg(client, to), sendmsg(client, to[:3]), sendto(client, b"x",
    bytes(16)))
""",
    "unix": """
there = socket.socket(UNIX, DGRAM)
there.bind("there")
s = socket.socket(UNIX, DGRAM)
path = struct.pack("=H", UNIX) + b"there"
print(sendto(s, b"x", path), sendto(s, b"x", path + b"\\0rest"), sendto(s, b"x", path[:2]), sendto(s,
    b"x", path + bytes(103)))
print(sendto(s, b"x", path + bytes(105)), attempt(s.sendto, b"x", "missing"), attempt(s.sendto, b"x",
    "there/below"))
open("plain", "w").close()
print(attempt(s.sendto, b"x", "plain"), attempt(s.sendto, b"x", "\\0nobody"), attempt(s.sendto, b"x", "."))
stream = socket.socket(UNIX)
stream.bind("stream")
stream.listen()
print(attempt(s.sendto, b"x", "stream"), attempt(s.connect, "stream"), attempt(s.sendto,
    b"x" * 1_000_000, "there"))
os.chmod("there", 0)
if os.geteuid():
    print(attempt(s.sendto, b"x", "there"))
os.symlink("there", "link")
os.chmod("there", 0o700)
print(attempt(s.sendto, b"x", "link"), there.recvfrom(9))
there.close()
print(attempt(s.sendto, b"x", "there"))
""",
    "rights": """
one, other = socket.socketpair(UNIX, STREAM)
reader, writer = os.pipe()
path_only = os.open(".", os.O_PATH)
def pass_on(*fds, **more):
    return sendmsg(one, None, [b"x"], cmsg(1, 1, struct.pack(f"={len(fds)}i", *fds), **more))
print(pass_on(writer, path_only, writer), pass_on(99), pass_on(-1), pass_on(), pass_on(writer, 99),
    pass_on(*[writer] * 254))
data, fds, flags, _ = socket.recv_fds(other, 9, 300)
for fd in fds[::2]:
    os.write(fd, b"through")
print(data, len(fds), os.read(reader, 99), os.fstat(fds[1]) == os.stat("."),
    [os.get_inheritable(fd) for fd in fds])
print(pass_on(*[writer] * 253), len(socket.recv_fds(other, 9, 300)[1]))
print(sendmsg(one, None, [b""], cmsg(1, 1, struct.pack("=i", writer))), sendmsg(one, None, [b"x"],
    cmsg(1, 1, bytes(3))))
both = cmsg(1, 1, struct.pack("=i", writer)) + cmsg(1, 1, struct.pack("=i", reader))
print(sendmsg(one, None, [b"x"], both), len(socket.recv_fds(other, 9, 9)[1]))
good = cmsg(1, 1, struct.pack("=i", writer))
print([sendmsg(one, None, [b"x"], good + more) for more in (b"x", bytes(16), cmsg(1, 1, b"", 15), cmsg(1,
    9, b"xxxx"), cmsg(5, 1, b""))])
print(sendmsg(one, None, [b"x"], cmsg(1, 1, b"", 1 << 40)), sendmsg(one, None, [b"x"], b"short"))
""",
    "credentials": """
one, other = socket.socketpair(UNIX, DGRAM)
other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
me = (os.getpid(), os.getuid(), os.getgid())
def claim(*ids):
    return sendmsg(one, None, [b"x"], cmsg(1, 2, struct.pack("=3i", *ids)))
print(claim(*me), struct.unpack("=3i", other.recvmsg(9, 99)[1][0][2])[1:] == me[1:])
print(sendmsg(one), struct.unpack("=3i", other.recvmsg(9, 99)[1][0][2])[1:] == me[1:])
print(sendmsg(one, None, [b"x"], cmsg(1, 2, bytes(8))), sendmsg(one, None, [b"x"], cmsg(1, 2, bytes(16))))
if os.getuid():
    print(claim(1, *me[1:]), claim(me[0], 0, me[2]), claim(me[0], me[1], 0))
""",
    "ancillary": """
there, s = udp(), udp()
to = inet(there)
there.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
there.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
for level, kind, content in ((0, 1, b"\\x10"), (0, 2, struct.pack("=i", 9)), (0, 8, struct.pack("=i",
    0) + b"\\x7f\\0\\0\\1" + bytes(4)),
        (0, 8, struct.pack("=i", 1) + bytes(8)), (0, 8, bytes(5)), (17, 103, struct.pack("=H", 2)), (1,
    1, bytes(4)), (1, 2, bytes(12)),
        (0, 99, bytes(4)), (1, 99, bytes(4)), (99, 1, bytes(4)), (0, 2, bytes(4)), (0, 2,
    struct.pack("=i", 256))):
    print(level, kind, sendmsg(s, to, control=cmsg(level, kind, content)))
print([there.recvmsg(9, 99)[:2] for _ in range(9)])
print(sendmsg(s, to, control=bytes(16)), sendmsg(s, to, control=bytes(15)), sendmsg(s, to,
    control=cmsg(0, 1, b"xxxx", 99)))
there, s = udp(SIX, "::1"), udp(SIX, "::1")
to = struct.pack("=H", SIX) + struct.pack("!H",
    there.getsockname()[1]) + bytes(4) + socket.inet_pton(SIX, "::1") + bytes(4)
for kind, content in ((50, socket.inet_pton(SIX, "::1") + bytes(4)), (50, bytes(4)), (52,
    struct.pack("=i", 9)), (67, struct.pack("=i", 8)), (62, bytes(4)), (99, bytes(4))):
    print(kind, sendmsg(s, to, control=cmsg(41, kind, content)))
""",
    "closed": """
heard = []
signal.signal(signal.SIGPIPE, lambda *_: heard.append("pipe"))
for kind in (STREAM, PACKETS, DGRAM):
    for flags in (0, socket.MSG_NOSIGNAL):
        one, other = socket.socketpair(UNIX, kind)
        other.close()
        print(kind, sendmsg(one, flags=flags), heard)
        one, other = socket.socketpair(UNIX, kind)
        one.shutdown(socket.SHUT_WR)
        print(kind, sendmsg(one, flags=flags), heard)
        heard.clear()
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
client.shutdown(socket.SHUT_WR)
print(sendmsg(client), heard, sendmsg(client, flags=socket.MSG_NOSIGNAL), heard)
def elsewhere():
    print(sendmsg(one), threading.get_native_id() != os.getpid())
one, other = socket.socketpair()
other.close()
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
print(heard)
""",
    "waiting": """
one, other = socket.socketpair(UNIX, STREAM)
total, got = 3_000_000, []
def drain():
    count = 0
    while count < total:
        count += len(other.recv(1 << 16))
    got.append(count)
thread = threading.Thread(target=drain)
thread.start()
half = b"h" * (total // 2)
print(sendmsg(one, None, [half, half], cmsg(1, 1, struct.pack("=i", 0))))
thread.join()
print(got)
one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 200000))
before = time.monotonic()
first = sendmsg(one, None, [half])
print(0 < first < total // 2, sendmsg(one), 0.3 < time.monotonic() - before < 9)
print(sendmsg(one, flags=socket.MSG_DONTWAIT))
one, other = socket.socket(UNIX, DGRAM), socket.socket(UNIX, DGRAM)
other.bind("full")
one.connect("full")
while isinstance(sendmsg(one, flags=socket.MSG_DONTWAIT), int):
    pass
reader = late(46, lambda: other.recv(9))
print(sendmsg(one), sendmsg(one, flags=socket.MSG_DONTWAIT))
reader.join()
def many():
    vector = at(header() + bytes(8) + header() + bytes(8))
    return did(call(307, one.fileno(), vector, 2, 0)), struct.unpack_from("=I", ctypes.string_at(vector,
    128), 56)
reader = late(307, lambda: (other.recv(9), other.recv(9)))
result, told = many()
print(result in (1, 2), told)
reader.join()
""",
    "signals": """
one, other = socket.socketpair(UNIX, STREAM)
one.setblocking(False)
while isinstance(sendmsg(one, None, [b"x" * 4096]), int):
    pass
one.setblocking(True)
heard = []
def alarm():
    late(46, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM))
signal.signal(signal.SIGALRM, lambda *_: heard.append("alarm"))
signal.siginterrupt(signal.SIGALRM, True)
alarm()
print(sendmsg(one), heard)
signal.siginterrupt(signal.SIGALRM, False)
alarm()
told, tell = socket.socketpair()
tell.setblocking(False)
signal.set_wakeup_fd(tell.fileno())
def drain():
    told.recv(1)  # the signal has come, so that the call is made again
    while not other.recv(1 << 20).endswith(b"text"):
        pass
thread = threading.Thread(target=drain)
thread.start()
print(sendmsg(one))
thread.join()
signal.set_wakeup_fd(-1)
print(heard)
one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 9, 0))
one.setblocking(False)
while isinstance(sendmsg(one, None, [b"x" * 4096]), int):
    pass
one.setblocking(True)
alarm()
print(sendmsg(one), heard)
""",
    "flags": """
there, s = udp(), udp()
to = inet(there)
print(sendmsg(s, to, flags=socket.MSG_MORE), sendmsg(s, to, [b"more"]), there.recv(99))
print(sendto(s, b"x", to, socket.MSG_OOB), sendto(s, b"x", to, socket.MSG_DONTROUTE), sendto(s, b"x", to,
    socket.MSG_CONFIRM))
print(sendmsg(s, to, [b"x" * 65507]), sendmsg(s, to, [b"x" * 65508]), sendmsg(s, to, [b"x" * 300_000]))
s.setsockopt(socket.SOL_SOCKET, 60, 1)  # SO_ZEROCOPY
print(sendmsg(s, to, [b"copy"], flags=0x4000000), there.recv(9), there.recv(9), len(there.recv(70000)),
    there.recv(9))
select.select([], [], [s], 5)
data, control, flags, _ = s.recvmsg(9, 99, socket.MSG_ERRQUEUE)
print(control[0][:2], struct.unpack_from("=IBBBBII", control[0][2])[:3])
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
end, _ = server.accept()
print(sendmsg(client, None, [b"ab"], flags=socket.MSG_OOB), end.recv(9, socket.MSG_OOB), end.recv(9))
fresh = socket.socket()
print(sendto(fresh, b"fast", inet(server), socket.MSG_FASTOPEN), server.accept()[0].recv(9))
print(sendto(fresh, b"x", inet(server), socket.MSG_FASTOPEN), sendto(socket.socket(), b"x", bytes(16),
    socket.MSG_FASTOPEN))
print(sendmsg(socket.socket(), None, flags=socket.MSG_FASTOPEN), sendmsg(s, to, flags=socket.MSG_FASTOPEN))
fresh = socket.socket()
fresh.setblocking(False)
print(sendmsg(fresh, inet(server), flags=socket.MSG_FASTOPEN) in ("-EINPROGRESS", 4))
""",
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=name, marks=[pytest.mark.slow] if name in ("waiting", "signals") else [])
        for name, text in CASES.items()
    ],
)
def test_as_natively(text: str, arena: Arena) -> None:
    """The same output, line by line."""
    argv = arena.python(PRELUDE + text)
    arena.native(argv)
    native = arena.output
    assert not arena.status, arena.errors
    arena.reset()
    arena.confined(argv, rules=RULES)
    assert arena.output == native, arena.errors
    assert "sydd" not in arena.errors, arena.errors
