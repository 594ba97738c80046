"""What can be changed about a session while it runs: rules, the lock, the mode.

Whoever supervises a session has one `Running` beside its worker. Rules come as lines, as they were given;
they are bound and checked here, in the process that supervises, with its owner's credentials. Every change is
recorded in the journal. Methods may be called by any one thread but the worker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydd.plan.runtime import check_rule
from sydd.policy.lock import Asker, Lock, check_change, turned
from sydd.policy.policy import Mode
from sydd.policy.refused import ModeFixed
from sydd.policy.runtime import added, parsed, removed
from sydd.session.prepare import bind_added
from sydd.supervisor.event import Change, now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sydd.policy.bind import BoundRule
    from sydd.session.prepare import Prepared
    from sydd.supervisor.journal import Journal
    from sydd.supervisor.worker import Worker


class Running:
    """A session that runs, as far as it can be changed.

    Args:
        prepared: how it was prepared.
        worker: who supervises it.
        journal: where changes are recorded.
        name: of the session.

    Attributes:
        lines: every rule that was added, in the order that decides: the last one wins.
        lock: who inside may change rules.
        mode: whether what is denied is stopped.
    """

    def __init__(self, prepared: Prepared, worker: Worker, journal: Journal, name: str) -> None:
        self._prepared = prepared
        self._worker = worker
        self._journal = journal
        self._name = name
        self.lines: tuple[str, ...] = ()
        self.lock = Lock.OFF
        self.mode = prepared.policy.mode

    def add(self, lines: Iterable[str], asker: Asker = Asker.OUTSIDE, by: str = "") -> None:
        """Add rules behind those that there are, all or none; in force when this returns.

        Raises:
            Locked: *asker* may not.
            PolicyError: one is no rule, or cannot be bound.
            BeyondCeiling, NotSupervised, TooManyRules: one cannot be added.
        """
        self.replace(added(self.lines, lines), asker, by)

    def remove(self, lines: Iterable[str], asker: Asker = Asker.OUTSIDE, by: str = "") -> None:
        """Take rules away that were added, all or none; in force when this returns.

        Raises:
            Locked: *asker* may not.
            NoSuchRule: one was not added.
            PolicyError: one is no rule.
        """
        check_change(self.lock, asker)
        self.replace(removed(self.lines, lines), asker, by)

    def replace(self, lines: Iterable[str], asker: Asker = Asker.OUTSIDE, by: str = "") -> None:
        """Have these rules in place of those that were added before; in force when this returns.

        Args:
            lines: every rule, in the order that decides.
            asker: who wants it.
            by: the same, for people.

        Raises:
            Locked, PolicyError, BeyondCeiling, NotSupervised, TooManyRules: see `add`; nothing is changed.
        """
        check_change(self.lock, asker)
        lines = added((), lines)
        self._worker.replace_rules(self.bound(lines))
        self._record("rules", by or asker.value, self.lines, lines)
        self.lines = lines

    def bound(self, lines: Iterable[str]) -> tuple[BoundRule, ...]:
        """The rules that *lines* are, bound and checked; nothing is changed.

        Raises:
            PolicyError, BeyondCeiling, NotSupervised: see `add`.
        """
        rules = bind_added(self._prepared, parsed(lines))
        for rule in rules:
            check_rule(self._prepared.plan, self._prepared.ceiling, rule)
        return rules

    def set_lock(self, wanted: Lock, asker: Asker = Asker.OUTSIDE, by: str = "") -> Lock:
        """Set the lock.

        Returns:
            The lock that is set now.

        Raises:
            Locked: from inside it can only be tightened.
        """
        lock = turned(self.lock, wanted, asker)
        if lock is not self.lock:
            self._record("lock", by or asker.value, (self.lock.value,), (lock.value,))
            self.lock = lock
        return lock

    def set_mode(self, mode: Mode, asker: Asker = Asker.OUTSIDE, by: str = "") -> None:
        """Set the mode; see `Worker.set_mode` for which sessions that is possible.

        Raises:
            ModeFixed: it is not possible, or *asker* is inside, where the mode is nobody's to change.
        """
        if mode is self.mode:
            return
        if asker is not Asker.OUTSIDE:
            raise ModeFixed("the mode is not to be changed from inside the session")
        self._worker.set_mode(mode)
        self._record("mode", by or asker.value, (self.mode.value,), (mode.value,))
        self.mode = mode

    def decide(self, question: int, *, allow: bool, remember: bool = False, by: str = "") -> bool:
        """Answer a question that `Clients.ask` put; see `Questions.decide`."""
        return self._worker.decide(question, allow=allow, remember=remember, by=by)

    def _record(self, what: str, by: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        def record() -> None:
            sequence = self._journal.next_sequence
            self._journal.change(Change(sequence, now(), self._name, what, by, before, after))

        self._worker.between(record)  # whose thread the journal belongs to
