"""Accesses that somebody is asked about: what `ask` rules say.

A call whose rule says `ask` is parked: its caller sleeps in the kernel, and nobody else is held up. Calls
about one access to one object wait for one answer. When it comes, the call goes the whole way again, from its
registers, with the access to that object as the one thing more that is permitted; it is read, resolved and
judged anew, and what is permitted is performed. So what the caller's threads, or others, did to memory and
names while it waited changes nothing about what was asked.

Nobody there to be asked, no answer in time, and too many questions are denials, and the event says so. A
signal for a parked caller is looked for now and then: its call is then interrupted, or starts anew, as one
that waits in the kernel does (see `blocking`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sydd.kernel import credentials, seccomp
from sydd.supervisor import answer as answers
from sydd.supervisor.answer import Answer
from sydd.supervisor.blocking import ERESTARTSYS, LOOK_SECONDS
from sydd.supervisor.slot import seated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sydd.supervisor.context import Context
    from sydd.supervisor.event import Event
    from sydd.supervisor.notification import Notification
    from sydd.supervisor.recorder import Recorder
    from sydd.supervisor.request import Request
    from sydd.supervisor.verdict import Verdict

MAXIMUM_PARKED: Final = 256
"""Calls that may wait for an answer at a time; one more is denied."""

MAXIMUM_REMEMBERED: Final = 1000
"""Answers that are remembered; later ones are for once."""

ALLOWED: Final = "allowed"
DENIED: Final = "denied"
LATE: Final = "nobody answered in time"
NOBODY: Final = "nobody to ask"
CROWDED: Final = "too many calls wait for an answer"


class Clients(Protocol):
    """Who is asked. Neither method may block; the worker's thread calls both."""

    def ask(self, question: int, event: Event, seconds: float) -> bool:
        """Put a question.

        Args:
            question: its number, by which it is decided.
            event: what is asked: the event that there will be if it is denied.
            seconds: how long there is to answer.

        Returns:
            False where nobody is there.
        """

    def settled(self, question: int, decision: str) -> None:
        """It waits for no answer any more.

        Args:
            question: its number.
            decision: as in the event; empty where its callers have gone.
        """


Approved = frozenset[tuple[int, str]]
"""Single accesses and the objects that they were permitted to, by canonical name or address."""

NONE_APPROVED: Final[Approved] = frozenset()


class Asking(Exception):  # noqa: N818  # no mistake: the call waits for an answer
    """A call has to wait for an answer.

    Args:
        question: to which question.
    """

    def __init__(self, question: Question) -> None:
        super().__init__(question.number)
        self.question = question


@dataclass(slots=True)
class _Parked:
    """A call that waits, and what had been permitted to it before."""

    notification: Notification
    approved: Approved
    seat: int


class Due(NamedTuple):
    """A call that waits no longer.

    Attributes:
        notification: the call.
        approved: what is permitted to it.
        answer: its answer; None where it has to go the whole way again.
        seat: where it is put down for a successor of the worker; -1 for nowhere.
    """

    notification: Notification
    approved: Approved
    answer: Answer | None
    seat: int


@dataclass(slots=True, eq=False)
class Question:
    """One question, open until it is settled.

    Attributes:
        number: by which it is decided.
        about: the accesses to one object.
        event: the event that there will be if it is denied.
        deadline: when it is too late, by time.monotonic().
        parked: the calls that wait for it.
        expected: threads whose call was interrupted, and may come again for the answer.
        allow: what was decided; None for nothing yet.
        decision: how the event says it.
        remember: whether the answer is for the whole session.
    """

    number: int
    about: Approved
    event: Event
    deadline: float
    parked: list[_Parked] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)
    allow: bool | None = None
    decision: str = ""
    remember: bool = False


