"""Ending the processes of a session, and removing what it leaves.

Its processes are those below its keeper, which is their subreaper: also who lost its parent is found there.
Each is held by a pidfd before it is looked at, so that none is hit that has a dead one's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from sydd.daemon.errand import run_errand
from sydd.daemon.spec import SessionSpec, private_prefix
from sydd.kernel.pidfd import exit_status, knows_exit_status, pidfd_open, pidfd_send_signal
from sydd.session.members import filter_count
from sydd.session.temporary import remove_tree
from sydd.session.tree import descendants
from sydd.supervisor.procfs import LONGEST_CHAIN, parent_of

ROUNDS = 200
"""How often the processes are looked through; what still forks then is told and left."""

COLLECTED = 100
"""How often a command's status is looked for, which is there when its parent has collected it."""

PAUSE = 0.01
"""Seconds between two looks, which the killed take to go."""


def processes_below(keeper: int, *, inside: bool = False) -> list[int]:
    """The processes of the session of a keeper: those below it that have a filter more than it has.

    Args:
        keeper: a process that lives.
        inside: whether it is a process of the session itself, whose keeper has gone.
    """
    filters = filter_count(keeper) - inside
    return [pid for pid in descendants(keeper) if filter_count(pid) > filters]


def signal_below(keeper: int, number: int, *, inside: bool = False) -> int:
    """Send a signal to every process of the session of a keeper.

    Args:
        keeper: a process that lives.
        number: of the signal.
        inside: as for `processes_below`.

    Returns:
        How many got it.
    """
    reached = 0
    filters = filter_count(keeper) - inside
    for pid in descendants(keeper):
        try:
            handle = pidfd_open(pid)
        except OSError:
            continue
        try:
            # Looked at again: only now the number is surely its own.
            if filter_count(pid) > filters and _is_below(pid, keeper):
                pidfd_send_signal(handle, number)
                reached += 1
        except (ProcessLookupError, PermissionError):
            continue
        finally:
            os.close(handle)
    return reached


def _is_below(pid: int, keeper: int) -> bool:
    for _ in range(LONGEST_CHAIN):
        pid = parent_of(pid)
        if pid == keeper:
            return True
        if pid <= 1:
            break
    return False


async def end_below(keeper: int, *, inside: bool = False) -> int:
    """SIGKILL every process of the session of a keeper until none is left.

    Args:
        keeper: a process that lives.
        inside: as for `processes_below`.

    Returns:
        How many there were.
    """
    hit = 0
    for _ in range(ROUNDS):
        hit = max(hit, signal_below(keeper, signal.SIGKILL, inside=inside))
        if not any(_lives(pid) for pid in processes_below(keeper, inside=inside)):
            break
        await asyncio.sleep(PAUSE)
    return hit


def _lives(pid: int) -> bool:
    """Whether a process is none that only waits to be collected."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


async def remove_directory(path: str, spec: SessionSpec) -> None:
    """Remove a session's private directory as its owner; what cannot be removed is left.

    Args:
        path: its name; empty where the worker was killed before it told, when it is looked for.
        spec: the session's.

    Raises:
        ErrandError: there is no process for that.
    """
    above = spec.environment.get("TMPDIR") or "/tmp"  # noqa: S108  # where tempfile makes it
    prefix = private_prefix(spec.id)

    def remove() -> None:
        for name in [path] if path else _named(above, prefix):
            remove_tree(name)

    await run_errand(remove, spec.identity)


def _named(directory: str, prefix: str) -> list[str]:
    try:
        return [os.path.join(directory, name) for name in os.listdir(directory) if name.startswith(prefix)]
    except OSError:
        return []


async def collected_status(handle: int, has_parent: Callable[[], bool]) -> int | None:
    """How a command ended, as soon as its parent has collected it.

    Args:
        handle: pidfd of the command.
        has_parent: whether somebody lives who will collect it.

    Returns:
        Its exit status, 128 + N when signal N ended it; None where it cannot be known.
    """
    for _ in range(COLLECTED if knows_exit_status() else 0):
        status = exit_status(handle)
        if status is not None or not has_parent():
            return status
        await asyncio.sleep(PAUSE)
    return None


def interrupt(handle: int) -> None:
    """SIGKILL a process by its pidfd; one that has gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        pidfd_send_signal(handle, signal.SIGKILL)
