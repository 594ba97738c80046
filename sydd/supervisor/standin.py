"""Stand-ins: processes that take one request the whole way each, where the way may have to wait.

What lies on a file system that may not answer (`sydd.supervisor.stalls`) is not touched by the worker. It
forks a stand-in, which begins again with the request's registers, and may wait: to read memory, to resolve,
to act. It has all that the worker knows, and answers by itself. What it learns, tells and wants to be asked
goes up to the worker over a socket, before it goes on: events, questions, and notes, from which the worker
learns what a successor would.

Nobody waits for a stand-in but its caller. When that has gone it is killed, and where a file system keeps it
even then (a request of FUSE that was read and not answered) it is left to end by itself: it holds no terminal
and answers nobody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from sydd.kernel import prctl, seccomp
from sydd.supervisor.blocking import Ending, fork_to_wait, handle_of
from sydd.supervisor.failure import CallerGone
from sydd.supervisor.journal import Journal
from sydd.supervisor.procfs import above_all, supervise_below
from sydd.supervisor.questions import Asking

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sydd.supervisor.event import Event
    from sydd.supervisor.journal import Key
    from sydd.supervisor.notification import Notification
    from sydd.supervisor.questions import Approved
    from sydd.supervisor.request import Request
    from sydd.supervisor.slot import Slot
    from sydd.supervisor.verdict import Verdict

_LONGEST = 1 << 20
"""Bytes of a message between the two, more than any is: paths, and a value of an extended attribute."""

DENIED, PARKED, GONE = "denied", "parked", "gone"
"""What comes of a question."""


class Parked(Asking):
    """A call waits for an answer already, and not for this process's."""

    def __init__(self) -> None:
        Exception.__init__(self)


class Above:
    """The worker, as its stand-in sees it.

    Args:
        channel: to it.
        listener: on which the request is answered,
        cookie: by this.
    """

    def __init__(self, channel: socket.socket, listener: int, cookie: int) -> None:
        self._channel = channel
        self._listener = listener
        self._cookie = cookie

    def call(self, kind: str, *what: Any) -> Any:
        """Have the worker do something; what it says to that."""
        try:
            self._channel.send(pickle.dumps((kind, what)))
            said = self._channel.recv(_LONGEST)
        except OSError:
            said = b""
        if not said:
            self._give_up()
        return pickle.loads(said)  # noqa: S301  # from the process that forked this one

    def _give_up(self) -> NoReturn:
        """The worker has died, and nobody would know of what this does: the caller may call again."""
        with contextlib.suppress(OSError):
            seccomp.send(self._listener, seccomp.RESP.pack(self._cookie, 0, -errno.EINTR, 0))
        os._exit(0)

    def note(self, *what: Any) -> None:
        """See `Context.note`."""
        self.call("note", *what)

    def ask(self, request: Request, verdict: Verdict, allow: str | None, approved: Approved) -> None:
        """See `Questions.ask`; *approved* is what had been permitted to the request before.

        Raises:
            Parked: the worker lets it wait.
        """
        said = self.call("ask", request, verdict, allow, approved)
        if said == PARKED:
            raise Parked
        if said == GONE:
            raise CallerGone


class DistantJournal(Journal):
    """The worker's journal, as its stand-in sees it.

    Args:
        above: the worker.
    """

    def __init__(self, above: Above) -> None:
        super().__init__()
        self._above = above

    def repeat(self, key: Key) -> bool:
        """See Journal.repeat."""
        return bool(self._above.call("repeat", key))

    def add(self, key: Key, event: Event) -> None:
        """See Journal.add; the worker numbers it."""
        self._above.call("event", key, event)

    def trouble(self, message: str) -> None:
        """See Journal.trouble."""
        self._above.call("trouble", message)


@dataclass(slots=True)
class _StandIn:
    """One of them.

    Attributes:
        notification: its request.
        process: its pidfd; -1 when it ended at once.
        channel: to it.
        seat: where the request is put down for a successor of the worker; -1 for nowhere.
        parked: whether the request waits for an answer to a question instead.
    """

    notification: Notification
    process: int
    channel: socket.socket
    seat: int
    parked: bool = False


