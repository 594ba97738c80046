"""Opens that wait for another process: a FIFO whose other end nobody has opened yet.

Each gets a process of its own. It holds up nobody, and it can be ended at any moment: a thread that sleeps
in open(2) could not. It shares the listener, answers by itself, and dies with the worker.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from sydd.kernel import pidfd, prctl, seccomp

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

    def open(self, cookie: int, path: str, flags: int, fd_flags: int) -> None:
        """Open *path* in a process of its own and give the descriptor to the caller behind *cookie*.

        Args:
            cookie: id of the notification.
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
            self._processes[cookie] = pidfd.pidfd_open(pid)
            return
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            prctl.set_parent_death_signal(signal.SIGKILL)
            self._wait(cookie, path, flags, fd_flags)
        finally:
            os._exit(0)

    def _wait(self, cookie: int, path: str, flags: int, fd_flags: int) -> None:
        try:
            fd = os.open(path, flags)
        except OSError as failure:
            seccomp.send(self._listener, seccomp.RESP.pack(cookie, 0, -(failure.errno or errno.EIO), 0))
            return
        seccomp.add_fd(self._listener, cookie, fd, seccomp.ADDFD_FLAG_SEND, 0, fd_flags)

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
