"""Who is at the other end of a connection, and who wrote what comes through it, by the kernel's word."""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import NamedTuple

from sydd.kernel.peergroups import peer_groups
from sydd.kernel.pidfd import pidfd_open

SO_PEERPIDFD = 77
"""Linux 6.5; <asm-generic/socket.h>."""

_CREDENTIALS = struct.Struct("iII")  # struct ucred
_MISSING = (errno.ENOPROTOOPT, errno.EOPNOTSUPP)
_MOST_DESCRIPTORS = 253
"""SCM_MAX_FD: with room for them all, none is lost unseen."""
_DESCRIPTOR = array.array("i").itemsize
_CONTROL = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_MOST_DESCRIPTORS * _DESCRIPTOR)


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
        writer: pid of the process that wrote the call, whoever connected; 0 when it was written by several,
            or is not known. Such a process may have ended by now.
    """

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    pidfd: int = -1
    connection: int = 0
    writer: int = 0

    def close(self) -> None:
        """Close the descriptor; the server does so when the connection ends, also for copies."""
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


class Piece(NamedTuple):
    """What one read of a connection came to.

    Attributes:
        data: nothing when the peer sends no more.
        descriptors: that came along; the receiver's to close.
        complete: whether all descriptors that came along are there.
        writer: pid of the process that wrote it, in this process's pid namespace; 0 when that is not known.
    """

    data: bytes
    descriptors: list[int]
    complete: bool
    writer: int


def ask_for_writers(sock: socket.socket) -> None:
    """Have the kernel say of everything that is read who wrote it.

    Args:
        sock: connected, or listening: then of what comes through connections that are made from now on, also
            before they are accepted.

    Source: unix(7), SO_PASSCRED.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def receive(connection: socket.socket, size: int) -> Piece:
    """Read what one process has written, with what came along: the kernel ends a read where another's begins.

    Args:
        connection: for which there was `ask_for_writers`.
        size: bytes to read at most.

    Raises:
        OSError: recvmsg(2) fails, also with EAGAIN.

    Source: unix(7), SCM_CREDENTIALS, SCM_RIGHTS. Who is not privileged can name no other process than itself.
    """
    data, control, flags, _ = connection.recvmsg(size, _CONTROL, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    writer = 0
    for level, kind, content in control:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % _DESCRIPTOR])
        elif kind == socket.SCM_CREDENTIALS and len(content) == _CREDENTIALS.size:
            writer = max(_CREDENTIALS.unpack(content)[0], 0)
    return Piece(data, list(descriptors), not flags & socket.MSG_CTRUNC, writer)


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
