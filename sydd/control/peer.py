"""Who is at the other end of a connection, by the kernel's word."""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

from sydd.kernel.peergroups import peer_groups
from sydd.kernel.pidfd import pidfd_open

SO_PEERPIDFD = 77
"""Linux 6.5; <asm-generic/socket.h>."""

_CREDENTIALS = struct.Struct("iII")  # struct ucred
_MISSING = (errno.ENOPROTOOPT, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as it was then.

    Attributes:
        pid: its number in this process's pid namespace; 0 when it is in one that cannot be seen from here.
        uid: its user.
        gid: its group.
        groups: its supplementary groups.
        pidfd: a descriptor of the process, which lasts as long as the connection; -1 when the process had
            ended, or cannot be seen from here. Before Linux 6.5 it is of who had the number when the
            connection was accepted.
        connection: number of the connection, from 1.
    """

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    pidfd: int = -1
    connection: int = 0

    def close(self) -> None:
        """Close the descriptor; the server does so when the connection ends."""
        if self.pidfd >= 0:
            os.close(self.pidfd)


def peer_of(connection: socket.socket, number: int = 0) -> Peer:
    """The peer of a connected unix socket.

    Args:
        connection: accepted from a listening one, or of a pair.
        number: of the connection.

    Raises:
        OSError: the socket is no unix socket; EMFILE.

    Source: unix(7), SO_PEERCRED; SO_PEERPIDFD (Linux 6.5).
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid, gid, peer_groups(connection.fileno()), _pidfd(connection, pid), number)


def _pidfd(connection: socket.socket, pid: int) -> int:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD, 4)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENODATA):
            return -1
        if error.errno not in _MISSING:
            raise
        return _opened(pid)
    return int(struct.unpack("i", raw)[0])


def _opened(pid: int) -> int:
    """A pidfd of who has a number now; -1 when nobody has."""
    try:
        return pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):
            return -1
        raise
