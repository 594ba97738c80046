"""What of /proc belongs to whom: the caller's own, another process of the session, or a stranger's.

The kernel asks for ptrace access before it shows the memory, environment or descriptors of another
process, and Landlock denies that across its domain. The worker is in no domain. So what it looks up or
opens for a caller is held to the same line here.

Source: proc(5); ptrace(2), "Ptrace access mode checking".
"""

from __future__ import annotations

import os

LONGEST_CHAIN = 1024
"""Parents looked at before a process counts as a stranger."""

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


def in_session(pid: int) -> bool:
    """Whether *pid* is a process of this worker's session: a descendant of the worker, its subreaper."""
    worker = os.getpid()
    for _ in range(LONGEST_CHAIN):
        pid = parent_of(pid)
        if pid == worker:
            return True
        if pid <= 1:
            return False
    return False


def parent_of(pid: int) -> int:
    """The parent's pid, from /proc/<pid>/stat; 0 when the process has gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name may hold anything, a parenthesis too; what follows the last one is ours.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[1])
