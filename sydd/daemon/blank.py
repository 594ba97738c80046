"""The processes of a session, before it is known what session that is.

Where the daemon starts the command: a worker, its child the keeper, and that one's child the preparer. Where
somebody else does: a worker, and a preparer beside it. They are blank: none of them has done anything that
concerns a user. Each waits at a channel, whose other side is main's, for what it is for, which is said once
(descriptors: what the session is to be, then what it needs). With that it begins; where the channel ends
before, so does the process. So they can be forked before they are needed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from sydd.daemon import identity, keeper, preparer, rehearsal, worker
from sydd.daemon.birth import EXIT_BROKEN, live, tell_failure
from sydd.daemon.channel import Channel, read_document
from sydd.daemon.spec import SessionSpec
from sydd.kernel import pidfd, prctl
from sydd.kernel.fd import FdSet, FileDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Kind(StrEnum):
    """What is forked together."""

    COMMAND = "command"  # worker, keeper and preparer, which becomes the command
    WORKER = "worker"
    PREPARER = "preparer"


class Blank:
    """Such processes, as main sees them.

    Args:
        pid: of the first one, which is the zygote's child.
        channels: main's sides of those to each: of COMMAND to worker, keeper and preparer.
    """

    def __init__(self, pid: int, channels: FdSet) -> None:
        self._pid = pid
        self._channels = [Channel.of(fd) for fd in channels.steal_from()]

    def filenos(self) -> list[int]:
        """Descriptors of which one hangs up as soon as one of the processes has ended."""
        return [channel.fileno() for channel in self._channels]

    def begin(self, spec: int, given: Sequence[Sequence[int]]) -> tuple[int, FileDescriptor, list[Channel]]:
        """Tell them what they are for.

        Args:
            spec: the session, as a document.
            given: further descriptors of each of them.

        Returns:
            Pid and pidfd of the first one, and the channels.

        Raises:
            OSError: EPIPE: one of them has ended, and none was told anything.
        """
        with contextlib.ExitStack() as stack:
            try:
                handle = FileDescriptor(pidfd.pidfd_open(self._pid))
            except ProcessLookupError:
                raise BrokenPipeError(errno.EPIPE, "it has ended") from None
            stack.callback(handle.close)
            if self._has_lost():  # else the number was its own when it was asked for
                raise BrokenPipeError(errno.EPIPE, "a process that begins the session has ended")
            # The last one first: a preparer has the most to do.
            for channel, descriptors in reversed(list(zip(self._channels, given, strict=True))):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end says so
                    channel.send({"type": "be"}, [spec, *descriptors])
            stack.pop_all()
        channels, self._channels = self._channels, []
        return self._pid, handle, channels

    def _has_lost(self) -> bool:
        poll = select.poll()
        for fd in self.filenos():
            poll.register(fd, 0)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Let go of them: those that have not been told anything end. A second time is fine."""
        for channel in self._channels:
            channel.close()


def fork(kind: Kind) -> tuple[int, FdSet]:
    """Fork them, in a process that does not collect them meanwhile.

    Returns:
        What `Blank` takes.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: there are none.
    """
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as given:
        mains, theirs = FdSet(), []
        stack.callback(mains.close)
        life, number = _LIVES[kind]
        for _ in range(number):
            mine, its = Channel.pair()
            mains.add(mine.detach())
            given.callback(its.close)
            theirs.append(its)
        pid = _fork(lambda: life(*theirs))
        stack.pop_all()
    return pid, mains


def _fork(life: Callable[[], NoReturn]) -> int:
    """Fork a process that lives so; its pid.

    Raises:
        OSError: EAGAIN, ENOMEM.
    """
    pid = os.fork()
    if not pid:
        try:
            life()
        finally:
            os._exit(EXIT_BROKEN)
    return pid


def _rehearse(work: Callable[[Callable[[], bool]], None], channel: Channel) -> None:
    """Rehearse until something is said; where that goes wrong, a session may do better all the same.

    Args:
        work: gets what says whether there is something to do by now.
        channel: where it is said.
    """
    with contextlib.suppress(Exception):
        work(lambda: bool(select.select([channel], [], [], 0)[0]))


def _told(channel: Channel) -> tuple[SessionSpec, list[int]]:
    """Wait until main says what this process is for.

    Returns:
        The session, and what else was given.
    """
    select.select([channel], [], [])
    received = channel.receive()
    if received is None:
        os._exit(0)
    with received[1] as descriptors:
        spec = SessionSpec.from_json(json.loads(read_document(descriptors[0])))
        return spec, descriptors.steal_from(1)


def _be_worker(channel: Channel) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    identity.shed((channel.fileno(),))
    _rehearse(rehearsal.serve_nobody, channel)
    spec, (slot, notes) = _told(channel)
    live(channel, lambda: worker.begin(spec, channel, slot, notes, None))


def _be_preparer(channel: Channel) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    identity.shed((channel.fileno(),))
    _rehearse(rehearsal.prepare_nothing, channel)
    spec, precedent = _told(channel)
    live(channel, lambda: preparer.begin(spec, channel, *precedent or [-1]))


def _be_worker_of_command(channel: Channel, keepers: Channel, preparers: Channel) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ours, theirs = Channel.pair()
    pid, problem = 0, ""
    try:
        # Below this process: under Yama's restrictions only who is above may look into a command. Now: what
        # this process writes to before would be copied for that one, too.
        pid = _fork(lambda: _be_keeper(keepers, preparers, theirs))
    except OSError as error:
        problem = f"no keeper: {error.strerror}"
    identity.shed((channel.fileno(), ours.fileno()))
    _rehearse(rehearsal.serve_nobody, channel)
    spec, (slot, notes) = _told(channel)
    if problem:
        tell_failure(channel, {"kind": "setup", "message": problem})
        os._exit(EXIT_BROKEN)
    live(channel, lambda: worker.begin(spec, channel, slot, notes, (pid, ours)))


def _be_keeper(channel: Channel, preparers: Channel, workers: Channel) -> NoReturn:
    mains = os.geteuid() == 0
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid, problem = 0, ""
    try:
        pid = _fork(lambda: _be_command(preparers, theirs))
    except OSError as error:
        problem = f"no process for the command: {error.strerror}"
    identity.shed((channel.fileno(), workers.fileno(), ours.fileno()))
    prctl.set_child_subreaper()
    spec, _ = _told(channel)
    keeper.keep(spec, channel, workers, ours, pid, mains=mains, problem=problem)


def _be_command(channel: Channel, keepers: socket.socket) -> NoReturn:
    identity.shed((channel.fileno(), keepers.fileno()))
    _rehearse(rehearsal.prepare_nothing, channel)
    spec, precedent = _told(channel)
    preparer.become_command(spec, channel, keepers.detach(), *precedent or [-1])


_LIVES: dict[Kind, tuple[Callable[..., NoReturn], int]] = {
    Kind.COMMAND: (_be_worker_of_command, 3),
    Kind.WORKER: (_be_worker, 1),
    Kind.PREPARER: (_be_preparer, 1),
}
"""What the first of each kind does, and the channels that it takes."""
