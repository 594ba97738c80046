"""Socket addresses: the bytes that a call gives the kernel, and what they mean to it.

The kernel reads them by the family of the *socket*, and each family has its own idea of lengths, of
AF_UNSPEC and of foreign families. What it refuses for the bytes alone, whatever the socket's state, is
refused here with the same errno. Whether a call's name counts at all is the caller's to know: TCP without
MSG_FASTOPEN and unix seqpacket sockets ignore the name of a send, unix stream sockets refuse it.

Sources: net/socket.c (move_addr_to_kernel), net/ipv4/af_inet.c, tcp_ipv4.c, udp.c, raw.c, datagram.c,
net/ipv6/af_inet6.c, tcp_ipv6.c, udp.c, raw.c, datagram.c, net/unix/af_unix.c, net/netlink/af_netlink.c of
Linux 6.18; ip(7), ipv6(7), unix(7), netlink(7). Tests ask the running kernel the same questions.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final

from sydd.policy.access import Access
from sydd.policy.address import NOBODY, UNNAMED, Address, AddressKind, inet
from sydd.supervisor.failure import NaturalFailure

LONGEST: Final = 128
"""sizeof(struct sockaddr_storage). connect, bind and sendto refuse more; sendmsg takes the first of them."""

_FAMILY: Final = struct.Struct("=H")
_PORT: Final = struct.Struct("!H")
_SCOPE: Final = struct.Struct("=I")
_NETLINK: Final = struct.Struct("=HHII")  # family, padding, port id, groups

_INET_SIZE: Final = 16
_INET6_SHORT: Final = 24  # without scope id (RFC 2133)
_INET6_SIZE: Final = 28
_UNIX_SIZE: Final = 110
_WITHOUT_PORTS: Final = (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"


def parse_sockaddr(
    raw: bytes, access: Access, domain: int, kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> Address:
    """The address that a call names.

    Args:
        raw: the address, as long as the call says.
        access: CONNECT for connect(2), BIND for bind(2) and for the names of getsockname(2), SEND for
            destinations of messages (for a stream socket those of MSG_FASTOPEN).
        domain: the socket's family (SO_DOMAIN).
        kind: the socket's type (SO_TYPE).
        protocol: the socket's protocol (SO_PROTOCOL).

    Returns:
        The address as given; a unix socket's path is what the caller wrote, neither absolute nor canonical.
        NOBODY where connect dissolves, and where a message goes to the peer that there is.

    Raises:
        NaturalFailure: the kernel takes no such address.
    """
    if len(raw) > LONGEST:
        raise NaturalFailure(errno.EINVAL)
    if domain in (socket.AF_INET, socket.AF_INET6):
        address = _inet(raw, access, kind) if domain == socket.AF_INET else _inet6(raw, access, kind)
        # ICMP has no ports; what stands in their place says nothing.
        return address._replace(port=0) if protocol in _WITHOUT_PORTS else address
    if domain == socket.AF_UNIX:
        return _unix(raw, access, kind)
    if domain == socket.AF_NETLINK:
        return _netlink(raw, access, protocol)
    return Address(AddressKind.FAMILY, number=domain)


def pack_sockaddr(address: Address, domain: int) -> bytes:
    """The bytes by which the kernel is given *address*.

    Args:
        address: not FAMILY, whose bytes are not known.
        domain: the socket's family: AF_INET6 sockets take an IPv4 address as an IPv4-mapped one.
    """
    kind, name = address.kind, os.fsencode(address.name)
    if kind is AddressKind.INET:
        port = _PORT.pack(address.port)
        if domain == socket.AF_INET:
            return _FAMILY.pack(domain) + port + address.number.to_bytes(4, "big") + bytes(8)
        mapped = _V4_MAPPED + address.number.to_bytes(4, "big") if address.version == 4 else b""
        number = mapped or address.number.to_bytes(16, "big")
        return _FAMILY.pack(domain) + port + bytes(4) + number + _SCOPE.pack(address.scope)
    if kind is AddressKind.UNIX:
        return _FAMILY.pack(domain) + name
    if kind is AddressKind.ABSTRACT:
        return _FAMILY.pack(domain) + b"\0" + name
    if kind is AddressKind.NETLINK:
        return _NETLINK.pack(domain, 0, 0, address.groups)
    if kind is AddressKind.FAMILY:
        raise ValueError(f"no bytes are known for '{address}'")
    return _FAMILY.pack(domain if kind is AddressKind.UNNAMED else socket.AF_UNSPEC)


def _family(raw: bytes) -> int:
    """The family that the address itself names.

    Raises:
        NaturalFailure: it is too short to name one.
    """
    if len(raw) < _FAMILY.size:
        raise NaturalFailure(errno.EINVAL)
    return int(_FAMILY.unpack_from(raw)[0])


def _inet(raw: bytes, access: Access, kind: int) -> Address:
    """A call on an IPv4 socket."""
    if kind == socket.SOCK_RAW and access is Access.SEND and not raw:
        return NOBODY
    family = _family(raw)
    unspecified = family == socket.AF_UNSPEC
    if unspecified and access is Access.CONNECT:
        return NOBODY
    if unspecified and access is Access.SEND and kind == socket.SOCK_STREAM:
        raise NaturalFailure(errno.EOPNOTSUPP)
    address = _inet_address(raw)
    if access is Access.BIND and kind == socket.SOCK_RAW:
        return address  # whatever family it names
    # "Compatibility games": to bind, AF_UNSPEC is AF_INET for 0.0.0.0; to send a datagram, for every address.
    compatible = unspecified and (access is Access.SEND or not address.number)
    if family != socket.AF_INET and not compatible:
        raise NaturalFailure(errno.EAFNOSUPPORT)
    return address


def _inet_address(raw: bytes) -> Address:
    """The address in a struct sockaddr_in."""
    if len(raw) < _INET_SIZE:
        raise NaturalFailure(errno.EINVAL)
    return inet(4, int.from_bytes(raw[4:8], "big"), _PORT.unpack_from(raw, 2)[0])


def _inet6(raw: bytes, access: Access, kind: int) -> Address:
    """A call on an IPv6 socket."""
    family = _family(raw)
    if kind == socket.SOCK_RAW:
        return _inet6_raw(raw, access, family)
    if family == socket.AF_UNSPEC and access is Access.CONNECT:
        return NOBODY
    if kind == socket.SOCK_STREAM and access is Access.SEND and family == socket.AF_UNSPEC:
        raise NaturalFailure(errno.EOPNOTSUPP)
    if kind == socket.SOCK_STREAM or access is Access.BIND:
        return _inet6_address(raw, family)
    if family == socket.AF_INET:  # sockets for datagrams take IPv4 addresses, too
        return _inet_address(raw)
    if access is Access.CONNECT or family == socket.AF_INET6:
        return _inet6_address(raw, family)
    if family == socket.AF_UNSPEC:
        return NOBODY  # as if there were no name: the connected peer
    raise NaturalFailure(errno.EINVAL)


def _inet6_raw(raw: bytes, access: Access, family: int) -> Address:
    """A call on a raw IPv6 socket, to send on which AF_UNSPEC is AF_INET6."""
    if access is Access.CONNECT:
        if family == socket.AF_UNSPEC:
            return NOBODY
        if family != socket.AF_INET6:
            raise NaturalFailure(errno.EAFNOSUPPORT)
    elif access is Access.BIND and family != socket.AF_INET6:
        raise NaturalFailure(errno.EINVAL)
    return _inet6_address(raw, family or socket.AF_INET6)


def _inet6_address(raw: bytes, family: int) -> Address:
    """The address in a struct sockaddr_in6, whose scope id may be missing; *family* is what it passes for."""
    if len(raw) < _INET6_SHORT:
        raise NaturalFailure(errno.EINVAL)
    if family != socket.AF_INET6:
        raise NaturalFailure(errno.EAFNOSUPPORT)
    scope = _SCOPE.unpack_from(raw, _INET6_SHORT)[0] if len(raw) >= _INET6_SIZE else 0
    return inet(6, int.from_bytes(raw[8:24], "big"), _PORT.unpack_from(raw, 2)[0], scope)


def _unix(raw: bytes, access: Access, kind: int) -> Address:
    """A call on a unix socket: a path up to a NUL, if there is one; behind a NUL any bytes; or nothing."""
    if access is Access.SEND and not raw:
        return NOBODY
    family = _family(raw)
    datagram = kind in (socket.SOCK_DGRAM, socket.SOCK_RAW)  # the kernel makes SOCK_RAW the other
    if family == socket.AF_UNSPEC and access is Access.CONNECT and datagram:
        return NOBODY
    name = raw[_FAMILY.size :]
    if family != socket.AF_UNIX or len(raw) > _UNIX_SIZE or not (name or access is Access.BIND):
        raise NaturalFailure(errno.EINVAL)
    if not name:
        return UNNAMED
    if name[0] == 0:
        return Address(AddressKind.ABSTRACT, os.fsdecode(name[1:]))
    return Address(AddressKind.UNIX, os.fsdecode(name.partition(b"\0")[0]))


def _netlink(raw: bytes, access: Access, protocol: int) -> Address:
    """A call on a netlink socket. The kernel or another process is addressed: no rule tells them apart."""
    if access is Access.SEND and not raw:
        return NOBODY
    if _family(raw) == socket.AF_UNSPEC and access is Access.CONNECT:
        return NOBODY
    if len(raw) < _NETLINK.size or _family(raw) != socket.AF_NETLINK:
        raise NaturalFailure(errno.EINVAL)
    groups = _NETLINK.unpack_from(raw)[3]
    return Address(AddressKind.NETLINK, number=protocol, groups=groups)
