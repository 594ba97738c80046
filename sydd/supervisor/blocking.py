"""Opens that wait for another process: a FIFO whose other end nobody has opened yet.

Each gets a process of its own. It holds up nobody, and it can be ended at any moment: a thread that sleeps
in open(2) could not. It shares the listener, answers by itself, and dies with the worker.

A signal for the caller does not reach it while its call is here (WAIT_KILLABLE_RECV), so the process looks
for one now and then. With ERESTARTSYS the kernel then does what it does natively: handlers run, and the open
starts anew or is EINTR, as sigaction(2) was told.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import TYPE_CHECKING

from sydd.kernel import credentials, pidfd, prctl, seccomp
from sydd.kernel.paths import probe_openat2
from sydd.supervisor.request import AT_FDCWD

if TYPE_CHECKING:
    from sydd.supervisor.notification import Notification

ERESTARTSYS = 512
"""include/linux/errno.h; the kernel puts EINTR in its place, or calls again, before the caller sees it."""

LOOK_SECONDS = 0.02
"""How long a signal may wait until the caller hears it."""

MAXIMUM_WAITING = 256
"""Opens that may wait at a time; one more is told EAGAIN, as if the kernel were out of resources."""


class WaitingRoom:
    """The opens that wait, one process each.

    Args:
        listener: on which the calls are answered.
    """

    def __init__(self, listener: int) -> None:
        self._listener = listener
        self._processes: dict[int, int] = {}  # cookie to pidfd

    def open(self, notification: Notification, path: str, flags: int, fd_flags: int) -> None:
        """Open *path* in a process of its own and give the descriptor to the caller.

        Args:
            notification: the call.
            path: leads to the object as long as the descriptors of the request are open.
            flags: for open(2).
            fd_flags: O_CLOEXEC or 0, for the caller's descriptor.

        Raises:
            OSError: EAGAIN when too many wait already.
        """
        self.sweep()
        if len(self._processes) >= MAXIMUM_WAITING:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        # The copied O_PATH descriptor keeps its number in the child: what *path* names there is the same
        # object.
        pid = os.fork()
        if pid:
            self._processes[notification.id] = pidfd.pidfd_open(pid)
            return
        try:
            # The worker's own way to hear of signals is shared with it.
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGALRM, lambda _number, _frame: None)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            prctl.set_parent_death_signal(signal.SIGKILL)
            self._wait(notification, os.fsencode(path), flags, fd_flags)
        finally:
            os._exit(0)

    def _wait(self, notification: Notification, path: bytes, flags: int, fd_flags: int) -> None:
        cookie = notification.id
        signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
        # Not os.open, which would call again by itself.
        while (fd := probe_openat2(AT_FDCWD, path, flags, 0)) == -errno.EINTR:
            if credentials.is_interrupted(notification.tid):
                fd = -ERESTARTSYS
                break
        signal.setitimer(signal.ITIMER_REAL, 0)
        number = 0
        if fd >= 0:
            # Without SEND: a FIFO loses an end when the caller closes it, and not when this process ends.
            number = seccomp.add_fd(self._listener, cookie, fd, 0, 0, fd_flags)
            os.close(fd)
        seccomp.send(self._listener, seccomp.RESP.pack(cookie, number, min(fd, 0), 0))

    def sweep(self) -> None:
        """End the processes whose callers have gone, and let go of those that are done."""
        for cookie, process in list(self._processes.items()):
            if not seccomp.id_valid(self._listener, cookie):
                self._end(process)
                del self._processes[cookie]

    def close(self) -> None:
        """End every process that still waits."""
        for process in self._processes.values():
            self._end(process)
        self._processes.clear()

    def __bool__(self) -> bool:
        """Whether any open waits."""
        return bool(self._processes)

    @staticmethod
    def _end(process: int) -> None:
        """Kill and collect; the session's reaper may have collected it already, which is as good."""
        with contextlib.suppress(ProcessLookupError):
            pidfd.pidfd_send_signal(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, process, os.WEXITED)
        os.close(process)
