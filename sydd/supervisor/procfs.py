"""What of /proc belongs to whom: the caller's own, another process of the session, or a stranger's.

The kernel asks for ptrace access before it shows the memory, environment or descriptors of another
process, and Landlock denies that across its domain. The worker is in no domain. So what it looks up or
opens for a caller is held to the same line here.

Source: proc(5); ptrace(2), "Ptrace access mode checking".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sydd.kernel.paths import PROC_SUPER_MAGIC, filesystem_type

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_CHAIN = 1024
"""Parents looked at before a process counts as a stranger."""

ATTEMPTS = 4
"""How often a chain of parents that changes while it is read is read anew."""

GUARDED = frozenset(
    {
        "auxv",
        "clear_refs",
        "cwd",
        "environ",
        "exe",
        "fd",
        "fdinfo",
        "gid_map",
        "io",
        "map_files",
        "maps",
        "mem",
        "mountinfo",
        "mounts",
        "mountstats",
        "ns",
        "numa_maps",
        "pagemap",
        "patch_state",
        "personality",
        "projid_map",
        "root",
        "smaps",
        "smaps_rollup",
        "stack",
        "syscall",
        "setgroups",
        "timers",
        "uid_map",
        "wchan",
    }
)
"""Entries of /proc/<pid> for which the kernel wants ptrace access."""


_above_all = 0


def supervise_below(pid: int) -> None:
    """Say which process is parent and subreaper of the session, where it is not this one.

    Args:
        pid: of it; 0 for this process.
    """
    global _above_all  # noqa: PLW0603  # a process supervises one session
    _above_all = pid


def above_all() -> int:
    """The process that is above every process of the session: its subreaper."""
    return _above_all or os.getpid()


def process_of(path: str) -> int:
    """The process in whose directory of /proc *path* lies; 0 when it lies in none."""
    if not path.startswith("/proc/"):
        return 0
    word = path[6:].partition("/")[0]
    return int(word) if word.isdecimal() else 0


def is_guarded(path: str) -> bool:
    """Whether *path*, in the directory of a process, is something that takes ptrace access to see."""
    parts = path.split("/")[3:]
    if len(parts) >= 3 and parts[0] == "task":
        parts = parts[2:]
    return bool(parts) and parts[0] in GUARDED


def is_elsewhere(path: str, fd: int) -> bool:
    """Whether *fd* is such an entry of a procfs that is mounted elsewhere than at /proc.

    Its numbers may be those of another PID namespace, so it is nobody's of the session. The name is looked at
    first: asking for the type of the file system would cost every request a system call.

    Args:
        path: canonical name of *fd*, not below /proc.
        fd: O_PATH descriptor.
    """
    name = path[path.rfind("/") + 1 :]
    return (name in GUARDED or name.isdecimal()) and filesystem_type(fd) == PROC_SUPER_MAGIC


def in_session(pid: int) -> bool:
    """Whether *pid* is a process of this worker's session: a descendant of its subreaper.

    Every process of a session has its filter; an embedded worker's own children, which wait for callers, have
    none.

    The parents are read upwards and once more downwards. A number that is the same process's parent before
    and after its own parent was read has been that one process all the time: an orphan gets a new parent
    while the old one still has its number. So a number that is taken anew in between does not pass.
    """
    subreaper = above_all()
    for _ in range(ATTEMPTS):
        chain: list[int] = []
        above = pid
        while above != subreaper and above > 1 and len(chain) < LONGEST_CHAIN:
            chain.append(above)
            above = parent_of(above)
        if above != subreaper or not chain:
            return False
        for below in reversed(chain):
            if parent_of(below) != above:
                break
            above = below
        else:
            return _has_filter(pid)
    return False


def processes() -> Iterator[int]:
    """All that /proc shows."""
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def members(group: int) -> Iterator[int]:
    """The members of a process group."""
    return (pid for pid in processes() if _stat_field(pid, 2) == group)


def command_of(pid: int) -> str:
    """The short name that a process has given itself; empty when it has gone."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    """The parent's pid; 0 when the process has gone."""
    return _stat_field(pid, 1)


def owner_of(pid: int) -> int:
    """The real user id of a process; -1 when it has gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"Uid:")), -1)
    except OSError:
        return -1


def began_at(pid: int) -> int:
    """When the process began, in clock ticks since boot; 0 when it has gone."""
    return _stat_field(pid, 19)


def memory_limit(pid: int) -> int:
    """The soft limit on resident memory, in bytes; 0 when the process has gone."""
    return _stat_field(pid, 22)


def _stat_field(pid: int, number: int) -> int:
    """A field of /proc/<pid>/stat, counted from behind the command's name; 0 when the process has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name may hold anything, a parenthesis too; what follows the last one is ours.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[number])


def _has_filter(pid: int) -> bool:
    """Whether seccomp filters *pid* (SECCOMP_MODE_FILTER is 2)."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return b"\nSeccomp:\t2\n" in file.read()
    except OSError:
        return False
