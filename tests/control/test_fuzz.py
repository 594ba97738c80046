"""Whatever is sent, the server goes on: no exception in its loop, no stall, no descriptor left."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sydd.wire.errors import ERRORS
from tests.control.fuzz import FRAGMENTS, calls
from tests.control.raw import Raw
from tests.support.fakedaemon import FakeDaemon

KNOWN = {error.qualified() for error in ERRORS} | {
    f"org.varlink.service.{name}"
    for name in (
        "InvalidParameter",
        "MethodNotFound",
        "InterfaceNotFound",
        "ExpectedMore",
        "MethodNotImplemented",
    )
}
SHORT = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
LONG = settings(SHORT, max_examples=2000)


def exchange(daemon: FakeDaemon, pieces: list[tuple[bytes, int]]) -> list[dict[str, Any]]:
    """Send pieces, each with so many descriptors, and no more; every reply until the connection ends."""
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        with Raw(daemon.path) as raw:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for data, count in pieces:
                    if data and count:
                        socket.send_fds(raw.socket, [data], [null] * count)
                    elif data:
                        raw.socket.sendall(data)
            with contextlib.suppress(OSError):
                raw.socket.shutdown(socket.SHUT_WR)
            return raw.replies()
    finally:
        os.close(null)


def check(daemon: FakeDaemon, replies: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    """Replies are what replies may be; nothing was logged; others are served; nothing is left."""
    assert {reply["error"] for reply in replies if "error" in reply} <= KNOWN
    assert [reply for reply in replies if "mistake" in json.dumps(reply)] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    with Raw(daemon.path, 5) as raw:
        raw.call("org.sydd.ListProfiles")
        assert "profiles" in raw.reply()["parameters"]
    daemon.until(lambda: daemon.server.connections == 0)
    assert daemon.errors == []


def frames(
    daemon: FakeDaemon, caplog: pytest.LogCaptureFixture, given_pieces: list[tuple[bytes, int]]
) -> None:
    """One example."""
    daemon.loop.call_soon_threadsafe(daemon.backend.over.set)
    before = len(os.listdir("/proc/self/fd"))
    check(daemon, exchange(daemon, given_pieces), caplog)
    assert len(os.listdir("/proc/self/fd")) == before


def call(daemon: FakeDaemon, caplog: pytest.LogCaptureFixture, value: dict[str, Any]) -> None:
    """One example; it is answered, whatever it is."""
    daemon.loop.call_soon_threadsafe(daemon.backend.over.set)
    replies = exchange(daemon, [(json.dumps(value).encode() + b"\0", 2)])
    assert replies
    check(daemon, replies, caplog)


PIECES = st.lists(st.tuples(FRAGMENTS, st.sampled_from([0, 0, 0, 1, 3])), max_size=8)


@SHORT
@given(pieces=PIECES)
def test_frames(
    daemon: FakeDaemon, caplog: pytest.LogCaptureFixture, pieces: list[tuple[bytes, int]]
) -> None:
    """Pieces of frames and garbage, in any order, with descriptors."""
    frames(daemon, caplog, pieces)


@SHORT
@given(value=calls())
def test_parameters(daemon: FakeDaemon, caplog: pytest.LogCaptureFixture, value: dict[str, Any]) -> None:
    """Calls of every method, with parameters that are nearly right."""
    call(daemon, caplog, value)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(pieces=PIECES)
def test_many_frames(
    daemon: FakeDaemon, caplog: pytest.LogCaptureFixture, pieces: list[tuple[bytes, int]]
) -> None:
    """The same at length."""
    frames(daemon, caplog, pieces)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(value=calls())
def test_many_parameters(daemon: FakeDaemon, caplog: pytest.LogCaptureFixture, value: dict[str, Any]) -> None:
    """The same at length."""
    call(daemon, caplog, value)
