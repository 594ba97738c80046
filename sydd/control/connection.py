"""One connection: bytes and descriptors in, frames out of them; replies out.

It reads one piece at a time, so that a peer that sends without an end takes its turn like any other; and it
reads also while a call is performed, because that is how it learns that the peer has hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from sydd.control.call import HungUpError, error_reply
from sydd.control.frame import encode
from sydd.control.limits import Limits
from sydd.control.peer import Peer, Piece, receive
from sydd.control.readiness import Readiness
from sydd.kernel import prompt
from sydd.kernel.fd import FdSet
from sydd.wire.errors import BadFrame, LimitReached

_PIECE = 16 << 10
_FORGIVEN = 1 << 20
"""Bytes of calls a second that do not count against a connection's turn."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A call as it came.

    Attributes:
        data: without the NUL.
        descriptors: that came with it, owned.
        writer: pid of the process that wrote all of it; 0 when it was written by several, or is not known.
    """

    data: bytes
    descriptors: FdSet
    writer: int

    def close(self) -> None:
        """Close the descriptors, whatever they are; a second time is fine."""
        if len(self.descriptors):
            with prompt.closing():
                self.descriptors.close()


_KINDS = {kind.__name__: kind for kind in (BadFrame, LimitReached)}
"""What ends a connection."""


@functools.lru_cache(maxsize=64)
def _farewell(name: str, *values: object) -> bytes:
    """The frame that tells an error: under a flood the same one again and again."""
    return encode(error_reply(_KINDS[name](*values)).tojson())


class Owner(Protocol):
    """What a connection needs of the server."""

    def frame_arrived(self, connection: Connection) -> None:
        """There is a frame to be performed."""

    def used(self, connection: Connection) -> None:
        """A call was answered, with anything but an error."""

    def took(self, connection: Connection, size: int, descriptors: int) -> None:
        """More bytes and descriptors wait in this connection; fewer, where negative.

        Raises:
            LimitReached: than its user may have.
        """

    def ended(self, connection: Connection) -> None:
        """It is closed."""


class Connection:
    """The server's end of a connection.

    Args:
        sock: connected; owned from now on.
        peer: who is at the other end; owned from now on.
        limits: what is allowed.
        owner: the server.
        readiness: tells when there is something to read.

    Attributes:
        peer: who is at the other end.
        closed: whether it is.
        scheduled: whether the server has it in its queue.
        streaming: whether the call that is performed has more than one reply.
        size: bytes that wait here or belong to the call that is performed.
        descriptors: descriptors likewise.
        task: performs a call; None when there is none.
    """

    def __init__(
        self, sock: socket.socket, peer: Peer, limits: Limits, owner: Owner, readiness: Readiness
    ) -> None:
        self.peer = peer
        self.closed = False
        self.scheduled = False
        self.streaming = False
        self.size = 0
        self.descriptors = 0
        self.task: asyncio.Task[None] | None = None
        self._socket = sock
        self._limits = limits
        self._owner = owner
        self._readiness = readiness
        self._loop = asyncio.get_running_loop()
        self._frames: deque[Frame] = deque()
        self._running: Frame | None = None
        self._begun = bytearray()
        self._begun_descriptors: list[int] = []
        self._begun_by = 0
        self._half_closed = False
        self._writable: asyncio.Future[None] | None = None
        self._spent = 0.0
        self._spent_at = self._loop.time()
        sock.setblocking(False)
        readiness.watch(sock, self.read)
        self._timing_frame = False
        self._deadline = self._loop.call_later(limits.idle_seconds, self._too_slow, "no call")

    @property
    def idle(self) -> bool:
        """Whether nothing is performed for it."""
        return self._running is None

    @property
    def waiting(self) -> bool:
        """Whether the next call could be performed now."""
        return not self.closed and self._running is None and bool(self._frames)

    def cost(self) -> float:
        """What its next call is likely to take, and what its last ones took, in bytes: less goes first."""
        now = self._loop.time()
        self._spent = max(0.0, self._spent - (now - self._spent_at) * _FORGIVEN)
        self._spent_at = now
        return self._spent + len(self._frames[0].data)

    def begin(self) -> Frame:
        """Take the next call to perform it; `finish` follows, or `close`."""
        self._spent = self.cost()
        self._running = self._frames.popleft()
        return self._running

    def understand(self, *, streaming: bool) -> None:
        """The frame that was taken is a call."""
        self.streaming = streaming
        if not self._timing_frame:
            self._deadline.cancel()

    def finish(self, *, proven: bool) -> None:
        """The call is answered.

        Args:
            proven: whether by anything but an error.
        """
        self._running = None
        self.task = None
        self.streaming = False
        if self.closed:
            return
        if proven:
            self._owner.used(self)
        self._account()
        if self._half_closed and not self._frames:
            self.close()

    def refuse(self, error: BadFrame | LimitReached) -> None:
        """Say why, if the peer takes it at once, and close."""
        if self.closed:
            return
        if self._writable is None:  # else it would go into the middle of a reply
            with contextlib.suppress(OSError):
                self._socket.send(_farewell(type(error).__name__, *error.parameters().values()))
        self.close()

    def close(self) -> None:
        """Close it, with all that came and was not performed; a call that is performed is cancelled."""
        if self.closed:
            return
        self.closed = True
        self._deadline.cancel()
        self._readiness.forget(self._socket)
        self._loop.remove_writer(self._socket)
        with prompt.closing():
            self._socket.close()
            for frame in self._frames:
                frame.descriptors.close()
            FdSet(self._begun_descriptors).close()
        self.peer.close()
        self._frames.clear()
        self._begun.clear()
        self._begun_descriptors = []
        self._running = None
        self._account()
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(HungUpError())
        elif self.task is not None and self.task is not asyncio.current_task(self._loop):
            self.task.cancel()
        self._owner.ended(self)

    def read(self) -> None:
        """Take what has come, at most a piece of it."""
        if self.closed:
            return
        try:
            piece = receive(self._socket, _PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not piece.data:
            self._hung_up()
            return
        try:
            self._take(piece)
            if not piece.complete:
                raise BadFrame("its descriptors could not be received")
            self._account()
        except (BadFrame, LimitReached) as error:
            self.refuse(error)
            return
        if self.waiting:
            self._owner.frame_arrived(self)

    def _take(self, piece: Piece) -> None:
        """Cut frames out of what has come.

        Descriptors belong to the last frame that has bytes in it: the kernel ends a read with the piece of
        data that had descriptors with it. A call that several processes have written is nobody's.

        Raises:
            LimitReached: there is too much of something.
        """
        limits = self._limits
        descriptors = piece.descriptors
        if not self._begun or self._begun_by != piece.writer:
            self._begun_by = 0 if self._begun else piece.writer
        *ends, rest = piece.data.split(b"\0", limits.calls)
        for number, end in enumerate(ends, start=1):
            self._begun += end
            if number == len(ends) and not rest:
                self._begun_descriptors += descriptors
            self._frames.append(Frame(bytes(self._begun), FdSet(self._begun_descriptors), self._begun_by))
            self._begun = bytearray()
            self._begun_descriptors = []
            self._begun_by = piece.writer
        if rest or not ends:
            self._begun += rest
            self._begun_descriptors += descriptors
        if b"\0" in rest or len(self._frames) > limits.calls:
            raise LimitReached("calls that wait on one connection", limits.calls)
        sizes = [len(self._begun), *(len(frame.data) for frame in self._frames)]
        if max(sizes) > limits.frame:
            raise LimitReached("bytes in one call", limits.frame)
        counts = [len(self._begun_descriptors), *(len(frame.descriptors) for frame in self._frames)]
        if max(counts) > limits.descriptors:
            raise LimitReached("descriptors with one call", limits.descriptors)
        self._watch_frame()

    def _watch_frame(self) -> None:
        """See to it that a call that was begun comes to its end in time."""
        if self._begun and not self._timing_frame:
            self._deadline.cancel()
            seconds = self._limits.frame_seconds
            self._deadline = self._loop.call_later(
                seconds, self._too_slow, "the rest of the call did not come"
            )
            self._timing_frame = True
        elif self._timing_frame and not self._begun:
            self._deadline.cancel()
            self._timing_frame = False

    def _account(self) -> None:
        """Tell the server what waits here now.

        Raises:
            LimitReached: it is more than the user may have.
        """
        size = len(self._begun) + sum(len(frame.data) for frame in self._frames)
        descriptors = len(self._begun_descriptors) + sum(len(frame.descriptors) for frame in self._frames)
        if self._running is not None:
            size += len(self._running.data)
            descriptors += len(self._running.descriptors)
        more, further = size - self.size, descriptors - self.descriptors
        self.size, self.descriptors = size, descriptors
        self._owner.took(self, more, further)

    def _too_slow(self, what: str) -> None:
        self.refuse(BadFrame(f"{what} in time"))

    def _hung_up(self) -> None:
        """The peer sends no more: it is gone, or it has only shut down this direction and awaits replies."""
        if self._running is None and not self._frames:
            self.close()
        else:
            self._half_closed = True
            self._readiness.watch_end(self._socket, self.close)

    async def send(self, data: bytes, descriptors: list[int]) -> None:
        """Send a frame.

        Args:
            data: with the NUL.
            descriptors: to go with it; they stay the caller's.

        Raises:
            HungUpError: the peer is gone, or does not read.
        """
        view = memoryview(data)
        while view:
            if self.closed:
                raise HungUpError
            try:
                if descriptors:
                    sent = socket.send_fds(self._socket, [view], descriptors)
                else:
                    sent = self._socket.send(view)
            except (BlockingIOError, InterruptedError):
                await self._until_writable()
                continue
            except OSError:
                self.close()
                raise HungUpError from None
            descriptors = []
            view = view[sent:]

    async def _until_writable(self) -> None:
        future = self._writable = self._loop.create_future()
        self._loop.add_writer(self._socket, self._set_writable)
        # A stream may be read at leisure: what is missed is counted by whoever fills it.
        seconds = None if self.streaming else self._limits.write_seconds
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            self.close()
            raise HungUpError from None
        finally:
            if not self.closed:
                self._loop.remove_writer(self._socket)
            self._writable = None

    def _set_writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