class Questions:
    """The questions of one session. `decide`, `ask_again` and `tell_again` are for any thread.

    Args:
        listener: on which parked calls are answered.
        recorder: for events.
        clients: who is asked; None for nobody.
        context: the session.

    Attributes:
        elsewhere: asks in place of this object; what it does is as `ask`. None for nobody.
        open: the open questions, by number.
        approved: what is permitted to the call that is under way, where a rule says `ask`.
    """

    def __init__(self, listener: int, recorder: Recorder, clients: Clients | None, context: Context) -> None:
        self._listener = listener
        self._recorder = recorder
        self._clients = clients
        self._patience = context.patience
        self._slot = context.slot
        self._note = context.note
        self._lock = threading.Lock()  # over what `decide` shares with the worker
        self.elsewhere: Callable[[Request, Verdict, str | None], None] | None = None
        self.open: dict[int, Question] = {}
        self._remembered: Approved = NONE_APPROVED
        self._refused: Approved = NONE_APPROVED
        self._asked = 0
        self._wake = -1
        self._again = False
        self._next_look = 0.0
        self.approved: Approved = NONE_APPROVED

    def recall(self, asked: int) -> None:
        """Take that another worker has asked so many questions."""
        self._asked = max(self._asked, asked)

    def decide(self, question: int, *, allow: bool, remember: bool = False, by: str = "") -> bool:
        """Answer a question, from any thread.

        Args:
            question: its number.
            allow: whether the access is permitted.
            remember: whether it is decided for the session: for the same accesses to that object, where a
                rule says `ask`.
            by: who decides, for the event.

        Returns:
            False where it is not open any more.
        """
        with self._lock:
            found = self.open.get(question)
            if found is None or found.allow is not None:
                return False
            word = ALLOWED if allow else DENIED
            found.decision = f"{word} by {by}" if by else word
            found.remember = remember
            found.allow = allow
            os.eventfd_write(self._wake, 1)
        return True

    def ask_again(self) -> None:
        """The rules have changed: parked calls are judged by them, from any thread."""
        with self._lock:
            if self.open:
                self._again = True
                os.eventfd_write(self._wake, 1)

    def tell_again(self) -> None:
        """Put the open questions once more, from any thread: who was asked has forgotten them."""
        with self._lock:
            for question in self.open.values():
                rest = question.deadline - time.monotonic()
                if self._clients is not None and question.allow is None and rest > 0:
                    self._clients.ask(question.number, question.event, rest)

    def ask(self, request: Request, verdict: Verdict, allow: str | None = None) -> None:
        """Ask whether *request* may go ahead.

        Args:
            request: the call.
            verdict: what a rule wants to be asked about.
            allow: the rule line that would allow it, where that is no matter of the path.

        Returns:
            When it is denied at once, which has been recorded.

        Raises:
            Asking: the call has to be parked.
            CallerGone: the caller has ended.
        """
        if self.elsewhere is not None:
            self.elsewhere(request, verdict, allow)
            return
        demand = verdict.demand
        name = demand.found.path if demand else ""
        about = frozenset((int(bit), name) for bit in verdict.missing)
        tid = request.notification.tid
        if about & self._refused:
            self._recorder.record(request, verdict, allow=allow, decision=f"{DENIED}, as before")
            return
        if sum(len(question.parked) for question in self.open.values()) >= MAXIMUM_PARKED:
            self._recorder.record(request, verdict, allow=allow, decision=CROWDED)
            return
        for question in self.open.values():
            # What is decided is so for those alone who have asked.
            if question.about == about and (question.allow is None or tid in question.expected):
                raise Asking(question)
        if self._clients is None:
            self._recorder.record(request, verdict, allow=allow, decision=NOBODY)
            return
        event = self._recorder.event(request, verdict, allow=allow)
        # Never the number of another one: who answers it would permit what was not asked.
        self._note("asked", self._asked + 1)
        self._asked += 1
        question = Question(self._asked, about, event, time.monotonic() + self._patience)
        if self._wake < 0:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with self._lock:
            self.open[question.number] = question  # it may be decided before `ask` returns
        if self._clients.ask(question.number, event, self._patience):
            raise Asking(question)
        with self._lock:
            del self.open[question.number]
        self._recorder.record(request, verdict, allow=allow, decision=NOBODY)

    def park(
        self,
        notification: Notification,
        asking: Asking,
        approved: Approved | None = None,
        seat: int | None = None,
    ) -> bool:
        """Let a call wait that was *approved* something (None: what is now); False if there is no *seat*."""
        if seat is None:
            seat = -1 if self._slot is None else self._slot.take_seat()
            if seat < 0 and self._slot is not None:
                return False
        known = self.approved if approved is None else approved
        asking.question.parked.append(_Parked(notification, known, seat))
        asking.question.expected.discard(notification.tid)
        return True

    def wait(self, others: Iterable[int], *, looks: bool) -> set[int]:
        """Wait until a notification comes, a question is decided, or it is time to look after parked calls.

        Args:
            others: further descriptors to wait for.
            looks: whether it is to be looked after anything, now and then; else these tell everything.

        Returns:
            The descriptors that have something to say, of the listener and these.
        """
        poll = select.poll()
        wakes = (self._wake,) if self._wake >= 0 else ()
        for fd in (self._listener, *wakes, *others):
            poll.register(fd, select.POLLIN)
        rest = max(0.0, self._next_look - time.monotonic()) * 1000 if looks else None
        ready = {fd for fd, _ in poll.poll(rest)}
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
        return ready

    def due(self) -> list[Due]:
        """The calls that wait no longer."""
        found: list[Due] = []
        with self._lock:
            again, self._again = self._again, False
        for question in list(self.open.values()):
            if question.parked and question.allow is not None:
                found += self._settled(question)
            elif not question.parked and not question.expected:
                self._withdraw(question)
        if again:
            for question in self.open.values():
                found += [
                    Due(parked.notification, parked.approved, None, parked.seat) for parked in question.parked
                ]
                question.parked.clear()
        now = time.monotonic()
        if now >= self._next_look:
            for question in list(self.open.values()):
                found += self._looked_after(question, now)
            self._next_look = time.monotonic() + LOOK_SECONDS
        return found

    def permit(self, approved: Approved) -> None:
        """The call that comes next is permitted *approved*, and what was remembered."""
        self.approved = approved | self._remembered if approved else self._remembered

    def close(self) -> None:
        """Give up: the kernel answers those who wait."""
        for question in list(self.open.values()):
            self._withdraw(question)
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _settled(self, question: Question) -> list[Due]:
        """Those who waited for a question that is decided."""
        allowed = bool(question.allow)
        if question.remember and len(self._remembered) + len(self._refused) < MAXIMUM_REMEMBERED:
            if allowed:
                self._remembered |= question.about
            else:
                self._refused |= question.about
        answer = None if allowed else answers.error(errno.EACCES)
        found: list[Due] = []
        for parked in question.parked:
            with seated(self._slot, parked.seat):
                self._recorder.settle(question.event, question.decision, allowed=allowed)
            found.append(Due(parked.notification, parked.approved | question.about, answer, parked.seat))
        question.parked.clear()
        if not question.expected:
            self._withdraw(question)
        return found

    def _looked_after(self, question: Question, now: float) -> list[Due]:
        """Those who wait in vain: it is too late, they have gone, or a signal waits for them."""
        if now >= question.deadline:
            question.expected.clear()
            with self._lock:
                if question.allow is None:
                    question.allow, question.decision = False, LATE
            return self._settled(question)
        found: list[Due] = []
        staying = []
        for parked in question.parked:
            notification = parked.notification
            try:
                interrupted = credentials.is_interrupted(notification.tid)
            except OSError:
                interrupted = False
            if not seccomp.id_valid(self._listener, notification.id):
                if self._slot is not None:
                    self._slot.leave_seat(parked.seat)
                continue
            if interrupted:
                question.expected.add(notification.tid)
                answer = answers.error(ERESTARTSYS)
                found.append(Due(notification, NONE_APPROVED, answer, parked.seat))
            else:
                staying.append(parked)
        question.parked[:] = staying
        return found

    def _withdraw(self, question: Question) -> None:
        """It is open no more."""
        with self._lock:
            self.open.pop(question.number, None)
        if self._clients is not None:
            self._clients.settled(question.number, question.decision)
