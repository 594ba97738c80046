"""Two sessions under `build` do not reach each other's servers."""

from __future__ import annotations

import ast
import errno
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.escapes.arena import Arena

SERVER = """
import socket
servers = [
    socket.create_server(("127.0.0.1", 0)),
    socket.create_server(("::1", 0), family=socket.AF_INET6),
    socket.socket(socket.AF_UNIX),
    socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET),
]
receivers = [
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
]
receivers[0].bind(("127.0.0.1", 0))
receivers[1].bind(os.path.join(os.getcwd(), "datagrams"))
servers[2].bind(os.path.join(os.getcwd(), "stream"))
servers[3].bind(os.path.join(os.environ["TMPDIR"], "packets"))
for server in servers:
    server.listen()
print([(int(s.family), int(s.type), s.getsockname()) for s in servers + receivers], flush=True)
sys.stdin.read()
"""

CLIENT = """
import ast, socket
for family, kind, address in ast.literal_eval(sys.argv[1]):
    with socket.socket(family, kind) as client:
        print(client.connect_ex(address))
        if kind == socket.SOCK_DGRAM:
            try:
                print(client.sendto(b"", address))
            except OSError as error:
                print(error.errno)
"""


@pytest.fixture
def other(arena: Arena, programs: str) -> Iterator[Arena]:
    """A second place, whose work directory is another one."""
    made = Arena(arena.engine, programs, arena.sydctl)
    try:
        yield made
    finally:
        made.remove()


def test_two_sessions(arena: Arena, other: Arena) -> None:
    """By TCP, IPv6, UDP and unix sockets: who is in no session comes through, the other session does not."""
    with subprocess.Popen(
        arena.launch(arena.python(SERVER)),
        cwd=arena.work,
        env=arena.environment(0),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        assert session.stdout
        addresses = session.stdout.readline().strip()
        count = sum(1 + (kind == socket.SOCK_DGRAM) for _, kind, _ in ast.literal_eval(addresses))
        client = other.python(CLIENT, addresses)
        other.native(client)
        assert other.output == "0\n" * count, other.errors
        other.confined(client)
        assert other.output == f"{errno.EACCES}\n" * count, other.errors
        assert f"{count} accesses denied" in other.errors
