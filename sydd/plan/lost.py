"""What a ruleset in force grants too much of, once rules were added to the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydd.kernel.landlock import FsRight
from sydd.plan.landlock import grantable, renaming_gains, uniform
from sydd.plan.rights import NAMING, NONE, REQUIRED
from sydd.policy.access import Action, bits
from sydd.policy.glob import is_below
from sydd.policy.terminal import PSEUDO_TERMINALS, own_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.plan.landlock import LandlockPlan, LandlockRule
    from sydd.policy.bind import BoundRule
    from sydd.policy.glob import PathGlob
    from sydd.policy.matcher import Matcher


def lost_rights(plan: LandlockPlan, matcher: Matcher, added: Sequence[BoundRule]) -> FsRight:
    """The rights by which the kernel would permit what the policy does not, once rules were added.

    A ruleset in force stays what it is. So a right is the kernel's to decide only as long as all that it
    grants, or does not handle, is still exactly allowed; else every operation that needs it is the
    supervisor's.

    Args:
        plan: the ruleset in force.
        matcher: the policy with the rules that were added.
        added: these rules.
    """
    globs = [glob for rule in added for glob in rule.globs]
    lost = NONE
    if not globs:
        return lost
    names_matter = renaming_gains(matcher)
    for right, mask in REQUIRED.items():
        if right in plan.free and (
            not grantable(matcher, mask).universal(mask) or (right & NAMING and names_matter)
        ):
            lost |= right
    for anchor in plan.rules:
        rights = anchor.rights & ~(lost | plan.free)
        if rights and any(_may_concern(glob, anchor) for glob in globs):
            lost |= _lost_at(anchor, rights, matcher)
    return lost


def _names(anchor: LandlockRule) -> tuple[str, ...]:
    """The names by which rules may speak of a single file."""
    path = anchor.path
    return (path, own_name(path)) if is_below(path, PSEUDO_TERMINALS) else (path,)


def _may_concern(glob: PathGlob, anchor: LandlockRule) -> bool:
    """Whether *glob* may match something that *anchor* grants rights on; False is certain."""
    if anchor.directory:
        return glob.may_match_below(anchor.path)
    return any(glob.matches(name) for name in _names(anchor))


def _lost_at(anchor: LandlockRule, rights: FsRight, matcher: Matcher) -> FsRight:
    """Those of *rights* that the policy does not give to all of *anchor*."""
    lost = NONE
    for right in rights:
        mask = REQUIRED[right]
        granted = grantable(matcher, mask)
        if anchor.directory:
            moving = right is FsRight.REFER
            action = uniform(granted, mask, anchor.path, naming=bool(right & NAMING), moving=moving)
            held = action is Action.ALLOW
        else:
            held = all(
                granted.decide(access, name).action is Action.ALLOW
                for access in bits(mask)
                for name in _names(anchor)
            )
        if not held:
            lost |= right
    return lost