class StandIns:
    """The stand-ins of one worker.

    Args:
        listener: on which they answer.
        slot: where their requests have their seats; None for a worker without successor.
        forked: called first in each of them.
        hear: does what one of them wants to be done, and says what it is told. Takes the request, its seat,
            what kind of thing it is, and what it is about.
        unanswered: called with the request and its seat when one has ended and left its caller without an
            answer.

    Attributes:
        open: by cookie.
    """

    def __init__(
        self,
        listener: int,
        slot: Slot | None,
        forked: Callable[[], None],
        hear: Callable[[Notification, int, str, tuple[Any, ...]], Any],
        unanswered: Callable[[Notification, int], None],
    ) -> None:
        self._listener = listener
        self._slot = slot
        self._forked = forked
        self._hear = hear
        self._unanswered = unanswered
        self._ending = Ending()
        self.open: dict[int, _StandIn] = {}

    def begin(self, notification: Notification, act: Callable[[Above], None]) -> None:
        """Let a stand-in take a request.

        Args:
            notification: the request.
            act: called in it; takes the request the whole way, and answers.

        Raises:
            OSError: EAGAIN when there are too many already, or what keeps it from being made.
        """
        self.sweep()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker, top = os.getpid(), above_all()
        try:
            pid, seat = fork_to_wait(self._slot, len(self.open))
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid:
            theirs.close()
            known = self.open.pop(notification.id, None)
            if known is not None:  # it has ended, or left the request to a question, which was answered
                self._forget(known)
            self.open[notification.id] = _StandIn(notification, handle_of(pid), ours, seat)
            return
        try:
            ours.close()
            supervise_below(top)
            if self._slot is not None:
                # First: who knows that the worker has ended has to see whose the call is.
                self._slot.claim(seat)
                self._slot.sit(seat)
            if self._settle_down(worker):
                act(Above(theirs, self._listener, notification.id))
        finally:
            os._exit(0)

    def _settle_down(self, worker: int) -> bool:
        """Become a process of its own; whether there is something to do."""
        self._forked()
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in range(3):
            os.dup2(nowhere, fd)
        os.close(nowhere)
        for other in self.open.values():
            other.channel.close()
        if self._slot is not None:
            return True
        prctl.set_parent_death_signal(signal.SIGKILL)
        return os.getppid() == worker

    def channels(self) -> list[int]:
        """Descriptors on which they speak."""
        return [each.channel.fileno() for each in self.open.values()]

    def attend(self, ready: Collection[int]) -> None:
        """Hear those that have something to say, and let go of those that have ended."""
        for cookie, each in list(self.open.items()):
            if each.channel.fileno() not in ready:
                continue
            try:
                said = each.channel.recv(_LONGEST)
            except OSError:
                said = b""
            if said:
                kind, what = pickle.loads(said)  # noqa: S301  # from a process that this one forked
                answer = self._hear(each.notification, each.seat, kind, what)
                each.parked = each.parked or answer == PARKED
                with contextlib.suppress(OSError):
                    each.channel.send(pickle.dumps(answer))
            else:
                if not each.parked and seccomp.id_valid(self._listener, cookie):
                    self._unanswered(each.notification, each.seat)
                if self.open.get(cookie) is each:  # else another one has it now
                    self._let_go(cookie)

    def sweep(self) -> None:
        """End those whose callers have gone."""
        for cookie in list(self.open):
            if not seccomp.id_valid(self._listener, cookie):
                self._let_go(cookie)
        self._ending.collect()

    def close(self) -> None:
        """End them all."""
        for cookie in list(self.open):
            self._let_go(cookie)
        self._ending.wait()

    def _let_go(self, cookie: int) -> None:
        each = self.open.pop(cookie)
        self._forget(each)
        if self._slot is not None and not each.parked:
            self._slot.leave_seat(each.seat)

    def _forget(self, each: _StandIn) -> None:
        each.channel.close()
        if each.process >= 0:
            self._ending.add(each.process)
