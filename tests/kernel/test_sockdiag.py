"""Netlink's diagnosis of sockets, against sockets of this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sydd.kernel import sockets
from sydd.kernel.sockdiag import Diagnosis

LOOPBACK = 0x7F000001


@pytest.fixture
def diagnosis() -> Iterator[Diagnosis]:
    """Closed after the test."""
    made = Diagnosis()
    yield made
    made.close()


def test_what_the_kernel_can_tell(diagnosis: Diagnosis) -> None:
    """Of TCP and UDP; of a protocol that nobody has, nothing."""
    assert diagnosis.knows(socket.IPPROTO_TCP)
    assert diagnosis.knows(socket.IPPROTO_UDP)
    assert not diagnosis.knows(253)  # for experiments (RFC 3692)


def test_a_listener(diagnosis: Diagnosis) -> None:
    """Only a socket that listens takes connections; the answer is its cookie."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert diagnosis.listener(4, LOOPBACK, port) is None
        server.listen()
        assert diagnosis.listener(4, LOOPBACK, port) == sockets.cookie(server.fileno())
        assert diagnosis.listener(6, 1, port) is None


def test_a_receiver(diagnosis: Diagnosis) -> None:
    """A connected socket gets only what its peer sends."""
    with socket.socket(type=socket.SOCK_DGRAM) as receiver, socket.socket(type=socket.SOCK_DGRAM) as peer:
        for each in (receiver, peer):
            each.bind(("127.0.0.1", 0))
        port, other = receiver.getsockname()[1], peer.getsockname()[1]
        cookie = sockets.cookie(receiver.fileno())
        assert diagnosis.receiver(4, LOOPBACK, port, (LOOPBACK, 1)) == cookie
        receiver.connect(("127.0.0.1", other))
        assert diagnosis.receiver(4, LOOPBACK, port, (LOOPBACK, other)) == cookie
        assert diagnosis.receiver(4, LOOPBACK, port, (LOOPBACK, 1)) is None
