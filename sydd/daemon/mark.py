"""A mark on the processes of a session, by which they are found when nobody is above them any more.

It is the soft limit on resident memory (RLIMIT_RSS), which Linux does not enforce: a random number beyond
all memory, that children and programs inherit, and that /proc/<pid>/stat shows to everybody without a look
into the process. A process may change its own, and is not found then. Nobody has one by chance, and what is
in a session cannot put it on a process outside: limits of others are for `sydd.supervisor.neighbours`.

Source: getrlimit(2); proc_pid_stat(5), rsslim.
"""

from __future__ import annotations

import os

from sydd.supervisor.procfs import memory_limit

_BEYOND = 1 << 62
"""Bytes that no machine has."""


def new() -> int:
    """A mark that nobody has."""
    return _BEYOND | int.from_bytes(os.urandom(8)) >> 2


def is_marked(pid: int, mark: int) -> bool:
    """Whether a process has a mark.

    Args:
        pid: of it.
        mark: see `new`; nobody has 0.
    """
    return mark >= _BEYOND and memory_limit(pid) == mark
