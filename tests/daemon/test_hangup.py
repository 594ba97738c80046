"""Clients that hang up before they are answered: of what they wanted nothing is left."""

from __future__ import annotations

import os
import random
import select
from pathlib import Path

import pytest

from sydd.client.connection import Connection
from tests.support.daemon import Daemon, forks, until

TIMES = 20

LIMITED = """
extends = "permissive"
[limits]
time = "1s"
"""


@pytest.mark.parametrize(
    ("method", "most"), [("Run", 0.04), ("CreateSession", 0.004)], ids=["Run", "CreateSession"]
)
def test_nobody_waits_any_more(daemon: Daemon, method: str, most: float, tmp_path: Path) -> None:
    """The session ends, its command, too; where that was started already, by the time that it has.

    Args:
        daemon: a daemon.
        method: what is asked for.
        most: seconds after which the connection is closed at the latest; what creates a session needs more.
        tmp_path: to work in.
    """
    profile = tmp_path / "limited.toml"
    profile.write_text(LIMITED)
    chance = random.Random(method)  # noqa: S311  # no secret
    descriptors = [0, 1, 2] if method == "Run" else []
    request = {
        "profile": str(profile),
        "argv": ["sleep", "60"],
        "directory": str(tmp_path),
        "environment": {"PATH": os.defpath, "TMPDIR": str(tmp_path)},
        **({"descriptors": descriptors} if descriptors else {}),
    }
    for _ in range(TIMES):
        connection = Connection(daemon.socket, 5)
        connection.send(method, request, descriptors)
        select.select([connection], [], [], chance.uniform(0, most))
        connection.close()
    with daemon.client() as client:
        until(lambda: client.health()["sessions"] == 0, "no session is left")
    until(lambda: forks(daemon) == [], "no process is left")
    assert list(tmp_path.iterdir()) == [profile]
