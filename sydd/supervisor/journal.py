"""The events of a session: each kind kept once, repeated ones counted, all bounded."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Callable
    from typing import TextIO

    from sydd.supervisor.event import Change, Event

MAXIMUM_KINDS = 1000
"""Different events that are kept; a program that provokes more is counted on, but not remembered."""

Key = tuple[str, str, str, str]


class Journal:
    """Collects events.

    Args:
        stream: where each new event goes as a line of JSON; None for nowhere.
        listener: called with each new event; None for nobody.
        changes: called with each change of the session; None for nobody.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        listener: Callable[[Event], None] | None = None,
        changes: Callable[[Change], None] | None = None,
    ) -> None:
        self._stream = stream
        self._listener = listener
        self._changes = changes
        self._changed = 0
        self._first: dict[Key, Event] = {}
        self._counts: dict[Key, int] = {}
        self._troubles: dict[str, int] = {}
        self.dropped = 0
        self.lost = ""
        """Why some of what happened is not known here; empty when nothing is missing."""
        self.unwritten = ""
        """Why the stream does not have everything; empty when it does."""

    def repeat(self, key: Key) -> bool:
        """Count one more of an event that is known.

        Returns:
            False when it is new and has to be added.
        """
        if key in self._counts:
            self._counts[key] += 1
            return True
        if len(self._counts) >= MAXIMUM_KINDS:
            self.dropped += 1
            return True
        return False

    def add(self, key: Key, event: Event) -> None:
        """Take a new event."""
        self._first[key] = event
        self._counts[key] = 1
        self._write({"type": "event", **event.as_json()})
        if self._listener:
            self._listener(event)

    def recount(self, key: Key, count: int) -> None:
        """An event that is known happened *count* times by now."""
        if key in self._counts:
            self._counts[key] = max(self._counts[key], count)

    def change(self, change: Change) -> None:
        """Take what was changed about the session. It is told, and not kept: whoever changes it may go on."""
        self._changed += 1
        self._write({"type": "change", **change.as_json()})
        if self._changes:
            self._changes(change)

    def trouble(self, message: str) -> None:
        """Take a failure of the supervisor itself, which made it deny a call."""
        if message in self._troubles or len(self._troubles) < MAXIMUM_KINDS:
            self._troubles[message] = self._troubles.get(message, 0) + 1
            self._write({"type": "trouble", "message": message})

    @property
    def troubles(self) -> tuple[str, ...]:
        """Failures of the supervisor itself, each once: mistakes of sydd, to be reported."""
        return tuple(self._troubles)

    @property
    def next_sequence(self) -> int:
        """The number for the next new event, or change."""
        return len(self._first) + self._changed + 1

    @property
    def denials(self) -> int:
        """How many accesses were stopped."""
        stopped = sum(self._counts[key] for key, event in self._first.items() if event.denied)
        return stopped + self.dropped

    def events(self) -> tuple[Event, ...]:
        """Every event once, with its count, in the order of first appearance."""
        return tuple(event.counted(self._counts[key]) for key, event in self._first.items())

    def finish(self) -> None:
        """Write what was not known when an event was first written: how often it came again."""
        for event in self.events():
            if event.count > 1:
                self._write({"type": "repeated", "sequence": event.sequence, "count": event.count})
        if self.dropped:
            self._write({"type": "dropped", "count": self.dropped})

    def _write(self, value: dict[str, object]) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(json.dumps(value, ensure_ascii=False) + "\n")
            self._stream.flush()
        except OSError as error:
            # A full disk must not end the session, and the block at the end still tells all.
            self.unwritten = error.strerror or str(error)
            self._stream = None
