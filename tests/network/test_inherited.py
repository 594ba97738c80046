"""Sockets that a command inherits: none whose messages nobody would look at."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sydd.session.inherited import InheritedSocketError, refuse_sockets
from tests.network.conftest import Receivers, got
from tests.support.workshop import PATH, ROOT, Workshop

UNIX, INET, INET6 = socket.AF_UNIX, socket.AF_INET, socket.AF_INET6
STREAM, DATAGRAMS, PACKETS = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET

OUT = "import socket, sys\nsocket.socket(fileno=0).sendto(b'out', ('127.0.0.1', int(sys.argv[1])))\n"


def launched(workshop: Workshop, stdin: socket.socket, *command: str) -> subprocess.CompletedProcess[str]:
    """A command whose standard input is a socket."""
    return subprocess.run(
        command,
        cwd=workshop.work,
        env={"HOME": workshop.home, "PATH": PATH, "PYTHONPATH": ROOT},
        stdin=stdin.fileno(),
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
        **workshop.user.identity(),
    )


def test_messages_go_nowhere(workshop: Workshop, receivers: Receivers) -> None:
    """Under a profile that lets none go; where a rule lets them go to one place, they go to no other."""
    there = receivers.bind(INET, ("127.0.0.1", 0))
    code = (sys.executable, "-c", OUT, str(there.getsockname()[1]))
    launch = (sys.executable, "-m", "sydctl", "launch", "offline")
    with socket.socket(INET, DATAGRAMS) as inherited:
        assert launched(workshop, inherited, *code).returncode == 0
        assert got(there) == 1
        done = launched(workshop, inherited, *launch, "--", *code)
        assert (done.returncode, done.stdout, got(there)) == (125, "", 0)
        assert "descriptor 0 is a socket whose messages may go anywhere" in done.stderr
        done = launched(workshop, inherited, *launch, "--rule", "allow send 192.0.2.1!53", "--", *code)
        assert (done.returncode, got(there)) == (1, 0)
        assert "PermissionError" in done.stderr


@contextlib.contextmanager
def made(family: int, kind: int, protocol: int = 0) -> Iterator[int]:
    """A socket's descriptor; of unix sockets one of a pair."""
    with contextlib.ExitStack() as stack:
        if family == UNIX:
            one, _ = map(stack.enter_context, socket.socketpair(family, kind))
        else:
            one = stack.enter_context(socket.socket(family, kind, protocol))
        yield one.fileno()


@pytest.mark.parametrize(
    ("family", "kind"), [(UNIX, STREAM), (UNIX, PACKETS), (INET, STREAM), (INET6, STREAM)]
)
def test_streams_are_inherited(family: int, kind: int) -> None:
    """They have their peer, or get one by a connect, which is judged."""
    with made(family, kind) as fd:
        refuse_sockets((fd,), private=False, datagrams=False)


@pytest.mark.parametrize(
    ("family", "kind"),
    [(UNIX, DATAGRAMS), (INET, DATAGRAMS), (INET6, DATAGRAMS), (socket.AF_NETLINK, socket.SOCK_RAW)],
)
def test_others_are_where_messages_are_judged(family: int, kind: int) -> None:
    """Each message may go elsewhere, also from a socket that is connected."""
    with made(family, kind) as fd:
        refuse_sockets((fd,), private=False, datagrams=True)
        with pytest.raises(InheritedSocketError, match=f"descriptor {fd} .* messages may go anywhere"):
            refuse_sockets((0, fd), private=False, datagrams=False)


def test_what_is_no_socket() -> None:
    """Files and closed descriptors are nobody's business here."""
    reader, writer = os.pipe()
    os.close(writer)
    try:
        refuse_sockets((reader, writer, 1 << 20), private=True, datagrams=False)
    finally:
        os.close(reader)
