"""Clients with bad intentions, in a process of their own.

`python -m tests.control.flood SOCKET COUNT SECONDS`. Each connection does one bad thing again and again; what
is closed is opened anew. It prints how many connections there were and how many bytes went.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable

CALL = json.dumps(
    {"method": "org.sydd.Attach", "parameters": {"session": "s1", "listener": 3, "pid": 1}}
).encode()
COSTLY = b'{"method":"org.sydd.Info","parameters":{"a":[' + b"1," * (100 << 10) + b"1]}}\0"
PIECE = b"x" * (32 << 10)
NULL = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def garbage(sock: socket.socket) -> int:
    """Random bytes."""
    return sock.send(random.randbytes(4096))  # noqa: S311  # any bytes will do


def half(sock: socket.socket) -> int:
    """Calls that are begun and not ended."""
    return sock.send(CALL[: random.randrange(1, len(CALL))])  # noqa: S311


def endless(sock: socket.socket) -> int:
    """Data without an end."""
    return sock.send(PIECE)


def deep(sock: socket.socket) -> int:
    """Deep nesting."""
    return sock.send(b"[" * 4096 + b"\0")


def descriptors(sock: socket.socket) -> int:
    """Descriptors that nobody asked for, and indexes of none."""
    return socket.send_fds(sock, [CALL + b"\0"], [NULL] * 3)


def costly(sock: socket.socket) -> int:
    """Calls that take long to read."""
    return sock.send(COSTLY)


ACTS: list[Callable[[socket.socket], int]] = [garbage, half, endless, deep, descriptors, costly]


def main(path: str, count: int, seconds: float) -> None:
    """Keep *count* connections busy for so long."""
    random.seed(1)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 100, hard), hard))
    # The socket is what is tested, not who gets the processor of a busy machine.
    os.nice(10)
    end = time.monotonic() + seconds
    acts = itertools.cycle(ACTS)
    opened = sent = 0
    with selectors.DefaultSelector() as selector:

        def open_one() -> None:
            nonlocal opened
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            try:
                sock.connect(path)
            except BlockingIOError:
                sock.close()
                return
            opened += 1
            selector.register(sock, selectors.EVENT_WRITE, next(acts))

        while time.monotonic() < end:
            while len(selector.get_map()) < count and time.monotonic() < end:
                open_one()
            for key, _ in selector.select(0.1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                try:
                    sent += key.data(sock)
                except BlockingIOError:
                    continue
                except OSError:
                    selector.unregister(sock)
                    sock.close()
        for key in list(selector.get_map().values()):
            with contextlib.suppress(OSError):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()
    sys.stdout.write(f"{opened} {sent}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
