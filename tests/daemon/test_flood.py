"""A thousand connections of one user with bad intentions before a real daemon, and the calls of others."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.daemon.people import Person
from tests.support.daemon import Daemon, kinds_of_descriptors, until, until_alone

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_honest_client_is_answered_within_a_second(daemon: Daemon, person: Person) -> None:
    """Throughout, each on a new connection; afterwards no descriptor is left."""
    until_alone(daemon)
    before = kinds_of_descriptors(daemon.pid)
    flood = person.start(
        [sys.executable, "-m", "tests.control.flood", daemon.socket, "1000", "10"],
        daemon.socket,
        environment={"PYTHONPATH": str(ROOT)},
    )
    waits = []
    while flood.poll() is None:
        begun = time.monotonic()
        with daemon.client() as client:
            client.list_sessions()
        waits.append(time.monotonic() - begun)
    out, err = flood.communicate()
    assert flood.returncode == 0, err
    assert int(out.split()[0]) > 1000
    # Where others have the processors, everything takes as much longer.
    assert max(waits) < max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    until(lambda: kinds_of_descriptors(daemon.pid) == before, "every connection is closed")
    assert "Traceback" not in daemon.text()
