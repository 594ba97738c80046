"""What `[limits]` says about the session as a whole, beside the resource limits of its processes.

Each key is an attribute of `SessionLimits` with a reader here. To add one is to add both: the profile's
reader, `extends` and the hints of errors follow from the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Final, Protocol

from sydd.policy.access import Action, names
from sydd.policy.ceiling import FIXED_PATTERNS, NEVER_AT_RUN_TIME
from sydd.policy.errors import PolicyError, Source
from sydd.policy.quantities import DURATIONS, SIZES, UNLIMITED, read_quantity
from sydd.policy.rule import Rule

ASK_TIMEOUT: Final = 60
"""Seconds that somebody has to answer an `ask` rule, where no profile says another number."""

_LONGEST_WAIT: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The keys of `[limits]` that are no resource limits. None: nothing was said.

    Attributes:
        processes: processes and threads that the session may have at a time; UNLIMITED for any number.
        memory: bytes that they may have together; UNLIMITED for no limit.
        time: seconds from the start of the command to the end of the session; UNLIMITED for no limit.
        runtime: rules that bound what rules added to a running session may allow; none allow nothing.
        ask_timeout: seconds after which a question that nobody answered is denied.
    """

    WHOLE: ClassVar = ("processes", "memory", "time")
    """Those that bound what the session uses."""

    processes: int | None = None
    memory: int | None = None
    time: int | None = None
    runtime: tuple[Rule, ...] | None = None
    ask_timeout: int | None = None

    @property
    def ceiling(self) -> tuple[Rule, ...]:
        """The bounds of rules at run time that hold."""
        return self.runtime or ()

    def most(self, name: str) -> int | None:
        """What the session may use of something; None for no limit.

        Args:
            name: one of WHOLE.
        """
        value: int | None = getattr(self, name)
        return None if value == UNLIMITED else value

    def whole(self) -> dict[str, int]:
        """What bounds the session as a whole, by name."""
        return {name: most for name in self.WHOLE if (most := self.most(name)) is not None}

    @property
    def patience(self) -> int:
        """Seconds that an answer may take."""
        return ASK_TIMEOUT if self.ask_timeout is None else self.ask_timeout

    def over(self, parent: SessionLimits) -> SessionLimits:
        """These limits where they say something, else what *parent* says.

        So a ceiling replaces the parents' as a whole, and an empty one closes it.
        """
        said = {
            field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None
        }
        return replace(parent, **said)


class Places(Protocol):
    """What a reader of a key needs to know of the file."""

    def source(self, *inside: int) -> Source:
        """The place of the value, or of one of its items."""

    def rule(self, number: int, text: str) -> Rule:
        """The rule that an item is.

        Raises:
            PolicyError: it is none.
        """


def _runtime(value: object, at: Places) -> tuple[Rule, ...]:
    """`runtime`: rules that allow something."""
    if not isinstance(value, list):
        raise PolicyError("'limits.runtime' takes an array", at.source(), 'write runtime = ["…", "…"]')
    found = []
    for number, text in enumerate(value):
        if not isinstance(text, str):
            raise PolicyError("an item of 'limits.runtime' takes a string", at.source(number), "write a rule")
        rule = at.rule(number, text)
        if rule.action is not Action.ALLOW:
            hint = "rules that forbid can be added at any time, and need no leave"
            raise PolicyError(
                f"'{rule.action.value}' in [limits] runtime, which takes allow", rule.source, hint
            )
        never = rule.access & NEVER_AT_RUN_TIME
        if never:
            hint = "the kernel decides it alone, from the beginning; allow it in rules"
            raise PolicyError(f"'{names(never)}' cannot be given at run time", rule.source, hint)
        if rule.pattern.startswith(FIXED_PATTERNS):
            hint = "such sockets are made or not made, from the beginning; allow it in rules"
            raise PolicyError(f"'{rule.pattern}' cannot be given at run time", rule.pattern_source, hint)
        found.append(rule)
    return tuple(found)


def _ask_timeout(value: object, at: Places) -> int:
    """`ask_timeout`: whole seconds."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LONGEST_WAIT:
        return value
    hint = f"write seconds as an integer, from 1 to {_LONGEST_WAIT}"
    raise PolicyError(f"limit 'ask_timeout' cannot be '{value}'", at.source(), hint)


def _quantity(name: str, units: dict[str, int], hint: str) -> Callable[[object, Places], int]:
    """The reader of a key that takes a number, not 0, or `unlimited`."""

    def read(value: object, at: Places) -> int:
        number = read_quantity(value, units)
        if number:
            return number
        raise PolicyError(f"limit '{name}' cannot be '{value}'", at.source(), hint)

    return read


SESSION_LIMITS: Final[dict[str, Callable[[object, Places], Any]]] = {
    "processes": _quantity("processes", {}, "write a count from 1, or 'unlimited'"),
    "memory": _quantity(
        "memory", SIZES, "write bytes as an integer, a size such as '2G' (K, M, G, T), or 'unlimited'"
    ),
    "time": _quantity(
        "time",
        DURATIONS,
        "write seconds as an integer, a duration such as '90min' (s, min, h, d), or 'unlimited'",
    ),
    "runtime": _runtime,
    "ask_timeout": _ask_timeout,
}
"""The keys, each with its reader."""
