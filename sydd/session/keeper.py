"""The keeper: a parent of the supervisor that outlives it and ends what it leaves behind.

When a supervisor is killed, the kernel answers ENOSYS to every supervised call of its session: nothing gets
through, but nobody tells, and what computes without calls goes on. The keeper is what the shell sees. It is
a subreaper, so what the supervisor leaves becomes its child, and it does nothing but wait: what is sent to it
alone it passes on, it stops when the supervisor stops, and it ends with the supervisor's status.

When the keeper is killed, the supervisor is told by SIGTERM and ends the session in order.
"""

from __future__ import annotations

import contextlib
import os
import signal

from sydd.kernel import prctl
from sydd.session.signals import FORWARDED, SI_USER, WAITED_FOR
from sydd.session.tree import kill_tree


class SupervisorKilledError(Exception):
    """The supervisor was ended by a signal, and what it supervised was ended, too; the message says so."""


def keep() -> int | None:
    """Fork: the child goes on and supervises, this process keeps it.

    Returns:
        None in the child; in the keeper the child's exit status, once that has ended.

    Raises:
        SupervisorKilledError: in the keeper.
        OSError: the process cannot be forked.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would not tell of the end
    prctl.set_child_subreaper()
    keeper = os.getpid()
    supervisor = os.fork()
    if not supervisor:
        prctl.set_parent_death_signal(signal.SIGTERM)
        if os.getppid() != keeper:
            from sydd.launcher import EXIT_FAILED

            os._exit(EXIT_FAILED)
        signal.signal(signal.SIGCHLD, children)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    # Its environment is as the caller's, tokens included.
    prctl.set_dumpable(on=False)
    status = _wait(supervisor)
    prctl.set_child_subreaper(on=False)
    signal.signal(signal.SIGCHLD, children)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if status >= 0:
        return status
    name = signal.Signals(-status).name
    raise SupervisorKilledError(f"the supervisor was killed ({name}); everything in its session was ended")


def _wait(supervisor: int) -> int:
    """Pass signals on until the supervisor has ended; its exit status, negative when a signal ended it."""
    status: int | None = None

    def reap() -> None:
        nonlocal status
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, word = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
                if not pid:
                    return
                if pid == supervisor and os.WIFSTOPPED(word):
                    os.kill(os.getpid(), signal.SIGSTOP)
                    os.kill(supervisor, signal.SIGCONT)
                elif pid == supervisor:
                    status = os.waitstatus_to_exitcode(word)

    while status is None:
        info = signal.sigwaitinfo(WAITED_FOR)
        if info.si_signo == signal.SIGCHLD:
            reap()
        elif info.si_signo in FORWARDED and info.si_code <= SI_USER:
            os.kill(supervisor, info.si_signo)
    kill_tree(reap)
    return status
