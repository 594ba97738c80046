"""What happened, to whom, and why: one value per violation or warning."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sydd.supervisor.tasks import Ancestor, Process

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_RULE = "no rule: default"
REFUSED = "refused in every session"
STRANGER = "belongs to a process outside the session"


@dataclass(frozen=True, slots=True)
class Event:
    """A violation or a warning.

    Attributes:
        sequence: number within the session, from 1.
        time: seconds since the epoch, when it happened first.
        session: name of the session.
        profile: name of the profile.
        enforced: False where the access was recorded and let pass (audit mode).
        action: what the rule says: deny, hide, kill, ask, warn.
        access: the single access, as rules spell it.
        syscall: name of the call.
        given: the path as the caller wrote it; empty when the call has none.
        path: the canonical path.
        errno: name of the errno that the caller got; empty when the call went on.
        process: who asked.
        rule: the rule that decided, NO_RULE, REFUSED or STRANGER.
        rule_source: where that rule stands; empty for the default.
        allow: the rule line that would allow it; empty where no rule can.
        decision: what came of asking, where the rule says `ask`; else empty.
        host: of an internet address: the names by which rules have it; empty where none do.
        service: the name of its port (services(5)); empty where it has none.
        count: how often it happened.
    """

    sequence: int
    time: float
    session: str
    profile: str
    enforced: bool
    action: str
    access: str
    syscall: str
    given: str
    path: str
    errno: str
    process: Process
    rule: str
    rule_source: str
    allow: str
    decision: str = ""
    host: str = ""
    service: str = ""
    count: int = 1

    @property
    def denied(self) -> bool:
        """Whether the access was stopped."""
        return bool(self.errno)

    def counted(self, count: int) -> Event:
        """The same event, having happened *count* times."""
        return replace(self, count=count)

    def as_json(self) -> dict[str, Any]:
        """The event as plain values; the field names are stable."""
        value = asdict(self)
        value["time"] = round(self.time, 6)
        return _printable(value)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Event:
        """From what `as_json` gave.

        Raises:
            KeyError, TypeError: it is something else.
        """
        process = dict(value["process"])
        parents = tuple(Ancestor(**parent) for parent in process.pop("parents"))
        argv = tuple(process.pop("argv"))
        return cls(**{**value, "process": Process(**process, argv=argv, parents=parents)})


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed about a running session.

    Attributes:
        sequence: number within the session, in one series with events.
        time: seconds since the epoch.
        session: name of the session.
        what: "rules", "lock" or "mode".
        by: who wanted it, for people.
        before: what there was, as lines: every rule that had been added, the lock, or the mode.
        after: what there is now.
    """

    sequence: int
    time: float
    session: str
    what: str
    by: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The change as plain values; the field names are stable."""
        value = asdict(self)
        value["time"] = round(self.time, 6)
        return _printable(value)  # type: ignore[no-any-return]


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def _printable(value: Any) -> Any:  # whatever JSON can hold
    """Escape what is no text (bytes of a path that are not UTF-8): every line is valid UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value
