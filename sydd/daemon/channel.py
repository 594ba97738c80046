"""What main, workers and keepers say to each other: one JSON object per packet, with descriptors beside it.

A SOCK_SEQPACKET pair keeps packets apart and tells of the other side's end. Both sides are sydd's own, but
workers and keepers have the identity of the session's owner: what comes from them is looked at like anything
that comes from outside, and bounded. What may be longer than a packet travels as a sealed memfd.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from sydd.kernel.fd import FdSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERSION = 1
"""Said by each side in its first packet."""

MAXIMUM = 128 * 1024
"""Bytes of a packet."""

MAXIMUM_DESCRIPTORS = 80
"""Descriptors of a packet: as many as a call may have, and some."""

MAXIMUM_DOCUMENT = 64 * 1024 * 1024
"""Bytes of a memfd that is read."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_as_text = json.JSONEncoder(separators=(",", ":")).encode


class ChannelError(Exception):
    """The other side said something that is no message; nothing of it was taken, and no more will be."""


class Channel:
    """One side.

    Args:
        sock: a socket of SOCK_SEQPACKET; it belongs to the channel from now on, and does not block.
        greeted: whether first packets were exchanged before, by a process that had this side until now.
    """

    def __init__(self, sock: socket.socket, *, greeted: bool = False) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._told = self._heard = greeted

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two sides."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def of(cls, fd: int, *, greeted: bool = False) -> Channel:
        """The side that is descriptor *fd*, which belongs to the channel from now on."""
        return cls(socket.socket(fileno=fd), greeted=greeted)

    def fileno(self) -> int:
        """Its descriptor, for poll and the like; -1 once it is closed."""
        return self._socket.fileno()

    def move(self, fd: int) -> None:
        """Be another descriptor of the same socket, which belongs to the channel from now on."""
        self._socket.close()
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)

    def detach(self) -> int:
        """Hand its descriptor over, to somebody who makes a channel `of` it: nothing was said on it yet."""
        return self._socket.detach()

    def close(self) -> None:
        """Close it; a second time is fine."""
        self._socket.close()

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send one message, or nothing of it.

        Args:
            message: what JSON can hold.
            descriptors: duplicates of them go along.

        Raises:
            BlockingIOError: the other side has not read what was sent before.
            OSError: EPIPE or ECONNRESET when it has gone.
            ValueError: the message is longer than MAXIMUM.
        """
        value = message if self._told else {"v": VERSION, **message}
        data = _as_text(value).encode("ascii")
        if len(data) > MAXIMUM:
            raise ValueError(f"a message of {len(data)} bytes: at most {MAXIMUM}")
        socket.send_fds(self._socket, [data], list(descriptors), socket.MSG_NOSIGNAL)
        self._told = True

    def receive(self) -> tuple[dict[str, Any], FdSet] | None:
        """Take one message and the descriptors that came along, close-on-exec, which the caller closes.

        Returns:
            None when the other side has gone.

        Raises:
            BlockingIOError: there is none now.
            ChannelError: it is none.
        """
        try:
            data, numbers, flags = self._packet()
        except ConnectionResetError:
            # It has gone, and has not read everything: that is said once, before what it had said itself.
            data, numbers, flags = self._packet()
        descriptors = FdSet(numbers)
        try:
            if not data and not numbers:
                return None
            return self._message(data, flags), descriptors
        except BaseException:
            descriptors.close()
            raise

    def _packet(self) -> tuple[bytes, list[int], int]:
        data, numbers, flags, _ = socket.recv_fds(
            self._socket, MAXIMUM + 1, MAXIMUM_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        return data, numbers, flags

    def _message(self, data: bytes, flags: int) -> dict[str, Any]:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(data) > MAXIMUM:
            raise ChannelError("a packet is too long, or has too many descriptors")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ChannelError(f"a packet is no JSON: {error}") from None
        if not isinstance(value, dict):
            raise ChannelError("a packet is no JSON object")
        version = value.pop("v", VERSION if self._heard else None)
        if version != VERSION:
            raise ChannelError(f"the other side speaks version {version!r}, not {VERSION}")
        self._heard = True
        return value


def document(name: str, content: bytes) -> int:
    """A memfd (close-on-exec) that holds *content* and changes no more, whoever has it; the caller closes it.

    Raises:
        OSError: EMFILE, ENOMEM, ENOSPC.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_document(fd: int) -> bytes:
    """What `document` was given.

    Args:
        fd: the memfd, which stays the caller's; its offset does not matter.

    Raises:
        ChannelError: it is not sealed, so that it could change, or it is too long.
        OSError: it cannot be read.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    size = os.fstat(fd).st_size
    if seals & _SEALS != _SEALS or size > MAXIMUM_DOCUMENT:
        raise ChannelError("a descriptor is no sealed document, or a too long one")
    content = b""
    while len(content) < size:
        content += os.pread(fd, size - len(content), len(content))
    return content
