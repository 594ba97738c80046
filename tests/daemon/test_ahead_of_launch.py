"""What a launch takes is forked before it is asked for, too: what that is, and what becomes of it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.daemon.people import Person
from tests.daemon.test_ahead import NOTHING, lives, status
from tests.support.daemon import Daemon, children, is_blank, kinds_of_descriptors, until


def beside(daemon: Daemon) -> list[int]:
    """A worker and a preparer that wait for a session that sydctl launches, once both are there."""
    found: list[int] = []

    def look() -> bool:
        (zygote, *_) = children(daemon.pid)
        found[:] = [pid for pid in children(zygote) if is_blank(pid)]
        return len(found) == 2

    until(look, "a worker and a preparer wait")
    return found


def launch(daemon: Daemon, person: Person) -> int:
    """Launch a command; the pid of its session's worker."""
    words = ["launch", "--daemon", "-q", "permissive", "--", "sh", "-c", "echo ready; cat"]
    process = person.sydctl(words, daemon.socket)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with daemon.client() as client:
        (found,) = client.list_sessions()
    process.communicate("", timeout=30)
    assert process.returncode == 0
    return int(found["worker"])


def test_what_a_launch_takes(daemon: Daemon, person: Person) -> None:
    """It is there before the next one as well, once somebody has launched, is nobody's yet, and used once."""
    launch(daemon, person)
    ready = beside(daemon)
    for pid in ready:
        assert status(pid, "Uid").split() == status(daemon.pid, "Uid").split()
        until(lambda pid=pid: set(kinds_of_descriptors(pid)) == NOTHING, "it has rehearsed")
        assert children(pid) == []
    assert launch(daemon, person) in ready
    assert not set(ready).intersection(beside(daemon))


@pytest.mark.parametrize("place", [0, 1])
def test_one_of_a_launch_that_dies(daemon: Daemon, person: Person, place: int) -> None:
    """The next session has another one in its place, and the other one of these."""
    launch(daemon, person)
    ready = beside(daemon)
    os.kill(ready[place], signal.SIGKILL)
    until(lambda: not lives(ready[place]), "it ends")
    assert launch(daemon, person) != ready[place]
    assert not set(ready).intersection(beside(daemon))


def test_a_launch_with_its_zygote(daemon: Daemon, person: Person) -> None:
    """What waits for it does not outlive who forked it."""
    launch(daemon, person)
    ready = beside(daemon)
    os.kill(children(daemon.pid)[0], signal.SIGKILL)
    until(lambda: not any(map(lives, ready)), "they end")
    assert launch(daemon, person)
