"""Rules bound to one session: variables put in, braces written out, symbolic links on the way followed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sydd.policy.access import Access, Action
from sydd.policy.errors import PolicyError
from sydd.policy.glob import PathGlob, expand, path_glob
from sydd.policy.rule import Rule
from sydd.policy.variables import substitute

if TYPE_CHECKING:
    from sydd.policy.network import NetPattern

OWN_PROCESS: Final = "/proc/self"
"""What rules call the directory in /proc of the calling process itself, whatever its number."""

PER_TASK: Final = (
    OWN_PROCESS,
    "/proc/thread-self",
    "/dev/fd",
    "/dev/stdin",
    "/dev/stdout",
    "/dev/stderr",
)
"""Names that mean another object to each task. Following them here would name sydd's own."""

_BELOW_PER_TASK: Final = tuple(name + "/" for name in PER_TASK)


@dataclass(frozen=True, slots=True)
class BoundRule:
    """A rule as a matcher takes it.

    Attributes:
        rule: what was written.
        index: its place; of those that match, the highest decides.
        access: see Rule.
        action: see Rule.
        globs: canonical path patterns, without braces; empty for a network rule.
        net: the network pattern; None for a file rule.
    """

    rule: Rule
    index: int
    access: Access
    action: Action
    globs: tuple[PathGlob, ...]
    net: NetPattern | None = None


Lookup = Callable[[str], Sequence[str]]
"""From a host name to its addresses, as text; none where it does not resolve."""


def no_addresses(_host: str) -> tuple[str, ...]:
    """The addresses of a host where names are not looked up: none."""
    return ()


def bind_rules(
    rules: Iterable[Rule],
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    realpath: Callable[[str], str],
    trusted: Callable[[str], str] | None = None,
    look_up: Lookup = no_addresses,
) -> tuple[BoundRule, ...]:
    """Bind *rules*, in their order, to a session.

    A pattern's literal prefix is taken through *realpath*, since requests are judged by canonical paths: on
    a merged-/usr system a rule about `/bin/**` is about `/usr/bin/**`. The name as written, with only its
    parent resolved, stays a second pattern, so that the link itself is covered too.

    Args:
        rules: the policy's rules.
        variables: every variable's value.
        environment: what `${env:NAME}` looks in.
        realpath: follows symbolic links of an absolute path; what does not exist stays as it is.
        trusted: the same for rules that permit something, where links that a hostile tree may hold must not
            be followed; by default realpath itself.
        look_up: the addresses of a host name, as text; none where it does not resolve. Asked once for each
            name: what it says holds as long as the rules are bound.

    Raises:
        PolicyError: unknown variables, values that make no path, or a rule that forbids a host whose name
            does not resolve, which nothing could uphold.
    """
    bound: list[BoundRule] = []
    # Cached, since most patterns share their parents.
    follow = functools.cache(realpath)
    follow_trusted = functools.cache(trusted) if trusted else follow
    hosts = functools.cache(look_up)
    for index, rule in enumerate(rules):
        globs: tuple[PathGlob, ...] = ()
        net: NetPattern | None = None
        resolve = follow if rule.action.forbids else follow_trusted
        if rule.access & Access.NET:
            from sydd.policy.network import parse_net_pattern  # here: only rules about the network need it

            place = rule.pattern_source
            net = parse_net_pattern(rule.pattern, variables, environment, place, resolve, hosts)
            if net.host and not net.networks and rule.action.forbids:
                hint = "what it forbids cannot be known; write the address"
                raise PolicyError(f"'{net.host}' does not resolve", place, hint)
        else:
            text = substitute(rule.pattern, variables, environment, rule.pattern_source)
            globs = canonical_globs(text, resolve)
        bound.append(BoundRule(rule, index, rule.access, rule.action, globs, net))
    return tuple(bound)


def canonical_globs(text: str, realpath: Callable[[str], str]) -> tuple[PathGlob, ...]:
    """The canonical patterns that *text*, a pattern without variables, stands for."""
    found: dict[str, PathGlob] = {}
    for alternative in expand(text):
        written = path_glob(alternative)
        prefix = written.literal_prefix
        if prefix in PER_TASK or prefix.startswith(_BELOW_PER_TASK):
            globs = [written]
        else:
            globs = [written.with_prefix(realpath(prefix))]
            parent, _, name = prefix.rpartition("/")
            if name not in ("", ".", ".."):
                globs.append(written.with_prefix(realpath(parent or "/").rstrip("/") + "/" + name))
        for glob in globs:
            found.setdefault(glob.text, glob)
    return tuple(found.values())
