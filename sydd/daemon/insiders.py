"""Which session a process is in: what it may ask of the daemon depends on that.

A process of a session is below its keeper (the sydctl that launched it, or the daemon's own), which is the
subreaper of all that lose their parent; or it is the worker, which connects on behalf of who called. Both are
held by pidfds here, so a number that the kernel has given to somebody else means nothing.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from dataclasses import dataclass

from sydd.session.members import filter_count
from sydd.supervisor.procfs import LONGEST_CHAIN, parent_of


@dataclass(frozen=True, slots=True)
class Roots:
    """The processes that a session is known by.

    Attributes:
        session: its name.
        owner: user id of its owner.
        worker: pid of its worker; 0 for none.
        parent: pid of the process below which it is; 0 when that has ended.
        command: pid of its command; 0 when that has ended.
    """

    session: str
    owner: int
    worker: int
    parent: int
    command: int


class UnknownProcessError(Exception):
    """It cannot be told where a process is; the message says why."""


def session_of(pid: int, uid: int, handle: int, sessions: Iterable[Roots]) -> tuple[str, bool]:
    """The session that a process is in.

    Args:
        pid: the process.
        uid: its user.
        handle: a pidfd of it; -1 where there is none.
        sessions: those that have not ended, each with processes that live.

    Returns:
        The session's name, empty when it is in none; and whether it is the command itself, the eldest.

    Raises:
        UnknownProcessError: it has ended, or it may be in a session whose keeper has.
    """
    parents = {roots.parent: roots for roots in sessions if roots.parent}
    commands = {roots.command: roots for roots in sessions if roots.command}
    for roots in sessions:
        if pid == roots.worker:
            return roots.session, False
    found: Roots | None = commands.get(pid)
    eldest = found is not None
    above = pid
    for _ in range(LONGEST_CHAIN):
        if found is not None or above <= 1:
            break
        above = parent_of(above)
        found = commands.get(above) or parents.get(above)
    filters = filter_count(pid)
    if handle >= 0 and not is_alive(handle):
        raise UnknownProcessError("the process that connected has ended")
    if found is not None:
        return found.session, eldest
    if filters and any(roots.owner == uid and not roots.parent for roots in sessions):
        raise UnknownProcessError("it may be in a session that has lost its keeper")
    return "", False


def is_alive(handle: int) -> bool:
    """Whether the process of a pidfd has not ended."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return not poll.poll(0)


def read_argv(pid: int) -> list[str]:
    """The arguments of a process, as far as they are shown to people; empty when it has gone."""
    try:
        fd = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        data = os.read(fd, 4096)
    except OSError:
        return []
    finally:
        os.close(fd)
    return os.fsdecode(data).rstrip("\0").split("\0")[:64]
