"""The lock of a session: who may change rules, and how it turns."""

from __future__ import annotations

import itertools

import pytest

from sydd.policy.lock import Asker, Lock, check_change, may_change, turned
from sydd.policy.refused import Locked

OFF, EXEC, ON = Lock
OUTSIDE, ELDEST, INSIDE = Asker


def test_who_may_change() -> None:
    """From outside always; inside as the lock says."""
    allowed = {(lock, asker) for lock, asker in itertools.product(Lock, Asker) if may_change(lock, asker)}
    assert allowed == {
        (OFF, OUTSIDE),
        (OFF, ELDEST),
        (OFF, INSIDE),
        (EXEC, OUTSIDE),
        (EXEC, ELDEST),
        (ON, OUTSIDE),
    }


@pytest.mark.parametrize(("lock", "asker"), [(EXEC, INSIDE), (ON, ELDEST), (ON, INSIDE)])
def test_who_may_not(lock: Lock, asker: Asker) -> None:
    """The error says which lock it is."""
    with pytest.raises(Locked, match=f"lock is {lock.value}"):
        check_change(lock, asker)


@pytest.mark.parametrize(("lock", "wanted", "asker"), list(itertools.product(Lock, Lock, Asker)))
def test_turning(lock: Lock, wanted: Lock, asker: Asker) -> None:
    """From inside never looser; by who may change rules; to what is set already always."""
    may = asker is OUTSIDE or wanted is lock or (wanted.order > lock.order and may_change(lock, asker))
    if may:
        assert turned(lock, wanted, asker) is wanted
    else:
        with pytest.raises(Locked):
            turned(lock, wanted, asker)


@pytest.mark.parametrize("asked", list(itertools.product(Lock, repeat=3)))
def test_inside_never_loosens(asked: tuple[Lock, ...]) -> None:
    """Whatever is asked for from inside, and by whom."""
    for askers in itertools.product((ELDEST, INSIDE), repeat=3):
        lock = OFF
        for wanted, asker in zip(asked, askers, strict=True):
            before = lock
            try:
                lock = turned(lock, wanted, asker)
            except Locked:
                assert lock is before
            assert lock.order >= before.order
