"""How far rules may go that are added to a running session: `[limits] runtime`.

A rule that permits something, or lets somebody be asked, has to lie within the ceiling: for each access that
it names, each of its patterns has to be contained in one pattern of a ceiling rule that names the access too.
Containment is decided on patterns, not by trying names, and where it cannot be seen it is not there: what
passes allows nothing that no rule of the ceiling matches. Rules that forbid need no ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sydd.policy.access import UNPERFORMED, Access, bits
from sydd.policy.bind import BoundRule

if TYPE_CHECKING:
    from sydd.policy.network import NetPattern

NEVER_AT_RUN_TIME: Final = UNPERFORMED
"""Accesses that no rule at run time can give or take: the kernel alone decides them, from the beginning."""

FIXED_PATTERNS: Final = ("netlink:", "family:")
"""Network patterns about sockets that are made or not made, which the filter decides from the beginning."""


def within(rule: BoundRule, ceiling: Sequence[BoundRule]) -> bool:
    """Whether *rule* may be added: it forbids, or *ceiling* surely matches all that it does."""
    return rule.action.forbids or all(_covered(rule, bit, ceiling) for bit in bits(rule.access))


def _covered(rule: BoundRule, access: Access, ceiling: Sequence[BoundRule]) -> bool:
    """Whether rules of *ceiling* about *access* match all that *rule* does."""
    speaking = [bound for bound in ceiling if access in bound.access]
    if rule.net is not None:
        return _net_covered(rule.net, [bound.net for bound in speaking if bound.net is not None])
    globs = [glob for bound in speaking for glob in bound.globs]
    return bool(rule.globs) and all(any(glob.covers(own) for glob in globs) for own in rule.globs)


def _net_covered(net: NetPattern, ceiling: Sequence[NetPattern]) -> bool:
    """As `_covered`, of network patterns. Names of hosts count by their addresses alone."""
    if any(other.is_any for other in ceiling):
        return True
    alike = [other for other in ceiling if other.kind is net.kind and not other.is_any]
    if net.is_any or not alike:
        return False
    if net.networks:
        low, high = net.ports
        networks = [
            network
            for other in alike
            if other.ports[0] <= low and high <= other.ports[1]
            for network in other.networks
        ]
        return all(any(network.covers(own) for network in networks) for own in net.networks)
    if net.globs:
        globs = [glob for other in alike for glob in other.globs]
        return all(any(glob.covers(own) for glob in globs) for own in net.globs)
    if net.name is not None:
        return any(other.name is not None and other.name.covers(net.name) for other in alike)
    # what is left is one thing each: unnamed sockets, a protocol, a family; or a host without addresses
    return not net.host and any(other.family == net.family for other in alike)
