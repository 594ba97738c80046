"""Processes of a session that confined themselves further, with Landlock.

The worker is in none of their domains. What it performed for them would pass their own walls by: a confused
deputy. So for them, and for whoever descends from them, nothing is performed that Landlock would judge; the
kernel does it, or it is not done.

No interface tells the domain of a process. What shows is the call by which it enters one, and who descends
from whom; a process that has lost its parent may descend from any. What was seen is remembered with the time
at which the process began, as its number is another's after it. `clone` with CLONE_PARENT, by which a
child would become its parent's sibling, is refused in every session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydd.kernel import credentials
from sydd.supervisor.procfs import LONGEST_CHAIN, above_all, began_at, parent_of

if TYPE_CHECKING:
    from collections.abc import Callable


class SelfConfined:
    """The processes of one session that may be in domains of their own.

    Args:
        command: pid of the launched command, the one child of the subreaper that lost no parent.
        note: writes down what a successor has to know.
        own_namespaces: whether there may be pid namespaces, whose first process adopts who lost its parent.
    """

    def __init__(self, command: int, note: Callable[..., None], *, own_namespaces: bool) -> None:
        self._command = command
        self._note = note
        self._own_namespaces = own_namespaces
        self._entered: dict[int, int] = {}  # when the process of that number began
        self._adopting: dict[int, int] = {}

    def enters(self, tid: int) -> None:
        """The process of thread *tid* is about to confine itself (landlock_restrict_self(2))."""
        self._add("entered", self._entered, credentials.of_task(tid).tgid)

    def adopts(self, tid: int) -> None:
        """It is about to adopt who loses its parent below it (PR_SET_CHILD_SUBREAPER, prctl(2))."""
        self._add("adopting", self._adopting, credentials.of_task(tid).tgid)

    def _add(self, kind: str, known: dict[int, int], pid: int) -> None:
        if not _is_in(known, pid):
            began = began_at(pid)
            self._note(kind, pid, began)
            known[pid] = began

    def recall(self, kind: str, pid: int, began: int) -> None:
        """Take what another worker has noted."""
        (self._entered if kind == "entered" else self._adopting)[pid] = began

    def holds(self, tid: int) -> bool:
        """Whether thread *tid* may be in such a domain; when in doubt it is."""
        if not self._entered:
            return False
        if self._own_namespaces:
            return True
        subreaper = above_all()
        pid = credentials.of_task(tid).tgid
        for _ in range(LONGEST_CHAIN):
            if _is_in(self._entered, pid):
                return True
            parent = parent_of(pid)
            if parent == subreaper:
                return pid != self._command
            if parent <= 1 or _is_in(self._adopting, parent):
                return True
            pid = parent
        return True


def _is_in(known: dict[int, int], pid: int) -> bool:
    """Whether the process that has this number now is known, or may be: when it began cannot be told."""
    began = known.get(pid)
    return began is not None and (not began or began_at(pid) in (began, 0))
