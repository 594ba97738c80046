"""The server with clients that do not behave: each gets an error or is closed, and nobody else notices."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from sydd.control.limits import Limits
from tests.control.raw import Raw
from tests.support.fakedaemon import FakeDaemon

CALL = json.dumps({"method": "org.sydd.ListRules", "parameters": {"session": "zz"}}).encode() + b"\0"
ATTACH = {"method": "org.sydd.Attach", "parameters": {"session": "s1", "listener": 0, "pid": 1}}


def honest(path: str) -> None:
    """A client that behaves is answered within a second, connecting included."""
    begun = time.monotonic()
    with Raw(path) as raw:
        raw.socket.sendall(CALL)
        assert raw.reply()["error"] == "org.sydd.NoSuchSession"
    assert time.monotonic() - begun < 1


def send_on(send: Callable[[], int], times: int) -> int:
    """Send again and again until the connection is closed, which it has to be; how many bytes went."""
    sent = 0
    for _ in range(times):
        try:
            sent += send()
        except (BrokenPipeError, ConnectionResetError):
            return sent
    raise AssertionError(f"still open after {sent} bytes")


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"\0" * 100_000,
        b"GET / HTTP/1.1\r\n\r\n\0",
        b"\xff\xfe" * 1000 + b"\0",
        b"[" * 100_000 + b"\0",
        b'{"method": 5}\0',
        b'{"method":"org.sydd.Info","parameters":{"a":' + b"1" * 5000 + b"}}\0",
    ],
    ids=["empty", "many empty ones", "HTTP", "no UTF-8", "deep", "no method", "a huge integer"],
)
def test_bad_frames(daemon: FakeDaemon, data: bytes) -> None:
    """What is no call gets an error that says why, and the connection is closed."""
    with Raw(daemon.path) as raw:
        raw.socket.sendall(data)
        replies = raw.replies()
    assert [reply["error"] for reply in replies] in (["org.sydd.BadFrame"], ["org.sydd.LimitReached"])
    honest(daemon.path)


def test_calls_before_a_bad_one_are_answered(daemon: FakeDaemon) -> None:
    """What came before the nonsense gets its reply first."""
    with Raw(daemon.path) as raw:
        raw.socket.sendall(CALL * 3 + b"x\0" + CALL)
        names = [reply["error"].rpartition(".")[2] for reply in raw.replies()]
    assert names == ["NoSuchSession"] * 3 + ["BadFrame"]


def test_data_without_an_end(daemon: FakeDaemon) -> None:
    """100 MB without a NUL: the connection is closed after the bound, with an error, and not read on."""
    piece = b"x" * (1 << 20)
    with Raw(daemon.path) as raw:
        sent = send_on(lambda: raw.socket.send(piece), 100)
        (reply,) = raw.replies()
    assert reply == {
        "error": "org.sydd.LimitReached",
        "parameters": {"what": "bytes in one call", "maximum": 256 << 10},
    }
    assert sent < 4 << 20
    honest(daemon.path)


def test_a_call_of_the_greatest_size(daemon: FakeDaemon) -> None:
    """A call that is just as long as it may be is answered; one byte more is not."""
    frame = json.dumps({"method": "org.sydd.ValidateProfile", "parameters": {"text": "rules"}}).encode()
    for extra, expected in ((0, None), (1, "org.sydd.LimitReached")):
        with Raw(daemon.path) as raw:
            raw.socket.sendall(frame + b" " * (Limits().frame - len(frame) + extra) + b"\0")
            assert raw.reply().get("error") == expected


def test_half_calls_end_in_time() -> None:
    """Who begins a call and does not end it is closed, also when it goes on to send a little now and then."""
    with FakeDaemon(Limits(frame_seconds=0.2)) as daemon, Raw(daemon.path) as raw:
        begun = time.monotonic()
        raw.socket.settimeout(0.01)
        reply = b""
        while not reply:
            try:
                raw.socket.send(b" ")
                reply = raw.socket.recv(4096)
            except TimeoutError:
                assert time.monotonic() - begun < 5
        assert json.loads(reply[:-1])["error"] == "org.sydd.BadFrame"


def test_who_says_nothing_is_closed() -> None:
    """A connection without a call ends; one that has made a call may be idle."""
    with FakeDaemon(Limits(idle_seconds=0.2)) as daemon, Raw(daemon.path) as good, Raw(daemon.path) as bad:
        good.socket.sendall(CALL)
        good.reply()
        (reply,) = bad.replies()
        assert reply["error"] == "org.sydd.BadFrame"
        good.socket.sendall(CALL)
        assert good.reply()["error"] == "org.sydd.NoSuchSession"


def test_too_many_calls_at_once(daemon: FakeDaemon) -> None:
    """Calls may wait on a connection, but not any number of them."""
    with Raw(daemon.path) as raw:
        raw.call("org.sydd.Wait", {"session": "s1"})
        send_on(lambda: raw.socket.send(CALL), 1000)
        assert raw.replies()[-1]["error"] == "org.sydd.LimitReached"
    daemon.until(lambda: daemon.backend.waiting == 0)


def test_too_many_descriptors(daemon: FakeDaemon) -> None:
    """More descriptors than a call may have: an error, and none of them stays open."""
    null = os.open("/dev/null", os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    with Raw(daemon.path) as raw:
        socket.send_fds(raw.socket, [json.dumps(ATTACH).encode() + b"\0"], [null] * 253)
        assert raw.replies()[-1]["error"] == "org.sydd.LimitReached"
    with Raw(daemon.path) as raw:
        send_on(lambda: socket.send_fds(raw.socket, [b"{"], [null]), 1000)
        assert raw.replies()[-1]["error"] == "org.sydd.LimitReached"
    daemon.until(lambda: daemon.server.connections == 0)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(null)


def test_unwanted_descriptors_are_closed(daemon: FakeDaemon) -> None:
    """Descriptors with a call that takes none, with a bad one, and with half a one."""
    null = os.open("/dev/null", os.O_RDONLY)
    with Raw(daemon.path) as good:
        good.socket.sendall(CALL)
        good.reply()
        before = len(os.listdir("/proc/self/fd"))
        socket.send_fds(good.socket, [CALL], [null] * 3)
        good.reply()
        for data in (b"x\0", b"x"):
            with Raw(daemon.path) as raw:
                socket.send_fds(raw.socket, [data], [null] * 3)
                raw.socket.shutdown(socket.SHUT_WR)
                raw.replies()
        daemon.until(lambda: daemon.server.connections == 1)
        assert len(os.listdir("/proc/self/fd")) == before
    os.close(null)


def test_of_too_many_connections_the_worst_go() -> None:
    """A newcomer takes the place of one without a call that was right, then of one that has long been idle.

    Never of one whose call is performed.
    """
    too_many = {
        "error": "org.sydd.LimitReached",
        "parameters": {"what": "connections of one user", "maximum": 4},
    }
    with FakeDaemon(Limits(user_connections=4)) as daemon, ExitStack() as stack:

        def connect(method: str, **more: bool) -> Raw:
            raw = stack.enter_context(Raw(daemon.path))
            raw.call(f"org.sydd.{method}", {"session": "s1"} if method == "Wait" else {}, **more)
            return raw

        waits = connect("Wait")
        idle = connect("ListProfiles")
        idle.reply()
        listens = connect("Subscribe", more=True)
        listens.reply()
        silent = stack.enter_context(Raw(daemon.path))
        daemon.until(lambda: daemon.server.connections == 4)
        assert "parameters" in connect("ListProfiles").reply()
        assert silent.replies() == [too_many]
        begun = stack.enter_context(Raw(daemon.path))
        assert idle.replies() == [too_many]
        begun.socket.sendall(CALL[:9])
        more = [connect("Wait"), connect("Wait")]
        assert begun.replies() == [too_many]
        daemon.until(lambda: daemon.backend.waiting == 4)
        assert stack.enter_context(Raw(daemon.path)).replies() == [too_many]
        assert listens.reply()["parameters"]["notice"]["kind"] == "lost"
        daemon.finish()
        for raw in (waits, *more):
            assert raw.reply()["parameters"]["status"] == 3


def test_of_too_many_bytes_the_most_go() -> None:
    """Where a user's unfinished calls are too much, whoever has most of it is closed."""
    with FakeDaemon(Limits(user_bytes=300_000)) as daemon, ExitStack() as stack:
        small, large, last = (stack.enter_context(Raw(daemon.path)) for _ in range(3))
        small.socket.sendall(b" " * 50_000)
        large.socket.sendall(b" " * 200_000)
        last.socket.sendall(b" " * 100_000)
        assert large.replies()[-1]["parameters"]["what"] == "bytes of one user's calls"
        small.socket.sendall(CALL)
        assert small.reply()["error"] == "org.sydd.NoSuchSession"


