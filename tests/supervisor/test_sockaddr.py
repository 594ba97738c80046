"""Socket addresses: what sydd makes of the bytes, and whether the running kernel refuses the same ones."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.policy.access import Access
from sydd.policy.address import NOBODY, UNNAMED, Address, AddressKind, inet
from sydd.supervisor.failure import NaturalFailure
from sydd.supervisor.sockaddr import LONGEST, pack_sockaddr, parse_sockaddr

_libc = ctypes.CDLL(None, use_errno=True)

CONNECT, BIND, SEND = Access.CONNECT, Access.BIND, Access.SEND
STREAM, DGRAM, RAW, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET
PORT = 253  # also the protocol of the raw socket, which takes no other number for a port
V4 = int.from_bytes(b"\x7f\0\0\1", "big")


def sin(number: int = V4, port: int = PORT, family: int = socket.AF_INET) -> bytes:
    """A struct sockaddr_in."""
    return struct.pack("=H", family) + struct.pack("!HI", port, number) + bytes(8)


def sin6(text: str = "::1", port: int = PORT, scope: int = 0, family: int = socket.AF_INET6) -> bytes:
    """A struct sockaddr_in6, with flow label."""
    numbers = struct.pack("!HI", port, 0x12345) + socket.inet_pton(socket.AF_INET6, text)
    return struct.pack("=H", family) + numbers + struct.pack("=I", scope)


def sun(name: bytes, family: int = socket.AF_UNIX) -> bytes:
    """A struct sockaddr_un with as many bytes of name."""
    return struct.pack("=H", family) + name


def snl(groups: int = 0, family: int = socket.AF_NETLINK) -> bytes:
    """A struct sockaddr_nl to the kernel."""
    return struct.pack("=HHII", family, 0, 0, groups)


@pytest.mark.parametrize(
    ("raw", "access", "domain", "kind", "text"),
    [
        (sin(), CONNECT, socket.AF_INET, STREAM, "127.0.0.1!253"),
        (sin() + b"more", CONNECT, socket.AF_INET, STREAM, "127.0.0.1!253"),
        (sin(0, 0), BIND, socket.AF_INET, STREAM, "0.0.0.0!0"),
        (sin(0, 0, 0), BIND, socket.AF_INET, STREAM, "0.0.0.0!0"),
        (sin(family=0), CONNECT, socket.AF_INET, STREAM, "nobody"),
        (b"\0\0", CONNECT, socket.AF_INET, DGRAM, "nobody"),
        # an AF_UNSPEC address still leads somewhere
        (sin(family=0), SEND, socket.AF_INET, DGRAM, "127.0.0.1!253"),
        (sin6(family=0), SEND, socket.AF_INET6, RAW, "[::1]!253"),
        (sin6(family=0), SEND, socket.AF_INET6, DGRAM, "nobody"),
        (sin6("fe80::1", PORT, 3), CONNECT, socket.AF_INET6, STREAM, "[fe80::1%3]!253"),
        (sin6("fe80::1", PORT, 3)[:24], CONNECT, socket.AF_INET6, STREAM, "[fe80::1]!253"),
        (sin6("fe80::1", PORT, 3)[:27], CONNECT, socket.AF_INET6, STREAM, "[fe80::1]!253"),
        (sin6("2001:db8::1", PORT, 3), CONNECT, socket.AF_INET6, STREAM, "[2001:db8::1]!253"),
        (sin6("::ffff:10.0.0.1"), CONNECT, socket.AF_INET6, STREAM, "10.0.0.1!253"),
        (sin(), CONNECT, socket.AF_INET6, DGRAM, "127.0.0.1!253"),
        (sin(), SEND, socket.AF_INET6, DGRAM, "127.0.0.1!253"),
        (sun(b"/run/x"), CONNECT, socket.AF_UNIX, STREAM, "unix:/run/x"),
        (sun(b"/run/x\0/etc"), CONNECT, socket.AF_UNIX, STREAM, "unix:/run/x"),
        (sun(b"x" * 108), CONNECT, socket.AF_UNIX, STREAM, "unix:" + "x" * 108),
        (sun(b"\xff"), CONNECT, socket.AF_UNIX, STREAM, "unix:\udcff"),
        (sun(b"\0a\0b"), CONNECT, socket.AF_UNIX, STREAM, "@a\0b"),
        (sun(b"\0a\0"), CONNECT, socket.AF_UNIX, STREAM, "@a\0"),
        (sun(b"\0"), BIND, socket.AF_UNIX, STREAM, "@"),
        (sun(b""), BIND, socket.AF_UNIX, STREAM, "unix:unnamed"),
        (sun(b"x", 0), CONNECT, socket.AF_UNIX, DGRAM, "nobody"),
        (b"", SEND, socket.AF_UNIX, DGRAM, "nobody"),
        (snl(5), BIND, socket.AF_NETLINK, RAW, "netlink:audit"),
        (b"\0\0", CONNECT, socket.AF_NETLINK, RAW, "nobody"),
        (b"", SEND, socket.AF_NETLINK, RAW, "nobody"),
        # a family without patterns is judged as a whole, whatever the address says
        (sin(), BIND, socket.AF_PACKET, RAW, "family:packet"),
    ],
)
def test_parse(raw: bytes, access: Access, domain: int, kind: int, text: str) -> None:
    """Each form is read as the kernel reads it."""
    assert str(parse_sockaddr(raw, access, domain, kind, socket.NETLINK_ROUTE + 9)) == text


def test_groups() -> None:
    """Multicast groups of netlink are kept."""
    assert parse_sockaddr(snl(5), BIND, socket.AF_NETLINK).groups == 5


def _cut(full: bytes) -> list[bytes]:
    """An address at every length that some check tells apart."""
    return [full[:size] for size in (0, 1, 2, 3, 11, 12, 15, 16, 23, 24, 27, 28)]


def _attempts(base: str) -> list[bytes]:
    """Addresses of each family, right and wrong, whole and cut; *base* is a directory for sockets."""
    path = base.encode()
    found = [
        form
        for full in (sin(), sin(family=0), sin6(), sin6(family=0), sun(path + b"/s"))
        for form in _cut(full)
    ]
    found += [sin(0, PORT, 0), sin(family=socket.AF_UNIX), sin(family=socket.AF_INET6), sin(family=77)]
    found += [sin6(family=77), sin6("::ffff:127.0.0.1"), sin6("::ffff:127.0.0.1")[:24]]
    found += [
        sun(path + b"/t\0garbage"),
        sun((path + b"/" + b"x" * 108)[:108]),
        sun((path + b"/" + b"y" * 108)[:109]),
    ]
    found += [sun(b"\0sydd-test\0a"), sun(b"\0" + os.urandom(107)), sun(b"\0" * 109), sun(b"/x", 77)]
    found += [snl(), snl()[:11], snl() + b"more", snl(family=0), snl(family=socket.AF_UNIX)]
    found += [
        sin() + bytes(112),
        sin() + bytes(113),
        sin6() + bytes(100),
        sin6() + bytes(101),
        sun(path) + bytes(200),
    ]
    return list(dict.fromkeys(found))


KINDS = [
    (socket.AF_INET, STREAM, 0),
    (socket.AF_INET, DGRAM, 0),
    (socket.AF_INET, RAW, PORT),
    (socket.AF_INET6, STREAM, 0),
    (socket.AF_INET6, DGRAM, 0),
    (socket.AF_INET6, RAW, PORT),
    (socket.AF_UNIX, STREAM, 0),
    (socket.AF_UNIX, DGRAM, 0),
    (socket.AF_UNIX, SEQPACKET, 0),
    (socket.AF_UNIX, RAW, 0),
    (socket.AF_NETLINK, RAW, socket.NETLINK_ROUTE),
]
_REFUSALS = {errno.EINVAL, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}
_NOOP = struct.pack("=IHHII", 16, 1, 0, 0, 0)  # netlink: a message that asks for nothing


def _kernel(access: Access, raw: bytes, domain: int, kind: int, protocol: int) -> int:
    """The errno of the call, made for real on a new socket; 0 when it succeeds."""
    with socket.socket(domain, kind, protocol) as made:
        made.setblocking(False)
        fd, address, size = made.fileno(), ctypes.create_string_buffer(raw, max(len(raw), 1)), len(raw)
        ctypes.set_errno(0)
        if access is CONNECT:
            result = _libc.connect(fd, address, size)
        elif access is BIND:
            result = _libc.bind(fd, address, size)
        else:
            flags = socket.MSG_FASTOPEN if kind == STREAM else 0
            result = _libc.sendto(fd, _NOOP, len(_NOOP), flags | socket.MSG_NOSIGNAL, address, size)
        return 0 if result >= 0 else ctypes.get_errno()


@pytest.mark.parametrize("access", [CONNECT, BIND, SEND], ids=["connect", "bind", "send"])
@pytest.mark.parametrize(("domain", "kind", "protocol"), KINDS)
def test_the_kernel_refuses_the_same(
    access: Access,
    domain: int,
    kind: int,
    protocol: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is refused for its bytes, the kernel refuses with that errno; what is not, it does not.

    The name of a send counts for nothing with unix stream and seqpacket sockets, so those are left out.
    """
    if access is SEND and domain == socket.AF_UNIX and kind in (STREAM, SEQPACKET):
        return
    if kind == RAW and domain in (socket.AF_INET, socket.AF_INET6) and os.geteuid():
        pytest.skip("raw sockets need CAP_NET_RAW")
    # Names from there: one that is cut off is still a name, and bound.
    monkeypatch.chdir(tmp_path)
    base = "d" * 30
    os.mkdir(base)
    different = {}
    for raw in _attempts(base):
        try:
            parse_sockaddr(raw, access, domain, kind, protocol)
            mine = 0
        except NaturalFailure as failure:
            mine = failure.errno
        number = _kernel(access, raw, domain, kind, protocol)
        natural = number if number in _REFUSALS else 0
        if mine != natural:
            different[raw] = (errno.errorcode.get(mine, "ok"), errno.errorcode.get(number, "ok"))
    assert different == {}


