"""Servers outside of the session, on addresses of this host that the kernel chooses."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from tests.escapes.arena import Arena
from tests.support.preloaded import Preloaded
from tests.support.unprivileged import Unprivileged
from tests.support.workshop import Workshop

SOURCES = os.path.join(os.path.dirname(__file__), "c")
ENGINES = ("hybrid", "supervisor")
BACKLOG = 4096


class Servers:
    """Makes servers that take whoever comes; nobody is served."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def listen(
        self, family: int, address: object, kind: socket.SocketKind = socket.SOCK_STREAM
    ) -> socket.socket:
        """A listening socket."""
        server = socket.socket(family, kind)
        self._open.append(server)
        server.bind(address)  # type: ignore[arg-type]
        server.listen(BACKLOG)
        server.setblocking(False)
        return server

    def close(self) -> None:
        """Close all."""
        for server in self._open:
            server.close()


def reached(server: socket.socket) -> bool:
    """Whether somebody has come since the last question."""
    found = False
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            found = True
    return found


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Closed after the test."""
    made = Servers()
    try:
        yield made
    finally:
        made.close()


class Receivers:
    """Makes sockets that get datagrams."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def bind(
        self, family: int, address: object, kind: socket.SocketKind = socket.SOCK_DGRAM
    ) -> socket.socket:
        """A bound socket."""
        made = socket.socket(family, kind)
        self._open.append(made)
        made.bind(address)  # type: ignore[arg-type]
        made.setblocking(False)
        return made

    def close(self) -> None:
        """Close all."""
        for each in self._open:
            each.close()


def got(receiver: socket.socket) -> int:
    """How many messages have come since the last question."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            receiver.recv(1 << 16)
            count += 1
    return count


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """Closed after the test."""
    made = Receivers()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def programs() -> Iterator[str]:
    """A directory with every program of c/, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    directory = tempfile.mkdtemp(prefix="network-")
    try:
        for name in sorted(os.listdir(SOURCES)):
            source = f"{SOURCES}/{name}"
            subprocess.run(
                ["cc", "-O1", "-Wall", "-pthread", "-o", f"{directory}/{name[:-2]}", source], check=True
            )
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture(params=ENGINES)
def arena(request: pytest.FixtureRequest, programs: str, sydctl: Preloaded) -> Iterator[Arena]:
    """A fresh arena, for one engine."""
    made = Arena(request.param, programs, sydctl)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def workshop(unprivileged: Unprivileged) -> Workshop:
    """Of a user without privileges."""
    return Workshop(unprivileged)
