"""What the daemon counts, and the scrape that gets it.

docs/metrics.md documents every name; they are stable. Off unless an address is given: a unix socket, or HTTP
on a loopback address. Whoever can connect sees figures of all users' sessions, no names and no paths.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sydd.daemon.exposition import CONTENT_TYPE, Counter, Gauge, Histogram, Metric, render

FIRST: Final = 11
LAST: Final = 31
BUCKETS: Final = tuple(2**power / 1e9 for power in range(FIRST, LAST + 1))
"""Upper bounds of latency in seconds, as workers sort it: powers of two, in ns, from 2 µs to 2 s."""

SECONDS: Final = 5.0
"""How long one scrape may take."""
_MOST_REQUEST: Final = 8192
_MOST_CONNECTIONS: Final = 16


class Metrics:
    """All counters of the daemon; one instance, used by the main process alone."""

    def __init__(self) -> None:
        self.build = Gauge("sydd_build_info", "1, with the version of the daemon", ["version"])
        self.started = Gauge("sydd_start_time_seconds", "When the main process started, since the epoch")
        self.sessions = Gauge("sydd_sessions", "Sessions that there are now")
        self.begun = Counter("sydd_sessions_started_total", "Sessions begun, by their origin", ["origin"])
        self.ended = Counter("sydd_sessions_ended_total", "Sessions ended, by why", ["outcome"])
        self.refused = Counter("sydd_sessions_refused_total", "Sessions not begun, by why", ["reason"])
        self.notifications = Counter(
            "sydd_notifications_total",
            "System calls answered, by call and kind of answer",
            ["syscall", "answer"],
        )
        self.latency = Histogram(
            "sydd_notification_seconds",
            "Time from receiving a notification to sending its answer, of one in 17",
            BUCKETS,
        )
        self.violations = Counter(
            "sydd_violations_total", "Accesses that rules deny or warn of", ["action", "access", "profile"]
        )
        self.restarts = Counter(
            "sydd_restarts_total", "Processes that were replaced, by what they were", ["process"]
        )
        self.events_lost = Counter("sydd_events_lost_total", "Events that no reader was in time for")
        self.log_lost = Gauge("sydd_log_records_lost", "Log records that could not be written")
        self.connections = Gauge("sydd_connections", "Connections to the control socket now")
        self._seen: dict[str, tuple[dict[tuple[str, str], int], list[int]]] = {}

    def answered(self, session: str, calls: Mapping[str, Mapping[str, int]], powers: Sequence[int]) -> None:
        """Take over what the workers of a session have counted since it began.

        Args:
            session: which one.
            calls: how many were answered, by the name of the call and the kind of the answer.
            powers: how many took at least 2**(N-1) and less than 2**N ns, for each N from 0.
        """
        counts = {(call, kind): number for call, kinds in calls.items() for kind, number in kinds.items()}
        seen, seen_powers = self._seen.get(session, ({}, [0] * len(powers)))
        for key, number in counts.items():
            if number != seen.get(key, 0):
                self.notifications.add(*key, by=number - seen.get(key, 0))
        new = [now - before for now, before in zip(powers, seen_powers, strict=True)]
        buckets = [sum(new[: FIRST + 1]), *new[FIRST + 1 : LAST + 1], sum(new[LAST + 1 :])]
        # Each is taken for the middle of its bucket.
        self.latency.add(buckets, sum(number * 0.75 * 2**power for power, number in enumerate(new)) / 1e9)
        self._seen[session] = (counts, list(powers))

    def forget(self, session: str) -> None:
        """A session has ended: what was counted stays, what is kept to tell the difference goes."""
        self._seen.pop(session, None)

    def render(self) -> str:
        """The text that a scrape gets."""
        return render(value for value in vars(self).values() if isinstance(value, Metric))


class Server:
    """Answers scrapes: HTTP/1.1, GET /metrics, one request a connection.

    Args:
        collect: makes the text; called for each scrape.
    """

    def __init__(self, collect: Callable[[], str]) -> None:
        self._collect = collect
        self._server: asyncio.Server | None = None
        self._path = ""
        self._open = 0

    async def start(self, address: str) -> None:
        """Listen.

        Args:
            address: `unix:/run/sydd/metrics.sock`, `127.0.0.1:9477` or `[::1]:9477`; port 0 is any.

        Raises:
            ValueError: it is no address, or not of loopback.
            OSError: it is taken.
        """
        if address.startswith("unix:/"):
            self._path = address.removeprefix("unix:")
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISSOCK(os.lstat(self._path).st_mode):
                    os.unlink(self._path)
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_MOST_REQUEST)
            os.chmod(self._path, 0o660)
            return
        host, port = _loopback(address)
        self._server = await asyncio.start_server(self._serve, host, port, limit=_MOST_REQUEST)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._server is None:
            raise ValueError("it does not listen")
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Listen no more; the name of a unix socket is removed."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()
        path, self._path = self._path, ""
        if path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MOST_CONNECTIONS:
                async with asyncio.timeout(SECONDS):
                    writer.write(self._answer(await _request(reader)))
                    await writer.drain()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, request: str) -> bytes:
        method, _, rest = request.partition(" ")
        target = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", "GET only\n", "text/plain")
        if target not in ("/metrics", "/"):
            return _response("404 Not Found", "the figures are at /metrics\n", "text/plain")
        return _response("200 OK", self._collect(), CONTENT_TYPE, body=method == "GET")


async def _request(reader: asyncio.StreamReader) -> str:
    """The first line of a request, its headers read and dropped."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head.partition(b"\r\n")[0].decode("latin-1")


def _response(status: str, text: str, kind: str, *, body: bool = True) -> bytes:
    data = text.encode()
    head = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(data)}",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(head).encode("ascii") + (data if body else b"")


def _loopback(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError(
            f"'{address}' is no address for metrics: write unix:/PATH, or a loopback address and a port, "
            "as in 127.0.0.1:9477"
        )
    return host, int(port)
