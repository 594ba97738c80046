"""The second thread of a worker process, which serves the listener, and what it can be asked."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from sydd.daemon import identity
from sydd.kernel import seccomp
from sydd.session.privatenet import enter_network
from sydd.session.tree import descendants
from sydd.supervisor import statistics
from sydd.supervisor.context import Context
from sydd.supervisor.procfs import supervise_below
from sydd.supervisor.worker import Worker, receive_ends
from sydd.syscalls.table import AUDIT_ARCH, rows_by_arch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sydd.daemon.preparing import State
    from sydd.daemon.record import Record
    from sydd.daemon.spec import SessionSpec
    from sydd.kernel.fd import FileDescriptor
    from sydd.supervisor.notes import Notes
    from sydd.supervisor.slot import Slot


class Serving:
    """Serves one listener.

    Args:
        spec: the session.
        state: what it came to.
        command: pid of the command.
        parent: pid of its parent and subreaper, the keeper's or sydctl's.
        listener: becomes this object's.
        slot: the memory that a successor takes over.
        notes: what must not be forgotten.
        record: takes events.
        on_end: called from the thread when it has ended.

    Attributes:
        failure: why serving failed; empty when it did not.
    """

    def __init__(
        self,
        spec: SessionSpec,
        state: State,
        *,
        command: int,
        parent: int,
        listener: FileDescriptor,
        slot: Slot,
        notes: Notes,
        record: Record,
        on_end: Callable[[], None],
    ) -> None:
        self.failure = ""
        self._state = state
        self._command, self._parent = command, parent
        self._listener = listener
        self._slot = slot
        self._record = record
        self._on_end = on_end
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sydd-worker", daemon=True)
        prepared = state.prepared
        self._context = Context(
            session=spec.id,
            profile=prepared.policy.name,
            plan=prepared.plan,
            matcher=prepared.matcher,
            rows=rows_by_arch(prepared.plan.arch),
            suggest=prepared.suggest,
            suggest_address=prepared.suggest_address,
            command=command,
            terminals=spec.terminals,
            note=notes.write,
            slot=slot,
        )
        self._worker: Worker | None = None

    def start(self, recalled: Sequence[tuple[str, tuple[Any, ...]]] | None) -> None:
        """Begin.

        Args:
            recalled: notes of the worker before; None when this is the first.
        """
        listener = self._listener.fileno()
        # Unknown before Linux 6.6; slower by a factor of four then, and right all the same.
        with contextlib.suppress(OSError):
            seccomp.set_flags(listener, seccomp.USER_NOTIF_FD_SYNC_WAKE_UP)
        supervise_below(self._parent)
        self._worker = Worker(
            self._context,
            listener,
            self._record,
            receive_ends=receive_ends(),
            succeeds=recalled is not None,
        )
        for kind, values in recalled or ():
            self._worker.recall(kind, values)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether the listener has hung up, or serving failed."""
        return self._ended.is_set()

    @property
    def handled(self) -> int:
        """How many requests were answered, by this worker and those before."""
        return statistics.total(self._slot)

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._thread.join()

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what main asks for; what it is answered.

        Raises:
            KeyError, TypeError, ValueError: it is nothing that can be done.
        """
        kind = message["type"]
        if kind == "statistics":
            plan = self._state.prepared.plan
            return {
                "handled": self.handled,
                "calls": statistics.by_name(self._slot, self._context.rows, AUDIT_ARCH[plan.arch]),
                "latencies": list(self._slot.latencies),
            }
        raise ValueError(f"unknown type {kind!r}")

    def _run(self) -> None:
        launch = self._state.launch
        try:
            if self._worker is None:
                return
            if launch.private_network and not launch.user_namespace:
                # What belongs to a network, such as /proc/sys/net, is the session's for the worker, too.
                enter_network(self._member())
            identity.limit(launch.capabilities)
            self._worker.serve()
        except BaseException as error:  # noqa: BLE001  # told to the main thread, which ends the process
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            if not self.failure:
                # From here on the kernel answers ENOSYS: nothing gets through, nothing hangs.
                self._listener.close()
            self._ended.set()
            self._on_end()

    def _member(self) -> int:
        """A process of the session: the command, or another one where that has gone."""
        if os.path.exists(f"/proc/{self._command}"):
            return self._command
        return next(iter(descendants(self._parent)), self._command)
