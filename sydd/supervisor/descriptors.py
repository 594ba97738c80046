"""Copies of callers' descriptors, by pidfd_getfd(2), and the names of the worker's own."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sydd.kernel.pidfd import PIDFD_THREAD, pidfd_getfd, pidfd_open

if TYPE_CHECKING:
    from collections.abc import Callable

MAXIMUM = 64
"""Pidfds kept: as many threads as change metadata at the same time."""


class Descriptors:
    """Takes copies of descriptors, one pidfd kept for each thread.

    A pidfd never comes to mean another task: when its number is taken anew, it says ESRCH and is opened
    again. That the number was the caller's when it was opened is for the user of a copy to make sure, by
    SECCOMP_IOCTL_NOTIF_ID_VALID before acting on it.

    Attributes:
        before: called with thread and descriptor before that is copied; what it raises goes on to who copies.
            None for nobody.
    """

    def __init__(self) -> None:
        self._pidfds: dict[int, int] = {}
        self._table = -1
        self.before: Callable[[int, int], None] | None = None

    def copy(self, tid: int, fd: int) -> int:
        """A copy of descriptor *fd* of the thread *tid*, close-on-exec, for the caller to close.

        Raises:
            OSError: EBADF when it is not open; EPERM, EINVAL or ENOENT where the kernel does not give it
            away.
        """
        if self.before is not None:
            self.before(tid, fd)
        known = self._pidfds.get(tid)
        if known is not None:
            try:
                return pidfd_getfd(known, fd)
            except ProcessLookupError:
                os.close(self._pidfds.pop(tid))
        if len(self._pidfds) >= MAXIMUM:
            self._close_pidfds()
        opened = self._pidfds[tid] = _open(tid)
        return pidfd_getfd(opened, fd)

    def name(self, fd: int) -> str:
        """The canonical name of the worker's own descriptor *fd*.

        From the table's own directory it takes half the time that the way over /proc takes.

        Raises:
            OSError: ENAMETOOLONG when the name is longer than PATH_MAX.
        """
        if self._table < 0:
            self._table = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return os.readlink(str(fd), dir_fd=self._table)

    def close(self) -> None:
        """Let go of everything that is kept."""
        self._close_pidfds()
        if self._table >= 0:
            os.close(self._table)
            self._table = -1

    def _close_pidfds(self) -> None:
        for pidfd in self._pidfds.values():
            os.close(pidfd)
        self._pidfds.clear()


def _open(tid: int) -> int:
    try:
        return pidfd_open(tid)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    return pidfd_open(tid, PIDFD_THREAD)  # not the leader of its process; Linux 6.9