@given(st.binary(max_size=LONGEST + 2), st.sampled_from(KINDS), st.sampled_from([CONNECT, BIND, SEND]))
def test_any_bytes(raw: bytes, kind: tuple[int, int, int], access: Access) -> None:
    """Whatever a program passes, there is an address or an errno; packed again it is the same."""
    domain, socket_kind, protocol = kind
    try:
        address = parse_sockaddr(raw, access, domain, socket_kind, protocol)
    except NaturalFailure:
        return
    if access is BIND or address not in (UNNAMED, NOBODY):
        packed = pack_sockaddr(address, domain)
        assert parse_sockaddr(packed, access, domain, socket_kind, protocol) == address


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        (inet(4, V4, 0), socket.AF_INET),
        (inet(4, V4, 0), socket.AF_INET6),
        (inet(6, 1, 0), socket.AF_INET6),
        (Address(AddressKind.ABSTRACT, "sydd-test\0é\udcff"), socket.AF_UNIX),
        (UNNAMED, socket.AF_UNIX),
        (Address(AddressKind.NETLINK, groups=1), socket.AF_NETLINK),
    ],
    ids=str,
)
def test_the_kernel_takes_what_is_packed(address: Address, domain: int) -> None:
    """A socket can be bound to the packed address."""
    kind = RAW if domain == socket.AF_NETLINK else STREAM
    assert _kernel(BIND, pack_sockaddr(address, domain), domain, kind, 0) == 0


