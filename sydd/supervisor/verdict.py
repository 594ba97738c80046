"""What the policy says about a target, and which rule said it."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, NamedTuple

from sydd.policy.access import Access, Action, bits

if TYPE_CHECKING:
    from sydd.policy.address import Address
    from sydd.policy.bind import BoundRule
    from sydd.policy.matcher import Matcher
    from sydd.supervisor.target import Demand, Target


class Verdict(NamedTuple):
    """The decision about a whole request.

    Attributes:
        action: ALLOW when every demand is allowed; else the action about the first that is denied, or ASK, or
            WARN.
        access: the single access that this is about; 0 when all are allowed silently.
        demand: the demand that this is about; None when all are allowed silently.
        rule: the rule that decided; None for "no rule: default".
        missing: every access of that demand that is not allowed: what a rule would have to allow. With ASK
            those that are asked about.
        address: what the demand is about, where that is an address.
        kind: type of the socket that would go there (SO_TYPE).
    """

    action: Action
    access: Access = Access(0)
    demand: Demand | None = None
    rule: BoundRule | None = None
    missing: Access = Access(0)
    address: Address | None = None
    kind: int = 0


ALLOWED = Verdict(Action.ALLOW)

_SINGLE: dict[int, tuple[Access, ...]] = {}


def singles(mask: int) -> tuple[Access, ...]:
    """The single accesses in *mask*; remembered, as taking an IntFlag apart is slow."""
    known = _SINGLE.get(mask)
    if known is None:
        known = _SINGLE[mask] = bits(Access(mask))
    return known


def judge(matcher: Matcher, target: Target, approved: Container[tuple[int, str]] = ()) -> Verdict:
    """Ask the policy about every demand of *target*.

    The first denial decides; else the first that somebody is to be asked about; else the first warning.

    Args:
        matcher: the policy.
        target: what is asked for.
        approved: single accesses and paths that are permitted where a rule says `ask`.
    """
    warning = ALLOWED
    question: Verdict | None = None
    decide = matcher.decide
    for demand in target.demands:
        for access in singles(demand.access):
            action, rule = decide(access, demand.found.path)
            if action is Action.ALLOW:
                continue
            if action is Action.ASK:
                if question is None and (int(access), demand.found.path) not in approved:
                    question = Verdict(action, access, demand, rule, _asked(matcher, demand))
            elif action is not Action.WARN:
                return Verdict(action, access, demand, rule, _missing(matcher, demand))
            elif warning is ALLOWED:
                warning = Verdict(action, access, demand, rule, access)
    return warning if question is None else question


def _asked(matcher: Matcher, demand: Demand) -> Access:
    """The accesses of *demand* that somebody is to be asked about."""
    asked = Access(0)
    for access in singles(demand.access):
        if matcher.decide(access, demand.found.path).action is Action.ASK:
            asked |= access
    return asked


def _missing(matcher: Matcher, demand: Demand) -> Access:
    """The accesses of *demand* that are denied: opening a new file asks for create and modify at once."""
    missing = Access(0)
    for access in singles(demand.access):
        if not matcher.decide(access, demand.found.path).action.permits:
            missing |= access
    return missing
