"""Calls with parameters that are nearly right, before a real daemon: errors, never a mistake of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.control.fuzz import calls
from tests.control.raw import Raw
from tests.daemon.people import Person
from tests.support.daemon import Daemon, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Those that wait for what does not come.
WAITING = {"org.sydd.Wait"}


@contextlib.contextmanager
def _as(person: Person) -> Iterator[None]:
    """Be somebody else for the time of a connect."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(person.uid)
    os.seteuid(person.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=calls().filter(lambda call: call["method"] not in WAITING))
def test_calls(daemon: Daemon, person: Person, value: dict[str, Any]) -> None:
    """Each call is answered, by what is no mistake of sydd's own, and the daemon goes on."""
    with _as(person):
        raw = Raw(daemon.socket, 30)
    with raw, open("/dev/null", "rb") as null:
        socket.send_fds(raw.socket, [json.dumps(value).encode() + b"\0"], [null.fileno()])
        raw.socket.shutdown(socket.SHUT_WR)
        replies = raw.replies()
    assert replies
    assert [reply for reply in replies if "mistake" in json.dumps(reply)] == []
    with daemon.client() as client:
        assert client.health()["problems"] == []


def test_nothing_is_left(daemon: Daemon) -> None:
    """Sessions that were begun by accident end, and the log has no traceback."""
    with daemon.client() as client:
        for session in client.list_sessions():
            client.kill_session(session["session"])
        until(lambda: client.list_sessions() == [], "every session has ended")
    assert "Traceback" not in daemon.text()
