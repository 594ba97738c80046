"""The parent of a command in the foreground: signals, job control, and the end of its session.

Who supervises is somebody else: a thread of this process (embedded), or the daemon's worker.

The main thread waits for signals, all of which are blocked, so that none is lost and each is seen with its
sender: what the terminal sends reaches the command by itself, as it is in the same process group; what
somebody sends to this process alone is passed on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket

from sydd.kernel import prctl
from sydd.launcher import EXIT_FAILED
from sydd.session.launching import LaunchSpec, let_go, start, take_listener
from sydd.session.signals import FORWARDED, SI_USER, TERMINATING, WAITED_FOR
from sydd.session.tree import kill_tree, signal_tree

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Sequence

    from sydd.session.supervision import Supervisor

GRACE = 5
"""Seconds between asking what is left of a session to end, and ending it."""


class Foreground:
    """Runs one command.

    Args:
        spec: under what.
        argv: the command and its arguments.
        supervisor: who answers.
    """

    def __init__(self, spec: LaunchSpec, argv: Sequence[str], supervisor: Supervisor) -> None:
        self._spec = spec
        self._argv = list(argv)
        self._supervisor = supervisor
        self._command = 0
        self._status: int | None = None
        self._ending = False
        self._alone = False  # no child is left, of those either that had lost their parent
        self._ignored: tuple[int, ...] = ()

    def run(self) -> int:
        """Run it and wait for the end of its session.

        Returns:
            The command's exit status; 128 + N when signal N ended it.

        Raises:
            LaunchError: the sandbox cannot be set up; the command was not started.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
        # Inherited as ignored, it would never come, and no child would have a status; the command gets it so.
        children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._ignored = (signal.SIGCHLD,) if children is signal.SIG_IGN else ()
        prctl.set_child_subreaper()
        try:
            self._start(before)
            if self._spec.time:
                signal.alarm(self._spec.time)
            self._supervise()
        finally:
            signal.alarm(0)
            if self._status is None:
                kill_tree(self._reap)
            prctl.set_child_subreaper(on=False)
            # A signal that came with the end must not be delivered late.
            while signal.sigtimedwait(WAITED_FOR, 0) is not None:
                pass
            signal.signal(signal.SIGCHLD, children)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return EXIT_FAILED if self._status is None else self._status

    def _start(self, mask: set[signal.Signals | int]) -> None:
        """Fork the launcher, take the listener over, and let the command go."""
        if not self._spec.supervised:
            self._command = self._fork(None, mask)
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            with theirs:
                self._command = self._fork(theirs, mask)
            listener = take_listener(
                ours,
                self._command,
                private_network=self._spec.private_network,
                user_namespace=self._spec.user_namespace,
            )
            if listener < 0:
                return  # the launcher has said why and ends; its status is the session's
            # The worker reads other processes: nobody of the same user may read it.
            prctl.set_dumpable(on=False)
            self._supervisor.serve(listener, self._command)
            let_go(ours)

    def _fork(self, channel: socket.socket | None, mask: set[signal.Signals | int]) -> int:
        return start(self._spec, self._argv, channel, mask=mask, ignored=self._ignored)

    def _supervise(self) -> None:
        """Handle signals until the command has ended and the worker has seen its last process go."""
        while not self._finished():
            info = signal.sigwaitinfo(WAITED_FOR)
            number = info.si_signo
            if number == signal.SIGCHLD:
                self._reap()
                if self._supervisor.failure:
                    # Unsupervised, calls fail with ENOSYS: better an end than a build that limps on.
                    kill_tree(self._reap)
            elif number == signal.SIGALRM:
                if not self._ending:
                    text = f"the session lasted longer than the {self._spec.time} s that its profile allows"
                    self._supervisor.failure = self._supervisor.failure or text
                kill_tree(self._reap)
            elif number in FORWARDED and info.si_code <= SI_USER:
                self._forward(number)
        self._supervisor.close()

    def _finished(self) -> bool:
        if self._status is None:
            return False
        if not self._spec.supervised:
            return self._alone
        return self._supervisor.is_over(alone=self._alone)

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
