"""What the caller gets: an errno, leave to go on, a value, or a descriptor."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """The form of an answer."""

    CONTINUE = 0
    ERROR = 1
    VALUE = 2
    DESCRIPTOR = 3
    LATER = 4  # somebody else answers: a blocking operation has its own process
    KILL = 5


class Answer(NamedTuple):
    """The answer to one notification.

    Attributes:
        kind: its form.
        value: the errno, the return value, or the descriptor that the caller gets a copy of.
        flags: of a descriptor: O_CLOEXEC where it closes on exec, and its access mode.
    """

    kind: Kind
    value: int = 0
    flags: int = 0


CONTINUE = Answer(Kind.CONTINUE)
DONE = Answer(Kind.VALUE, 0)
LEFT = Answer(Kind.CONTINUE)
"""Like CONTINUE, but the kernel may well refuse: it says nothing about the next such call."""
LATER = Answer(Kind.LATER)
KILL = Answer(Kind.KILL)

_ERRORS: dict[int, Answer] = {}


def value(number: int) -> Answer:
    """The answer that makes the call return *number*."""
    return Answer(Kind.VALUE, number)


def error(number: int) -> Answer:
    """The answer that makes the call fail with errno *number*."""
    known = _ERRORS.get(number)
    if known is None:
        known = _ERRORS[number] = Answer(Kind.ERROR, number)
    return known
