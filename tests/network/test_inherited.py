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


BY_OTHER_CALLS = """
import errno, socket, sys
inherited = socket.socket(fileno=0)
for name in sys.argv[2:]:
    try:
        if name == "listen":
            inherited.listen()
        elif name == "shutdown":
            inherited.shutdown(socket.SHUT_RDWR)
        elif name == "sendto":
            inherited.sendto(b"out", socket.MSG_FASTOPEN, ("127.0.0.1", int(sys.argv[1])))
        else:
            inherited.sendmsg([b"out"], [], socket.MSG_FASTOPEN, ("127.0.0.1", int(sys.argv[1])))
        print("done", end=" ")
    except OSError as failure:
        print(errno.errorcode[failure.errno], end=" ")
"""


def test_streams_connect_and_bind_by_other_calls(workshop: Workshop) -> None:
    """A message with MSG_FASTOPEN connects, also of a socket that has listened; listen(2) binds."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        there.setblocking(False)
        code = (sys.executable, "-c", BY_OTHER_CALLS, str(there.getsockname()[1]))

        def said(listens: bool, *command: str) -> str:
            inherited = socket.create_server(("127.0.0.1", 0)) if listens else socket.socket()
            with inherited:
                return launched(workshop, inherited, *command).stdout.strip()

        def reached() -> bool:
            try:
                there.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        assert (said(True, *code, "shutdown", "sendto"), reached()) == ("done done", True)
        assert (said(False, *code, "sendmsg"), reached()) == ("done", True)
        assert said(False, *code, "listen") == "done"
        for engine in ("hybrid", "supervisor"):
            launch = (sys.executable, "-m", "sydctl", "launch", "offline", "--engine", engine, "-q", "--")
            attempts = ("sendto", "sendmsg", "listen")
            assert said(False, *launch, *code, *attempts) == "EACCES EACCES EACCES", engine
            assert not reached()
        assert said(True, *launch, *code, "shutdown", "sendto", "sendmsg") == "done EACCES EACCES"
        assert not reached()


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
    """They have their peer, or get one by a call that is judged."""
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
