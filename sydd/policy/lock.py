"""Who may change the rules of a running session, and until when: a small state machine.

A session begins with one lock, which its owner may set to anything at any time. A process inside can only
turn it further, and only while it may change rules at all; so what has been locked stays locked for whoever
is inside.
"""

from __future__ import annotations

from enum import Enum

from sydd.policy.refused import Locked


class Lock(Enum):
    """Which processes inside a session may change its rules. The values are in rising order."""

    OFF = "off"  # every process
    EXEC = "exec"  # only the eldest: the launched command itself
    ON = "on"  # none

    @property
    def order(self) -> int:
        """How tight: 0 for OFF to 2 for ON."""
        return tuple(Lock).index(self)


class Asker(Enum):
    """Who wants to change something about a session."""

    OUTSIDE = "outside"  # its owner, or root, from outside
    ELDEST = "eldest"  # the launched command
    INSIDE = "inside"  # any other process of the session


def may_change(lock: Lock, asker: Asker) -> bool:
    """Whether *asker* may add and remove rules while *lock* is set."""
    if asker is Asker.OUTSIDE or lock is Lock.OFF:
        return True
    return lock is Lock.EXEC and asker is Asker.ELDEST


def check_change(lock: Lock, asker: Asker) -> None:
    """Let *asker* add and remove rules.

    Raises:
        Locked: it may not.
    """
    if not may_change(lock, asker):
        who = "only the launched command may change" if lock is Lock.EXEC else "no process inside may change"
        raise Locked(f"the session's lock is {lock.value}: {who} its rules")


def turned(lock: Lock, wanted: Lock, asker: Asker) -> Lock:
    """The lock after *asker* asked for *wanted*.

    Raises:
        Locked: from inside it can only be tightened, and by nobody who may not change rules.
    """
    if asker is Asker.OUTSIDE or wanted is lock:
        return wanted
    check_change(lock, asker)
    if wanted.order < lock.order:
        raise Locked(f"the session's lock is {lock.value}: from inside it can only be tightened")
    return wanted
