"""Which of many network rules that matches comes last, compiled once per access.

The cost does not grow with the number of rules. Internet addresses are looked up by prefix: one dictionary
for each length that some rule uses, from the prefix to the ports that rules name with it, as a sorted list of
ranges that do not overlap. Socket paths go through the table that file rules use, other names and families
are dictionary keys, and of names only globs are tried one after the other.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from sydd.policy.access import DEFAULT_ALLOWED, Access, Action
from sydd.policy.address import BITS, Address, AddressKind
from sydd.policy.bind import BoundRule
from sydd.policy.decision import Decision
from sydd.policy.glob import NameGlob
from sydd.policy.network import Network
from sydd.policy.pathtable import PathTable

CACHED_ADDRESSES: Final = 2048
"""Addresses remembered per access; when there are more, all are forgotten."""

LONGEST_CACHED: Final = 256
"""Characters of a name; longer ones are rare and would leave the cache's size to the confined program."""

_SCOPE_SHIFT: Final = BITS[6]
_ALLOWED: Final = Decision(Action.ALLOW, None)


class AddressTable:
    """The rules of one access.

    Args:
        access: CONNECT, BIND or SEND.
        rules: bound rules in their order.
    """

    __slots__ = ("_access", "_cache", "_decisions", "_families", "_floor", "_names", "_paths", "_prefixes")

    def __init__(self, access: Access, rules: Sequence[BoundRule]) -> None:
        self._access = access
        self._cache: dict[Address, Decision] = {}
        default = Decision(Action.ALLOW if access in DEFAULT_ALLOWED else Action.DENY, None)
        self._decisions = [Decision(rule.action, rule) for rule in rules] + [default]
        spoken = [(place, rule) for place, rule in enumerate(rules) if rule.net and access in rule.access]
        # of what stands before the last `any` nothing decides
        self._floor = max((place for place, rule in spoken if rule.net and rule.net.is_any), default=-1)
        spoken = spoken[1 + next((at for at, (place, _) in enumerate(spoken) if place == self._floor), -1) :]
        patterns = [(place, rule.action.permits, rule.net) for place, rule in spoken if rule.net]
        self._paths = PathTable((place, net.globs) for place, _, net in patterns)
        self._names = _NameTable((place, net.name) for place, _, net in patterns if net.name)
        self._prefixes = {
            version: _PrefixTable(
                (place, permits, network, net.ports)
                for place, permits, net in patterns
                for network in net.networks
                if network.version == version
            )
            for version in BITS
        }
        self._families = {
            (AddressKind[net.kind.name], max(net.family, 0)): place
            for place, _, net in patterns
            if net.kind.name in ("UNNAMED", "NETLINK", "FAMILY")
        }

    def decide(self, address: Address) -> Decision:
        """What happens to a call that names *address*."""
        decision = self._cache.get(address)
        if decision is None:
            decision = self.find(address)
            if len(address.name) <= LONGEST_CACHED:
                if len(self._cache) >= CACHED_ADDRESSES:
                    self._cache.clear()
                self._cache[address] = decision
        return decision

    def find(self, address: Address) -> Decision:
        """The decision about *address*, without the cache."""
        kind, best = address.kind, self._floor
        if kind is AddressKind.INET:
            address = address.meant(self._access)
            best = self._prefixes[address.version].find(address.number, address.port, address.scope, best)
        elif kind is AddressKind.UNIX:
            best = self._paths.find(address.name, best)
        elif kind is AddressKind.ABSTRACT:
            best = self._names.find(address.name, best)
        elif kind is AddressKind.NOBODY:
            return _ALLOWED  # nobody is reached
        else:
            best = max(self._families.get((kind, address.number), -1), best)
        return self._decisions[best]


class _NameTable:
    """Names of abstract sockets.

    Args:
        patterns: place and pattern of each rule, places rising.
    """

    __slots__ = ("_exact", "_globs")

    def __init__(self, patterns: Iterable[tuple[int, NameGlob]]) -> None:
        self._exact: dict[str, int] = {}
        self._globs: list[tuple[int, NameGlob]] = []
        for place, glob in patterns:
            if glob.literal is not None:
                self._exact[glob.literal] = place
            else:
                self._globs.insert(0, (place, glob))

    def find(self, name: str, best: int) -> int:
        """The last place that matches *name*, or *best* if that is higher."""
        best = max(self._exact.get(name, -1), best)
        for place, glob in self._globs:
            if place <= best:
                break
            if glob.fullmatch(name):
                return place
        return best


class _PrefixTable:
    """Networks of one version.

    Args:
        entries: of each network the place of its rule, whether that permits, the network and its ports.
    """

    __slots__ = ("_plain", "_scoped")

    def __init__(self, entries: Iterable[tuple[int, bool, Network, tuple[int, int]]]) -> None:
        plain: dict[int, dict[int, list[_Range]]] = {}
        scoped: dict[int, dict[int, list[_Range]]] = {}
        for place, permits, network, (low, high) in entries:
            shift = BITS[network.version] - network.length
            table = (scoped if network.scope else plain).setdefault(shift, {})
            # A link-local address that names no interface may be on any: what is forbidden on one is there.
            scopes = {network.scope} if permits else {network.scope, 0}
            for scope in scopes:
                key = (scope << _SCOPE_SHIFT | network.number) >> shift
                table.setdefault(key, []).append((place, low, high))
        self._plain = _compiled(plain)
        self._scoped = _compiled(scoped)

    def find(self, number: int, port: int, scope: int, best: int) -> int:
        """The last place that matches, or *best* if that is higher."""
        for shift, prefixes in self._plain:
            ports = prefixes.get(number >> shift)
            if ports is not None:
                best = max(best, ports[1][bisect.bisect_right(ports[0], port) - 1])
        for shift, prefixes in self._scoped:
            ports = prefixes.get((scope << _SCOPE_SHIFT | number) >> shift)
            if ports is not None:
                best = max(best, ports[1][bisect.bisect_right(ports[0], port) - 1])
        return best


_Range = tuple[int, int, int]  # place, lowest port, highest port
_Ports = tuple[list[int], list[int]]  # where each range begins, from 0; its place, -1 for none


def _compiled(tables: dict[int, dict[int, list[_Range]]]) -> list[tuple[int, dict[int, _Ports]]]:
    """Each shift with its prefixes, the ports of each compiled."""
    return [
        (shift, {key: _ports(ranges) for key, ranges in prefixes.items()})
        for shift, prefixes in tables.items()
    ]


def _ports(ranges: list[_Range]) -> _Ports:
    """*ranges*, which may overlap, as ranges that do not, each with the highest place there."""
    waiting = sorted((low, -place, high) for place, low, high in ranges)
    starts = sorted({0, *(low for low, _, _ in waiting), *(high + 1 for _, _, high in waiting)})
    places: list[int] = []
    open_: list[tuple[int, int]] = []  # minus the place, highest port
    at = 0
    for start in starts:
        while at < len(waiting) and waiting[at][0] <= start:
            heapq.heappush(open_, waiting[at][1:])
            at += 1
        while open_ and open_[0][1] < start:
            heapq.heappop(open_)
        places.append(-open_[0][0] if open_ else -1)
    return starts, places
