"""Which sockets a policy could ever let do something: what the static filter may refuse at socket(2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sydd.policy.access import DEFAULT_ALLOWED, Access, bits
from sydd.policy.address import AddressKind
from sydd.policy.bind import BoundRule
from sydd.policy.families import INET, INET6, NETLINK, UNIX
from sydd.policy.glob import Kind
from sydd.policy.network import ALL_PORTS, NetKind, NetPattern


@dataclass(frozen=True, slots=True)
class Reach:
    """Which families some rule may allow something to. A family that is not possible can be refused unseen.

    Attributes:
        families: by number, those that the answer is known of by itself: AF_UNIX, AF_INET, AF_INET6 and what
            `family:` rules name. AF_INET6 is possible where IPv4 is: its sockets reach IPv4-mapped addresses.
        netlink: by protocol, those that `netlink:` rules name.
        rest: all other families and netlink protocols.
    """

    families: dict[int, bool]
    netlink: dict[int, bool]
    rest: bool

    def possible(self, family: int, protocol: int = 0) -> bool:
        """Whether some address of a socket may be allowed.

        Args:
            family: AF_….
            protocol: of a netlink socket.
        """
        if family == NETLINK:
            return self.netlink.get(protocol, self.rest)
        return self.families.get(family, self.rest)


class _Part(Enum):
    """How much of a class of addresses a pattern matches."""

    NONE = 0
    SOME = 1
    ALL = 2


_Class = tuple[AddressKind, int]
"""A kind, and the version, protocol or family."""

_REST: _Class = (AddressKind.FAMILY, -1)


def reach(rules: Sequence[BoundRule], mask: Access) -> Reach:
    """What *rules* may allow.

    Args:
        rules: bound rules in their order.
        mask: one or more of CONNECT, BIND and SEND: one that may be allowed makes a socket possible.
    """
    nets = [(rule, rule.net) for rule in reversed(rules) if rule.net is not None]

    def possible(which: _Class) -> bool:
        return any(_possible(nets, access, which) for access in bits(mask & Access.NET))

    four = possible((AddressKind.INET, 4))
    names = (AddressKind.UNIX, AddressKind.ABSTRACT, AddressKind.UNNAMED)
    families = {
        UNIX: any(possible((kind, 0)) for kind in names),
        INET: four,
        INET6: four or possible((AddressKind.INET, 6)),
    }
    netlink: dict[int, bool] = {}
    for _, net in nets:
        if net.kind is NetKind.FAMILY:
            families[net.family] = possible((AddressKind.FAMILY, net.family))
        elif net.kind is NetKind.NETLINK:
            netlink[net.family] = possible((AddressKind.NETLINK, net.family))
    return Reach(families, netlink, possible(_REST))


def _possible(nets: Sequence[tuple[BoundRule, NetPattern]], access: Access, which: _Class) -> bool:
    """Whether some address of a class may get *access*; *nets* are the rules, the last one first."""
    for rule, net in nets:
        if access not in rule.access:
            continue
        part = _part(net, which)
        if part is _Part.NONE:
            continue
        if not rule.action.forbids:
            return True
        if part is _Part.ALL:
            return False
    return access in DEFAULT_ALLOWED


def _part(net: NetPattern, which: _Class) -> _Part:
    """How much of the class *which* is matched."""
    kind, number = which
    if net.is_any:
        return _Part.ALL
    if net.kind.name != kind.name:
        return _Part.NONE
    if net.kind is NetKind.INET:
        networks = [network for network in net.networks if network.version == number]
        whole = net.ports == ALL_PORTS and any(not network.length for network in networks)
        return _Part.ALL if whole else _Part.SOME if networks else _Part.NONE
    if net.kind is NetKind.UNIX:
        whole = any(glob.kind is Kind.SUBTREE and glob.literal_prefix == "/" for glob in net.globs)
        return _Part.ALL if whole else _Part.SOME
    if net.kind is NetKind.ABSTRACT:
        return _Part.ALL if net.name is not None and net.name.text == "*" else _Part.SOME
    return _Part.ALL if net.kind is NetKind.UNNAMED or net.family == number else _Part.NONE
