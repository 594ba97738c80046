"""Many sessions at once, and many one after another: all end as they should, and nothing is left of them."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from typing import Any

import pytest

from sydd.daemon.registry import REMEMBERED
from tests.daemon.people import Person
from tests.support.daemon import Daemon, forks, kinds_of_descriptors, running, until, until_alone

# $1: how many calls are refused, $2: how many are performed or go on, besides.
COMMAND = """
i=0; while [ $i -lt $1 ]; do true > /etc/never-$i; i=$((i+1)); done 2>/dev/null
i=0; while [ $i -lt $2 ]; do true > file-$$; i=$((i+1)); done
rm file-$$ 2>/dev/null; exit $3
"""

MANY = """
import json, os, sys
from sydd.client import Client
path, script, count, at_once, *words = sys.argv[1:]
null = os.open("/dev/null", os.O_RDWR)
outcomes, running = [], []
with Client(path) as client:
    for number in range(int(count)):
        command = ["sh", "-c", script, "-", *words, str(number % 100)]
        running.append(client.run("build", command, descriptors=[null] * 3, environment={"PATH": os.defpath}))
        while len(running) >= int(at_once) or (running and number + 1 == int(count)):
            with running.pop(0) as session:
                outcome = session.wait()
            outcomes.append([outcome["status"], outcome["denied"], outcome["failure"]])
json.dump(outcomes, sys.stdout)
"""

AHEAD = Counter({"socket:[N]": 3})
"""Descriptors of the daemon's by which processes for the next session wait, once there was one."""

SETTINGS = """
[limits]
sessions = 500
descriptors = 10000
"""


def _memory(pid: int) -> int:
    """Private memory of a process in KiB: what the kernel would get back with its end."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1])
    return total


def _run(
    daemon: Daemon, person: Person, count: int, at_once: int, refused: int, others: int, seconds: float
) -> list[list[Any]]:
    """Have sessions run as somebody; status, denials and failure of each, in the order of their beginning."""
    words = [daemon.socket, COMMAND, str(count), str(at_once), str(refused), str(others)]
    process = person.start([sys.executable, "-c", MANY, *words], daemon.socket)
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    return json.loads(out)  # type: ignore[no-any-return]


class _Reader(threading.Thread):
    """Reads all that is told from now on, until so many sessions have ended.

    Attributes:
        violations: how often each was told: session and path.
        lost: notices that it was too slow for.
    """

    def __init__(self, daemon: Daemon, count: int) -> None:
        super().__init__(name="reader")
        self._client = daemon.client()
        # Begun before anything happens: the call is on its way when this returns.
        self._stream = self._client.subscribe(position=self._position())
        self._count = count
        self.violations: Counter[tuple[str, str]] = Counter()
        self.lost = 0
        self.start()

    def _position(self) -> int:
        return max((one["position"] for one in self._client.subscribe(position=0, follow=False)), default=0)

    def run(self) -> None:
        """Read."""
        with self._client, self._stream as stream:
            for notice in stream:
                if notice["kind"] == "access" and notice["event"] is not None:
                    self.violations[notice["session"], notice["event"]["path"]] += 1
                self.lost += notice["count"] if notice["kind"] == "lost" else 0
                self._count -= notice["kind"] == "ended"
                if not self._count:
                    return


def _nothing_is_left(daemon: Daemon, person: Person, before: Counter[str]) -> None:
    with daemon.client() as client:
        until(lambda: client.health()["sessions"] == 0, "no session is left")
    until_alone(daemon)
    # For some seconds there is what the next session may need.
    until(lambda: kinds_of_descriptors(daemon.pid) == before, "no descriptor is left")
    until(lambda: forks(daemon) == [], "no process is left but those that wait for the next session")
    assert [name for name in os.listdir(person.home) if name.startswith(("sydd-", "file-"))] == []


def _idle(daemon: Daemon) -> Counter[str]:
    """What a daemon has open that has nothing to do."""
    found: Counter[str] = Counter()

    def is_idle() -> bool:
        nonlocal found
        found = kinds_of_descriptors(daemon.pid)
        return not found["anon_inode:[pidfd]"] and not any("precedent" in kind for kind in found)

    until(is_idle, "nothing is left of sessions or connections")
    return found


def _fill(daemon: Daemon, person: Person) -> None:
    """Run so many sessions that what is remembered for people is as large as it gets."""
    _run(daemon, person, REMEMBERED + 20, 20, 15, 0, 600)


def test_twenty_sessions_at_once(person: Person) -> None:
    """Each has its status and its denials, each violation is told once."""
    with running(settings=SETTINGS) as daemon:
        before = _idle(daemon) + AHEAD
        reader = _Reader(daemon, 20)
        outcomes = _run(daemon, person, 20, 20, 3, 10, 50)
        reader.join()
        assert outcomes == [[number, 3, ""] for number in range(20)]
        assert (len(reader.violations), set(reader.violations.values()), reader.lost) == (60, {1}, 0)
        _nothing_is_left(daemon, person, before)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_sessions_at_once(person: Person) -> None:
    """Of 2,000 supervised calls each; memory and descriptors are back afterwards."""
    with running(settings=SETTINGS) as daemon:
        _fill(daemon, person)
        before, memory = _idle(daemon), _memory(daemon.pid)
        reader = _Reader(daemon, 100)
        outcomes = _run(daemon, person, 100, 100, 15, 1985, 600)
        reader.join()
        assert outcomes == [[number, 15, ""] for number in range(100)]
        assert (len(reader.violations), set(reader.violations.values()), reader.lost) == (1500, {1}, 0)
        _nothing_is_left(daemon, person, before)
        assert _memory(daemon.pid) <= memory * 1.1


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_sessions_one_after_another(person: Person) -> None:
    """As many as SYDD_TEST_SESSIONS says, 1,000 else: memory and descriptors are back afterwards."""
    count = int(os.environ.get("SYDD_TEST_SESSIONS", "1000"))
    with running(settings=SETTINGS) as daemon:
        _fill(daemon, person)
        before, memory = _idle(daemon), _memory(daemon.pid)
        outcomes = _run(daemon, person, count, 4, 1, 0, 6000)
        assert outcomes == [[number % 100, 1, ""] for number in range(count)]
        _nothing_is_left(daemon, person, before)
        assert _memory(daemon.pid) <= memory * 1.1
