"""From a verdict to an event: who asked, for what, which rule said so, and which line would allow it."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from sydd.kernel import seccomp
from sydd.plan.engine import Engine
from sydd.policy.access import Action
from sydd.supervisor.destination import Destinations
from sydd.supervisor.event import NO_RULE, REFUSED, STRANGER, Event, now
from sydd.supervisor.failure import CallerGone
from sydd.supervisor.procfs import above_all
from sydd.supervisor.refusal import refusal_errno
from sydd.supervisor.sockets import allowing_socket, describe_socket, is_name_service
from sydd.supervisor.tasks import describe_process
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.supervisor.context import Context
    from sydd.supervisor.journal import Journal
    from sydd.supervisor.request import Request
    from sydd.supervisor.verdict import Verdict
    from sydd.syscalls.row import Row


class Recorder:
    """Makes the events of one session.

    Args:
        context: the session.
        listener: to make sure that a caller is still the one that asked.
        journal: where events go.
    """

    def __init__(self, context: Context, listener: int, journal: Journal) -> None:
        self._context = context
        self._listener = listener
        self._journal = journal
        self._destinations = Destinations(context.matcher.rules)
        self._stops_nothing = context.plan.engine is Engine.AUDIT
        self._auditing = self._stops_nothing

    def tell(self, journal: Journal) -> None:
        """From now on events go to another journal."""
        self._journal = journal

    def audit(self, auditing: bool) -> None:
        """From now on what a rule denies is not stopped, or is."""
        self._auditing = auditing

    def record(
        self,
        request: Request,
        verdict: Verdict,
        *,
        stranger: bool = False,
        allow: str | None = None,
        decision: str = "",
    ) -> None:
        """Record a denial or a warning, unless its rule wants none.

        Args:
            request: what was asked.
            verdict: what the policy said.
            stranger: it was denied for being about a process outside the session.
            allow: the rule line that would allow it, where that is no matter of the path.
            decision: what came of asking, where the rule says so.

        Raises:
            CallerGone: the caller ended, so that what /proc told may be about somebody else.
        """
        row = request.row
        if verdict.action is Action.FILTER:
            return
        if _makes_socket(row) and is_name_service(request.notification.registers):
            return
        word = (verdict.access.name or "").lower()
        key = (verdict.action.value + decision, word, row.name, _about(request, verdict))
        if not self._journal.repeat(key):
            event = self.event(request, verdict, stranger=stranger, allow=allow)
            self._journal.add(key, replace(event, decision=decision) if decision else event)

    def settle(self, event: Event, decision: str, *, allowed: bool) -> None:
        """Record what came of a question.

        Args:
            event: what was asked.
            decision: what came of it.
            allowed: whether the access goes ahead.
        """
        key = (event.action + decision, event.access, event.syscall, event.path)
        if not self._journal.repeat(key):
            number = "" if allowed else event.errno
            sequence = self._journal.next_sequence
            self._journal.add(key, replace(event, sequence=sequence, errno=number, decision=decision))

    def event(
        self, request: Request, verdict: Verdict, *, stranger: bool = False, allow: str | None = None
    ) -> Event:
        """The event about *request*, which is not recorded by this; see `record`."""
        row = request.row
        process = describe_process(request.notification.tid, above_all())
        if not seccomp.id_valid(self._listener, request.notification.id):
            raise CallerGone
        by_rule = not (stranger or row.errno)
        enforced = not (self._auditing if by_rule else self._stops_nothing)
        number = 0
        if enforced and not verdict.action.permits:
            number = row.errno or refusal_errno(verdict.action)
        host, service = self._destinations.of(verdict.address, verdict.kind) if verdict.address else ("", "")
        bound = verdict.rule
        default = STRANGER if stranger else REFUSED if row.errno else NO_RULE
        return Event(
            sequence=self._journal.next_sequence,
            time=now(),
            session=self._context.session,
            profile=self._context.profile,
            enforced=enforced,
            action=verdict.action.value,
            access=(verdict.access.name or "").lower(),
            syscall=row.name,
            given=os.fsdecode(_given(request, verdict) or b""),
            path=_about(request, verdict),
            errno=errno.errorcode.get(number, "") if number else "",
            process=process,
            rule=bound.rule.text if bound else default,
            rule_source=str(bound.rule.source) if bound else "",
            allow="" if stranger else self._allowing(request, verdict) if allow is None else allow,
            host=host,
            service=service,
        )

    def _allowing(self, request: Request, verdict: Verdict) -> str:
        """The rule line that would allow it; empty where no rule can."""
        if verdict.demand:
            return self._context.suggest(verdict.missing, verdict.demand.found.path)
        if request.row.operation is not Operation.SOCKET:
            return ""
        notification = request.notification
        called = self._context.rows[notification.arch][notification.number]
        # What socketcall asks for lies in memory, where no filter can tell one family from another.
        if request.row.fd is not None or called.operation is Operation.MULTIPLEX:
            return "allow net any"
        return allowing_socket(notification.registers)


def _makes_socket(row: Row) -> bool:
    return row.operation is Operation.SOCKET and row.fd is None


def _about(request: Request, verdict: Verdict) -> str:
    """The canonical path, the address, or what kind of socket is made."""
    if _makes_socket(request.row):
        return describe_socket(request.notification.registers)
    return verdict.demand.found.path if verdict.demand else ""


def _given(request: Request, verdict: Verdict) -> bytes | None:
    """The path that the verdict is about, as the caller wrote it."""
    return request.path2 if verdict.demand and verdict.demand.second else request.path
