"""The one error that bad policy raises, and the place it names."""

from __future__ import annotations

from sydd.namedtuple import NamedTuple


class Source(NamedTuple):
    """Where a piece of policy was written: a file (or "--rule", "--set"), line and column, both from 1."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        parts = [self.file]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


class PolicyError(Exception):
    """A profile or rule that cannot be used: what is wrong, where, and what would be right.

    Args:
        message: one sentence that quotes the offending word.
        source: where it stands; None only for what has no place, such as a missing profile.
        hint: what to write instead; empty when there is nothing better to say than the message.
    """

    def __init__(self, message: str, source: Source | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.source}: " if self.source else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{hint}"
