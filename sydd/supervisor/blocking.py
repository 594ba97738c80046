"""Calls that wait for another process: the open of a FIFO, a connect, a message for who has no room.

Each gets a process of its own. It holds up nobody, and it can be ended at any moment: a thread that sleeps
in such a call could not. It shares the listener and answers by itself. It dies with its worker where that has
no successor; else it goes on, in a seat that tells the successor so, until its caller has gone. Where it ends
without an answer, the worker answers.

A signal for the caller does not reach it while its call is here (WAIT_KILLABLE_RECV), so the process looks
for one now and then. With ERESTARTSYS the kernel then does what it does natively: handlers run, and the call
starts anew or is EINTR, as sigaction(2) was told.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from sydd.kernel import credentials, pidfd, prctl, seccomp, sockets
from sydd.kernel.paths import probe_openat2
from sydd.supervisor import answer as answers
from sydd.supervisor.answer import Answer, Kind
from sydd.supervisor.reply import Replies
from sydd.supervisor.request import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sydd.supervisor.notification import Notification
    from sydd.supervisor.slot import Slot

ERESTARTSYS = 512
"""include/linux/errno.h; the kernel puts EINTR in its place, or calls again, before the caller sees it."""

LOOK_SECONDS = 0.02
"""How long a signal may wait until the caller hears it."""

MAXIMUM_WAITING = 256
"""Calls that may wait at a time; one more is told EAGAIN, as if the kernel were out of resources."""


LINGER = 0.2
"""Seconds that processes which are killed may take to end before nobody waits for them any more."""


def fork_to_wait(slot: Slot | None, waiting: int) -> tuple[int, int]:
    """Fork a process that answers the request that is held, in the worker's place.

    Args:
        slot: where the request gets a seat; None for a worker without successor.
        waiting: how many such processes there are.

    Returns:
        Its pid, 0 in the process itself; and its seat, -1 for none.

    Raises:
        OSError: EAGAIN when there are too many already, or what keeps it from being made.
    """
    if waiting >= MAXIMUM_WAITING:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    if slot is None:
        return os.fork(), -1
    before = slot.seat
    seat = slot.take_seat()
    if seat < 0:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    try:
        return os.fork(), seat
    except OSError:
        if seat != before:  # else nobody would know of the request any more
            slot.leave_seat(seat)
        raise


def handle_of(pid: int) -> int:
    """A pidfd of a process that was just forked; -1 when it has ended, and a reaper was quicker."""
    try:
        return pidfd.pidfd_open(pid)
    except ProcessLookupError:
        return -1


class Ending:
    """Processes that were killed and are collected once they have ended: a file system may keep them."""

    def __init__(self) -> None:
        self._processes: list[int] = []  # pidfds

    def add(self, process: int) -> None:
        """Kill and collect the process of a pidfd, which becomes this object's."""
        with contextlib.suppress(ProcessLookupError):
            pidfd.pidfd_send_signal(process, signal.SIGKILL)
        self._processes.append(process)
        self.collect()

    def collect(self) -> None:
        """Let go of those that have ended; the session's reaper may have collected them already."""
        for process in list(self._processes):
            try:
                ended = os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOHANG) is not None
            except ChildProcessError:
                ended = True
            if ended:
                os.close(process)
                self._processes.remove(process)

    def wait(self) -> None:
        """Give them some time, then forget them."""
        end = time.monotonic() + LINGER
        while self._processes and (rest := end - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(self._processes[0], select.POLLIN)
            poll.poll(rest * 1000)
            self.collect()
        for process in self._processes:
            os.close(process)
        self._processes.clear()


class _Waiting(NamedTuple):
    """A call that waits.

    Attributes:
        notification: the call.
        process: pidfd of who answers it; -1 when that has ended.
        seat: of the call; -1 for none.
    """

    notification: Notification
    process: int
    seat: int


class WaitingRoom:
    """The calls that wait, one process each.

    Args:
        listener: on which the calls are answered.
        slot: where calls that wait have their seats; None for a worker without successor.
        forked: called first in each process.
        unanswered: called with the call and its seat when the process has ended and left its caller without
            an answer.

    Attributes:
        calls: by cookie.
        in_place: whether this process waits for its one call itself, and ends with it.
    """

    def __init__(
        self,
        listener: int,
        slot: Slot | None,
        forked: Callable[[], None],
        unanswered: Callable[[Notification, int], None],
    ) -> None:
        self._listener = listener
        self._slot = slot
        self._forked = forked
        self._unanswered = unanswered
        self._replies = Replies(listener, slot)
        self._ending = Ending()
        self.calls: dict[int, _Waiting] = {}
        self.in_place = False

    def adopt(self, notification: Notification, seat: int) -> None:
        """Take over a call that a process of another worker, which has died, answers."""
        pid = 0 if self._slot is None else self._slot.claimant(seat)
        process = handle_of(pid) if pid else -1
        if process >= 0 and self._slot is not None and self._slot.claimant(seat) != pid:
            os.close(process)  # of somebody else, who has its number now
            process = -1
        self.calls[notification.id] = _Waiting(notification, process, seat)

    def open(self, notification: Notification, path: str, flags: int, fd_flags: int) -> None:
        """Open *path* in a process of its own and give the descriptor to the caller.

        Args:
            notification: the call.
            path: leads to the object as long as the descriptors of the request are open.
            flags: for open(2).
            fd_flags: O_CLOEXEC or 0, for the caller's descriptor.

        Raises:
            OSError: EAGAIN when too many wait already.
        """

        # The copied O_PATH descriptor keeps its number in the child: what *path* names there is the same
        # object.
        def act() -> int:
            return probe_openat2(AT_FDCWD, os.fsencode(path), flags, 0)  # not os.open, which calls again

        self._start(notification, act, fd_flags=fd_flags)

    def connect(
        self, notification: Notification, fd: int, address: bytes, whose: credentials.Credentials | None
    ) -> None:
        """Connect a socket in a process of its own.

        Args:
            notification: the call.
            fd: a copy of the caller's descriptor, which stays the caller's of this to close.
            address: where to.
            whose: with whose credentials; None for the worker's.

        Raises:
            OSError: EAGAIN when too many wait already.
        """
        limit = sockets.send_timeout(fd)
        late = errno.EAGAIN if sockets.about(fd).domain == socket.AF_UNIX else errno.EINPROGRESS
        self._start(notification, lambda: sockets.connect(fd, address), limit=limit, late=late, whose=whose)

    def listen(
        self, notification: Notification, fd: int, backlog: int, whose: credentials.Credentials
    ) -> None:
        """Listen with the credentials of the caller, which who connects is told (SO_PEERCRED).

        Raises:
            OSError: EAGAIN when too many wait already.
        """
        self._start(notification, lambda: sockets.listen(fd, backlog), whose=whose)

    def send(
        self,
        notification: Notification,
        fd: int,
        act: Callable[[], int],
        done: Callable[[], int],
        tell: Callable[[int], int],
        whose: credentials.Credentials | None,
    ) -> None:
        """Send a message in a process of its own.

        Args:
            notification: the call.
            fd: a copy of the caller's descriptor.
            act: sends, and says how many bytes, or a negative errno.
            done: bytes that have been sent so far, by an *act* that was interrupted.
            tell: what the call returns, of what *act* came to.
            whose: with whose credentials; None for the worker's.

        Raises:
            OSError: EAGAIN when too many wait already.
        """
        limit = sockets.send_timeout(fd)
        self._start(notification, act, limit=limit, late=errno.EAGAIN, whose=whose, done=done, tell=tell)

    def _start(
        self,
        notification: Notification,
        act: Callable[[], int],
        *,
        fd_flags: int | None = None,
        limit: float = 0.0,
        late: int = 0,
        whose: credentials.Credentials | None = None,
        done: Callable[[], int] = lambda: 0,
        tell: Callable[[int], int] = lambda result: result,
    ) -> None:
        """Do something in a process of its own, which answers.

        Args:
            notification: the call.
            act: what to do; its result, or a negative errno. After -EINTR it is done again.
            fd_flags: for the caller's descriptor, where *act* makes one: O_CLOEXEC or 0.
            limit: seconds after which to give up; 0 for never.
            late: the errno of giving up.
            whose: with whose credentials; None for the worker's.
            done: what the call returns when it gives up; 0 for the errno of that.
            tell: what the call returns, of what *act* came to.
        """
        call = _Call(notification, act, fd_flags, limit, late, whose, done, tell)
        if self.in_place:
            self._do(call)
            return
        self.sweep()
        pid, seat = fork_to_wait(self._slot, len(self.calls))
        if pid:
            self.calls[notification.id] = _Waiting(notification, handle_of(pid), seat)
            return
        try:
            if self._slot is not None:
                # First: who knows that the worker has ended has to see whose the call is.
                self._slot.claim(seat)
                self._slot.sit(seat)
            self._forked()
            self._do(call)
        finally:
            os._exit(0)

    def _do(self, call: _Call) -> None:
        """Do it, in a process that has nothing else to do, and answer."""
        # The worker's own way to hear of signals is shared with it.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGALRM, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        try:
            if call.whose is not None:
                credentials.become(call.whose)
            if self._slot is None:
                prctl.set_parent_death_signal(signal.SIGKILL)
            result = self._wait(call)
            if result < 0:
                result = call.done() or result
            result = call.tell(result)
        except OSError as failure:
            result = -(failure.errno or errno.EACCES)
        if call.fd_flags is not None and result >= 0:
            answer = Answer(Kind.DESCRIPTOR, result, call.fd_flags)
        else:
            answer = answers.value(result) if result >= 0 else answers.error(-result)
            if self._slot is not None:
                self._slot.performed(answer.kind, answer.value)
        self._replies.send(call.notification, answer)

    def _wait(self, call: _Call) -> int:
        """Do it, again after each look for signals, until it is done, late, or interrupted."""
        notification, limit = call.notification, call.limit
        signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
        end = time.monotonic() + limit
        while (result := call.act()) == -errno.EINTR:
            if not seccomp.id_valid(self._listener, notification.id):
                break  # nobody is left to be answered
            if credentials.is_interrupted(notification.tid):
                # The kernel calls again only what would wait for ever (sock_intr_errno).
                result = -errno.EINTR if limit else -ERESTARTSYS
                break
            if limit and time.monotonic() >= end:
                result = -call.late
                break
        signal.setitimer(signal.ITIMER_REAL, 0)
        return result

    def processes(self) -> list[int]:
        """Descriptors that are ready when one has ended."""
        return [each.process for each in self.calls.values() if each.process >= 0]

    def attend(self, ready: Collection[int]) -> None:
        """Have the calls answered whose processes have ended without."""
        for cookie, each in list(self.calls.items()):
            if each.process >= 0 and each.process not in ready:
                continue
            if seccomp.id_valid(self._listener, cookie):
                del self.calls[cookie]
                self._end(each)
                self._unanswered(each.notification, each.seat)

    def sweep(self) -> None:
        """End the processes whose callers have gone, and let go of those that are done."""
        for cookie, each in list(self.calls.items()):
            if not seccomp.id_valid(self._listener, cookie):
                del self.calls[cookie]
                self._end(each)
                if self._slot is not None:
                    self._slot.leave_seat(each.seat)
        self._ending.collect()

    def close(self) -> None:
        """End every process that still waits."""
        for each in self.calls.values():
            self._end(each)
        self.calls.clear()
        self._ending.wait()

    def _end(self, each: _Waiting) -> None:
        if each.process >= 0:
            self._ending.add(each.process)


class _Call(NamedTuple):
    """A call that waits: see `WaitingRoom._start`."""

    notification: Notification
    act: Callable[[], int]
    fd_flags: int | None
    limit: float
    late: int
    whose: credentials.Credentials | None
    done: Callable[[], int]
    tell: Callable[[int], int]
