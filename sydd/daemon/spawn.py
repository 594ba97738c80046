"""A session's processes: forked, and another worker in the place of one that has died."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from sydd.daemon import identity, worker
from sydd.daemon.birth import live, wait_to_begin
from sydd.daemon.blank import Kind
from sydd.daemon.channel import Channel, document
from sydd.kernel.fd import FileDescriptor
from sydd.supervisor import notes, slot

if TYPE_CHECKING:
    from sydd.daemon.blank import Blank
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

    def dismiss(self) -> None:
        """Have it end, where it was told nothing yet, and close both."""
        self.close()

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


class Forker(Protocol):
    """Forks processes of sessions."""

    async def fork(
        self, order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]
    ) -> tuple[int, FileDescriptor]:
        """Fork a process that does `obey` with these arguments; its pid, and a pidfd of it.

        Raises:
            ForkerDiedError: see there.
            OSError: EAGAIN, ENOMEM, EMFILE. The descriptors stay the caller's.
        """

    async def blank(self, kind: Kind) -> Blank:
        """Processes of a session, to be told what they are for.

        Args:
            kind: which.

        Raises:
            ForkerDiedError, OSError: as `fork`.
        """


class ForkerDiedError(OSError):
    """Who forks has died: whether it has forked is not known."""


ATTEMPTS = 3
"""Times that a process is forked where who forks dies."""


async def prepare(forker: Forker, spec: SessionSpec, precedent: Sequence[int] = ()) -> Process:
    """Fork the process that prepares a session, says what there is of it, or `failed`, and ends.

    Not for one whose command the daemon starts: there it comes with the worker.

    Args:
        forker: how.
        spec: what the session is to be.
        precedent: memfd of an earlier session's; none of it stands for none.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    pid, handle, (channel,) = await _begun(forker, Kind.PREPARER, spec, [precedent])
    return Process(pid, handle, channel)


async def spawn(forker: Forker, spec: SessionSpec, precedent: Sequence[int] = ()) -> Child:
    """Fork a worker, which waits for the session's state and for somebody to serve.

    Where the daemon starts the command, there are a keeper below it and a preparer below that, too.

    Args:
        forker: how.
        spec: what the session is to be.
        precedent: for that preparer, as for `prepare`; a worker alone gets none.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    with contextlib.ExitStack() as stack:
        held_slot = stack.enter_context(FileDescriptor(slot.create()))
        held_notes = stack.enter_context(FileDescriptor(notes.create()))
        kept = (held_slot.fileno(), held_notes.fileno())
        others = None
        if spec.origin == "run":
            given = [kept, (), precedent]
            pid, handle, (ours, keeper, preparer) = await _begun(forker, Kind.COMMAND, spec, given)
            others = keeper, preparer
        else:
            pid, handle, (ours,) = await _begun(forker, Kind.WORKER, spec, [kept])
        stack.pop_all()
    return Child(pid, handle, ours, held_slot, held_notes, others)


async def respawn(forker: Forker, spec: SessionSpec, held: Held) -> Process:
    """Fork a worker in place of one that has died: it answers the held request and serves on.

    It begins when it is told so (`begin`), which is once main keeps its channel for the next main. One that
    is forked by a main that has died before ends, and does not serve beside another in the dead one's place.
    It says `serving`, or `failed` when it cannot go on.

    Args:
        forker: how.
        spec: as for `spawn`.
        held: what main has of the session.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: nothing was started.
    """
    order = {"type": "go on", "command": held.command, "parent": held.parent}
    return await _forked(forker, order, spec, (held.slot, held.notes, held.listener, held.state))


async def _begun(
    forker: Forker, kind: Kind, spec: SessionSpec, given: Sequence[Sequence[int]]
) -> tuple[int, FileDescriptor, list[Channel]]:
    """Have processes of a session begin: see `Blank.begin`.

    Where one of them has died before they were told anything, there are others.
    """
    with FileDescriptor(written(spec)) as said:
        for left in reversed(range(ATTEMPTS)):
            with contextlib.ExitStack() as stack:
                try:
                    blank = await forker.blank(kind)
                    stack.callback(blank.close)
                    return blank.begin(said.fileno(), given)
                except (ForkerDiedError, BrokenPipeError):
                    if not left:
                        raise
    raise AssertionError  # it has returned, or raised


async def _forked(
    forker: Forker,
    order: Mapping[str, Any],
    spec: SessionSpec,
    kept: Sequence[int],
) -> Process:
    """Have a process forked that gets the other side of a new channel, and further descriptors.

    It begins when it is told to by that channel. So what was forked by who has died since does
    nothing, and can be forked again.
    """
    attempts = ATTEMPTS
    while True:
        with contextlib.ExitStack() as stack:
            ours, theirs = Channel.pair()
            stack.callback(ours.close)
            try:
                pid, handle = await forker.fork(order, spec, [theirs.fileno(), *kept])
            except ForkerDiedError:
                attempts -= 1
                if not attempts:
                    raise
                continue
            finally:
                theirs.close()
            stack.pop_all()
        return Process(pid, handle, ours)


def written(spec: SessionSpec) -> int:
    """A sealed memfd that tells a process what its session is to be; the caller closes it.

    Raises:
        OSError: EMFILE, ENOMEM.
    """
    return document("sydd-spec", json.dumps(spec.as_json()).encode("ascii"))


def obey(order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]) -> NoReturn:
    """Be what a process was forked for; in the child of a fork.

    Args:
        order: as a `Forker` was given it.
        spec: likewise.
        descriptors: likewise, now this process's.
    """
    channel = Channel.of(descriptors[0])
    wait_to_begin(channel)

    def life() -> int:
        identity.shed(descriptors)
        held_slot, held_notes, listener, state = descriptors[1:]
        held = Held(listener, state, held_slot, held_notes, int(order["command"]), int(order["parent"]))
        return worker.go_on(spec, channel, held)

    live(channel, life)