def test_a_path_is_packed(tmp_path: Path) -> None:
    """A socket bound to a packed path is where the path says."""
    path = str(tmp_path / "s")
    raw = pack_sockaddr(Address(AddressKind.UNIX, path), socket.AF_UNIX)
    assert _kernel(BIND, raw, socket.AF_UNIX, STREAM, 0) == 0
    assert (tmp_path / "s").is_socket()


def test_families_without_a_form_are_not_packed() -> None:
    """Of another family only its number is known."""
    with pytest.raises(ValueError, match="family:packet"):
        pack_sockaddr(Address(AddressKind.FAMILY, number=17), 17)


def test_unspecified_destination_leads_where_the_socket_is_bound() -> None:
    """Why a call has to be performed with the address that was judged: 0.0.0.0 is the own one."""
    with socket.create_server(("127.0.0.2", 0)) as server, socket.socket() as client:
        client.bind(("127.0.0.2", 0))
        port = server.getsockname()[1]
        named = inet(4, 0, port)
        assert str(named.meant(CONNECT)) == f"127.0.0.1!{port}"
        client.connect(("0.0.0.0", port))
        assert client.getpeername() == ("127.0.0.2", port)
    with socket.create_server(("127.0.0.2", 0)) as server, socket.socket() as client:
        client.bind(("127.0.0.2", 0))
        judged = pack_sockaddr(inet(4, 0, server.getsockname()[1]).meant(CONNECT), socket.AF_INET)
        assert _libc.connect(client.fileno(), judged, len(judged)) < 0
        assert ctypes.get_errno() == errno.ECONNREFUSED
