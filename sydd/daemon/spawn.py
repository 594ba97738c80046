"""Forking a session's worker from main, and another one in its place when it has died."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from sydd.daemon import worker
from sydd.daemon.channel import Channel
from sydd.kernel import pidfd
from sydd.kernel.fd import FileDescriptor
from sydd.supervisor import notes, slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.daemon.spec import SessionSpec


@dataclass(frozen=True, slots=True)
class Child:
    """A worker, and what main keeps for its successor.

    Attributes:
        pid: its number; main collects it.
        pidfd: readable when it has ended.
        channel: main's side of the channel to it. Its end means that the worker has ended.
        slot: memfd of the request that it holds.
        notes: memfd of what it must not forget.
    """

    pid: int
    pidfd: FileDescriptor
    channel: Channel
    slot: FileDescriptor
    notes: FileDescriptor

    def close(self) -> None:
        """Close all of it; a second time is fine. A worker whose listener is held by main alone goes on."""
        self.pidfd.close()
        self.channel.close()
        self.slot.close()
        self.notes.close()


@dataclass(frozen=True, slots=True)
class Held:
    """What main holds of a session whose worker has died; everything stays main's to close.

    Attributes:
        listener: the listener.
        state: the memfd that came with `prepared`.
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


def spawn(spec: SessionSpec) -> Child:
    """Fork a worker, which prepares the session and says `prepared` or `failed`.

    Args:
        spec: what the session is to be.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    with contextlib.ExitStack() as stack:
        held_slot = stack.enter_context(FileDescriptor(slot.create()))
        held_notes = stack.enter_context(FileDescriptor(notes.create()))
        return _fork(
            lambda side: worker.begin(spec, side, held_slot.fileno(), held_notes.fileno()),
            held_slot.dup(),
            held_notes.dup(),
        )


def respawn(spec: SessionSpec, held: Held) -> Child:
    """Fork a worker in place of one that has died: it answers the held request and serves on.

    It says `serving`, or `failed` when it cannot go on.

    Args:
        spec: as for `spawn`.
        held: what main has of the session.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    held_slot, held_notes = os.dup(held.slot), os.dup(held.notes)
    return _fork(
        lambda side: worker.go_on(spec, side, held), FileDescriptor(held_slot), FileDescriptor(held_notes)
    )


def _fork(run: Callable[[Channel], NoReturn], held_slot: FileDescriptor, held_notes: FileDescriptor) -> Child:
    ours, theirs = Channel.pair()
    try:
        pid = os.fork()
        if not pid:
            try:
                run(theirs)
            finally:
                os._exit(worker.EXIT_BROKEN)
        process = FileDescriptor(pidfd.pidfd_open(pid))
    except BaseException:
        ours.close()
        held_slot.close()
        held_notes.close()
        raise
    finally:
        theirs.close()
    return Child(pid, process, ours, held_slot, held_notes)
