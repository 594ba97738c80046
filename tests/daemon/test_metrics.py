"""The figures, and the scrape that gets them."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from sydd.daemon.exposition import Counter, Gauge, Histogram, render
from sydd.daemon.metrics import BUCKETS, Metrics, Server

ROOT = Path(__file__).resolve().parents[2]


def test_the_text_format() -> None:
    """Counter, gauge and histogram as Prometheus reads them."""
    counter = Counter("c_total", "What\nit counts", ["why"])
    counter.add('a"b\\\n', by=2)
    gauge = Gauge("g", "How much")
    gauge.set(0.25)
    histogram = Histogram("h", "How long", [0.1, 1])
    for number in (0.1, 0.5, 7):
        histogram.observe(number)
    assert render([counter, gauge, histogram]) == (
        "# HELP c_total What\\nit counts\n"
        "# TYPE c_total counter\n"
        'c_total{why="a\\"b\\\\\\n"} 2\n'
        "# HELP g How much\n"
        "# TYPE g gauge\n"
        "g 0.25\n"
        "# HELP h How long\n"
        "# TYPE h histogram\n"
        'h_bucket{le="0.1"} 1\n'
        'h_bucket{le="1"} 2\n'
        'h_bucket{le="+Inf"} 3\n'
        "h_sum 7.6\n"
        "h_count 3\n"
    )


def test_what_workers_count_is_added_up() -> None:
    """A session has totals; one that ended keeps what it counted."""
    metrics = Metrics()
    powers = [0] * 64
    powers[3] = powers[11] = powers[12] = powers[40] = 1
    for count in (3, 5):
        metrics.answered("s1", {"openat": {"continue": count, "error": 1}}, powers)
    metrics.forget("s1")
    metrics.answered("s2", {"openat": {"continue": 5}}, powers)
    assert metrics.notifications.value("openat", "continue") == 10
    assert metrics.notifications.value("openat", "error") == 1
    text = metrics.render()
    assert 'sydd_notification_seconds_bucket{le="2.048e-06"} 4\n' in text
    assert 'sydd_notification_seconds_bucket{le="4.096e-06"} 6\n' in text
    assert f'sydd_notification_seconds_bucket{{le="{BUCKETS[-1]}"}} 6\n' in text
    assert 'sydd_notification_seconds_bucket{le="+Inf"} 8\n' in text


def test_every_name_is_documented() -> None:
    """docs/metrics.md has them all, and no other."""
    documented = set(
        re.findall(r"^\| `(sydd_\w+)", (ROOT / "docs/metrics.md").read_text("utf-8"), re.MULTILINE)
    )
    names = set(re.findall(r"^# TYPE (\w+)", Metrics().render(), re.MULTILINE))
    assert names == documented


async def scrape(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """What comes back until the end."""
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_scrape_by_tcp() -> None:
    """GET /metrics on loopback; other paths and methods are told so."""

    async def go() -> list[bytes]:
        server = Server(lambda: "g 1\n")
        await server.start("127.0.0.1:0")
        requests = (
            b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /x HTTP/1.1\r\n\r\n",
            b"PUT / x\r\n\r\n",
        )
        answers = [
            await scrape(*await asyncio.open_connection("127.0.0.1", server.port), request)
            for request in requests
        ]
        await server.close()
        return answers

    found, missing, refused = asyncio.run(go())
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert body == b"g 1\n"
    assert missing.startswith(b"HTTP/1.1 404 ")
    assert refused.startswith(b"HTTP/1.1 405 ")


def test_a_scrape_by_a_unix_socket(tmp_path: Path) -> None:
    """The socket is its owner's and group's; what an earlier process left is replaced."""
    path = str(tmp_path / "metrics.sock")

    async def go() -> bytes:
        for _ in range(2):
            left = Server(lambda: "old\n")
            await left.start(f"unix:{path}")
            os.link(path, path + "2")
            await left.close()
            os.rename(path + "2", path)
        server = Server(lambda: "g 2\n")
        await server.start(f"unix:{path}")
        assert os.stat(path).st_mode & 0o777 == 0o660
        answer = await scrape(*await asyncio.open_unix_connection(path), b"GET / HTTP/1.0\r\n\r\n")
        await server.close()
        return answer

    assert asyncio.run(go()).endswith(b"\r\n\r\ng 2\n")
    assert not os.path.exists(path)


def test_a_request_without_an_end() -> None:
    """It is cut off, and the next one is answered."""

    async def go() -> tuple[bytes, bytes]:
        server = Server(lambda: "g 3\n")
        await server.start("127.0.0.1:0")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"x" * 100_000)
        try:
            endless = await reader.read()
        except ConnectionResetError:
            endless = b""
        writer.close()
        next_one = await scrape(*await asyncio.open_connection("127.0.0.1", server.port), b"GET / x\r\n\r\n")
        await server.close()
        return endless, next_one

    endless, next_one = asyncio.run(go())
    assert endless == b""
    assert next_one.endswith(b"g 3\n")


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9477", "example.org:80", "127.0.0.1", "unix:relative", "[::]:1", "::1:x"]
)
def test_addresses_that_are_not_of_this_host_alone(address: str) -> None:
    """They are refused with an example."""
    with pytest.raises(ValueError, match=r"as in 127\.0\.0\.1:9477"):
        asyncio.run(Server(str).start(address))
