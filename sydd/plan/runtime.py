"""Which rules a session can take while it runs: those about accesses that its supervisor sees, and holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sydd.plan.engine import Engine
from sydd.plan.plan import Enforcement
from sydd.policy.access import FILE_ACCESSES, Access, bits, names
from sydd.policy.ceiling import FIXED_PATTERNS, NEVER_AT_RUN_TIME, within
from sydd.policy.refused import BeyondCeiling, NotSupervised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.plan.plan import Plan
    from sydd.policy.bind import BoundRule

_SEEN: Final = (
    Enforcement.BOTH,
    Enforcement.SUPERVISOR,
    Enforcement.ADVISORY,
    Enforcement.RECORDED,
)
"""How accesses are enforced that the supervisor is notified of."""

_NAMING: Final = Access.RENAME | Access.LINK
"""Accesses by which an object gets another name, and could pass a rule about the one that it had."""


def check_rule(plan: Plan, ceiling: Sequence[BoundRule], rule: BoundRule) -> None:
    """Make sure that *rule* can be added to a session, and holds then.

    Args:
        plan: the session's.
        ceiling: what its profile lets rules at run time allow.
        rule: bound to the session.

    Raises:
        NotSupervised: nobody would see, or hold, what it speaks of.
        BeyondCeiling: it would allow more than the ceiling does.
    """
    why = _unsupervised(plan, rule)
    if why:
        raise why
    if not within(rule, ceiling):
        raise BeyondCeiling(str(rule.rule), tuple(str(bound.rule) for bound in ceiling))


def _unsupervised(plan: Plan, rule: BoundRule) -> NotSupervised | None:
    """Why *rule* would not hold; None where it does."""
    if plan.engine is Engine.NESTED:
        return NotSupervised(names(rule.access), "it is inside another session, whose supervisor judges")
    never = rule.access & NEVER_AT_RUN_TIME
    if never:
        return NotSupervised(names(never), "the kernel decides it alone, from the beginning")
    if rule.rule.pattern.startswith(FIXED_PATTERNS):
        why = f"sockets of '{rule.rule.pattern}' are made or not made, from the beginning"
        return NotSupervised(names(rule.access), why)
    for access in bits(rule.access):
        enforcement = plan.enforcement(access)
        if enforcement not in _SEEN:
            return NotSupervised(names(access), enforcement.meaning)
    if rule.access & FILE_ACCESSES:
        return _evaded_by_name(plan)
    if plan.sockets is None:
        return NotSupervised(names(rule.access), "it does not judge addresses")
    if plan.sockets.unjudged:
        return NotSupervised(names(rule.access), "sockets are made that reach addresses without being asked")
    return None


def _evaded_by_name(plan: Plan) -> NotSupervised | None:
    """Whether an object could get another name unseen."""
    for access in bits(_NAMING):
        if plan.enforcement(access) not in _SEEN:
            return NotSupervised(names(access), "the file could be given another name unseen")
    return None
