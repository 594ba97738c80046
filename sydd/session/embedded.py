"""The embedded mode: this process becomes parent, subreaper and supervisor of one command.

No daemon, no privileges.

The main thread waits for signals, all of which are blocked, so that none is lost and each is seen with its
sender: what the terminal sends reaches the command by itself, as it is in the same process group; what
somebody sends to this process alone is passed on. A second thread serves the listener. The session ends
when the last of its processes has gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.kernel import capabilities, prctl, seccomp
from sydd.launcher import EXIT_FAILED
from sydd.session.launching import LaunchSpec, let_go, start, take_listener
from sydd.session.privatenet import enter_network
from sydd.session.tree import kill_tree, signal_tree
from sydd.supervisor.context import Context
from sydd.supervisor.worker import Worker
from sydd.syscalls.table import rows_by_arch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.session.prepare import Prepared
    from sydd.supervisor.journal import Journal

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)
TERMINATING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
WAITED_FOR = (*FORWARDED, signal.SIGCHLD, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGALRM)
GRACE = 5
"""Seconds between asking what is left of a session to end, and ending it."""

SI_USER = 0
"""At or below: sent by a process (sigaction(2), si_code); above: by the kernel, such as the terminal's."""


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


def run(prepared: Prepared, argv: Sequence[str], journal: Journal, *, name: str) -> Outcome:
    """Run a command under a prepared policy and wait for the end of its session.

    Args:
        prepared: policy, plan and place.
        argv: the command and its arguments.
        journal: where events go.
        name: of the session, for events.

    Raises:
        LaunchError: the sandbox cannot be set up; the command was not started.
    """
    return _Session(prepared, list(argv), journal, name).run()


class _Session:
    def __init__(self, prepared: Prepared, argv: list[str], journal: Journal, name: str) -> None:
        self._prepared = prepared
        self._argv = argv
        self._journal = journal
        self._name = name
        self._command = 0
        self._status: int | None = None
        self._ending = False
        self._alone = False  # no child is left, of those either that had lost their parent
        self._failure = ""
        self._ignored: tuple[int, ...] = ()
        self._spec = LaunchSpec.of(prepared)
        self._served = threading.Event()
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    def run(self) -> Outcome:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
        # Inherited as ignored, it would never come, and no child would have a status; the command gets it so.
        children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._ignored = (signal.SIGCHLD,) if children is signal.SIG_IGN else ()
        prctl.set_child_subreaper()
        try:
            self._start(before)
            self._supervise()
        finally:
            if self._status is None:
                kill_tree(self._reap)
            prctl.set_child_subreaper(on=False)
            # A signal that came with the end must not be delivered late.
            while signal.sigtimedwait(WAITED_FOR, 0) is not None:
                pass
            signal.signal(signal.SIGCHLD, children)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        handled = self._worker.handled if self._worker else 0
        return Outcome(EXIT_FAILED if self._status is None else self._status, self._failure, handled)

    def _start(self, mask: set[signal.Signals | int]) -> None:
        """Fork the launcher, take the listener over, and let the command go."""
        if not self._spec.supervised:
            self._command = self._fork(None, mask)
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            with theirs:
                self._command = self._fork(theirs, mask)
            listener = take_listener(self._spec, ours, self._command)
            if listener < 0:
                return  # the launcher has said why and ends; its status is the session's
            # The worker reads other processes: nobody of the same user may read it.
            prctl.set_dumpable(on=False)
            self._serve(listener)
            let_go(ours)

    def _fork(self, channel: socket.socket | None, mask: set[signal.Signals | int]) -> int:
        return start(self._spec, self._argv, channel, mask=mask, ignored=self._ignored)

    def _serve(self, listener: int) -> None:
        prepared = self._prepared
        # Unknown before Linux 6.6; slower by a factor of four then, and right all the same.
        with contextlib.suppress(OSError):
            seccomp.set_flags(listener, seccomp.USER_NOTIF_FD_SYNC_WAKE_UP)
        context = Context(
            session=self._name,
            profile=prepared.policy.name,
            plan=prepared.plan,
            matcher=prepared.matcher,
            rows=rows_by_arch(prepared.plan.arch),
            suggest=prepared.suggest,
            suggest_address=prepared.suggest_address,
            command=self._command,
        )
        worker = self._worker = Worker(context, listener, self._journal, receive_ends=_receive_ends())

        network = prepared.plan.network

        def serve() -> None:
            try:
                if network.private and not network.user_namespace:
                    # What belongs to a network, such as /proc/sys/net, is the session's for the worker, too.
                    enter_network(self._command)
                # Never more for a caller than the caller has; but for reading what it asks for.
                capabilities.limit(self._spec.capabilities | 1 << capabilities.SYS_PTRACE)
                worker.serve()
            except BaseException as error:  # noqa: BLE001  # told to the main thread, which ends the session
                self._failure = f"{type(error).__name__}: {error}"
            finally:
                # From here on the kernel answers ENOSYS: nothing gets through, nothing hangs.
                os.close(listener)
                self._served.set()
                os.kill(os.getpid(), signal.SIGCHLD)

        self._thread = threading.Thread(target=serve, name="sydd-worker", daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        """Handle signals until the command has ended and the worker has seen its last process go."""
        while not self._finished():
            info = signal.sigwaitinfo(WAITED_FOR)
            number = info.si_signo
            if number == signal.SIGCHLD:
                self._reap()
                if self._failure:
                    # Unsupervised, calls fail with ENOSYS: better an end than a build that limps on.
                    kill_tree(self._reap)
            elif number == signal.SIGALRM:
                kill_tree(self._reap)
            elif number in FORWARDED and info.si_code <= SI_USER:
                self._forward(number)
        if self._thread is not None:
            self._thread.join()

    def _finished(self) -> bool:
        if self._status is None:
            return False
        if not self._spec.supervised:
            return self._alone
        return self._thread is None or self._served.is_set()

    def _forward(self, number: int) -> None:
        """Pass a signal on to the command; once that has gone, to what is left of the session."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._command, number)
        if number in TERMINATING:
            self._ending = True
            if self._status is not None:
                self._end_rest(number)

    def _end_rest(self, number: int) -> None:
        signal_tree(number)
        signal.alarm(GRACE)

    def _reap(self) -> None:
        """Collect every child that changed state; stop with the command when it is stopped."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                self._alone = True
                return
            if not pid:
                return
            if os.WIFSTOPPED(status):
                if pid == self._command:
                    self._stop_too()
            elif pid == self._command:
                self._status = os.waitstatus_to_exitcode(status)
                if self._status < 0:
                    self._status = 128 - self._status
                if self._ending:
                    self._end_rest(signal.SIGTERM)

    def _stop_too(self) -> None:
        """Job control: the shell above sees this process stop, and `fg` continues both."""
        os.kill(os.getpid(), signal.SIGSTOP)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._command, signal.SIGCONT)


def _receive_ends() -> bool:
    """Whether SECCOMP_IOCTL_NOTIF_RECV returns when the last process of the session has gone: Linux 6.11.

    No call tells; asking would mean to wait for something that may never come.
    """
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.partition("-")[0])) >= (6, 11)
