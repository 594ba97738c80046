"""What happens in the daemon, told to whoever listens: numbered, replayed for who comes later, all bounded.

Every record has a position, which only grows and is never given twice, also over a restart where the tape
(`tape.py`) is kept. Of each user's records the last ones are remembered, so that one user's many records do
not push out another's. A subscriber has a bounded queue: who does not read loses records, is told how many at
the place where they are missing, and holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

REMEMBERED = 2000
"""Records of one user that are kept for replay."""

REMEMBERED_BYTES = 4 << 20
"""Of these records' data, for one user."""

MAXIMUM_OWNERS = 256
"""Users whose records are kept; of more, those that had none for the longest time are forgotten."""

QUEUE = 4000
"""Records that wait for one subscriber; further ones are lost to it."""

QUEUE_BYTES = 4 << 20
"""Of these records' data."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something that happened.

    Attributes:
        position: its number, from 1.
        time: seconds since the epoch.
        owner: user id of the session's owner; of root where it is about the daemon itself.
        session: the session's name; empty where it is about the daemon itself.
        kind: what it is, one of `sydd.wire.events.KINDS`.
        text: its data, a JSON object.
    """

    position: int
    time: float
    owner: int
    session: str
    kind: str
    text: bytes

    @property
    def data(self) -> dict[str, Any]:
        """What there is to know about it, by the kind."""
        return json.loads(self.text)  # type: ignore[no-any-return]

    def as_line(self) -> bytes:
        """The record as a line of JSON, as the tape has it."""
        head = {
            "position": self.position,
            "time": self.time,
            "owner": self.owner,
            "session": self.session,
            "kind": self.kind,
        }
        return json.dumps(head)[:-1].encode() + b', "data": ' + self.text + b"}\n"

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """The record of a line.

        Raises:
            ValueError: it is none.
        """
        value = json.loads(line)
        try:
            return cls(
                int(value["position"]),
                float(value["time"]),
                int(value["owner"]),
                str(value["session"]),
                str(value["kind"]),
                encode(value["data"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no record: {error}") from None


@dataclass(frozen=True, slots=True)
class Lost:
    """Stands where records are missing.

    Attributes:
        count: how many; at most so many where they were pushed out before the subscriber came.
    """

    count: int


class Log(Protocol):
    """Where records are written so that they outlive the process."""

    def append(self, line: bytes) -> None:
        """Keep a line."""

    def lines(self) -> list[bytes]:
        """What was kept, oldest first."""


def encode(data: dict[str, Any]) -> bytes:
    """JSON of a record's data: one line, and text whatever is in it."""
    return json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode("ascii")


class _Ring:
    """The last records of one user."""

    __slots__ = ("dropped", "last_dropped", "records", "size")

    def __init__(self) -> None:
        self.records: deque[Record] = deque()
        self.dropped = 0
        self.last_dropped = 0
        self.size = 0

    def append(self, record: Record) -> None:
        """Take one more, and forget the oldest where there are too many."""
        self.records.append(record)
        self.size += len(record.text)
        while len(self.records) > REMEMBERED or self.size > REMEMBERED_BYTES:
            oldest = self.records.popleft()
            self.size -= len(oldest.text)
            self.dropped += 1
            self.last_dropped = oldest.position

    def missing(self, since: int) -> int:
        """At most how many records from *since* on are no longer there."""
        return max(0, min(self.dropped, self.last_dropped - since + 1))


class Hub:
    """Gives records their positions, and hands them out.

    Args:
        log: where they are kept over a restart; None for nowhere. What it has is taken over.
    """

    def __init__(self, log: Log | None = None) -> None:
        self._log = log
        self._rings: OrderedDict[int, _Ring] = OrderedDict()
        self._subscriptions: set[Subscription] = set()
        self._alone = asyncio.Event()
        self._lost_before = 0
        self._next = 1
        for line in log.lines() if log else ():
            try:
                record = Record.from_line(line)
            except ValueError:
                continue  # cut off where the last daemon was killed
            if record.position >= self._next:
                self._remember(record)
                self._next = record.position + 1

    @property
    def position(self) -> int:
        """The position that the next record will have."""
        return self._next

    @property
    def subscribers(self) -> int:
        """How many there are, but for main's own: its log and its figures."""
        return sum(not subscription.own for subscription in self._subscriptions)

    @property
    def lost(self) -> int:
        """Records that subscribers were too slow for."""
        return self._lost_before + sum(subscription.lost for subscription in self._subscriptions)

    def publish(self, kind: str, data: dict[str, Any], *, owner: int = 0, session: str = "") -> Record:
        """Tell everybody whom it concerns.

        Args:
            kind: see `Record`.
            data: what JSON can hold.
            owner: user id of who may know, besides root.
            session: what it is about.
        """
        record = Record(self._next, round(time.time(), 6), owner, session, kind, encode(data))
        self._next += 1
        if self._log is not None:
            self._log.append(record.as_line())
        self._remember(record)
        for subscription in self._subscriptions:
            subscription.offer(record)
        return record

    def _remember(self, record: Record) -> None:
        ring = self._rings.get(record.owner)
        if ring is None:
            if len(self._rings) >= MAXIMUM_OWNERS:
                self._rings.popitem(last=False)
            ring = self._rings[record.owner] = _Ring()
        self._rings.move_to_end(record.owner)
        ring.append(record)

    def remembered(self, *, since: int = 1, owner: int | None = None, session: str = "") -> Iterator[Record]:
        """The records that are kept, in order.

        Args:
            since: the first position wanted.
            owner: whose; None for everybody's.
            session: of this one alone; empty for all.
        """
        rings = self._rings.values() if owner is None else filter(None, [self._rings.get(owner)])
        for record in heapq.merge(*(ring.records for ring in rings), key=lambda item: item.position):
            if record.position >= since and session in ("", record.session):
                yield record

    def subscribe(
        self,
        *,
        since: int | None = None,
        owner: int | None = None,
        session: str = "",
        first: int = 1,
        own: bool = False,
    ) -> Subscription:
        """Listen; the caller closes what it gets.

        Args:
            since: the first position wanted, for what has happened already; None for what comes from now on.
                One that no record has reached yet was another daemon's: all there is follows.
            owner: whose records; None for everybody's.
            session: of this one alone; empty for all.
            first: the position before which there is nothing of that, of which nothing is missing then.
            own: whether main itself listens.
        """
        backlog: list[Record | Lost] = []
        if since is not None:
            if since > self._next:
                since = 1
            if first <= self._next:  # else it is another daemon's, too
                since = max(since, first)
            rings = self._rings.values() if owner is None else filter(None, [self._rings.get(owner)])
            missing = sum(ring.missing(since) for ring in rings)
            if missing:
                backlog.append(Lost(missing))
            backlog += self.remembered(since=since, owner=owner, session=session)
        subscription = Subscription(self._leave, backlog, owner, session, own=own)
        self._subscriptions.add(subscription)
        return subscription

    async def close(self, seconds: float) -> None:
        """End all subscriptions, and wait until each has been told what was queued for it.

        Args:
            seconds: how long that may take.
        """
        for subscription in self._subscriptions:
            subscription.cut_off = True
            subscription.end()
        self._alone.clear()
        if self._subscriptions:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._alone.wait(), seconds)

    def _leave(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.discard(subscription)
            self._lost_before += subscription.lost
            if not self._subscriptions:
                self._alone.set()


class Subscription:
    """One who listens.

    Args:
        leave: called with it when it is closed.
        backlog: what it is told first, however long.
        owner: whose records it gets; None for everybody's.
        session: of which session alone; empty for all.
        own: whether main itself listens.

    Attributes:
        own: the same.
        lost: records that it was too slow for.
        cut_off: whether it was ended while more might have come: the daemon stops.
    """

    def __init__(
        self,
        leave: Callable[[Subscription], None],
        backlog: list[Record | Lost],
        owner: int | None,
        session: str,
        *,
        own: bool,
    ) -> None:
        self._leave = leave
        self.own = own
        self._backlog = deque(backlog)
        self._queue: deque[Record | Lost] = deque()
        self._owner = owner
        self._session = session
        self._size = 0
        self._lost = 0
        self.lost = 0
        self.cut_off = False
        self._ready = asyncio.Event()
        self._closed = False
        if backlog:
            self._ready.set()

    def offer(self, record: Record) -> None:
        """Queue a record if it is wanted; count it where the queue is full."""
        if (
            self._closed
            or self._owner not in (None, record.owner)
            or self._session not in ("", record.session)
        ):
            return
        if len(self._queue) >= QUEUE or self._size + len(record.text) > QUEUE_BYTES:
            self._lost += 1
            self.lost += 1
            return
        if self._lost:
            self._queue.append(Lost(self._lost))
            self._lost = 0
        self._queue.append(record)
        self._size += len(record.text)
        self._ready.set()

    async def get(self) -> Record | Lost | None:
        """The next record, or a note that some are missing; None once it is closed."""
        while True:
            if self._backlog:
                return self._backlog.popleft()
            if self._queue:
                item = self._queue.popleft()
                if isinstance(item, Record):
                    self._size -= len(item.text)
                return item
            if self._lost:
                lost, self._lost = Lost(self._lost), 0
                return lost
            if self._closed:
                return None
            self._ready.clear()
            await self._ready.wait()

    def end(self) -> None:
        """Queue no more; what is queued can still be had."""
        self._closed = True
        self._ready.set()

    def close(self) -> None:
        """Stop listening; what is queued can still be had."""
        self.end()
        self._leave(self)
