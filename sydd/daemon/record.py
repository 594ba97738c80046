"""The events of a session whose worker can die: noted, counted in shared memory, told to main."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sydd.supervisor.journal import MAXIMUM_KINDS, Journal

if TYPE_CHECKING:
    from sydd.daemon.outbox import Outbox
    from sydd.supervisor.event import Change, Event
    from sydd.supervisor.journal import Key
    from sydd.supervisor.notes import Notes
    from sydd.supervisor.slot import Slot

DROPPED = 1023
"""The counter of events that are too many different ones."""

DROPPED_TOLD = 1022
"""How many of these main was told of."""


class Record(Journal):
    """Takes events from the worker; what is told of them is told in their order.

    Args:
        notes: what a successor knows them by.
        slot: where they are counted.
        outbox: by which main is told.

    Attributes:
        repeated: whether something happened again of which main was not told.
    """

    def __init__(self, notes: Notes, slot: Slot, outbox: Outbox) -> None:
        super().__init__()
        self._notes = notes
        self._slot = slot
        self._outbox = outbox
        self._numbers: dict[Key, int] = {}
        self._told: dict[int, int] = {}
        self.repeated = False

    def recall(self, values: tuple[Any, ...]) -> None:
        """Take an event that another worker has noted; main, which may not know it yet, is told again."""
        key, event = values
        self._numbers[tuple(key)] = len(self._numbers) + 1
        self._outbox.tell("event", event=event)
        self.repeated = True

    def repeat(self, key: Key) -> bool:
        """See Journal.repeat."""
        number = self._numbers.get(key)
        if number is None:
            if len(self._numbers) < MAXIMUM_KINDS:
                return False
            number = DROPPED
        self._slot.count(number)
        if not self.repeated:
            self.repeated = True
            self._outbox.ring()
        return True

    def add(self, key: Key, event: Event) -> None:
        """See Journal.add."""
        value = event.as_json()
        self._notes.write("event", key, value)
        number = self._numbers[key] = len(self._numbers) + 1
        self._slot.count(number)
        self._told[number] = 1
        self._outbox.tell("event", event=value)

    def change(self, change: Change) -> None:
        """See Journal.change; main, which has asked for it, tells of it."""

    def trouble(self, message: str) -> None:
        """See Journal.trouble."""
        known = len(self._troubles)
        super().trouble(message)
        if len(self._troubles) > known:
            self._outbox.tell("trouble", message=message)

    @property
    def next_sequence(self) -> int:
        """See Journal.next_sequence."""
        return len(self._numbers) + 1

    # Who is asked is main, which knows who listens.

    def ask(self, question: int, event: Event, seconds: float) -> bool:
        """See Clients.ask."""
        return self._outbox.tell("ask", question=question, event=event.as_json(), seconds=seconds)

    def settled(self, question: int, decision: str) -> None:
        """See Clients.settled."""
        self._outbox.tell("settled", question=question, decision=decision)

    def tell_counts(self) -> None:
        """Tell main how often events have happened of which it knows less."""
        self.repeated = False
        for number in range(1, len(self._numbers) + 1):
            count = self._slot.events[number]
            if count > self._told.get(number, 1):
                self._told[number] = count
                self._outbox.tell("repeated", sequence=number, count=count)
        events = self._slot.events
        if events[DROPPED] > events[DROPPED_TOLD]:
            self._outbox.tell("lost", count=events[DROPPED] - events[DROPPED_TOLD])
            events[DROPPED_TOLD] = events[DROPPED]

    def summary(self) -> dict[str, int]:
        """How many different events there were, how many in all, and how many more that were only counted."""
        total = sum(self._slot.events[number] for number in range(1, len(self._numbers) + 1))
        return {"kinds": len(self._numbers), "total": total, "dropped": self._slot.events[DROPPED]}