def test_short_calls_do_not_wait_for_long_ones(daemon: FakeDaemon) -> None:
    """Many calls that are costly to read do not hold up a short one."""
    numbers = b"1," * (120 << 10) + b"1"
    costly = b'{"method":"org.sydd.Info","parameters":{"a":[' + numbers + b"]}}\0"
    with ExitStack() as stack:
        crowd = [stack.enter_context(Raw(daemon.path, 30)) for _ in range(12)]
        for raw in crowd:
            raw.socket.sendall(costly)
        honest(daemon.path)
        for raw in crowd:
            assert raw.reply()["error"] == "org.varlink.service.InvalidParameter"


CROWD = """
import socket, sys
held = []
for _ in range(20):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
    held[-1].sendall(b'{"method":"org.sydd.ListProfiles"}\\0')
    held[-1].recv(1 << 16)
print("there", flush=True)
sys.stdin.read()
"""
"""A process that has connection after connection, each with a call that was right."""


def test_one_process_does_not_crowd_out_the_others() -> None:
    """Who has ever more connections loses some of these; others of the user keep theirs, and find room."""
    with FakeDaemon(Limits(user_connections=16)) as daemon, Raw(daemon.path) as before:
        before.call("org.sydd.ListProfiles", {})
        assert "profiles" in before.reply()["parameters"]
        with subprocess.Popen(
            [sys.executable, "-c", CROWD, daemon.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as crowd:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == b"there\n"
            before.call("org.sydd.ListProfiles", {})
            assert "profiles" in before.reply()["parameters"]
            honest(daemon.path)
            assert daemon.server.connections <= 16
            crowd.communicate()
