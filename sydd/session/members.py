"""The processes of a session, found from one pid of it without asking anybody, and what they hold.

Processes of a session have one seccomp filter more than the sydctl or the daemon's keeper which is their
ancestor: also of those that lost their parent, as it is their subreaper. Commands and pids are read while
they may change: this is for people, and decides nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.session.tree import descendants
from sydd.supervisor.procfs import LONGEST_CHAIN, command_of, parent_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a socket open.

    Attributes:
        pid: its number.
        command: its name, as proc_pid_comm(5) has it.
        descriptors: under which it has the socket.
    """

    pid: int
    command: str
    descriptors: tuple[int, ...]


def supervisor_of(pid: int) -> int:
    """The sydctl of the session that *pid* belongs to: *pid* itself, or the nearest ancestor that is one.

    Of a session whose command the daemon started it is the keeper, which has the daemon's command line.

    Raises:
        LookupError: there is none.
    """
    if not os.path.exists(f"/proc/{pid}"):
        raise LookupError(f"there is no process {pid}")
    if _is_launch(pid):
        return pid
    filters = filter_count(pid)
    above = pid
    for _ in range(LONGEST_CHAIN):
        above = parent_of(above)
        if above <= 1:
            break
        if filter_count(above) < filters and (_is_launch(above) or _is_keeper(above)):
            return above
    raise LookupError(f"process {pid} is neither a 'sydctl launch' nor of a session")


def members(supervisor: int) -> list[int]:
    """The processes of the session of the sydctl *supervisor*, parents first."""
    filters = filter_count(supervisor)
    return [pid for pid in descendants(supervisor) if filter_count(pid) > filters]


def filter_count(pid: int) -> int:
    """How many seccomp filters a process has; 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Seccomp_filters:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def _is_launch(pid: int) -> bool:
    words = _words(pid)
    if "launch" not in words:
        return False
    return any(os.path.basename(word) == "sydctl" for word in words[: words.index("launch")])


def _is_keeper(pid: int) -> bool:
    return any(os.path.basename(word) in ("sydd", "sydd.daemon") for word in _words(pid)[:3])


def _words(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsdecode(file.read()).split("\0")
    except OSError:
        return []


def holders(pids: Iterable[int]) -> dict[int, list[Holder]]:
    """Who of *pids* has which socket open, by the socket's inode.

    Raises:
        PermissionError: the descriptors of one of them may not be looked at.
    """
    found: dict[int, list[Holder]] = {}
    for pid in pids:
        held: dict[int, set[int]] = {}
        for inode, number in _sockets(pid):
            held.setdefault(inode, set()).add(number)
        if not held:
            continue
        command = command_of(pid)
        for inode, numbers in held.items():
            found.setdefault(inode, []).append(Holder(pid, command, tuple(sorted(numbers))))
    return found


def _sockets(pid: int) -> Iterator[tuple[int, int]]:
    """Inode and number of each descriptor that is a socket; threads may have tables of their own."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return
    for tid in threads:
        directory = f"/proc/{pid}/task/{tid}/fd"
        try:
            names = os.listdir(directory)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            if _has_ended(f"/proc/{pid}/task/{tid}"):
                continue  # nobody owns what it had
            raise
        for name in names:
            try:
                target = os.readlink(f"{directory}/{name}")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if target.startswith("socket:["):
                yield int(target[8:-1]), int(name)


def _has_ended(task: str) -> bool:
    """Whether a task has gone, or waits for its parent (Z, X of proc_pid_stat(5))."""
    try:
        with open(f"{task}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True
