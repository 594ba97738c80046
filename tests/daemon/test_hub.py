"""The hub: positions, replay, who may know what, and readers that are too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sydd.daemon import hub as hub_module
from sydd.daemon.hub import Hub, Lost, Record
from sydd.daemon.tape import Tape


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_positions_grow_and_each_reader_gets_its_own_records() -> None:
    """A user's reader sees that user's records alone, root's all, and one of a session only those."""

    async def work() -> None:
        hub = Hub()
        everybody, own, session = hub.subscribe(), hub.subscribe(owner=1), hub.subscribe(session="b")
        log = hub.subscribe(own=True)
        assert hub.subscribers == 3, "the daemon's own are none"
        log.close()
        hub.publish("started", {"n": 1}, owner=1, session="a")
        hub.publish("started", {"n": 2}, owner=2, session="b")
        for subscription in (everybody, own, session):
            subscription.close()
        assert await _positions(everybody) == [1, 2]
        assert await _positions(own) == [1]
        assert await _positions(session) == [2]
        assert hub.subscribers == 0

    _run(work())


async def _positions(subscription: hub_module.Subscription) -> list[int | Lost]:
    """All that is queued; the subscription is closed."""
    found: list[int | Lost] = []
    while (item := await subscription.get()) is not None:
        found.append(item.position if isinstance(item, Record) else item)
    return found


def test_replay_begins_where_it_is_asked_to_and_goes_on_without_a_gap() -> None:
    """What happened before comes first, then what happens; nothing twice."""

    async def work() -> None:
        hub = Hub()
        for number in range(5):
            hub.publish("access", {"n": number}, owner=7)
        subscription = hub.subscribe(since=3, owner=7)
        hub.publish("access", {}, owner=7)
        subscription.close()
        assert await _positions(subscription) == [3, 4, 5, 6]

    _run(work())


def test_what_was_pushed_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that comes too late begins with how many records are missing."""
    monkeypatch.setattr(hub_module, "REMEMBERED", 3)

    async def work() -> None:
        hub = Hub()
        for _ in range(10):
            hub.publish("access", {}, owner=1)
        hub.publish("access", {}, owner=2)
        subscription = hub.subscribe(since=1)
        subscription.close()
        assert await _positions(subscription) == [Lost(7), 8, 9, 10, 11]
        other = hub.subscribe(since=1, owner=2)
        other.close()
        assert await _positions(other) == [11], "one user's records push out no other's"

    _run(work())


def test_of_a_session_nothing_is_missing_from_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much its user's other sessions have pushed out; what may be its own is counted."""
    monkeypatch.setattr(hub_module, "REMEMBERED", 3)

    async def work() -> None:
        hub = Hub()
        for _ in range(10):
            hub.publish("access", {}, owner=1, session="a")
        first = hub.position
        hub.publish("access", {}, owner=1, session="b")
        own = hub.subscribe(since=1, owner=1, session="b", first=first)
        own.close()
        assert await _positions(own) == [11]
        for _ in range(3):
            hub.publish("access", {}, owner=1, session="a")
        late = hub.subscribe(since=1, owner=1, session="b", first=first)
        late.close()
        assert await _positions(late) == [Lost(1)]
        # Of a daemon before this one, which has left no records.
        elder = hub.subscribe(since=90, owner=1, session="b", first=80)
        elder.close()
        assert await _positions(elder) == [Lost(11)]

    _run(work())


def test_a_slow_reader_loses_records_and_is_told_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """The note stands where the records would have been, and nobody waits for the reader."""
    monkeypatch.setattr(hub_module, "QUEUE", 2)

    async def work() -> None:
        hub = Hub()
        slow = hub.subscribe()
        for _ in range(5):
            hub.publish("access", {})
        first = await slow.get()
        assert isinstance(first, Record)
        hub.publish("access", {})  # there is room for the note and for this
        slow.close()
        assert await _positions(slow) == [2, Lost(3), 6]
        assert hub.lost == 3

    _run(work())


def test_large_records_take_no_more_memory_than_many_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one user, and of one reader who does not read; what is missing is counted."""
    monkeypatch.setattr(hub_module, "REMEMBERED_BYTES", 1000)
    monkeypatch.setattr(hub_module, "QUEUE_BYTES", 500)

    async def work() -> None:
        hub = Hub()
        slow = hub.subscribe(owner=1)
        for _ in range(20):
            hub.publish("rules", {"text": "x" * 80}, owner=1)
        kept = list(hub.remembered(owner=1))
        assert sum(len(record.text) for record in kept) <= 1000
        assert [record.position for record in kept] == list(range(21 - len(kept), 21))
        late = hub.subscribe(since=1, owner=1)
        assert await late.get() == Lost(20 - len(kept))
        told = 0
        while not isinstance(item := await slow.get(), Lost):
            told += len(item.text) if item else 0
        assert 400 < told <= 500
        hub.publish("rules", {}, owner=1)
        assert isinstance(await slow.get(), Record)
        for subscription in (slow, late):
            subscription.close()

    _run(work())


def test_positions_and_records_outlive_the_hub() -> None:
    """A hub that is given the tape of another one goes on where that one was, whatever was cut off."""

    async def work() -> None:
        tape = Tape()
        first = Hub(tape)
        for number in range(3):
            first.publish("access", {"n": number}, owner=1, session="s")
        tape.append(b'{"position": 4, "ti')  # killed in the middle of a line
        again = Tape((tape.files[0].dup(), tape.files[1].dup()))
        tape.close()
        second = Hub(again)
        assert [record.data["n"] for record in second.remembered(session="s")] == [0, 1, 2]
        assert second.publish("access", {}).position == 4
        again.close()

    _run(work())


def test_a_tape_forgets_its_older_half_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines come back in order, whichever file was written last."""
    monkeypatch.setattr("sydd.daemon.tape.LENGTH", 100)
    tape = Tape()
    try:
        for number in range(45):
            tape.append(b"line %03d\n" % number)
        again = Tape((tape.files[0].dup(), tape.files[1].dup()))
        lines = again.lines()
        again.close()
        assert lines[-1] == b"line 044"
        assert lines == sorted(lines)
        assert len(lines) >= 11
        assert tape.lines() == lines
    finally:
        tape.close()
