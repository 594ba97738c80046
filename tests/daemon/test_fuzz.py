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
from hypothesis import strategies as st

from tests.control.fuzz import FRAGMENTS, calls
from tests.control.raw import Raw
from tests.daemon.people import Person
from tests.policy.documents import DOCUMENTS, RULES, toml
from tests.support.daemon import Daemon, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

FRAMES = int(os.environ.get("SYDD_TEST_FRAMES", "1000"))
"""Connections with garbage, and as many profiles by tens; 20,000 take ten minutes."""

AT_LENGTH = settings(
    max_examples=FRAMES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

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


@AT_LENGTH
@given(pieces=st.lists(st.tuples(FRAGMENTS, st.sampled_from([0, 0, 0, 1, 3])), max_size=8))
def test_frames(daemon: Daemon, person: Person, pieces: list[tuple[bytes, int]]) -> None:
    """Pieces of frames and garbage, in any order, with descriptors: answered or closed, at once."""
    with _as(person):
        raw = Raw(daemon.socket, 30)
    with raw, open("/dev/null", "rb") as null:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for data, count in pieces:
                if data:
                    socket.send_fds(raw.socket, [data], [null.fileno()] * count)
        with contextlib.suppress(OSError):
            raw.socket.shutdown(socket.SHUT_WR)
        replies = raw.replies()
    assert [reply for reply in replies if "mistake" in json.dumps(reply)] == []


PROFILES = st.one_of(
    DOCUMENTS.map(lambda document: "\n".join(f"{key} = {toml(value)}" for key, value in document.items())),
    st.lists(RULES, min_size=1, max_size=3).map(lambda rules: f"rules = {toml(rules)}"),
    st.text(max_size=40),
).map(lambda text: text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))


@settings(AT_LENGTH, max_examples=max(1, FRAMES // 10))
@given(text=PROFILES)
def test_profiles(daemon: Daemon, person: Person, text: str) -> None:
    """Whatever somebody has looked at: findings that have a place, and nothing goes wrong in it."""
    with _as(person):
        raw = Raw(daemon.socket, 30)
    with raw:
        raw.call("org.sydd.ValidateProfile", {"text": text, "name": "fuzz"})
        reply = raw.reply()
    assert "mistake" not in json.dumps(reply)
    if "error" in reply:
        assert reply["error"] in ("org.sydd.BadArgument", "org.sydd.BadFrame"), reply
    else:
        assert all(found["message"] for found in reply["parameters"]["findings"])


def test_nothing_is_left(daemon: Daemon) -> None:
    """Sessions that were begun by accident end, and the log has no traceback."""
    with daemon.client() as client:
        for session in client.list_sessions():
            client.kill_session(session["session"])
        until(lambda: client.list_sessions() == [], "every session has ended")
    assert "Traceback" not in daemon.text()
