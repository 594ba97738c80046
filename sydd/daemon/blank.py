"""The processes of a session whose command the daemon starts, before it is known what session that is.

A worker, its child the keeper, and that one's child the preparer. They are blank: none of them has done
anything that it would not do for every session. Each waits at a channel to who has forked it for what it is
for, which is said once (descriptors: what the session is to be, its channel to main, then what it needs).
It begins when main says so, and ends where one of these channels does before. So they can be forked before
they are needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, NoReturn

from sydd.daemon import identity, keeper, preparer, rehearsal, worker
from sydd.daemon.birth import EXIT_BROKEN, live, tell_failure, wait_to_begin
from sydd.daemon.channel import Channel, read_document
from sydd.daemon.spec import SessionSpec
from sydd.kernel import pidfd, prctl
from sydd.kernel.fd import FileDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Blank:
    """Such processes, as who has forked them sees them.

    Nobody may collect the worker while this is made, so that its number is no other process's.

    Attributes:
        pid: of the worker.
        pidfd: of the worker.

    Raises:
        OSError: EAGAIN, ENOMEM, EMFILE: there are none.
    """

    def __init__(self) -> None:
        self._channels: list[Channel] = []
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as given:
            theirs = []
            for _ in range(3):
                mine, its = Channel.pair()
                stack.callback(mine.close)
                given.callback(its.close)
                self._channels.append(mine)
                theirs.append(its)
            self.pid = _fork(lambda: _be_worker(*theirs))
            self.pidfd = FileDescriptor(pidfd.pidfd_open(self.pid))
            stack.pop_all()

    def filenos(self) -> list[int]:
        """Descriptors of which one hangs up as soon as one of the processes has ended."""
        return [channel.fileno() for channel in self._channels]

    def tell(self, spec: int, channels: Sequence[int], kept: Sequence[int]) -> None:
        """Tell them what they are for.

        Args:
            spec: the session, as a document.
            channels: to main: the worker's, the keeper's, the preparer's.
            kept: further descriptors of the worker's.

        Raises:
            OSError: EPIPE: there is no worker any more. Where another one is not there, main finds its
                channel at its end.
        """
        workers, keepers, preparers = self._channels
        for channel, descriptor in ((preparers, channels[2]), (keepers, channels[1])):
            with contextlib.suppress(BrokenPipeError):
                channel.send({"type": "be"}, [spec, descriptor])
        workers.send({"type": "be"}, [spec, channels[0], *kept])

    def close(self) -> None:
        """Let go of them: those that have not been told anything end."""
        for channel in self._channels:
            channel.close()
        self.pidfd.close()


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


def _told(channel: Channel) -> tuple[SessionSpec, Channel, list[int]]:
    """Wait until it is said what this process is for, and that it is to begin.

    Returns:
        The session, the channel to main, and what else was given, at last by main itself.
    """
    select.select([channel], [], [])
    received = channel.receive()
    if received is None:
        os._exit(0)
    channel.close()
    with received[1] as descriptors:
        spec = SessionSpec.from_json(json.loads(read_document(descriptors[0])))
        main, *others = [descriptors.steal(place).steal() for place in range(1, len(descriptors))]
    mains = Channel.of(main)
    return spec, mains, others + wait_to_begin(mains)


def _be_worker(channel: Channel, keepers: Channel, preparers: Channel) -> NoReturn:
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
    spec, main, (slot, notes) = _told(channel)
    if problem:
        tell_failure(main, {"kind": "setup", "message": problem})
        os._exit(EXIT_BROKEN)
    live(main, lambda: worker.begin(spec, main, slot, notes, (pid, ours)))


def _be_keeper(channel: Channel, preparers: Channel, workers: Channel) -> NoReturn:
    mains = os.geteuid() == 0
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid, problem = 0, ""
    try:
        pid = _fork(lambda: _be_preparer(preparers, theirs))
    except OSError as error:
        problem = f"no process for the command: {error.strerror}"
    identity.shed((channel.fileno(), workers.fileno(), ours.fileno()))
    prctl.set_child_subreaper()
    spec, main, _ = _told(channel)
    keeper.keep(spec, main, workers, ours, pid, mains=mains, problem=problem)


def _be_preparer(channel: Channel, keepers: socket.socket) -> NoReturn:
    identity.shed((channel.fileno(), keepers.fileno()))
    _rehearse(rehearsal.prepare_nothing, channel)
    spec, main, precedent = _told(channel)
    preparer.become_command(spec, main, keepers.detach(), *precedent or [-1])
