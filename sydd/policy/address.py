"""What a network call names: the address that a rule is asked about.

One address has one value here, however the call spelt it: an IPv4-mapped IPv6 address is the IPv4 address,
and a scope id stays only where the kernel looks at it. Sources: ip(7), ipv6(7), unix(7), netlink(7).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from sydd.policy.access import Access
from sydd.policy.families import family_name, netlink_name

BITS: Final = {4: 32, 6: 128}
"""Bits of an address by version of IP."""

_LOOPBACK: Final = {4: 0x7F000001, 6: 1}
_MAPPED: Final = 0xFFFF  # ::ffff:0:0/96, its upper 96 bits
_V4_BITS: Final = 0xFFFFFFFF


class AddressKind(IntEnum):
    """Which attributes of an address count."""

    INET = 1
    UNIX = 2
    ABSTRACT = 3
    UNNAMED = 4  # a unix socket without a name: the kernel chooses one (autobind)
    NETLINK = 5
    FAMILY = 6  # any other family, as a whole
    NOBODY = 7  # AF_UNSPEC: a connection is dissolved, or a message goes to the peer that there is


class Address(NamedTuple):
    """One address. Made by the functions below, which bring it into its one form.

    Attributes:
        kind: what it is.
        name: UNIX: the path, canonical when a rule is asked; ABSTRACT: the name behind the NUL. Bytes that
            are not UTF-8 are surrogates, as os.fsdecode makes them.
        number: INET: the address; NETLINK: the socket's protocol; FAMILY: the family.
        port: INET: 0 to 65535.
        version: INET: 4 or 6.
        scope: INET: index of the interface; 0 for none, and wherever the kernel does not look at it.
        groups: NETLINK: mask of multicast groups (nl_groups); no rule speaks of it.
    """

    kind: AddressKind
    name: str = ""
    number: int = 0
    port: int = 0
    version: int = 0
    scope: int = 0
    groups: int = 0

    def __str__(self) -> str:
        """As a rule and an event name it; wildcard characters in names are not escaped."""
        kind = self.kind
        if kind is AddressKind.INET:
            host = ip_text(self.version, self.number, self.scope)
            return f"[{host}]!{self.port}" if self.version == 6 else f"{host}!{self.port}"
        if kind is AddressKind.UNIX:
            return f"unix:{self.name}"
        if kind is AddressKind.ABSTRACT:
            return f"@{self.name}"
        if kind is AddressKind.NETLINK:
            return f"netlink:{netlink_name(self.number)}"
        if kind is AddressKind.FAMILY:
            return f"family:{family_name(self.number)}"
        return "unix:unnamed" if kind is AddressKind.UNNAMED else "nobody"

    def meant(self, access: Access) -> Address:
        """The address that the kernel takes for this one.

        As a destination, `0.0.0.0` and `::` are the loopback address of their version. With a socket that is
        bound to another address of the host, Linux goes to that one instead. So a call that is performed
        for a caller has to be given the address that was judged: this one.

        Args:
            access: CONNECT, BIND or SEND. To bind, they are every address of the host and stay.
        """
        if self.number or self.kind is not AddressKind.INET or access is Access.BIND:
            return self
        return self._replace(number=_LOOPBACK[self.version])


NOBODY: Final = Address(AddressKind.NOBODY)
UNNAMED: Final = Address(AddressKind.UNNAMED)


def inet(version: int, number: int, port: int, scope: int = 0) -> Address:
    """An internet address.

    Args:
        version: 4 or 6, of the address as given.
        number: the address, most significant byte first.
        port: 0 to 65535.
        scope: index of the interface (sin6_scope_id).
    """
    version, number = unmapped(version, number)
    return Address(
        AddressKind.INET,
        number=number,
        port=port,
        version=version,
        scope=scope if version == 6 and needs_scope(number) else 0,
    )


def unmapped(version: int, number: int) -> tuple[int, int]:
    """Version and number of an address; those of the IPv4 address where an IPv6 one stands for it."""
    if version == 6 and number >> 32 == _MAPPED:
        return 4, number & _V4_BITS
    return version, number


def needs_scope(number: int) -> bool:
    """Whether the kernel looks at the scope id of an IPv6 address.

    It does for fe80::/10 and for multicast of the interface and of the link (__ipv6_addr_needs_scope_id).
    """
    return number >> 118 == 0x3FA or (number >> 120 == 0xFF and number >> 112 & 0xF in (1, 2))


def ip_text(version: int, number: int, scope: int = 0) -> str:
    """An address in its shortest form, without brackets."""
    if version == 4:
        return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0))
    import ipaddress  # here: only what is shown needs it

    return f"{ipaddress.IPv6Address(number)}" + (f"%{scope}" if scope else "")
