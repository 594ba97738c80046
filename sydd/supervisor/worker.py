"""The worker: receives notifications, takes each through the stages, answers.

One thread, one listener. Everything that it opens for a request is closed with that request; what may
block is done elsewhere.
"""

from __future__ import annotations

import errno
import os
import select
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sydd.kernel import namespaces, seccomp
from sydd.plan.lost import lost_rights
from sydd.plan.plan import Engine
from sydd.policy.matcher import Matcher
from sydd.policy.policy import Mode
from sydd.policy.refused import ModeFixed
from sydd.supervisor import statistics
from sydd.supervisor.answer import CONTINUE, KILL, LATER
from sydd.supervisor.failure import MayStall
from sydd.supervisor.notification import ARCH, ID, NUMBER, decode, unpack
from sydd.supervisor.questions import NONE_APPROVED
from sydd.supervisor.slot import KINDS
from sydd.supervisor.stages import Stages
from sydd.supervisor.succession import Succession
from sydd.supervisor.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sydd.policy.bind import BoundRule
    from sydd.supervisor.context import Context
    from sydd.supervisor.journal import Journal
    from sydd.supervisor.questions import Clients
    from sydd.supervisor.slot import Slot


class Worker(Stages):
    """Serves one listener until the last process of the session has gone.

    Args:
        context: the session.
        listener: descriptor from seccomp(2); stays the caller's to close.
        journal: where events go.
        receive_ends: whether the kernel ends RECV when the last process has gone (Linux 6.11); else it is
            polled first.
        clients: who is asked where a rule says `ask`; None for nobody, which denies.
        succeeds: whether another worker served the listener before, which has died.

    Attributes:
        handled: how many notifications were received.
    """

    def __init__(
        self,
        context: Context,
        listener: int,
        journal: Journal,
        *,
        receive_ends: bool,
        clients: Clients | None = None,
        succeeds: bool = False,
    ) -> None:
        super().__init__(context, listener, journal, clients)
        self._receive_ends = receive_ends
        self._succeeds = succeeds
        self._calls = None if self._slot is None else self._slot.calls
        self._turn = Turn()
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._is_over = False
        self.handled = 0

    def replace_rules(self, rules: Sequence[BoundRule]) -> None:
        """Put rules behind the profile's, in place of those that were put there before; from any thread.

        When this returns they are in force: a call that begins after that is judged by them. What the kernel
        would permit against them is performed from then on, and no longer left to it. Open files stay open.

        Args:
            rules: every rule that was added, in order, bound to the session; each has passed
                `plan.runtime.check_rule`.
        """
        base = self._context.matcher.rules
        placed = [replace(rule, index=len(base) + place) for place, rule in enumerate(rules)]
        matcher = Matcher((*base, *placed)) if placed else self._context.matcher
        ruleset = self._context.plan.landlock
        lost = int(lost_rights(ruleset, matcher, placed)) if ruleset is not None else 0

        def change() -> None:
            self._matcher = matcher
            self._coverage.narrow(lost)
            if self._addresses is not None:
                self._addresses.follow(matcher)
            self._find_short_ways()

        self._turn.between(change)
        self._questions.ask_again()

    def set_mode(self, mode: Mode) -> None:
        """Change whether what is denied is stopped, from any thread; in force as with `replace_rules`.

        Only a session whose rules the supervisor alone enforces can change: Landlock refuses what it refuses
        to the end, and a session that began in audit mode never had what holds a boundary (Landlock, calls
        that no session may make). What no rule speaks of stays refused in both modes.

        Raises:
            ModeFixed: the mode of this session cannot be changed to that one.
        """
        engine = self._context.plan.engine
        auditing = mode is Mode.AUDIT
        if auditing == self._auditing:
            return
        if engine is Engine.AUDIT:
            raise ModeFixed("the session began in audit mode, without what holds a boundary: start it anew")
        if engine is not Engine.SUPERVISOR:
            raise ModeFixed(f"engine {engine.value}: what Landlock refuses stays refused; start it anew")

        def change() -> None:
            self._auditing = auditing
            self._recorder.audit(auditing)
            if self._addresses is not None:
                self._addresses.audit(auditing)
            self._find_short_ways()

        self._turn.between(change)
        self._questions.ask_again()

    def finish(self) -> None:
        """End every process that makes a call from now on, from any thread: the session is over."""

        def change() -> None:
            self._is_over = True
            self._quick = {}

        self._turn.between(change)

    def decide(self, question: int, *, allow: bool, remember: bool = False, by: str = "") -> bool:
        """Answer a question that `Clients.ask` put, from any thread; see `Questions.decide`."""
        return self._questions.decide(question, allow=allow, remember=remember, by=by)

    def put_questions_again(self) -> None:
        """See `Questions.tell_again`."""
        self._questions.tell_again()

    @property
    def matcher(self) -> Matcher:
        """The rules that hold now."""
        return self._matcher

    def between(self, change: Callable[[], None]) -> None:
        """Do *change* between two requests, from any thread: see `Turn.between`."""
        self._turn.between(change)

    def serve(self) -> None:
        """Answer until the listener hangs up. For a thread of its own, which gets its own umask."""
        namespaces.unshare(namespaces.CLONE_FS)
        try:
            if self._succeeds and self._slot is not None:
                self._resume(self._slot)
            self._loop()
        finally:
            self._turn.busy = False
            self.end()

    def _resume(self, slot: Slot) -> None:
        """Answer what the worker before this one left."""
        succession = Succession(slot, self._listener)
        self._turn.busy = True
        self._turn.catch_up()
        for seat, notification in succession.answered_by_others():
            self._waiting.adopt(notification, seat)
        for notification in succession.left():
            answer = self._resumed(notification, self.answer)
            self._replies.send(notification, answer)
            slot.rise(answered=answer is not LATER)
        self._turn.busy = False

    def _loop(self) -> None:
        slot, listener = self._slot, self._listener
        buffer = bytearray(seccomp.NOTIF.size) if slot is None else slot.buffer
        receive = partial(seccomp.receive, listener, buffer) if slot is None else slot.receiver(listener)
        handle = self._handle
        turn, questions = self._turn, self._questions.open
        stand_ins, waiting = self._stand_ins.open, self._waiting.calls
        while True:
            if questions or stand_ins or waiting:
                if not self._attend():
                    continue
                if not self._receive_ends and self._hung_up(0):
                    return
            elif not self._receive_ends and self._hung_up(None):
                return
            try:
                receive()
            except OSError as failure:
                if failure.errno == errno.ENOENT:
                    # The caller died before its request could be copied, or nobody is left.
                    if self._hung_up(0):
                        return
                    continue
                if failure.errno == errno.EINTR:
                    continue
                raise
            number = self.handled
            self.handled = number + 1
            turn.busy = True
            if turn.change is not None:
                turn.catch_up()
            if slot is None or number % statistics.TIMED:
                handle(unpack(buffer))
            else:
                statistics.timed(slot, handle, unpack(buffer))
            turn.busy = False

    def _handle(self, fields: tuple[int, ...]) -> None:
        """Answer one notification, or have it answered."""
        way = self._quick.get(fields[NUMBER])
        try:
            quick = way(fields) if way is not None and fields[ARCH] == self._arch else None
        except MayStall:
            quick = None  # as the whole way finds, too
        if quick is CONTINUE:
            self._replies.go_on(fields[ID])
            if self._calls is not None:
                self._calls[fields[NUMBER] * KINDS] += 1  # the quick way knows own numbers alone
            return
        notification = decode(fields)
        answer = KILL if self._is_over else quick or self.answer(notification)
        self._replies.send(notification, answer)
        if self._slot is not None:
            statistics.count(self._slot, fields, answer.kind, own=fields[ARCH] == self._arch)
            self._slot.begin()

    def _attend(self) -> bool:
        """While calls wait: wait, answer who has waited; whether there is something to receive."""
        stand_ins, waiting = self._stand_ins, self._waiting
        processes = waiting.processes()
        looks = bool(self._questions.open or stand_ins.open or len(processes) < len(waiting.calls))
        ready = self._questions.wait([*stand_ins.channels(), *processes], looks=looks)
        self._turn.busy = True
        self._turn.catch_up()
        stand_ins.attend(ready)
        stand_ins.sweep()
        waiting.attend(ready)
        waiting.sweep()
        for due in self._questions.due():
            self._questions.permit(due.approved)
            if self._slot is not None:
                self._slot.sit(due.seat)
            answer = due.answer or self.answer(due.notification)
            self._replies.send(due.notification, answer)
            if self._slot is not None:
                self._slot.rise(answered=answer is not LATER)
        self._questions.permit(NONE_APPROVED)
        self._turn.busy = False
        return self._listener in ready

    def _hung_up(self, timeout: int | None) -> bool:
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in self._poll.poll(timeout))


def receive_ends() -> bool:
    """Whether SECCOMP_IOCTL_NOTIF_RECV returns when the last process of the session has gone: Linux 6.11.

    No call tells; asking would mean to wait for something that may never come.
    """
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.partition("-")[0])) >= (6, 11)
