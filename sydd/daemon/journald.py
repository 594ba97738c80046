"""journald's native protocol: structured records over a datagram socket, large ones by a sealed memfd.

Source: systemd's "Native Journal Protocol" (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). Nothing here
blocks: what journald does not take at once is lost, counted, and told with the next record that it takes.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
from collections.abc import Mapping
from errno import EMSGSIZE, ENOBUFS
from typing import Final

SOCKET: Final = "/run/systemd/journal/socket"
PREFIX: Final = "SYDD_"
MOST: Final = 64 * 1024
"""Bytes of one field; a path or a command line has its limits, a mistake has none."""

_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
OWN: Final = frozenset({"MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "ERRNO"})
"""Fields that journald knows; all others are given PREFIX."""


def is_stderr(environment: Mapping[str, str] = os.environ, fd: int = 2) -> bool:
    """Whether a stream goes to journald, by JOURNAL_STREAM (systemd.exec(5)).

    Args:
        environment: of this process; the variable may be inherited by one whose stream goes elsewhere.
        fd: the stream.
    """
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        stat = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(stat.st_dev), str(stat.st_ino))


def field_name(key: str) -> str:
    """What a key of a log record is called in the journal: SYDD_ and the key in capitals.

    Raises:
        ValueError: the journal takes no such name.
    """
    name = key.upper()
    if name not in OWN:
        name = PREFIX + name
    if not _NAME.fullmatch(name):
        raise ValueError(f"no name for a field of the journal: {key!r}")
    return name


def encode(fields: Mapping[str, str]) -> bytes:
    """One record.

    Args:
        fields: name in the journal, and value; a value that is no UTF-8 keeps its bytes.
    """
    parts = []
    for name, value in fields.items():
        data = value.encode("utf-8", "surrogateescape")[:MOST]
        if b"\n" in data:
            parts.append(name.encode("ascii") + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode("ascii") + b"=" + data + b"\n")
    return b"".join(parts)


class Journal:
    """A sender of records.

    Args:
        path: journald's socket.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self.lost = 0
        """Records that journald did not take since the last one that it took."""
        self.lost_ever = 0

    def send(self, fields: Mapping[str, str]) -> bool:
        """Send one record.

        Args:
            fields: as `encode` takes them.

        Returns:
            Whether journald has it; else it is counted as lost.
        """
        if self.lost and not self._take(encode(self._told())):
            self._count()
            return False
        self.lost = 0
        if not self._take(encode(fields)):
            self._count()
            return False
        return True

    def _count(self) -> None:
        self.lost += 1
        self.lost_ever += 1

    def _told(self) -> dict[str, str]:
        return {
            "MESSAGE": f"{self.lost} log records were lost: journald did not take them",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "sydd",
            "SYDD_LOST": str(self.lost),
        }

    def _take(self, record: bytes) -> bool:
        try:
            channel = self._open()
            try:
                channel.send(record)
            except OSError as error:
                if error.errno not in (EMSGSIZE, ENOBUFS):
                    raise
                _send_sealed(channel, record)
        except OSError:
            # journald was started anew, is stuck, or there is no memory: the next record tries again.
            self.close()
            return False
        return True

    def _open(self) -> socket.socket:
        if self._socket is None:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            try:
                channel.setblocking(False)
                channel.connect(self._path)
            except OSError:
                channel.close()
                raise
            self._socket = channel
        return self._socket

    def close(self) -> None:
        """Close the socket; `send` opens another one."""
        channel, self._socket = self._socket, None
        if channel is not None:
            channel.close()


def _send_sealed(channel: socket.socket, record: bytes) -> None:
    """Send a record that is too large for a datagram."""
    with open(os.memfd_create("sydd-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", buffering=0) as file:
        left = memoryview(record)
        while left:
            left = left[file.write(left) :]
        fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, _SEALS)
        socket.send_fds(channel, [b""], [file.fileno()])
