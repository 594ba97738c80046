"""Which session a process is in: what it may ask of the daemon depends on that.

A process of a session is below its keeper (the sydctl that launched it, or the daemon's own), which is the
subreaper of all that lose their parent; or it is the worker, which connects on behalf of who called, or a
process that the worker has forked for a call that may wait. Both are held by pidfds here, so a number that
the kernel has given to somebody else means nothing. What a worker that died has left is this process's.
"""

from __future__ import annotations

import itertools
import os
import select
from collections.abc import Iterable
from dataclasses import dataclass

from sydd.session.members import filter_count
from sydd.supervisor.procfs import ATTEMPTS, LONGEST_CHAIN, parent_of


@dataclass(frozen=True, slots=True)
class Roots:
    """The processes that a session is known by.

    Attributes:
        session: its name.
        owner: user id of its owner.
        worker: pid of its worker; 0 for none.
        parent: pid of the process below which it is; 0 when that has ended.
        command: pid of its command; 0 when that has ended.
        lost: whether the process below which it was has ended.
    """

    session: str
    owner: int
    worker: int
    parent: int
    command: int
    lost: bool


class UnknownProcessError(Exception):
    """It cannot be told where a process is; the message says why."""


def session_of(pid: int, uid: int, handle: int, sessions: Iterable[Roots]) -> Roots | None:
    """The session that a process is in.

    Args:
        pid: the process.
        uid: its user.
        handle: a pidfd of it; -1 when it had ended.
        sessions: those that have not ended, each with processes that live.

    Returns:
        What the session is known by; None when it is in none.

    Raises:
        UnknownProcessError: it has ended, or it may be in a session whose keeper or worker has, or the way
            to its session is too long, or changes while it is read.
    """
    sessions = list(sessions)
    parents = {roots.parent: roots for roots in sessions if roots.parent and roots.parent != pid}
    commands = {roots.command: roots for roots in sessions if roots.command}
    workers = {roots.worker: roots for roots in sessions if roots.worker}
    known = workers | parents | commands
    own = _with_parents(pid)
    found = next((known[above] for above in own if above in known), None)
    filters = filter_count(pid)
    if handle < 0 or not is_alive(handle):
        raise UnknownProcessError("the process that connected has ended")
    if found is not None:
        return found
    # A session of root's may have processes of everybody.
    if filters and any(roots.owner in (0, uid) and roots.lost for roots in sessions):
        raise UnknownProcessError("it may be in a session that has lost its keeper")
    if os.getpid() in own and os.getpid() != 1:  # whom all descend from
        raise UnknownProcessError("it is what a worker has left")
    return None


def _with_parents(pid: int) -> list[int]:
    """A process, its parent, and so on up to the first; see `sydd.supervisor.procfs.in_session`.

    A parent that ends while the way is read looks as if the way ended there, outside of all sessions.
    """
    for _ in range(ATTEMPTS):
        chain = [pid]
        while chain[-1] > 1 and len(chain) <= LONGEST_CHAIN:
            chain.append(parent_of(chain[-1]))
        if len(chain) > LONGEST_CHAIN:
            raise UnknownProcessError(f"it has more than {LONGEST_CHAIN} processes above it")
        known = [number for number in chain if number > 0]
        top = known[-1]
        if os.path.exists(f"/proc/{top}") and all(
            parent_of(below) == above for below, above in itertools.pairwise(chain)
        ):
            return known
    raise UnknownProcessError("its parents change while they are looked at")


def is_alive(handle: int) -> bool:
    """Whether the process of a pidfd has not ended."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return not poll.poll(0)


def stays(pid: int, uid: int) -> bool:
    """Whether a process is of a user, in all of its ids, and no program that it executes changes that."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file if b":" in line)
    except OSError:
        return False
    return lines[b"Uid"].split() == [b"%d" % uid] * 4 and lines[b"NoNewPrivs"].split() == [b"1"]


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
