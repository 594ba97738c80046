"""One notification on its way through the stages: read, resolved, judged, done or refused."""

from __future__ import annotations

import errno
import os
import time

from sydd.kernel import credentials, seccomp
from sydd.kernel.names import RENAME_EXCHANGE
from sydd.policy.access import Access, Action
from sydd.supervisor import answer as answers
from sydd.supervisor.answer import CONTINUE, KILL, LATER, LEFT, Answer
from sydd.supervisor.failure import CallerGone, MayStall, NaturalFailure, Stranger
from sydd.supervisor.found import Found
from sydd.supervisor.gain import freed_device, gains, gives_identity, same_action
from sydd.supervisor.identity import keeps
from sydd.supervisor.idmap import in_own_ids
from sydd.supervisor.lookup import LOOK_UPS, looks_by
from sydd.supervisor.moves import moves_directory
from sydd.supervisor.narrow import narrowed
from sydd.supervisor.notification import Notification
from sydd.supervisor.parts import Parts
from sydd.supervisor.perform import CREATING, PERFORMED, Changed, MayBlock
from sydd.supervisor.processes import ABOUT_PROCESSES
from sydd.supervisor.questions import Asking
from sydd.supervisor.refusal import natural_errno, refusal_errno
from sydd.supervisor.request import Request, read_request, unread
from sydd.supervisor.rights import granted, rights_at_most
from sydd.supervisor.shortcut import CHANGING
from sydd.supervisor.sockets import descriptor_errno, refuses_family
from sydd.supervisor.standin import Parked
from sydd.supervisor.succession import at_most_once, not_twice
from sydd.supervisor.target import Demand, Target, locate
from sydd.supervisor.verdict import Verdict, judge
from sydd.syscalls.row import Operation, Row

RETRIES = 8
"""How often a request is resolved anew when names change under it, before the caller gets ESTALE."""


class Stages(Parts):
    """Takes notifications of one session through the stages, one at a time."""

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
            return LATER if self._questions.park(notification, asking) else answers.error(errno.EAGAIN)
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
        if operation is Operation.EXEC and self._launches(notification):
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

    def _launches(self, notification: Notification) -> bool:
        """Whether a program is executed by who launches the command: its first one, which nobody judges."""
        if self._launch == notification.id:  # a worker has died over it
            return True
        if self._launch or notification.tid != self._context.command:
            return False
        self._context.note("launched", notification.id)
        self._launch = notification.id
        return True

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


def _translated(number: int | None) -> int:
    """An errno of the worker's own trouble, as the caller shall see it: never one that asks for a retry."""
    return errno.EACCES if number in (None, errno.EINTR, errno.EPERM) else number or errno.EACCES
