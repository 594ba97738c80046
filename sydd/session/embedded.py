"""The embedded mode: this process becomes parent, subreaper and supervisor of one command.

No daemon, no privileges. The main thread is the command's parent (`foreground.py`); a second one serves the
listener. The session ends when the last of its processes has gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.kernel import capabilities, seccomp
from sydd.session.foreground import Foreground
from sydd.session.launching import LaunchSpec, kept_capabilities
from sydd.session.privatenet import diagnosis_for, enter_network
from sydd.session.running import Running
from sydd.supervisor.context import Context
from sydd.supervisor.worker import Worker, receive_ends
from sydd.syscalls.table import rows_by_arch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sydd.session.prepare import Prepared
    from sydd.supervisor.journal import Journal
    from sydd.supervisor.questions import Clients


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended.

    Attributes:
        status: the command's exit status; 128 + N when signal N ended it.
        failure: what went wrong with the supervision itself; empty when nothing did.
        handled: how many notifications were answered.
    """

    status: int
    failure: str
    handled: int


def run(
    prepared: Prepared,
    argv: Sequence[str],
    journal: Journal,
    *,
    name: str,
    clients: Clients | None = None,
    began: Callable[[Running], None] | None = None,
) -> Outcome:
    """Run a command under a prepared policy and wait for the end of its session.

    Args:
        prepared: policy, plan and place.
        argv: the command and its arguments.
        journal: where events go.
        name: of the session, for events.
        clients: who is asked where a rule says `ask`; None for nobody, which denies.
        began: told how the session can be changed, before the command goes.

    Raises:
        LaunchError: the sandbox cannot be set up; the command was not started.
    """
    supervisor = _Thread(prepared, journal, name, clients, began)
    status = Foreground(LaunchSpec.of(prepared), argv, supervisor).run()
    return Outcome(status, supervisor.failure, supervisor.handled)


class _Thread:
    """The supervisor: a thread of this process."""

    def __init__(
        self,
        prepared: Prepared,
        journal: Journal,
        name: str,
        clients: Clients | None,
        began: Callable[[Running], None] | None,
    ) -> None:
        self._prepared = prepared
        self._clients = clients
        self._began = began
        self._journal = journal
        self._name = name
        self.failure = ""
        self._served = threading.Event()
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    @property
    def handled(self) -> int:
        """How many notifications were answered."""
        return self._worker.handled if self._worker else 0

    def serve(self, listener: int, command: int) -> None:
        """Begin to answer, in a thread."""
        prepared = self._prepared
        # Unknown before Linux 6.6; slower by a factor of four then, and right all the same.
        with contextlib.suppress(OSError):
            seccomp.set_flags(listener, seccomp.USER_NOTIF_FD_SYNC_WAKE_UP)
        network = prepared.plan.network
        context = Context(
            session=self._name,
            profile=prepared.policy.name,
            plan=prepared.plan,
            matcher=prepared.matcher,
            rows=rows_by_arch(prepared.plan.arch),
            suggest=prepared.suggest,
            suggest_address=prepared.suggest_address,
            command=command,
            directory=prepared.place.cwd,
            diagnosis=diagnosis_for(prepared.plan, command),
            patience=prepared.policy.session_limits.patience,
        )
        worker = self._worker = Worker(
            context, listener, self._journal, receive_ends=receive_ends(), clients=self._clients
        )

        def serve() -> None:
            try:
                if network.private and not network.user_namespace:
                    # What belongs to a network, such as /proc/sys/net, is the session's for the worker, too.
                    enter_network(command)
                # Never more for a caller than the caller has; but for reading what it asks for.
                capabilities.limit(kept_capabilities(prepared) | 1 << capabilities.SYS_PTRACE)
                worker.serve()
            except BaseException as error:  # noqa: BLE001  # told to the main thread, which ends the session
                self.failure = f"{type(error).__name__}: {error}"
            finally:
                # From here on the kernel answers ENOSYS: nothing gets through, nothing hangs.
                os.close(listener)
                self._served.set()
                os.kill(os.getpid(), signal.SIGCHLD)

        self._thread = threading.Thread(target=serve, name="sydd-worker", daemon=True)
        self._thread.start()
        if self._began is not None:
            self._began(Running(prepared, worker, self._journal, self._name))

    def is_over(self, *, alone: bool) -> bool:  # noqa: ARG002  # the listener hangs up sooner
        """Whether the listener has hung up, or never came."""
        return self._thread is None or self._served.is_set()

    def close(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()
