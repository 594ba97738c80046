"""What was denied or reported in a session: each event once, by its number, and how often it happened."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

MAXIMUM = 1000
"""Different events that are kept; a worker tells no more."""

NOTES = 16 << 20
"""Bytes of a worker's notes that are read."""


class SessionJournal:
    """Those of one session.

    A worker that was replaced may tell an event again that its predecessor told; the numbers say so.

    Args:
        tell: called with kind, message and data of what is new.

    Attributes:
        different: how many different events there were.
        dropped: how many accesses were only counted.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._events: dict[int, dict[str, Any]] = {}
        self._counts: dict[int, int] = {}
        self._troubles: set[str] = set()
        self._stopped = 0
        self.dropped = 0
        self.different = 0

    def add(self, event: dict[str, Any], *, quiet: bool = False) -> None:
        """Take an event.

        Args:
            event: as `sydd.supervisor.event.Event.as_json` gives it.
            quiet: whether it was told before, by an earlier daemon.
        """
        number = event["sequence"]
        if number in self._events or len(self._events) >= MAXIMUM:
            return
        self._events[number] = event
        self.different += 1
        self._stopped += bool(event["errno"])
        if not quiet:
            self._tell("access", describe(event), event=event)

    def catch_up(self, notes: int, told: int) -> None:
        """Take what a worker has noted: what the last daemon had read and not told any more is told now.

        Args:
            notes: the worker's memory file; stays the caller's.
            told: number of the last event that was told.
        """
        for event in noted(notes):
            self.add(event, quiet=event["sequence"] <= told)

    def repeat(self, number: int, count: int) -> None:
        """An event happened *count* times altogether."""
        event = self._events.get(number)
        before = self._counts.get(number, 1)
        if event is None or before >= count:
            return
        self._counts[number] = count
        if event["errno"]:
            self._stopped += count - before
        self._tell("repeated", f"{describe(event)}, {count} times", sequence=number, count=count)

    def drop(self, count: int) -> None:
        """Some more accesses were only counted."""
        self.dropped += count
        self._tell("dropped", f"{count} accesses of further kinds, which were only counted", count=count)

    def trouble(self, message: str) -> None:
        """A failure of the supervisor itself, which made it deny a call; each is told once."""
        if message not in self._troubles and len(self._troubles) < MAXIMUM:
            self._troubles.add(message)
            self._tell("trouble", message)

    @property
    def denied(self) -> int:
        """How many accesses were stopped."""
        return self.dropped + self._stopped

    def forget(self) -> None:
        """Keep the figures alone."""
        self._events.clear()
        self._counts.clear()
        self._troubles.clear()


def describe(event: dict[str, Any]) -> str:
    """An event in a line, for people."""
    action = event["action"]
    if not event["enforced"] and action != "warn":
        action = f"would {action}"
    words = [action, event["access"] or event["syscall"], event["path"]]
    process = event["process"]
    return f"{' '.join(word for word in words if word)}: {process['command']}[{process['pid']}]"


def noted(notes: int) -> Iterator[dict[str, Any]]:
    """The events that a worker has noted, each before it was told of; see `sydd.supervisor.notes`.

    Args:
        notes: the memory file; stays the caller's.
    """
    for line in os.pread(notes, NOTES, 0).splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue  # half written
        if isinstance(value, list) and len(value) == 3 and value[0] == "event" and isinstance(value[2], dict):
            yield value[2]
