"""SIGHUP: the settings are read again."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.support.daemon import Daemon, running, until

pytestmark = pytest.mark.slow


def _reload(daemon: Daemon, text: str) -> dict[str, Any]:
    """Have other settings; the record that tells of them."""
    with open(daemon.settings, "w", encoding="utf-8") as file:
        file.write(text)
    before = len(_records(daemon))
    os.kill(daemon.pid, signal.SIGHUP)
    until(lambda: len(_records(daemon)) > before, "the log tells of it")
    return _records(daemon)[before]


def _records(daemon: Daemon) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in daemon.text().splitlines()]
    return [record for record in records if record["message"].startswith("the settings ")]


def test_settings_are_read_again() -> None:
    """Limits and metrics are as the file says; with a mistake in it they stay, and the log has its place."""
    with running(settings="[limits]\nsessions = 1\n") as daemon, daemon.client() as client:
        metrics = f"{os.path.dirname(daemon.socket)}/metrics.sock"
        assert client.info()["limits"]["user_sessions"] == 1
        told = _reload(
            daemon, f'[limits]\nsessions = 2\nconnections = 7\n[metrics]\naddress = "unix:{metrics}"\n'
        )
        assert (told["message"], told["level"]) == ("the settings were read again", "info")
        limits = client.info()["limits"]
        assert (limits["user_sessions"], limits["user_connections"]) == (2, 7)
        until(lambda: os.path.exists(metrics), "the figures are served")
        told = _reload(daemon, "[limits]\nsessions = 3\nconections = 9\n")
        assert told["level"] == "error"
        assert told["message"] == (
            f"the settings stay as they were: {daemon.settings}:3:1: unknown key 'conections' in [limits]"
            " (did you mean 'connections'?)"
        )
        assert client.info()["limits"]["user_sessions"] == 2
        assert os.path.exists(metrics)
        os.unlink(daemon.settings)
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: len(_records(daemon)) == 3, "that there is none is told")
        assert client.info()["limits"]["user_sessions"] == 2
        _reload(daemon, "")
        until(lambda: not os.path.exists(metrics), "the figures are served no more")
        assert client.info()["limits"]["user_sessions"] == 64
