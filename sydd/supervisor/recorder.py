"""From a verdict to an event: who asked, for what, which rule said so, and which line would allow it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sydd.kernel import seccomp
from sydd.policy.access import Action
from sydd.supervisor.event import NO_RULE, REFUSED, STRANGER, Event, now
from sydd.supervisor.failure import CallerGone
from sydd.supervisor.refusal import refusal_errno
from sydd.supervisor.sockets import ALLOWING_RULE, describe_socket, is_name_service
from sydd.supervisor.tasks import describe_process
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.supervisor.context import Context
    from sydd.supervisor.journal import Journal
    from sydd.supervisor.request import Request
    from sydd.supervisor.verdict import Verdict


class Recorder:
    """Makes the events of one session.

    Args:
        context: the session.
        listener: to make sure that a caller is still the one that asked.
        journal: where events go.
        enforcing: whether what is denied is stopped.
    """

    def __init__(self, context: Context, listener: int, journal: Journal, *, enforcing: bool) -> None:
        self._context = context
        self._listener = listener
        self._journal = journal
        self._enforcing = enforcing

    def record(
        self, request: Request, verdict: Verdict, *, stranger: bool = False, allow: str | None = None
    ) -> None:
        """Record a denial or a warning, unless its rule wants none.

        Args:
            request: what was asked.
            verdict: what the policy said.
            stranger: it was denied for being about a process outside the session.
            allow: the rule line that would allow it, where that is no matter of the path.

        Raises:
            CallerGone: the caller ended, so that what /proc told may be about somebody else.
        """
        row = request.row
        if verdict.action is Action.FILTER:
            return
        makes_socket = row.operation is Operation.SOCKET and row.fd is None
        if makes_socket and is_name_service(request.notification.registers):
            return
        path = verdict.demand.found.path if verdict.demand else ""
        if makes_socket:
            path = describe_socket(request.notification.registers)
        word = (verdict.access.name or "").lower()
        key = (verdict.action.value, word, row.name, path)
        if self._journal.repeat(key):
            return
        process = describe_process(request.notification.tid, os.getpid())
        if not seccomp.id_valid(self._listener, request.notification.id):
            raise CallerGone
        number = 0
        if self._enforcing and not verdict.action.permits:
            number = row.errno or refusal_errno(verdict.action)
        bound = verdict.rule
        default = STRANGER if stranger else REFUSED if row.errno else NO_RULE
        self._journal.add(
            key,
            Event(
                sequence=self._journal.next_sequence,
                time=now(),
                session=self._context.session,
                profile=self._context.profile,
                enforced=self._enforcing,
                action=verdict.action.value,
                access=word,
                syscall=row.name,
                given=os.fsdecode(_given(request, verdict) or b""),
                path=path,
                errno=errno.errorcode.get(number, "") if number else "",
                process=process,
                rule=bound.rule.text if bound else default,
                rule_source=str(bound.rule.source) if bound else "",
                allow="" if stranger else self._allowing(request, verdict) if allow is None else allow,
            ),
        )

    def _allowing(self, request: Request, verdict: Verdict) -> str:
        """The rule line that would allow it; empty where no rule can."""
        if verdict.demand:
            return self._context.suggest(verdict.missing, verdict.demand.found.path)
        return ALLOWING_RULE if request.row.operation is Operation.SOCKET else ""


def _given(request: Request, verdict: Verdict) -> bytes | None:
    """The path that the verdict is about, as the caller wrote it."""
    return request.path2 if verdict.demand and verdict.demand.second else request.path
