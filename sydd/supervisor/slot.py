"""What a worker holds, in memory that outlives it: its request, calls that wait, counters.

A worker can be killed at any instant, and the kernel gives a notification out once. So it is received into
shared memory, and what a successor needs to know of it is written beside it, in an order in which every
instant is told from the others:

| the notification is | and the stage is | then |
|---|---|---|
| zero | | nothing was received |
| no longer valid | | it was answered, or its caller has gone |
| valid | NOTHING | nothing was done, or nothing that may not be done again |
| valid | PERFORMING | what may not be done twice was done, or was not |
| valid | PERFORMED | it was done, with this result |
| valid | OPENED | a new file was opened; the descriptor died with the worker |

`installing` says, beside this, that a descriptor was about to be put into the caller's table; the open file
bears a mark then, by which it is found there.

A request that somebody else answers, or that waits, has a seat. From then on what is known of it stands there
alone, whoever goes on with it.

The kernel writes the notification here directly (seccomp.receiver).
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from sydd.kernel import seccomp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STATE = 2048
_EVENTS = 4096
_LATENCIES = _EVENTS + 8 * 1024
_SEATS = 16384
_STATE_SIZE = 64
_SEAT_SIZE = seccomp.NOTIF.size + _STATE_SIZE
# Of what is known of a request; in a seat it follows the notification.
_STAGE, _INSTALLING, _RESULT, _COUNTED = 0, 1, 8, 32

SEATS = 1024
"""Calls that wait for something else than the worker, at most: more than may be parked, wait in a process of
their own, and have a stand-in, together."""

_CALLS = _SEATS + SEATS * _SEAT_SIZE

NUMBERS = 1024
"""System calls of an ABI that are counted one by one; what is above counts as the last."""

KINDS = 8
"""Room for the kinds of answers."""

BUCKETS = 64
"""Of the latency histogram: bucket N counts requests that took at least 2**(N-1) and less than 2**N ns."""

SIZE = _CALLS + 2 * NUMBERS * KINDS * 8

_Result = struct.Struct("=qQQ")
_FLOCK = struct.Struct("@hhqqi4x")  # of fcntl(2)


class Stage(IntEnum):
    """How far a request has come."""

    NOTHING = 0
    PERFORMING = 1
    PERFORMED = 2
    OPENED = 3


# As they are written: to look up a member of an enumeration takes longer than to write it.
_NOTHING, _PERFORMING, _PERFORMED, _OPENED = map(int, Stage)
_NOTHING_KNOWN = bytes(_STATE_SIZE)


class Result(NamedTuple):
    """What was stored of a request.

    Attributes:
        stage: how far it came.
        kind: PERFORMED: the answer's kind.
        value: PERFORMED: its value; OPENED: the file's device.
        inode: OPENED: its inode.
        installing: whether a descriptor may be in the caller's table already.
    """

    stage: Stage
    kind: int
    value: int
    inode: int
    installing: bool


def create() -> int:
    """A new slot: a memfd (close-on-exec) that nobody can shorten; the caller closes it."""
    fd = os.memfd_create("sydd-slot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, SIZE)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Slot:
    """The memory of one worker.

    Args:
        fd: from `create`; stays the caller's to close, and open for as long as the slot is used.

    Attributes:
        buffer: where notifications are received.
        events: how often each event happened, by its number.
        latencies: the histogram.
        seat: of the request that is worked on; -1 where that is the one that was received last.
        calls: counters of system calls: (number + NUMBERS for other ABIs than the machine's own) * KINDS +
            kind of the answer.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map = mmap.mmap(fd, SIZE)
        self._memory = memoryview(self._map)
        self._whole_words = self._memory.cast("Q")  # one is written at once, or not at all
        self.sit(-1)
        self.buffer = self._memory[: seccomp.NOTIF.size]
        self.events = self._words(_EVENTS, 1024)
        self.latencies = self._words(_LATENCIES, BUCKETS)
        self.calls = self._words(_CALLS, 2 * NUMBERS * KINDS)

    def _words(self, start: int, count: int) -> memoryview:
        return self._memory[start : start + 8 * count].cast("Q")

    def receiver(self, listener: int) -> Callable[[], None]:
        """What receives into `buffer`: see `seccomp.receiver`."""
        return seccomp.receiver(listener, self.buffer)

    def held(self) -> bytes:
        """The notification that was received last; zeros when there is none."""
        return bytes(self.buffer)

    # Of the request that is worked on.

    def sit(self, seat: int) -> None:
        """Work on the request in *seat* from now on; -1 is the one that was received last."""
        self.seat = seat
        self._state = state = _STATE if seat < 0 else _place(seat) + seccomp.NOTIF.size
        self._whole = slice(state, state + _STATE_SIZE)
        self._stage = state + _STAGE

    def begin(self) -> None:
        """Nothing of the next request was done; the last one was answered, or has a seat."""
        self._memory[self._whole] = _NOTHING_KNOWN

    def rise(self, *, answered: bool) -> None:
        """Work on what is received next.

        Args:
            answered: whether the request was answered, or its caller has gone; else it waits in its seat.
        """
        if self.seat < 0:
            self.begin()
            return
        if answered:
            self.leave_seat(self.seat)
        self.sit(-1)

    def undone(self) -> None:
        """What was about to be done was not done."""
        self._memory[self._stage] = _NOTHING

    def performing(self) -> None:
        """What may not be done twice is about to be done."""
        self._memory[self._stage] = _PERFORMING

    def performed(self, kind: int, value: int) -> None:
        """It was done, with this answer."""
        _Result.pack_into(self._memory, self._state + _RESULT, kind, value, 0)
        self._memory[self._stage] = _PERFORMED

    def opened(self, device: int, inode: int) -> None:
        """A file was made and opened, whose descriptor the caller has not yet."""
        _Result.pack_into(self._memory, self._state + _RESULT, 0, device, inode)
        self._memory[self._stage] = _OPENED

    def installing(self) -> None:
        """A marked descriptor is about to be put into the caller's table."""
        self._memory[self._state + _INSTALLING] = 1

    def result(self) -> Result:
        """What was stored of the request."""
        kind, value, inode = _Result.unpack_from(self._memory, self._state + _RESULT)
        stage = Stage(self._memory[self._stage])
        return Result(stage, kind, value, inode, bool(self._memory[self._state + _INSTALLING]))

    # Events that the request has caused: each is counted once, also when its worker dies while it counts.

    def count(self, number: int) -> bool:
        """Count one more of an event.

        Args:
            number: of the event, from 1.

        Returns:
            False when this request was counted before.
        """
        words, at = self._whole_words, (self._state + _COUNTED) // 8
        known, _, *before = words[at : at + 4]
        if number == known or number in before:
            return False
        if known:
            words[at + (3 if before[0] else 2)] = known
        words[at] = 0
        words[at + 1] = value = self.events[number] + 1
        words[at] = number
        self.events[number] = value
        return True

    def settle_counts(self) -> None:
        """Count what a worker has died over, before anything else is counted."""
        states = [_STATE, *(_place(seat) + seccomp.NOTIF.size for seat, _ in self.seated())]
        for state in states:
            at = (state + _COUNTED) // 8
            number, value = self._whole_words[at : at + 2]
            if number:
                self.events[number] = max(self.events[number], value)

    # Calls that somebody else answers, each in a seat.

    def take_seat(self) -> int:
        """Have the request answered by somebody else, or later; with all that is known of it.

        Returns:
            Its seat, which it may have had before; -1 when none is free.
        """
        if self.seat >= 0:
            return self.seat
        notification = self.held()
        for seat in range(SEATS):
            start = _place(seat)
            # Who has been in it may have been killed, and be there still.
            if not any(self._memory[start : start + 8]) and not self.claimant(seat):
                state = start + len(notification)
                self._memory[state : state + _STATE_SIZE] = self._memory[self._whole]
                # The cookie last: it says that there is one.
                self._memory[start + 8 : start + len(notification)] = notification[8:]
                self._memory[start : start + 8] = notification[:8]
                return seat
        return -1

    def leave_seat(self, seat: int) -> None:
        """The call in *seat* was answered, or its caller has gone; or it is still the one that is held."""
        if seat >= 0:
            start = _place(seat)
            self._memory[start : start + 8] = bytes(8)

    def claim(self, seat: int) -> None:
        """The call in *seat* is this process's to answer, for as long as it lives."""
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, _place(seat))

    def claimant(self, seat: int) -> int:
        """Pid of another process that lives and has claimed the call in *seat*; 0 for none."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _place(seat), 1, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(self._fd, fcntl.F_GETLK, asked))
        return 0 if kind == fcntl.F_UNLCK else int(pid)

    def seated(self) -> Iterator[tuple[int, bytes]]:
        """The calls that somebody else was to answer: seat and notification."""
        for seat in range(SEATS):
            start = _place(seat)
            notification = bytes(self._memory[start : start + seccomp.NOTIF.size])
            if any(notification[:8]):
                yield seat, notification


@contextlib.contextmanager
def seated(slot: Slot | None, seat: int) -> Iterator[None]:
    """Work on a request that waits in its seat, and goes on to wait; without a slot that is nothing."""
    if slot is None:
        yield
        return
    slot.sit(seat)
    try:
        yield
    finally:
        slot.rise(answered=False)


def _place(seat: int) -> int:
    """Where a seat begins."""
    return _SEATS + seat * _SEAT_SIZE
