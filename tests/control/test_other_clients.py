"""Clients that are not ours: the `varlink` command of PyPI, and systemd's where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.support.fakedaemon import FakeDaemon


def varlink(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "varlink.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_varlink_info(daemon: FakeDaemon) -> None:
    """The service describes itself."""
    result = varlink("info", f"unix:{daemon.path}")
    assert result.returncode == 0, result.stderr
    assert "Product: sydd" in result.stdout
    assert "org.sydd\n" in result.stdout


def test_varlink_help(daemon: FakeDaemon) -> None:
    """The interface describes itself, and the other implementation can parse it."""
    result = varlink("help", f"unix:{daemon.path}/org.sydd")
    assert result.returncode == 0, result.stderr
    assert "method ListSessions(ended: ?bool) -> (sessions: []Session)" in result.stdout


def test_varlink_call(daemon: FakeDaemon) -> None:
    """A call with its parameters, which the client checks against the description."""
    result = varlink("call", f"unix:{daemon.path}/org.sydd.InspectSession", '{"session": "s1"}')
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["session"]["label"] == "zlib-1.3"


def test_varlink_stream(daemon: FakeDaemon) -> None:
    """A call with more than one reply."""
    result = varlink("call", "-m", f"unix:{daemon.path}/org.sydd.Subscribe", '{"follow": false}')
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('"notice"') == 3


@pytest.mark.parametrize(
    ("method", "parameters", "expected"),
    [
        ("Wait", '{"session": "zz"}', "org.sydd.NoSuchSession"),
        ("Wait", "{}", "org.varlink.service.InvalidParameter"),
        ("Nothing", "{}", "org.varlink.service.MethodNotFound"),
    ],
)
def test_varlink_errors(daemon: FakeDaemon, method: str, parameters: str, expected: str) -> None:
    """Errors arrive with their names."""
    result = varlink("call", f"unix:{daemon.path}/org.sydd.{method}", parameters)
    assert expected in result.stderr


# systemd's own client, from 255 on: what a distribution does not have cannot be asked, and is not asked for.
def systemds_client(daemon: FakeDaemon) -> None:
    """It reads the description, calls, streams, and tells errors."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["varlinkctl", *arguments], capture_output=True, text=True, timeout=50, check=False
        )

    assert "org.sydd" in run("info", daemon.path).stdout
    assert "method ListSessions" in run("introspect", daemon.path, "org.sydd").stdout
    assert '"label":"zlib-1.3"' in run("call", daemon.path, "org.sydd.ListSessions", "{}").stdout
    stream = run("--more", "call", daemon.path, "org.sydd.Subscribe", '{"follow":false}')
    assert stream.stdout.count('"notice"') == 3
    assert "org.sydd.NoSuchSession" in run("call", daemon.path, "org.sydd.Wait", '{"session":"zz"}').stderr


if shutil.which("varlinkctl"):
    test_varlinkctl = systemds_client
