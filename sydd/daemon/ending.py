"""Ending the processes of a session, and removing what it leaves.

Its processes are those below its keeper, which is their subreaper: also who lost its parent is found there.
Where the keeper was killed, they are known by their mark. Each is held by a pidfd before it is looked at, so
that none is hit that has a dead one's number.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sydd.daemon.errand import run_errand
from sydd.daemon.mark import is_marked
from sydd.daemon.spec import SessionSpec, private_places, private_prefix
from sydd.kernel.fd import FileDescriptor
from sydd.kernel.pidfd import exit_status, knows_exit_status, pidfd_open, pidfd_send_signal
from sydd.session.members import filter_count, members
from sydd.session.temporary import remove_tree
from sydd.session.tree import descendants
from sydd.supervisor.procfs import LONGEST_CHAIN, owner_of, parent_of, processes

ROUNDS = 200
"""How often the processes are looked through; what still forks then is told and left."""

TOGETHER = 256
"""Processes that are held at a time."""

COLLECTED = 100
"""How often a command's status is looked for, which is there when its parent has collected it."""

PAUSE = 0.01
"""Seconds between two looks, which the killed take to go."""

SHORT = 0.001
"""Seconds between the first two looks for a status, which its parent is just collecting."""


@dataclass(frozen=True, slots=True)
class Members:
    """Where the processes of a session are found.

    Below the keeper, while that lives: they have a filter more than it has. Afterwards, and where nobody is
    below it, as it may be just ending, they are the command, those that have the session's mark, those that
    this daemon was left by the keeper that it had forked, and what is below all of these.

    Attributes:
        keeper: a process that lives; 0 when it has ended.
        command: likewise.
        owner: user id of the session's owner; a session of root's may have processes of everybody.
        mark: of the session; 0 for none.
        daemon: pid of this daemon where its children with filters are the session's; else 0. Only a process
            whose keeper was killed becomes its child, and then its session is ended.
    """

    keeper: int
    command: int
    owner: int
    mark: int = 0
    daemon: int = 0

    def find(self) -> list[int]:
        """All of them, parents first."""
        below = members(self.keeper) if self.keeper else []
        if below:
            return below
        roots = {pid for pid in processes() if self._is_root(pid)}
        return list(dict.fromkeys(pid for root in sorted(roots) for pid in (root, *descendants(root))))

    def has(self, pid: int) -> bool:
        """Whether a process is one of them, now."""
        filters = filter_count(pid)
        if self.keeper and filters > filter_count(self.keeper) and self.keeper in _above(pid):
            return True
        return filters > 0 and any(self._is_root(above) for above in (pid, *_above(pid)))

    def _is_root(self, pid: int) -> bool:
        if pid == self.command:
            return True
        if is_marked(pid, self.mark):
            return self._is_owners(pid) and filter_count(pid) > 0
        return (
            self.daemon > 0
            and not self.keeper
            and parent_of(pid) == self.daemon
            and self._is_owners(pid)
            and filter_count(pid) > filter_count(self.daemon)
        )

    def _is_owners(self, pid: int) -> bool:
        return not self.owner or owner_of(pid) == self.owner

    def signal(self, number: int) -> int:
        """Send a signal to every one.

        Args:
            number: of the signal.

        Returns:
            How many got it.
        """
        found = self.find()
        return sum(
            self._signal(found[start : start + TOGETHER], number) for start in range(0, len(found), TOGETHER)
        )

    def _signal(self, pids: Sequence[int], number: int) -> int:
        """All are held before the first gets it: one whose parent ends of it is below others then."""
        reached = 0
        with contextlib.ExitStack() as stack:
            held = []
            for pid in pids:
                with contextlib.suppress(OSError):
                    handle = stack.enter_context(FileDescriptor(pidfd_open(pid))).fileno()
                    if self.has(pid):  # looked at again: only now the number is surely its own
                        held.append(handle)
            for handle in held:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    pidfd_send_signal(handle, number)
                    reached += 1
        return reached


async def end_all(where: Callable[[], Members]) -> int:
    """SIGKILL every process of a session until none is left.

    Args:
        where: they are found now; a keeper may end meanwhile.

    Returns:
        How many there were.
    """
    hit = 0
    for _ in range(ROUNDS):
        found = where()
        hit = max(hit, found.signal(signal.SIGKILL))
        if not any(_lives(pid) for pid in found.find()) and where() == found:
            break
        await asyncio.sleep(PAUSE)
    return hit


def _above(pid: int) -> list[int]:
    """Parent, its parent, and so on, but not the first process."""
    found: list[int] = []
    while len(found) < LONGEST_CHAIN and (pid := parent_of(pid)) > 1:
        found.append(pid)
    return found


def _lives(pid: int) -> bool:
    """Whether a process is none that only waits to be collected."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


async def remove_directory(path: str, spec: SessionSpec, hidden: str = "") -> None:
    """Remove a session's private directory as its owner; what cannot be removed is left.

    Args:
        path: its name; empty where the worker was killed before it told, when it is looked for.
        spec: the session's.
        hidden: another one that may be there, and is removed where it is empty.

    Raises:
        ErrandError: there is no process for that.
    """
    prefix = private_prefix(spec.id)

    def remove() -> None:
        named = spec.environment.get("TMPDIR", "")
        places = private_places(named and os.path.join(spec.directory, named))
        for name in [path] if path else [name for place in places for name in _named(place, prefix)]:
            remove_tree(name)
        if hidden:
            with contextlib.suppress(OSError):
                os.rmdir(hidden)

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
    pause = SHORT
    for _ in range(COLLECTED if knows_exit_status() else 0):
        status = exit_status(handle)
        if status is not None or not has_parent():
            return status
        await asyncio.sleep(pause)
        pause = min(2 * pause, PAUSE)
    return None


def interrupt(handle: int) -> None:
    """SIGKILL a process by its pidfd; one that has gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        pidfd_send_signal(handle, signal.SIGKILL)
