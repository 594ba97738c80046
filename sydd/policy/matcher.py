"""Which rule decides, compiled once per session.

`decide` is on the way of every supervised system call, so its cost does not grow with the number of rules
(see `pathtable.py`; `addresstable.py` for network addresses).

Tables are indexed by the bit length of an access: hashing an `IntFlag` runs Python code, `bit_length` does
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from sydd.policy.access import DEFAULT_ALLOWED, Access, Action, bits
from sydd.policy.bind import BoundRule
from sydd.policy.decision import Decision
from sydd.policy.glob import Kind, PathGlob
from sydd.policy.pathtable import PathTable

if TYPE_CHECKING:
    from sydd.policy.address import Address
    from sydd.policy.addresstable import AddressTable
    from sydd.policy.reach import Reach

CACHED_PATHS: Final = 2048
"""Paths remembered per access; when there are more, all are forgotten."""

LONGEST_CACHED: Final = 256
"""Characters; longer paths are rare and would make the cache's size the confined program's choice."""


class _Table:
    """The rules of one access; sorted when the first path is asked about, since many tables never are.

    Args:
        bit: the access.
        rules: all of the session's.
        decisions: by index of the rule.

    Attributes:
        cache: decisions by path.
    """

    __slots__ = ("_bit", "_decisions", "_default", "_floor", "_paths", "_rules", "cache")

    def __init__(self, bit: Access, rules: Sequence[BoundRule], decisions: Sequence[Decision]) -> None:
        self.cache: dict[str, Decision] = {}
        self._bit = bit
        self._rules = rules
        self._decisions = decisions
        self._default = Decision(Action.ALLOW if bit in DEFAULT_ALLOWED else Action.DENY, None)
        self._floor = -1  # index of the last rule that matches anything at all (`net any`)
        self._paths: PathTable | None = None

    def find(self, path: str) -> Decision:
        """The decision about *path*, without the cache."""
        paths = self._paths
        if paths is None:
            bit = int(self._bit)  # IntFlag's operators are slow
            spoken = [(place, rule) for place, rule in enumerate(self._rules) if int(rule.access) & bit]
            self._floor = max((place for place, rule in spoken if rule.net and rule.net.is_any), default=-1)
            paths = self._paths = PathTable((place, rule.globs) for place, rule in spoken)
        place = paths.find(path, self._floor)
        return self._decisions[place] if place >= 0 else self._default


class _Pattern(NamedTuple):
    """One pattern of one rule, for `uniform`.

    Attributes:
        place: rises from the last rule to the first; no two patterns have the same.
        access: the rule's, a plain int: IntFlag's operators are slow.
        action: the rule's.
        prefix: the literal prefix with a slash behind it; empty for a network rule.
        kind: of the glob.
        glob: None for a network rule.
        everything: a network rule that surely matches all; of other network rules nothing is known.
    """

    place: int
    access: int
    action: Action
    prefix: str
    kind: Kind
    glob: PathGlob | None
    everything: bool


class Matcher:
    """The rules of a session, ready to be asked.

    Args:
        rules: bound rules in their order; the last that matches decides.
    """

    def __init__(self, rules: Sequence[BoundRule]) -> None:
        self.rules: tuple[BoundRule, ...] = tuple(rules)
        every = list(bits(~Access(0)))
        decisions = [Decision(rule.action, rule) for rule in self.rules]
        self._tables: list[_Table] = [_Table(bit, self.rules, decisions) for bit in (every[0], *every)]
        self._patterns: list[_Pattern] = _patterns(self.rules)
        self._uniform: dict[tuple[int, str], Action | None] = {}
        self._nearby = _Nearby(self._patterns)
        self._addresses: dict[int, AddressTable] = {}

    def __reduce__(self) -> tuple[type[Matcher], tuple[tuple[BoundRule, ...]]]:
        """Pickled by its rules: what was asked is not remembered."""
        return Matcher, (self.rules,)

    def decide(self, access: Access, path: str) -> Decision:
        """What happens to one access.

        Args:
            access: a single bit. Of network rules only `any` is matched here.
            path: canonical, absolute.
        """
        table = self._tables[access.bit_length()]
        decision = table.cache.get(path)
        if decision is None:
            decision = table.find(path)
            if len(path) <= LONGEST_CACHED:
                if len(table.cache) >= CACHED_PATHS:
                    table.cache.clear()
                table.cache[path] = decision
        return decision

    def decide_address(self, access: Access, address: Address) -> Decision:
        """What happens to one access to a network address.

        Args:
            access: CONNECT, BIND or SEND.
            address: of a UNIX one the path is canonical, and absolute.
        """
        table = self._addresses.get(access.bit_length())
        if table is None:
            from sydd.policy.addresstable import AddressTable  # here: few sessions judge addresses

            table = self._addresses[access.bit_length()] = AddressTable(access, self.rules)
        return table.decide(address)

    def reach(self, mask: Access) -> Reach:
        """Which socket families may get an access in *mask*, of CONNECT, BIND and SEND, at all."""
        from sydd.policy.reach import reach

        return reach(self.rules, mask)

    def uniform(self, mask: Access, directory: str) -> Action | None:
        """The one action for every access in *mask* on every path at or below *directory*.

        Args:
            mask: one or more accesses.
            directory: canonical, absolute; itself included. Of network accesses "/" stands for every address.

        Returns:
            None if the action differs or cannot be known.
        """
        key = (int(mask), directory)
        try:
            return self._uniform[key]
        except KeyError:
            pass
        if len(self._uniform) >= 4 * CACHED_PATHS:
            self._uniform.clear()
        result = self._uniform[key] = self._find_uniform(int(mask), directory)
        return result

    def _find_uniform(self, mask: int, directory: str) -> Action | None:
        """From the last rule to the first: a possible match adds its action, a sure one ends an access."""
        slashed = directory.rstrip("/") + "/"
        remaining = mask
        found: Action | None = None
        for pattern in self._nearby.about(slashed):
            hit = remaining & pattern.access
            if not hit:
                continue
            sure = pattern.everything if pattern.glob is None else _covers(pattern, directory, slashed)
            if sure is None:
                continue
            if found is not None and found is not pattern.action:
                return None
            found = pattern.action
            if sure:
                remaining &= ~hit
                if not remaining:
                    break
        for action, default in (
            (Action.ALLOW, remaining & int(DEFAULT_ALLOWED)),
            (Action.DENY, remaining & ~int(DEFAULT_ALLOWED)),
        ):
            if default:
                if found is not None and found is not action:
                    return None
                found = action
        return found

    def alike(self, access: Access, first: str, second: str) -> bool:
        """Whether each path below *first* gets the same answer as the same one below *second*.

        Args:
            access: a single bit.
            first: a canonical directory, itself included.
            second: the other one.

        Returns:
            True is certain. It can be so where neither is uniform: a glob may match in both in the same way.
        """
        mask = int(access)
        return all(
            pattern.glob is None or pattern.glob.alike(first, second)
            for pattern in self._patterns
            if pattern.access & mask
        )

    def universal(self, mask: Access) -> bool:
        """Whether every access in *mask* is allowed, unreported, everywhere; True is certain."""
        return self.uniform(mask, "/") is Action.ALLOW

    def speaks_of(self, access: Access) -> bool:
        """Whether some rule names an access in *access*."""
        return any(rule.access & access for rule in self.rules)

    def holes(self, access: Access) -> tuple[str, ...]:
        """Where the answer to one of *access* may not be default: sorted literal prefixes of patterns."""
        found: set[str] = set()
        for rule in self.rules:
            for bit in bits(rule.access & access):
                default = Action.ALLOW if bit in DEFAULT_ALLOWED else Action.DENY
                if rule.action is not default:
                    found.update(glob.literal_prefix for glob in rule.globs)
        return tuple(sorted(found))


def _covers(pattern: _Pattern, directory: str, slashed: str) -> bool | None:
    """Whether a pattern that is near a directory matches all at and below it; None where it matches nothing.

    Args:
        pattern: with a glob.
        directory: canonical.
        slashed: the same with a slash behind it.
    """
    if pattern.kind is Kind.SUBTREE:
        return slashed.startswith(pattern.prefix)
    if pattern.kind is Kind.EXACT:
        return False if pattern.prefix.startswith(slashed) else None
    glob = pattern.glob
    if glob is None or not glob.may_match_below(directory):
        return None
    return glob.covers_subtree(directory)


def _patterns(rules: Sequence[BoundRule]) -> list[_Pattern]:
    """The patterns of all rules, those of the last rule first."""
    result: list[_Pattern] = []
    for rule in reversed(rules):
        access = int(rule.access)
        if rule.net is not None:
            sure = rule.net.is_any
            result.append(_Pattern(len(result), access, rule.action, "", Kind.GLOB, None, everything=sure))
        for glob in rule.globs:
            prefix = glob.literal_prefix.rstrip("/") + "/"
            result.append(
                _Pattern(len(result), access, rule.action, prefix, glob.kind, glob, everything=False)
            )
    return result


class _Nearby:
    """Finds the patterns whose literal prefix is a directory, above it, or below it: of hundreds a few.

    Args:
        patterns: in the order of their places.
    """

    __slots__ = ("_at", "_below", "_longest", "_patterns")

    def __init__(self, patterns: Sequence[_Pattern]) -> None:
        self._patterns = patterns
        self._at: dict[str, list[_Pattern]] = {}
        self._below: dict[str, list[_Pattern]] = {}
        self._longest = -1

    def _sort(self) -> None:
        """Sort the patterns, when they are first asked for: not every matcher is."""
        for pattern in self._patterns:
            prefix = pattern.prefix
            self._at.setdefault(prefix, []).append(pattern)
            end = prefix.find("/") + 1
            while 0 < end < len(prefix):
                self._below.setdefault(prefix[:end], []).append(pattern)
                end = prefix.find("/", end) + 1
        self._longest = max(map(len, self._at), default=0)

    def about(self, slashed: str) -> list[_Pattern]:
        """The patterns, in the order of their places.

        Args:
            slashed: the directory, with a slash behind it.
        """
        if self._longest < 0:
            self._sort()
        found = [*self._below.get(slashed, ()), *self._at.get("", ())]
        end = slashed.find("/") + 1
        while 0 < end <= self._longest:
            found += self._at.get(slashed[:end], ())
            end = slashed.find("/", end) + 1
        found.sort()  # never beyond the place, which is each pattern's own
        return found
