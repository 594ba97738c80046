"""What the compiler asks of rules beyond single decisions: where they point, how far their globs reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydd.policy.glob import Kind

if TYPE_CHECKING:
    from sydd.policy.access import Access
    from sydd.policy.bind import BoundRule
    from sydd.policy.matcher import Matcher


def speaking(matcher: Matcher, access: Access) -> tuple[BoundRule, ...]:
    """The rules that name some access in *access*."""
    mask = int(access)
    return tuple(rule for rule in matcher.rules if int(rule.access) & mask)


def landmarks(matcher: Matcher, access: Access) -> tuple[str, ...]:
    """The places that rules about *access* name: the literal prefixes of their patterns, sorted."""
    return tuple(sorted({glob.literal_prefix for rule in speaking(matcher, access) for glob in rule.globs}))


def roaming(matcher: Matcher, access: Access) -> tuple[str, ...]:
    """Literal prefixes of patterns with wildcards: names below that no rule spells out may differ."""
    return tuple(
        sorted(
            {
                glob.literal_prefix
                for rule in speaking(matcher, access)
                for glob in rule.globs
                if glob.kind is Kind.GLOB
            }
        )
    )
