"""What a test may leave behind: descriptors, children, threads, temporary files, another cwd."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass


def descriptors() -> dict[int, str]:
    """Every open descriptor of this process and what /proc calls its object."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            # The descriptor that the listing itself was read by.
            continue
    return found


def children() -> dict[int, str]:
    """Every child of this process, those that nobody waited for included, and its command line."""
    found: dict[int, str] = {}
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
                pids = [int(word) for word in file.read().split()]
        except FileNotFoundError:
            # A thread that ended meanwhile: the kernel has given its children to another one.
            continue
        for pid in pids:
            found[pid] = _command_line(pid)
    return found


def _command_line(pid: int) -> str:
    """The command line of a process, or what is left of it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return " ".join(os.fsdecode(word) for word in words) or "a zombie"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of this process that a test has to leave as it found it.

    Attributes:
        descriptors: number and object of each open descriptor.
        children: pid and command line of each child.
        threads: Python's threads.
        files: the names in the temporary directory.
        cwd: the working directory.
    """

    descriptors: dict[int, str]
    children: dict[int, str]
    threads: frozenset[threading.Thread]
    files: frozenset[str]
    cwd: str

    @classmethod
    def take(cls, directory: str) -> Snapshot:
        """Look now.

        Args:
            directory: the temporary directory of the test session.
        """
        return cls(
            descriptors=descriptors(),
            children=children(),
            threads=frozenset(threading.enumerate()),
            files=frozenset(os.listdir(directory)),
            cwd=os.getcwd(),
        )

    def leaks(self, after: Snapshot) -> list[str]:
        """One line for each thing that is in `after` and was not in this snapshot."""
        found: list[str] = []
        for number, target in sorted(after.descriptors.items()):
            was = self.descriptors.get(number)
            if was is None:
                found.append(f"descriptor {number} is open: {target}")
            elif was != target:
                # Closed and its number taken again: by a leak, or one of the harness's own was closed.
                found.append(f"descriptor {number} was {was} and is {target}")
        found += [f"descriptor {n} was closed" for n in sorted(self.descriptors.keys() - after.descriptors)]
        for pid in sorted(after.children.keys() - self.children):
            found.append(f"child {pid} is there: {after.children[pid]}")
        found += [f"thread {thread.name!r} runs" for thread in after.threads - self.threads]
        found += [f"temporary file {name!r} is there" for name in sorted(after.files - self.files)]
        if after.cwd != self.cwd:
            found.append(f"the working directory was {self.cwd} and is {after.cwd}")
        return found


def end_children(pids: Iterable[int]) -> None:
    """Kill and reap children that a test left, so that they are not counted against the next one."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue
