"""A session's processes: forked, and another worker in the place of one that has died."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from sydd.daemon import identity, preparer, worker
from sydd.daemon.birth import live, wait_to_begin
from sydd.daemon.channel import Channel
from sydd.kernel.fd import FileDescriptor
from sydd.supervisor import notes, slot

if TYPE_CHECKING:
    from sydd.daemon.spec import SessionSpec


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was forked.

    Attributes:
        pid: its number.
        pidfd: readable when it has ended.
        channel: main's side of the channel to it.
    """

    pid: int
    pidfd: FileDescriptor
    channel: Channel

    def close(self) -> None:
        """Close both; a second time is fine."""
        self.pidfd.close()
        self.channel.close()


@dataclass(frozen=True, slots=True)
class Child:
    """A worker, and what main keeps for its successor.

    Attributes:
        pid: its number.
        pidfd: readable when it has ended.
        channel: main's side of the channel to it. Its end means that the worker has ended.
        slot: memfd of the request that it holds.
        notes: memfd of what it must not forget.
        others: main's sides of the channels to the keeper below it, which outlives it, and to that one's
            preparer; None for none.
    """

    pid: int
    pidfd: FileDescriptor
    channel: Channel
    slot: FileDescriptor
    notes: FileDescriptor
    others: tuple[Channel, Channel] | None = None

    def dismiss(self) -> None:
        """Have it end, and those that it has forked, and close everything."""
        with contextlib.suppress(OSError):
            self.channel.send({"type": "end"})
        for channel in self.others or ():
            channel.close()
        self.close()

    def close(self) -> None:
        """Close all but the others'; a second time is fine."""
        self.pidfd.close()
        self.channel.close()
        self.slot.close()
        self.notes.close()


@dataclass(frozen=True, slots=True)
class Held:
    """What main holds of a session whose worker has died; everything stays main's to close.

    Attributes:
        listener: the listener.
        state: the memfd that the preparer sent.
        slot: of the dead worker.
        notes: of the dead worker.
        command: pid of the command.
        parent: pid of its parent and subreaper.
    """

    listener: int
    state: int
    slot: int
    notes: int
    command: int = 0
    parent: int = 0


Fork = Callable[[Mapping[str, Any], "SessionSpec", Sequence[int]], Awaitable[tuple[int, FileDescriptor]]]
"""Forks a process that does `obey` with these arguments, for "run" a `Blank`; its pid, and a pidfd of it.

Raises OSError where it cannot: EAGAIN, ENOMEM, EMFILE. The descriptors stay the caller's.
"""


class ForkerDiedError(OSError):
    """Who forks has died: whether it has forked is not known."""


ATTEMPTS = 3
"""Times that a process is forked where who forks dies."""


async def prepare(fork: Fork, spec: SessionSpec, precedent: Sequence[int] = ()) -> Process:
    """Fork the process that prepares a session, says `prepared` and `state`, or `failed`, and ends.

    Not for one whose command the daemon starts: there it comes with the worker.

    Args:
        fork: how.
        spec: what the session is to be.
        precedent: memfd of an earlier session's; none of it stands for none.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    (ours,), pid, handle = await _forked(fork, {"type": "prepare"}, spec, 1, (), precedent)
    return Process(pid, handle, ours)


async def spawn(fork: Fork, spec: SessionSpec, precedent: Sequence[int] = ()) -> Child:
    """Fork a worker, which waits for the session's state and for somebody to serve.

    Where the daemon starts the command, there are a keeper below it and a preparer below that, too.

    Args:
        fork: how.
        spec: what the session is to be.
        precedent: for that preparer, as for `prepare`; a worker alone gets none.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    with contextlib.ExitStack() as stack:
        held_slot = stack.enter_context(FileDescriptor(slot.create()))
        held_notes = stack.enter_context(FileDescriptor(notes.create()))
        kept = (held_slot.fileno(), held_notes.fileno())
        kind, count, given = ("run", 3, precedent) if spec.origin == "run" else ("serve", 1, ())
        (ours, *others), pid, handle = await _forked(fork, {"type": kind}, spec, count, kept, given)
        stack.pop_all()
    return Child(pid, handle, ours, held_slot, held_notes, (others[0], others[1]) if others else None)


async def respawn(fork: Fork, spec: SessionSpec, held: Held) -> Child:
    """Fork a worker in place of one that has died: it answers the held request and serves on.

    It says `serving`, or `failed` when it cannot go on.

    Args:
        fork: how.
        spec: as for `spawn`.
        held: what main has of the session.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    order = {"type": "go on", "command": held.command, "parent": held.parent}
    with contextlib.ExitStack() as stack:
        held_slot = stack.enter_context(FileDescriptor(os.dup(held.slot)))
        held_notes = stack.enter_context(FileDescriptor(os.dup(held.notes)))
        kept = (held.slot, held.notes, held.listener, held.state)
        (ours,), pid, handle = await _forked(fork, order, spec, 1, kept)
        stack.pop_all()
    return Child(pid, handle, ours, held_slot, held_notes)


async def _forked(
    fork: Fork,
    order: Mapping[str, Any],
    spec: SessionSpec,
    count: int,
    kept: Sequence[int],
    precedent: Sequence[int] = (),
) -> tuple[list[Channel], int, FileDescriptor]:
    """Have a process forked that gets the other sides of so many new channels, and further descriptors.

    The last channel is a preparer's, if there is one. A process begins when it is told to by its channel. So
    what was forked by who has died since does nothing, and can be forked again.
    """
    attempts = ATTEMPTS
    while True:
        ours: list[Channel] = []
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as given:
            theirs = []
            for _ in range(count):
                mine, its = Channel.pair()
                stack.callback(mine.close)
                given.callback(its.close)
                ours.append(mine)
                theirs.append(its.fileno())
            try:
                pid, handle = await fork({**order, "channels": count}, spec, [*theirs, *kept])
            except ForkerDiedError:
                attempts -= 1
                if not attempts:
                    raise
                continue
            stack.callback(handle.close)
            for channel in reversed(ours):  # a preparer has the most to do
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end says so
                    channel.send({"type": "begin"}, precedent if channel is ours[-1] else ())
            stack.pop_all()
        return ours, pid, handle


def obey(order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]) -> NoReturn:
    """Be what a process was forked for; in the child of a fork.

    Args:
        order: as `Fork` was given it: not for "run".
        spec: likewise.
        descriptors: likewise, now this process's.
    """
    channel, kept = Channel.of(descriptors[0]), descriptors[1:]
    precedent = wait_to_begin(channel)

    def life() -> int:
        identity.shed((*descriptors, *precedent))
        if order["type"] == "prepare":
            return preparer.begin(spec, channel, *precedent or [-1])
        held_slot, held_notes = kept[:2]
        if order["type"] == "serve":
            return worker.begin(spec, channel, held_slot, held_notes, None)
        listener, state = kept[2:]
        held = Held(listener, state, held_slot, held_notes, int(order["command"]), int(order["parent"]))
        return worker.go_on(spec, channel, held)

    live(channel, life)
