"""One message on its way: in one piece, or a stream's in as many as it takes."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from sydd.kernel import sockets
from sydd.supervisor.failure import NaturalFailure
from sydd.supervisor.messages import content

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader
    from sydd.supervisor.ancillary import Ancillary
    from sydd.supervisor.messages import Message

CHUNK: Final = 1 << 20
"""Bytes of a stream that are copied at a time."""


class Source(NamedTuple):
    """Where the content is.

    Attributes:
        reader: of the caller's memory.
        tid: the caller.
        message: what it sends.
    """

    reader: Reader
    tid: int
    message: Message


class Delivery:
    """Sends one message, also over several calls.

    Args:
        fd: the socket.
        streams: whether it is a stream, whose content may go in pieces.
        flags: MSG_*.
        name: the destination; None for the peer that there is.
        ancillary: goes along with the first piece.
        data: what has been read of the content.
        source: where the rest is; None where it cannot be read any more.

    Attributes:
        done: bytes that have been sent.
    """

    def __init__(
        self,
        fd: int,
        flags: int,
        name: bytes | None,
        ancillary: Ancillary,
        data: bytes,
        source: Source | None,
        *,
        streams: bool,
    ) -> None:
        self._fd = fd
        self._flags = flags
        self._name = name
        self._ancillary = ancillary
        self._data = data
        self._source = source
        self._streams = streams
        self.done = 0

    def once(self, flags: int = 0) -> int:
        """Send what has been read, or as much of it as can be; its size, or a negative errno.

        Args:
            flags: further MSG_*.
        """
        control = b"" if self.done else self._ancillary.packed()
        result = sockets.send(self._fd, self._data, self._flags | flags, self._name, control)
        if result > 0:
            self.done += result
            self._data = self._data[result:]
        return result

    def rest(self) -> int:
        """Send everything that is left; how many bytes have been sent by now, or a negative errno.

        After -EINTR it can go on.
        """
        while True:
            result = self.once()
            if result < 0:
                return result if result == -errno.EINTR or not self.done else self.done
            if not self._streams or not self._more():
                return self.done

    def _more(self) -> bool:
        """Whether there is more to send."""
        if self._data:
            return True
        if self._source is None or self.done >= self._source.message.size:
            return False
        reader, tid, message = self._source
        try:
            self._data = content(reader, tid, message, self.done, CHUNK)
        except NaturalFailure:
            return False
        return True


def raises_signal(result: int, kind: int, flags: int) -> bool:
    """Whether SIGPIPE goes to who wrote to a stream that nobody reads.

    Args:
        result: of a send.
        kind: the socket's type.
        flags: MSG_* of the caller.
    """
    return result == -errno.EPIPE and kind == socket.SOCK_STREAM and not flags & socket.MSG_NOSIGNAL
