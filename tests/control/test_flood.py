"""A thousand clients with bad intentions, and one that is honest."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.control.raw import Raw
from tests.support.fakedaemon import FakeDaemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CALL = json.dumps({"method": "org.sydd.ListProfiles"}).encode() + b"\0"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Room for a thousand connections in this process, where the server is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ask(raw: Raw) -> None:
    """One call and its answer."""
    raw.socket.sendall(CALL)
    assert "profiles" in raw.reply()["parameters"]


@pytest.mark.parametrize("own_uid", [-1, os.getuid()], ids=["another user's daemon", "the user's own"])
def test_an_honest_client_is_answered_within_a_second(descriptors: None, own_uid: int) -> None:
    """Under 1,000 connections of garbage, half calls, endless data, deep nesting, wrong descriptors.

    Both for a client that is connected before, and for one that connects now, although all are one user.
    """
    with FakeDaemon(own_uid=own_uid) as daemon, Raw(daemon.path) as before:
        ask(before)
        flood = subprocess.Popen(
            [sys.executable, "-m", "tests.control.flood", daemon.path, "1000", "10"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        waits = []
        while flood.poll() is None:
            for fresh in (False, True):
                begun = time.monotonic()
                if fresh:
                    with Raw(daemon.path) as raw:
                        ask(raw)
                else:
                    ask(before)
                waits.append(time.monotonic() - begun)
        output, _ = flood.communicate()
        opened = int(output.split()[0])
        assert flood.returncode == 0
        assert opened > 1000
        # Where others have the processors, everything takes as much longer.
        assert max(waits) < max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        daemon.until(lambda: daemon.server.connections == 1)
