"""One notification on its way through the stages: read, resolved, judged, done or refused."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sydd.kernel import credentials, seccomp
from sydd.kernel.landlock import FsRight
from sydd.kernel.memory import Reader
from sydd.kernel.names import RENAME_EXCHANGE
from sydd.plan.plan import Enforcement, Engine
from sydd.policy.access import Access, Action
from sydd.supervisor import answer as answers
from sydd.supervisor.addressjudge import AddressJudge, Answers
from sydd.supervisor.answer import CONTINUE, KILL, LATER, LEFT, Answer
from sydd.supervisor.blocking import WaitingRoom
from sydd.supervisor.failure import CallerGone, MayStall, NaturalFailure, Stranger
from sydd.supervisor.gain import freed_device, gains, gives_identity, same_action
from sydd.supervisor.identity import keeps
from sydd.supervisor.idmap import in_own_ids
from sydd.supervisor.lookup import LOOK_UPS, LookUps, looks_by
from sydd.supervisor.moves import moves_directory, perform_among_others
from sydd.supervisor.narrow import narrowed
from sydd.supervisor.notification import Notification
from sydd.supervisor.perform import CREATING, PERFORMED, Changed, MayBlock, perform
from sydd.supervisor.processes import ABOUT_PROCESSES, Processes
from sydd.supervisor.questions import Asking, Parked, Questions
from sydd.supervisor.quick import QuickWays
from sydd.supervisor.recorder import Recorder
from sydd.supervisor.refusal import natural_errno, refusal_errno
from sydd.supervisor.reply import Replies
from sydd.supervisor.request import Request, read_request, unread
from sydd.supervisor.resolve import Found, Resolver
from sydd.supervisor.rights import granted, rights_at_most
from sydd.supervisor.shortcut import CHANGING, Shortcuts
from sydd.supervisor.socketcalls import about_addresses
from sydd.supervisor.sockets import descriptor_errno, refuses_family
from sydd.supervisor.stalls import Stalls
from sydd.supervisor.standin import DENIED, GONE, PARKED, Above, DistantJournal, StandIns
from sydd.supervisor.succession import at_most_once, not_twice, storing
from sydd.supervisor.target import Demand, Target, locate
from sydd.supervisor.verdict import Verdict, judge
from sydd.syscalls.row import Operation, Row
from sydd.syscalls.table import AUDIT_ARCH

if TYPE_CHECKING:
    from sydd.supervisor.context import Context
    from sydd.supervisor.journal import Journal
    from sydd.supervisor.questions import Clients
    from sydd.supervisor.quick import Way

RETRIES = 8
"""How often a request is resolved anew when names change under it, before the caller gets ESTALE."""


class Stages:
    """Takes notifications of one session through the stages, one at a time.

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
        self._waiting = WaitingRoom(listener, context.slot, context.forked)
        self._stand_ins = StandIns(listener, context.slot, context.forked, self._hear, self._unanswered)
        self._stalls = Stalls(_directory_of(context.command), self._heed)
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
        self._launching = True
        self._restricted = Access(0)
        for entry in context.plan.accesses:
            if entry.enforcement is not Enforcement.FREE:
                self._restricted |= entry.access

    def recall(self, kind: str, values: tuple[Any, ...]) -> None:
        """Take one note of a worker that has died, in whose place this one serves."""
        if kind == "launched":
            self._launching = False
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
            self._stand_ins.begin(notification, lambda above, seat: self._stand_in(notification, above, seat))
        except OSError as failure:
            return answers.error(failure.errno or errno.EAGAIN)
        return LATER

    def _stand_in(self, notification: Notification, above: Above, seat: int) -> None:
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
        self._replies.at_once = False
        self._perform_it = perform_among_others  # of whom the worker is one
        if self._slot is not None:
            self._slot.sit(seat)
        self._replies.send(notification, self.answer(notification))

    def _hear(self, notification: Notification, seat: int, kind: str, what: tuple[Any, ...]) -> Any:
        """Do what a stand-in wants to be done by its worker; what it is told."""
        if self._slot is not None:
            self._slot.begin()
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

    def _unanswered(self, notification: Notification) -> None:
        """A stand-in has ended without an answer: nothing goes ahead."""
        row = self._rows[notification.arch].get(notification.number)
        self._journal.trouble(f"{row.name if row else 'a call'} was denied: its stand-in has ended")
        self._replies.send(notification, answers.error(errno.EACCES))

    def answer(self, notification: Notification) -> Answer:
        """Take one notification through the stages.

        Whatever goes wrong with one request is answered as a denial: the loop goes on, and nothing gets
        through.
        """
        row = self._rows[notification.arch].get(notification.number)
        if row is None:
            return answers.error(errno.ENOSYS)
        if time.monotonic() >= self._stalls.next_look:
            self._stalls.look()
        try:
            if row.narrow:
                return self._judged(*narrowed(notification, row, self._reader))
            return self._judged(notification, row)
        except Parked:
            return LATER
        except Asking as asking:
            self._questions.park(notification, asking)
            return LATER
        except MayStall:
            return self._leave_to_stand_in(notification, row)
        except CallerGone:
            return answers.error(errno.ESRCH)
        except NaturalFailure as failure:  # of arguments that cannot be told; others have been dealt with
            return CONTINUE if self._auditing else answers.error(failure.errno)
        except OSError as failure:
            return answers.error(_translated(failure.errno))
        except Exception as failure:  # noqa: BLE001  # a mistake of ours costs one call, not the build
            self._journal.trouble(f"{row.name} was denied: {type(failure).__name__}: {failure}")
            return answers.error(errno.EACCES)

    def _judged(self, notification: Notification, row: Row) -> Answer:
        operation = row.operation
        if operation is Operation.EXEC and self._launching and notification.tid == self._context.command:
            self._launching = False
            self._context.note("launched")
            return CONTINUE
        judged = self._about_addresses.get(operation) if row.fd is not None else None
        if operation is Operation.REFUSED or (operation is Operation.SOCKET and judged is None):
            return self._flat(notification, row)
        if operation in ABOUT_PROCESSES:
            return self._about_processes(notification, row)
        self._resolver.caller = notification.tid
        if operation is Operation.IDENTITY:
            if self._processes.notes(notification, row):
                return CONTINUE
            if self._one_identity and not keeps(row, notification.registers):
                self._context.note("identities")
                self._one_identity = False
                self._find_short_ways()
            return CONTINUE
        resolved = judged or self._resolved
        if self._one_identity:
            try:
                return resolved(notification, row)
            finally:
                self._resolver.close()
        caller = credentials.of_task(notification.tid)
        self._resolver.credentials = looks_by(row, notification.registers, caller)
        try:
            return resolved(notification, row)
        finally:
            credentials.restore()
            self._resolver.close()

    def _about_processes(self, notification: Notification, row: Row) -> Answer:
        try:
            return at_most_once(
                self._slot,
                lambda: self._processes.answer(notification, row, one_identity=self._one_identity),
            )
        except Stranger as failure:
            return self._refuse_stranger(unread(notification, row), failure, Access(0))

    def _refuse_stranger(self, request: Request, failure: Stranger, access: Access) -> Answer:
        denial = Verdict(Action.DENY, access, Demand(0, Found(failure.path, -1)))
        self._recorder.record(request, denial, stranger=True)
        return answers.error(request.row.errno or errno.EACCES)

    def _resolved(self, notification: Notification, row: Row) -> Answer:
        """Read, then resolve and act, anew when names change under it."""
        request = None
        try:
            request = read_request(notification, row, self._reader)
            if self._shortcuts is not None and row.operation in CHANGING:
                self._shortcuts.forget()
            for _ in range(RETRIES):
                try:
                    return self._once(request)
                except Changed:
                    self._resolver.close()
            return answers.error(errno.ESTALE)
        except NaturalFailure as failure:
            return self._natural(request or unread(notification, row), failure.errno)
        except Stranger as failure:
            if request is None:
                return answers.error(errno.EACCES)
            refused = self._refuse_stranger(request, failure, Access.READ)
            return CONTINUE if self._stops_nothing else refused

    def _once(self, request: Request) -> Answer:
        """Resolve, decide, act."""
        target = locate(request, self._resolver)
        verdict = judge(self._matcher, target, self._questions.approved)
        action = verdict.action
        if action is Action.ALLOW:
            if self._auditing:
                return CONTINUE
            answer = self._permitted(request, target)
            if answer is CONTINUE:
                self._learn(request, target)
            return answer
        if not action.permits:
            number = 0 if action is Action.HIDE else natural_errno(request, target)
            if number:
                return CONTINUE if self._auditing else answers.error(number)
        if action is Action.ASK and not self._auditing:
            self._questions.ask(request, verdict)
            return answers.error(refusal_errno(action))
        self._recorder.record(request, verdict)
        if self._auditing:
            return CONTINUE
        if action is Action.WARN:
            return self._permitted(request, target)
        if action is Action.KILL:
            return KILL
        return answers.error(refusal_errno(action))

    def _permitted(self, request: Request, target: Target) -> Answer:
        """CONTINUE where the kernel holds and would say yes, else the operation itself."""
        operation = request.row.operation
        if operation in LOOK_UPS:
            return self._lookups.answer(request, target, is_confined=self._processes.is_confined)
        if operation not in PERFORMED:
            return CONTINUE
        if operation is Operation.RENAME or operation is Operation.LINK:
            number = self._gain(request, target)
            if number:
                return answers.error(number)
        if self._restrict.keeps_identity and operation is Operation.CHMOD and gives_identity(request, target):
            return answers.error(errno.EPERM)
        at_most = rights_at_most(request)
        held = at_most is not None and self._coverage.may_continue(at_most)
        if held and granted(target, self._coverage):
            return CONTINUE
        if at_most is not None and self._processes.is_confined(request.notification.tid):
            return LEFT if held else answers.error(errno.EACCES)
        if self._guards_devices and operation is Operation.OPEN:
            freed = freed_device(self._matcher, target)
            if freed is not None:
                self._recorder.record(request, freed)
                return answers.error(errno.EACCES)
        return self._perform(request, target)

    def _learn(self, request: Request, target: Target) -> None:
        """Let the next open of the same path take the quick way."""
        row, path = request.row, request.path
        if self._shortcuts is None or row.operation is not Operation.OPEN or row.extra:
            return
        if path and not target.creates:
            tid, canonical = request.notification.tid, target.demands[0].found.path
            self._shortcuts.learn(tid, request.dirfd, path, request.flags, canonical)

    def _gain(self, request: Request, target: Target) -> int:
        """EXDEV where a new name would allow more than the old one; 0 when it would not."""
        old, new = target.demands
        renamed = request.row.operation is Operation.RENAME
        moves = [(old, new)]
        if renamed and request.flags & RENAME_EXCHANGE:
            moves.append((new, old))
        directory = renamed and moves_directory(request, target)
        directories = []
        for source, destination in moves:
            before, after = source.found.path, destination.found.path
            if gains(self._matcher, self._restricted, before, after, directory=directory):
                return errno.EXDEV
            if directory and self._coverage.anchored_at_or_below(before):
                # Rules of Landlock follow the directory: what they grant there must be what the policy says
                # of the new name.
                if not same_action(self._matcher, self._restricted, before, after):
                    return errno.EXDEV
                directories.append(before)
        for moved in directories:
            self._context.note("moved", moved)
            self._coverage.forget(moved)
        return 0

    def _perform(self, request: Request, target: Target) -> Answer:
        notification = request.notification
        if self._restrict.own_namespaces and request.row.operation is Operation.CHOWN:
            request = in_own_ids(request)
        if request.row.operation in CREATING:
            os.umask(credentials.of_task(notification.tid).umask)
        if not seccomp.id_valid(self._listener, notification.id):
            raise CallerGone
        try:
            if self._slot is not None and not_twice(request, target):
                return at_most_once(self._slot, lambda: self._perform_it(request, target))
            return self._perform_it(request, target)
        except MayBlock as wait:
            self._waiting.open(notification, wait.path, wait.flags, request.flags & os.O_CLOEXEC)
            return LATER

    def _natural(self, request: Request, number: int) -> Answer:
        """The kernel's own word where it can be had: its order of checks is the right one by definition.

        And it can read what the worker cannot: the memory of a program that its user may not read.
        """
        operation = request.row.operation
        if self._auditing or not (operation in PERFORMED or operation in LOOK_UPS):
            return CONTINUE
        at_most = rights_at_most(request)
        if at_most is not None and self._coverage.may_continue(at_most):
            return CONTINUE
        return answers.error(number)

    def _flat(self, notification: Notification, row: Row) -> Answer:
        """Calls that are refused, or sockets, which are all or nothing: registers alone decide."""
        access = Access(0)
        action, rule = Action.DENY, None
        if row.operation is Operation.SOCKET:
            access = Access.BIND if row.asks == Access.BIND else Access.CONNECT
            action, rule = self._matcher.decide(access, "")
            if self._addresses is not None:
                # The filter makes every socket all of whose doings are judged, or permitted.
                told = row.fd is None and refuses_family(self._matcher, notification.registers)
                if told:
                    access, (action, rule) = told
                elif action.permits:
                    action, rule = Action.DENY, None
            if action is Action.ALLOW:
                return CONTINUE
            fd = 0 if row.fd is None else notification.registers[row.fd]
            number = 0 if row.fd is None else descriptor_errno(notification.tid, fd)
            if number:
                return CONTINUE if self._auditing else answers.error(number)
        self._recorder.record(unread(notification, row), Verdict(action, access, None, rule))
        stays_refused = bool(row.errno) and not self._stops_nothing
        if (self._auditing and not stays_refused) or action.permits:
            return CONTINUE
        if action is Action.KILL:
            return KILL
        return answers.error(row.errno or errno.EACCES)


def _directory_of(command: int) -> str:
    """The work directory: that of the command."""
    try:
        return os.readlink(f"/proc/{command}/cwd")
    except OSError:
        return os.getcwd()


def _translated(number: int | None) -> int:
    """An errno of the worker's own trouble, as the caller shall see it: never one that asks for a retry."""
    return errno.EACCES if number in (None, errno.EINTR, errno.EPERM) else number or errno.EACCES
