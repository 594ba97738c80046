"""What /proc tells about the process that made a request: for people who read an event."""

from __future__ import annotations

import os
from dataclasses import dataclass

LONGEST_CHAIN = 64
MAXIMUM_ARGUMENTS = 64
MAXIMUM_CMDLINE = 4096


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One process above the one that asked."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class Process:
    """The process that asked.

    Attributes:
        pid: thread group id.
        tid: the thread.
        command: comm of the thread, as ps(1) shows it.
        exe: the program that it executes; empty when it cannot be known.
        argv: its arguments, shortened to a bound.
        cwd: its working directory.
        parents: from its parent up to the launched command.
    """

    pid: int
    tid: int
    command: str
    exe: str
    argv: tuple[str, ...]
    cwd: str
    parents: tuple[Ancestor, ...]


def describe_process(tid: int, stop_at: int) -> Process:
    """Look up the thread *tid*. What cannot be read is left empty: an event never fails a request.

    Args:
        tid: the thread that asked.
        stop_at: the process that is the session's own, whose parents are none of it.
    """
    pid, parent = _ids(tid)
    return Process(
        pid=pid,
        tid=tid,
        command=_read(f"/proc/{tid}/comm", 64).rstrip("\n"),
        exe=_link(f"/proc/{tid}/exe"),
        argv=_argv(tid),
        cwd=_link(f"/proc/{tid}/cwd"),
        parents=_parents(parent, stop_at),
    )


def _parents(pid: int, stop_at: int) -> tuple[Ancestor, ...]:
    chain: list[Ancestor] = []
    while pid > 1 and pid != stop_at and len(chain) < LONGEST_CHAIN:
        command = _read(f"/proc/{pid}/comm", 64).rstrip("\n")
        if not command:
            break
        chain.append(Ancestor(pid, command))
        _, pid = _ids(pid)
    return tuple(chain)


def _ids(tid: int) -> tuple[int, int]:
    """Thread group and parent of a thread, from /proc/<tid>/status."""
    group, parent = tid, 0
    for line in _read(f"/proc/{tid}/status", 1024).splitlines():
        if line.startswith("Tgid:"):
            group = int(line[5:])
        elif line.startswith("PPid:"):
            parent = int(line[5:])
            break
    return group, parent


def _argv(tid: int) -> tuple[str, ...]:
    words = _read(f"/proc/{tid}/cmdline", MAXIMUM_CMDLINE).split("\0")
    if words and not words[-1]:
        words.pop()
    return tuple(words[:MAXIMUM_ARGUMENTS])


def _read(path: str, size: int) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.fsdecode(os.read(fd, size))
    except OSError:
        return ""
    finally:
        os.close(fd)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
