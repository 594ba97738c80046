"""The second thread of a worker process, which serves the listener, and what it can be asked."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

from sydd.daemon import identity
from sydd.daemon.verdicts import verdicts
from sydd.kernel import seccomp
from sydd.kernel.fd import FileDescriptor
from sydd.policy import refused
from sydd.policy.errors import PolicyError, Source
from sydd.policy.policy import Mode
from sydd.session.privatenet import diagnosis_for, enter_network
from sydd.session.running import Running
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
    from sydd.supervisor.notes import Notes
    from sydd.supervisor.slot import Slot


class Serving:
    """Serves one listener.

    Args:
        spec: the session.
        state: what it came to.
        command: pid of the command, or of what will be it.
        parent: pid of its parent and subreaper, the keeper's or sydctl's.
        slot: the memory that a successor takes over.
        notes: what must not be forgotten.
        record: takes events.
        on_end: called from the thread when it has ended.
        forked: called in processes that are forked to wait.
        recalled: notes of the worker before; None when this is the first.

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
        slot: Slot,
        notes: Notes,
        record: Record,
        on_end: Callable[[], None],
        forked: Callable[[], None],
        recalled: Sequence[tuple[str, tuple[Any, ...]]] | None = None,
    ) -> None:
        self.failure = ""
        self._state = state
        self._command, self._parent = command, parent
        # Everything is made before the listener is there, which then takes this number.
        self._listener = FileDescriptor(os.eventfd(0, os.EFD_CLOEXEC))
        self._slot = slot
        self._record = record
        self._on_end = on_end
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sydd-worker", daemon=True)
        prepared = state.prepared
        with identity.seeing():
            self._context = Context(
                session=spec.id,
                profile=prepared.policy.name,
                plan=prepared.plan,
                matcher=prepared.matcher,
                rows=rows_by_arch(prepared.plan.arch),
                suggest=prepared.suggest,
                suggest_address=prepared.suggest_address,
                command=command,
                directory=prepared.place.cwd,
                diagnosis=diagnosis_for(prepared.plan, command),
                terminals=spec.terminals,
                patience=prepared.policy.session_limits.patience,
                note=notes.write,
                slot=slot,
                forked=forked,
            )
            supervise_below(parent)
            self._worker = Worker(
                self._context,
                self._listener.fileno(),
                record,
                receive_ends=receive_ends(),
                clients=record,
                succeeds=recalled is not None,
            )
        self._running = Running(prepared, self._worker, record, spec.id)
        self._recall(recalled or ())

    def start(self, listener: FileDescriptor) -> None:
        """Begin to serve.

        Args:
            listener: closed.
        """
        with listener:
            os.dup2(listener.fileno(), self._listener.fileno(), inheritable=False)
        # Unknown before Linux 6.6; slower by a factor of four then, and right all the same.
        with contextlib.suppress(OSError):
            seccomp.set_flags(self._listener.fileno(), seccomp.USER_NOTIF_FD_SYNC_WAKE_UP)
        self._thread.start()

    def discard(self) -> None:
        """Let go of everything, where it was not started."""
        self._worker.end()
        self._listener.close()

    def _recall(self, notes: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        rules: list[str] | None = None
        for kind, values in notes:
            if kind == "rules":
                (rules,) = values
            elif kind == "mode":
                self._running.set_mode(Mode(values[0]))
            else:
                self._worker.recall(kind, values)
        if rules is not None:  # none as well: that there were some counts for what has moved since
            self._running.replace(rules)

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

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what main asks for; what it is answered, or `error`: what the socket says of it."""
        try:
            return self._asked(str(message["type"]), message)
        except refused.BeyondCeiling as error:
            return _error("BeyondCeiling", rule=error.rule, ceiling=list(error.ceiling))
        except refused.NotSupervised as error:
            return _error("NotSupervised", access=error.access)
        except PolicyError as error:
            source = error.source or Source("")
            place = {"file": source.file, "line": source.line, "column": source.column}
            return _error("BadProfile", message=error.message, **place, hint=error.hint)
        except refused.Refused as error:
            return _error("Failed", reason=error.message)
        except (KeyError, TypeError, ValueError, OSError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _asked(self, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        prepared = self._state.prepared
        if kind == "rules":
            lines = [str(line) for line in message["lines"]]
            if lines != list(self._running.lines):
                self._running.bound(lines)  # what cannot be is not noted
                self._context.note("rules", lines)
                self._running.replace(lines)
        elif kind == "mode":
            mode = Mode(message["mode"])
            if mode is not self._running.mode:
                self._running.set_mode(mode)
                self._context.note("mode", mode.value)
        elif kind == "decision":
            self._worker.decide(int(message["question"]), allow=bool(message["allow"]))
        elif kind == "finish":
            self._worker.finish()
        elif kind == "questions":
            self._worker.put_questions_again()
        elif kind == "check":
            access, target = str(message["access"]), str(message["object"])
            return {"verdicts": verdicts(prepared, self._worker.matcher, access, target)}
        elif kind == "statistics":
            return statistics.as_json(self._slot, self._context.rows, AUDIT_ARCH[prepared.plan.arch])
        else:
            raise ValueError(f"unknown type {kind!r}")
        return {}

    def _run(self) -> None:
        launch = self._state.launch
        try:
            with identity.seeing():
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


def _error(kind: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"kind": kind, **fields}}
