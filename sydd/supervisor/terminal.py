"""Terminals: which are the session's own, and /dev/tty, which the worker opens for somebody else.

A number in /dev/pts is given to the next terminal when the last has gone. What makes it safe to judge by it:
what is judged is an O_PATH descriptor, and once its terminal has gone, opening through that is EIO, also
when the number belongs to another terminal by then.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sydd.kernel import terminals
from sydd.kernel.pidfd import pidfd_getfd, pidfd_open
from sydd.policy.terminal import PSEUDO_TERMINALS
from sydd.supervisor.procfs import above_all, in_session, parent_of, processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEVICE = terminals.TTY
_ABOVE = 32
"""Ancestors of a caller that are asked before all others: script(1) runs what uses its terminal."""


class Terminals:
    """Tells the session's own terminals from others.

    Its own are those that the launch has, and those whose master a process of
    the session holds: it could read and write all that goes over them anyhow.

    Args:
        names: of those of the launch; None where the worker has them as well.
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        found = terminals.of_this_process() if names is None else terminals.of_names(names)
        self._kept = [fd for _, fd in found]
        self._launch = {_identity(fd) for fd in self._kept}

    def close(self) -> None:
        """Let go of those of the launch."""
        for fd in self._kept:
            os.close(fd)
        self._kept.clear()

    def is_own(self, path: str, fd: int, caller: int) -> bool:
        """Whether an object below /dev is a terminal of the session's own.

        Args:
            path: its canonical name.
            fd: O_PATH descriptor of it.
            caller: the thread that asks.
        """
        wanted = _identity(fd)
        if wanted in self._launch:
            return True
        directory, _, name = path.rpartition("/")
        if directory != PSEUDO_TERMINALS or not name.isdecimal():
            return False
        return any(_has_master(pid, wanted) for pid in _candidates(caller))


def _identity(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino


def _candidates(caller: int) -> Iterator[int]:
    """Processes that may hold a master, the likely ones first."""
    above: list[int] = []
    pid = caller
    while pid > 1 and pid != above_all() and len(above) < _ABOVE:
        above.append(pid)
        yield pid
        pid = parent_of(pid)
    yield from (pid for pid in processes() if pid not in above)


def _has_master(pid: int, slave: tuple[int, int]) -> bool:
    """Whether a process of the session has the master of a terminal."""
    numbers = terminals.masters(pid)
    if not numbers:
        return False
    with contextlib.suppress(OSError):
        process = pidfd_open(pid)
        try:
            # That a descriptor can be copied afterwards shows that it has been one process all the time.
            return in_session(pid) and any(_leads_to(process, number, slave) for number in numbers)
        finally:
            os.close(process)
    return False


def _leads_to(process: int, number: int, slave: tuple[int, int]) -> bool:
    opened: list[int] = []
    try:
        opened.append(pidfd_getfd(process, number))
        opened.append(terminals.slave_of(opened[0]))
        return _identity(opened[1]) == slave
    except OSError:
        return False
    finally:
        for fd in opened:
            os.close(fd)


def open_controlling(tid: int, flags: int) -> int:
    """Open the controlling terminal of a task.

    Args:
        tid: the task.
        flags: for open(2); with O_NOCTTY.

    Raises:
        OSError: ENXIO when it has none, or one without a name here; what open(2) raises.
    """
    session, device = terminals.controlling(tid)
    if not device:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    if session == os.getsid(0):
        return os.open("/dev/tty", flags)  # the worker's own is the same
    fd = os.open(terminals.path_of(device), flags)
    # The number may have been given to somebody else's meanwhile; then the task has none any more.
    if terminals.controlling(tid) != (session, device):
        os.close(fd)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return fd
