"""Calls on descriptors that are no sockets fail as natively, before anybody asks whether they are allowed."""

from __future__ import annotations

import pytest

from tests.session.conftest import Session

SCRIPT = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
pair = socket.socketpair()
address = (1).to_bytes(2, "little") + b"\\0nowhere"
found = []
for fd in (-1, 99, os.open(".", os.O_RDONLY), pair[0].fileno()):
    for call in (libc.connect, libc.bind):
        assert call(fd, address, len(address)) == -1
        found.append(os.strerror(ctypes.get_errno()))
print(*found, sep=", ")
"""
EXPECTED = ", ".join(
    word
    for word in (
        "Bad file descriptor",
        "Bad file descriptor",
        "Socket operation on non-socket",
        "Permission denied",
    )
    for _ in range(2)
)


@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
def test_what_is_no_socket(session: Session, engine: str) -> None:
    """EBADF and ENOTSOCK make no event; a socket that may not be connected does."""
    done = session.run("python3", "-c", SCRIPT, profile="readonly", options=("--engine", engine))
    assert done.stdout.strip() == EXPECTED, done.stderr
    assert "2 accesses denied" in done.stderr
