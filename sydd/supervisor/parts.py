"""What the stages of one session work with, also in a stand-in: made, told what it shall know, let go of."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sydd.kernel.landlock import FsRight
from sydd.kernel.memory import Reader
from sydd.plan.plan import Enforcement, Engine
from sydd.policy.access import Access
from sydd.supervisor import answer as answers
from sydd.supervisor.addressjudge import AddressJudge, Answers
from sydd.supervisor.answer import LATER, Answer
from sydd.supervisor.blocking import WaitingRoom
from sydd.supervisor.failure import CallerGone, MayStall
from sydd.supervisor.lookup import LookUps
from sydd.supervisor.moves import perform_among_others, perform_beside
from sydd.supervisor.notification import Notification
from sydd.supervisor.perform import perform
from sydd.supervisor.processes import Processes
from sydd.supervisor.questions import Asking, Questions
from sydd.supervisor.quick import QuickWays
from sydd.supervisor.recorder import Recorder
from sydd.supervisor.reply import Replies
from sydd.supervisor.resolve import Resolver
from sydd.supervisor.shortcut import CHANGING, Shortcuts
from sydd.supervisor.slot import seated
from sydd.supervisor.socketcalls import about_addresses
from sydd.supervisor.stalls import Stalls
from sydd.supervisor.standin import DENIED, GONE, PARKED, Above, DistantJournal, StandIns
from sydd.supervisor.succession import Resumption, storing
from sydd.syscalls.row import Row
from sydd.syscalls.table import AUDIT_ARCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.supervisor.context import Context
    from sydd.supervisor.journal import Journal
    from sydd.supervisor.questions import Clients
    from sydd.supervisor.quick import Way


class Parts(ABC):
    """The parts of one session; `Stages` takes notifications through them.

    Args:
        context: the session.
        listener: descriptor from seccomp(2); stays the caller's to close.
        journal: where events go.
        clients: who is asked where a rule says `ask`; None for nobody, which denies.
    """

    def __init__(
        self, context: Context, listener: int, journal: Journal, clients: Clients | None = None
    ) -> None:
        self._above: Above | None = None
        self._noting = context.note
        context = replace(context, note=self._note)
        self._context, self._restrict = context, context.plan.restrict
        self._matcher = context.matcher
        self._listener = listener
        self._journal = journal
        self._rows = context.rows
        self._reader = Reader()
        self._resolver = Resolver(context.terminals)
        self._slot = context.slot
        self._replies = Replies(listener, context.slot)
        self._waiting = WaitingRoom(listener, context.slot, context.forked, self._unanswered)
        self._stand_ins = StandIns(listener, context.slot, context.forked, self._hear, self._unanswered)
        self._stalls = Stalls(context.directory, self._heed)
        self._processes = Processes(context, listener, self._reader)
        self._lookups = LookUps(listener, own_namespaces=self._restrict.own_namespaces)
        self._coverage = context.plan.coverage()
        self._perform_it = perform if context.plan.landlock is None else perform_among_others
        ruleset = context.plan.landlock
        self._guards_devices = ruleset is not None and FsRight.IOCTL_DEV in ruleset.handled
        self._auditing = context.plan.engine is Engine.AUDIT
        self._stops_nothing = self._auditing  # what no rule speaks of neither
        self._recorder = Recorder(context, listener, journal)
        self._questions = Questions(listener, self._recorder, clients, context)
        self._addresses: AddressJudge | None = None
        self._about_addresses: Answers = {}
        if context.plan.sockets is not None:
            confined = self._processes.is_confined
            judge = AddressJudge(context, listener, self._resolver, self._recorder, self._questions, confined)
            calls = about_addresses(judge, self._reader, self._waiting)
            self._about_addresses = {
                operation: storing(self._slot, call) for operation, call in calls.items()
            }
            self._addresses = judge
        # All processes of a session begin with the worker's credentials, but for CAP_SYS_PTRACE, by which
        # it sees into them; a call that may change those is notified.
        self._one_identity = True
        self._arch = AUDIT_ARCH[context.plan.arch]
        self._shortcuts: Shortcuts | None = None
        self._quick: dict[int, Way] = {}
        self._heed()
        self._launch = 0  # the call by which the command was launched
        self._restricted = Access(0)
        for entry in context.plan.accesses:
            if entry.enforcement is not Enforcement.FREE:
                self._restricted |= entry.access

    def recall(self, kind: str, values: tuple[Any, ...]) -> None:
        """Take one note of a worker that has died, in whose place this one serves."""
        if kind == "launched":
            (self._launch,) = values
        elif kind == "identities":
            self._one_identity = False
            self._find_short_ways()
        elif kind == "moved":
            self._coverage.forget(*values)
        elif kind in ("port", "sender", "name"):
            if self._addresses is not None:
                self._addresses.recall(kind, values)
        elif kind == "asked":
            self._questions.recall(*values)
        elif kind in ("entered", "adopting", "ipc"):
            self._processes.recall(kind, values)

    def end(self) -> None:
        """Let go of what is kept between requests."""
        self._stand_ins.close()
        self._waiting.close()
        self._stalls.close()
        self._processes.close()
        if self._addresses is not None:
            self._addresses.close()
        self._resolver.end()
        self._questions.close()

    def _find_short_ways(self) -> None:
        """Set up what is quick under the policy that holds."""
        self._shortcuts, self._quick = None, {}
        if not self._one_identity:
            # Names are looked up, and acted on, with the worker's credentials there.
            return
        # Only what the kernel holds can take the short way.
        if self._context.plan.landlock is not None:
            self._shortcuts = Shortcuts(self._matcher, self._coverage, self._stalls)
        if not self._auditing:
            looked_at = self._restrict.own_namespaces or self._restrict.keeps_identity
            ways = QuickWays(self._listener, self._matcher, self._reader, self._resolver.descriptors)
            rows = self._context.rows[self._arch]
            self._quick = ways.by_number(rows, self._shortcuts, looked_at=looked_at)

    def _heed(self) -> None:
        """Touch nothing that may stall: there is something of the kind now, or nothing any more."""
        stalls = self._stalls
        self._reader.guard = stalls.before_reading if stalls.with_memory else None
        self._lookups.heed(stalls.before_writing if stalls.with_memory else None)
        self._resolver.heed(stalls if stalls.some else None)
        self._find_short_ways()

    def _note(self, *what: Any) -> None:
        """See `Context.note`."""
        if self._above is None:
            self._noting(*what)
        else:
            self._above.note(*what)

    def _leave_to_stand_in(self, notification: Notification, row: Row) -> Answer:
        """Have a request taken the whole way by a process that may wait."""
        if self._shortcuts is not None and row.operation in CHANGING:
            self._shortcuts.forget()
        try:
            self._stand_ins.begin(notification, lambda above: self._stand_in(notification, above))
        except OSError as failure:
            return answers.error(failure.errno or errno.EAGAIN)
        return LATER

    def _stand_in(self, notification: Notification, above: Above) -> None:
        """In a process of its own, take one request the whole way, and answer it."""
        self._above = above
        self._stalls.close()
        self._resolver.take_over()
        if self._addresses is not None:
            self._addresses.take_over()
        self._journal = DistantJournal(above)
        self._recorder.tell(self._journal)
        approved = self._questions.approved
        self._questions.elsewhere = lambda request, verdict, allow: above.ask(
            request, verdict, allow, approved
        )
        self._waiting.in_place = True
        if self._context.plan.landlock is None:
            self._perform_it = perform_beside
        self._replies.send(notification, self._resumed(notification, self.answer))

    def _resumed(self, notification: Notification, again: Callable[[Notification], Answer]) -> Answer:
        """Answer the request that is worked on from where who worked on it has died, if it was begun at all.

        Args:
            notification: the request.
            again: answers it where nothing was done.
        """
        if self._slot is None:
            return again(notification)
        row = self._rows[notification.arch].get(notification.number)
        try:
            resumption = Resumption(self._slot, self._reader, self._resolver)
            return resumption.answer(notification, row, again)
        except MayStall:
            return answers.error(errno.EINTR) if row is None else self._leave_to_stand_in(notification, row)

    def _hear(self, notification: Notification, seat: int, kind: str, what: tuple[Any, ...]) -> Any:
        """Do what a stand-in wants to be done by its worker; what it is told."""
        with seated(self._slot, seat):
            try:
                return self._heard(notification, seat, kind, what)
            except Exception as failure:  # noqa: BLE001  # a mistake of ours costs one call, not the build
                self._journal.trouble(f"a stand-in was not heard: {type(failure).__name__}: {failure}")
                return GONE

    def _heard(self, notification: Notification, seat: int, kind: str, what: tuple[Any, ...]) -> Any:
        if kind == "note":
            self._noting(*what)
            self.recall(what[0], what[1:])
        elif kind == "repeat":
            return self._journal.repeat(*what)
        elif kind == "event":
            key, event = what
            self._journal.add(key, replace(event, sequence=self._journal.next_sequence))
        elif kind == "trouble":
            self._journal.trouble(*what)
        elif kind == "ask":
            request, verdict, allow, approved = what
            try:
                self._questions.ask(request, verdict, allow)
            except Asking as asking:
                self._questions.park(notification, asking, approved, seat)
                return PARKED
            except CallerGone:
                return GONE
            return DENIED
        return None

    def _unanswered(self, notification: Notification, seat: int) -> None:
        """Who took a request has ended without an answer: what it has not done does not go ahead."""
        row = self._rows[notification.arch].get(notification.number)

        def denied(_: Notification) -> Answer:
            self._journal.trouble(
                f"{row.name if row else 'a call'} was denied: the process that took it has ended"
            )
            return answers.error(errno.EACCES)

        if self._slot is not None:
            self._slot.sit(seat)
        answer = self._resumed(notification, denied)
        self._replies.send(notification, answer)
        if self._slot is not None:
            self._slot.rise(answered=answer is not LATER)

    @abstractmethod
    def answer(self, notification: Notification) -> Answer:
        """Take one notification through the stages."""
