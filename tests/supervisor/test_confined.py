"""Processes that confined themselves are known by more than their numbers, which come round."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from sydd.supervisor.confined import SelfConfined
from sydd.supervisor.procfs import began_at


@pytest.fixture
def command() -> Iterator[int]:
    """A process that stands for the command, and waits."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process.pid


def test_who_confined_itself_is_known(command: int) -> None:
    """Also to the worker that takes the place of the one that saw it."""
    noted: list[tuple[object, ...]] = []
    confined = SelfConfined(command, lambda *note: noted.append(note), own_namespaces=False)
    assert not confined.holds(command)
    confined.enters(command)
    confined.enters(command)
    assert confined.holds(command)
    assert noted == [("entered", command, began_at(command))]
    successor = SelfConfined(command, noted.append, own_namespaces=False)
    successor.recall("entered", command, began_at(command))
    assert successor.holds(command)


def test_who_got_the_number_afterwards_is_not(command: int) -> None:
    """A build has more processes than there are numbers."""
    confined = SelfConfined(command, lambda *_: None, own_namespaces=False)
    confined.recall("entered", command, began_at(command) - 1)
    assert not confined.holds(command)


def test_when_in_doubt_it_is(command: int) -> None:
    """Where it could not be told when the process began, as without a descriptor to spare."""
    confined = SelfConfined(command, lambda *_: None, own_namespaces=False)
    confined.recall("entered", command, 0)
    assert confined.holds(command)
