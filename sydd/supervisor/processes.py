"""Calls that are about processes, the caller's own or others, and not about paths: who judges which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sydd.supervisor.answer import CONTINUE, Answer
from sydd.supervisor.confined import SelfConfined
from sydd.supervisor.failure import Stranger
from sydd.supervisor.neighbours import Neighbours
from sydd.supervisor.signals import Signals
from sydd.syscalls.process_rows import JUDGED_BY_REGISTERS, PR_SET_CHILD_SUBREAPER
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader
    from sydd.supervisor.context import Context
    from sydd.supervisor.notification import Notification
    from sydd.syscalls.row import Row

ABOUT_PROCESSES = JUDGED_BY_REGISTERS | {Operation.CONFINE, Operation.SIGNAL}


class Processes:
    """Judges such calls for one session.

    Args:
        context: the session.
        listener: to make sure that a caller is still the one that asked.
        reader: of callers' memory.

    Attributes:
        is_confined: whether a thread may be in a Landlock domain of its own.
    """

    def __init__(self, context: Context, listener: int, reader: Reader) -> None:
        own_namespaces = context.plan.restrict.own_namespaces
        self._signals = Signals(listener, reader)
        self._neighbours = Neighbours(context.note, own_namespaces=own_namespaces)
        self._confined = SelfConfined(context.command, context.note, own_namespaces=own_namespaces)
        self.is_confined = self._confined.holds

    def close(self) -> None:
        """Let go of what is kept between requests."""
        self._signals.close()

    def recall(self, kind: str, values: tuple[Any, ...]) -> None:
        """Take what another worker has noted."""
        if kind == "ipc":
            name, number, there = values
            self._neighbours.recall(name, number, there=there)
        else:
            self._confined.recall(kind, *values)

    def answer(self, notification: Notification, row: Row, *, one_identity: bool) -> Answer:
        """The answer to one call of ABOUT_PROCESSES.

        Args:
            notification: the call.
            row: its row.
            one_identity: whether everybody in the session has the worker's user ids and capabilities.

        Raises:
            Stranger: it is about a process, or an object, outside the session.
            CallerGone: the caller has ended.
        """
        if row.operation is Operation.CONFINE:
            self._confined.enters(notification.tid)
            return CONTINUE
        if row.operation is Operation.SIGNAL:
            return self._signals.answer(notification, row, one_identity=one_identity)
        answer = self._neighbours.answer(notification, row)
        if answer is None:
            raise Stranger("")
        return answer

    def notes(self, notification: Notification, row: Row) -> bool:
        """Whether a call about credentials is about adopting orphans instead, which is noted."""
        if row.name != "prctl" or notification.registers[0] & 0xFFFFFFFF != PR_SET_CHILD_SUBREAPER:
            return False
        self._confined.adopts(notification.tid)
        return True
