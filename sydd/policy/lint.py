"""What is no error in a policy and yet not meant: for `profile check`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Union

from sydd.policy.access import Access, bits, names
from sydd.policy.bind import OWN_PROCESS, PER_TASK, BoundRule
from sydd.policy.errors import Source
from sydd.policy.glob import Kind, PathGlob, is_below
from sydd.policy.policy import Policy
from sydd.policy.terminal import OWN_TERMINALS
from sydd.policy.variables import references

if TYPE_CHECKING:
    from sydd.policy.network import NetPattern, Network


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at.

    Attributes:
        severity: always "warning": the policy works as it is.
        message: what was found.
        source: where.
        hint: what to do about it; may be empty.
    """

    severity: Literal["warning"]
    message: str
    source: Source
    hint: str

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.source}: {self.severity}: {self.message}{hint}"


def findings(
    policy: Policy, bound: Sequence[BoundRule], exists: Callable[[str], bool]
) -> tuple[Finding, ...]:
    """Look a policy over.

    Args:
        policy: after merging.
        bound: its rules, bound to the session that is to be checked.
        exists: whether a path is there.

    Returns:
        Findings in the order of the rules.
    """
    found: list[Finding] = []
    for rule in bound:
        found += _missing(rule, exists)
        found += _per_task(rule)
        found += unresolved([rule])
        found += _nowhere(rule)
        found += _undecided(rule, bound)
    if policy.environment.pass_ and not policy.environment.drop:
        message = "[environment] pass without drop changes nothing: every variable is passed"
        hint = 'add drop = ["*"] to pass these alone'
        found.append(Finding("warning", message, Source(policy.sources[-1] if policy.sources else ""), hint))
    return tuple(found)


def _missing(rule: BoundRule, exists: Callable[[str], bool]) -> Iterator[Finding]:
    """A directory that is not there.

    A rule that permits has to name one. A rule that forbids often names what only some machines have
    (`${home}/.aws`); there only a wrong beginning (`/hmoe`) is reported.
    """
    if "tmp" in references(rule.rule.pattern):
        return  # made when the session begins
    told: set[str] = set()
    for glob in _globs(rule):
        directory = glob.literal_prefix
        if any(is_below(directory, name) for name in (*PER_TASK, OWN_TERMINALS)):
            continue
        if not rule.action.permits:
            directory = "/" + directory.split("/")[1]
        elif glob.kind is Kind.EXACT:
            directory = directory.rpartition("/")[0] or "/"
        if directory in told or exists(directory):
            continue
        told.add(directory)
        hint = "the rule speaks of nothing until it is made"
        yield Finding("warning", f"'{directory}' does not exist", rule.rule.pattern_source, hint)


def _per_task(rule: BoundRule) -> Iterator[Finding]:
    """A name that no canonical path has."""
    for glob in _globs(rule):
        for name in PER_TASK:
            if name != OWN_PROCESS and is_below(glob.literal_prefix, name):
                message = f"the rule can never decide: no canonical path is below '{name}'"
                hint = "it is a link to what is judged; write a rule about that, such as '/proc/self/…'"
                yield Finding("warning", message, rule.rule.pattern_source, hint)
                return


def unresolved(bound: Iterable[BoundRule]) -> Iterator[Finding]:
    """Rules about a host whose name does not resolve; one that forbids it cannot be bound."""
    for rule in bound:
        if rule.net is not None and rule.net.host and not rule.net.networks:
            hint = "the rule allows nothing; names are looked up once, when the session begins"
            message = f"'{rule.net.host}' does not resolve"
            yield Finding("warning", message, rule.rule.pattern_source, hint)


def _nowhere(rule: BoundRule) -> Iterator[Finding]:
    """Addresses that can be bound and that nothing is sent to, in a rule about destinations alone."""
    net = rule.net
    if net is None or rule.access & Access.BIND:
        return
    from sydd.policy.address import BITS
    from sydd.policy.network import NetKind

    message = hint = ""
    if net.networks and all(not item.number and item.length == BITS[item.version] for item in net.networks):
        message = f"the rule can never decide: as a destination '{net.text.partition('!')[0]}' is loopback"
        hint = "write a rule about loopback, or about bind"
    elif net.kind is NetKind.UNNAMED:
        message = "the rule can never decide: a socket without a name is no destination"
        hint = "write a rule about bind"
    if message:
        yield Finding("warning", message, rule.rule.pattern_source, hint)


def _globs(rule: BoundRule) -> tuple[PathGlob, ...]:
    """The path patterns of a rule about files, or about sockets in the file system."""
    return rule.globs if rule.net is None else rule.net.globs


_Piece = Union["PathGlob", "Network", None]
"""A path pattern or a network of a rule; None for all of a network rule that is about neither."""


def _pieces(rule: BoundRule) -> Sequence[_Piece]:
    """What a rule matches, in pieces that may be decided by different rules."""
    return _globs(rule) or (rule.net and rule.net.networks) or (None,)


def _undecided(rule: BoundRule, bound: Sequence[BoundRule]) -> Iterator[Finding]:
    """A rule all of whose matches are decided by later rules of the same file.

    A child that overrides its parent is what `extends` is for, so rules of different files are not compared.
    """
    later = [other for other in bound if other.index > rule.index and _comparable(rule, other)]
    deciders: dict[int, BoundRule] = {}
    for bit in bits(rule.access):
        speaking = [other for other in reversed(later) if bit in other.access]
        for piece in _pieces(rule):
            decider = next((other for other in speaking if _covers(other, rule, piece)), None)
            if decider is None:
                return
            deciders[decider.index] = decider
    lines = ", ".join(str(other.rule.source.line or other.rule) for _, other in sorted(deciders.items()))
    if len(deciders) > 1:
        message = f"the rule can never decide: the rules in lines {lines} do for all that it matches"
    elif next(iter(deciders.values())).action is rule.action:
        message = f"the rule in line {lines} says the same of all that it matches"
    else:
        message = f"the rule is shadowed by that in line {lines}"
    hint = "the last rule that matches decides: remove it, or move it behind them"
    yield Finding("warning", f"{message}: {names(rule.access)} {rule.rule.pattern}", rule.rule.source, hint)


def _comparable(rule: BoundRule, other: BoundRule) -> bool:
    """Whether *other* making *rule* needless is the profile's doing, not one session's directories'."""
    if rule.rule.source.file != other.rule.source.file or not rule.access & other.access:
        return False
    if rule.action is not other.action:
        return True
    return set(references(rule.rule.pattern)) == set(references(other.rule.pattern))


def _covers(other: BoundRule, rule: BoundRule, piece: _Piece) -> bool:
    """Whether *other* surely matches all that *piece* of *rule* does."""
    if rule.net is not None:
        if other.net is None:
            return False
        if other.net.is_any or other.net.text == rule.net.text:
            return True
        if other.net.kind is not rule.net.kind:
            return False
        if not isinstance(piece, PathGlob):
            return _covers_net(other.net, rule.net, piece)
    return isinstance(piece, PathGlob) and any(glob.covers(piece) for glob in _globs(other))


def _covers_net(other: NetPattern, net: NetPattern, piece: Network | None) -> bool:
    """As `_covers`, of patterns of one kind, not of paths."""
    if piece is not None:
        within = other.ports[0] <= net.ports[0] and net.ports[1] <= other.ports[1]
        return within and any(network.covers(piece) for network in other.networks)
    if net.name is not None:
        return other.name is not None and other.name.covers(net.name)
    return other.family == net.family and not net.host
