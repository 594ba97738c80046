"""The processes of an embedded session: all descendants, since the supervisor is their subreaper."""

from __future__ import annotations

import contextlib
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Callable

ROUNDS = 100
"""How often the tree is looked through before what still forks is given up on."""


def descendants(pid: int) -> list[int]:
    """Every process below *pid*, parents first."""
    found: list[int] = []
    pending = [pid]
    while pending:
        for child in _children(pending.pop()):
            found.append(child)
            pending.append(child)
    return found


def _children(pid: int) -> list[int]:
    """Children of every thread of *pid* (proc_pid_task_tid_children(5))."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for tid in threads:
        try:
            with open(f"/proc/{pid}/task/{tid}/children", "rb") as file:
                found.extend(int(word) for word in file.read().split())
        except OSError:
            continue
    return found


def signal_tree(number: int) -> int:
    """Send a signal to every descendant of this process.

    Returns:
        How many there were.
    """
    found = descendants(os.getpid())
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return len(found)


def kill_tree(reap: Callable[[], None]) -> None:
    """SIGKILL every descendant, again until none is left: what forks meanwhile is found the next time.

    Args:
        reap: collects the children that have ended, without waiting.
    """
    for _ in range(ROUNDS):
        if not signal_tree(signal.SIGKILL):
            return
        reap()
