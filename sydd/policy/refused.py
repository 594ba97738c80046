"""What is refused to who changes a running session: one type for each reason, as the socket names them."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  # the base of answers, not of mistakes
    """A change that a running session does not take.

    Args:
        message: one sentence that says why.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Locked(Refused):
    """The session's lock is against it."""


class BeyondCeiling(Refused):
    """A rule would allow what the profile's `[limits] runtime` does not.

    Args:
        rule: the rule, as it was given.
        ceiling: the rules of the ceiling, as the profile has them; empty where it has none.
    """

    def __init__(self, rule: str, ceiling: tuple[str, ...]) -> None:
        bounds = "; ".join(ceiling)
        why = f"it allows no more than: {bounds}" if ceiling else "the profile has none"
        super().__init__(f"'{rule}' is beyond [limits] runtime: {why}")
        self.rule = rule
        self.ceiling = ceiling


class NotSupervised(Refused):
    """A rule speaks of an access that nobody looks at in this session, so that it would not hold.

    Args:
        access: the accesses, as rules spell them.
        why: the reason.
    """

    def __init__(self, access: str, why: str) -> None:
        super().__init__(f"{access} is not supervised in this session: {why}")
        self.access = access
        self.why = why


class NoSuchRule(Refused):
    """The rule that is to be removed is not among those that were added."""


class TooManyRules(Refused):
    """A session has as many rules as it may get."""


class ModeFixed(Refused):
    """The session's mode cannot be changed to the one that was asked for."""
