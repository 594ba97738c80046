"""Main's end of a channel to a worker or a keeper: messages are called out by the loop, answers awaited.

Sending never waits: what the other side does not take at once is queued, up to a bound; one that takes
nothing any more is treated as gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sydd.daemon.channel import Channel, ChannelError
from sydd.kernel.fd import FdSet

QUEUE = 256
"""Messages that wait for the other side."""

BATCH = 64
"""Messages that are taken in one turn of the loop, so that one worker does not hold up the others."""


class LinkBrokenError(Exception):
    """The other side has gone, or says what is no message; the message says which."""


class Link:
    """One end.

    Args:
        channel: it belongs to the link from now on.
        on_message: called with each message that is no reply, and its descriptors; those that it does not
            take out are closed afterwards.
        on_end: called once when nothing more will come, with the reason.
    """

    def __init__(
        self,
        channel: Channel,
        on_message: Callable[[dict[str, Any], FdSet], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._channel = channel
        self._on_message = on_message
        self._on_end = on_end
        # What an earlier daemon asked may still be answered: that is nobody's here.
        self._ids = itertools.count(int.from_bytes(os.urandom(6)))
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._queue: deque[tuple[dict[str, Any], list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._loop.add_reader(channel.fileno(), self._readable)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    def fileno(self) -> int:
        """The channel's descriptor."""
        return self._channel.fileno()

    def post(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send without an answer. To one that has gone, nothing is sent.

        Args:
            message: what JSON can hold.
            descriptors: duplicates of them go along.

        Raises:
            OSError: EMFILE.
            ValueError: it is too long.
        """
        if self._ended:
            return
        if self._queue:
            self._enqueue(message, descriptors)
            return
        try:
            self._channel.send(message, descriptors)
        except BlockingIOError:
            self._enqueue(message, descriptors)
            self._loop.add_writer(self._channel.fileno(), self._writable)
        except (BrokenPipeError, ConnectionResetError):
            # What it said last may still be there to be read: the reader finds the end.
            return

    async def request(
        self, message: dict[str, Any], descriptors: Sequence[int] = (), *, seconds: float = 30
    ) -> dict[str, Any]:
        """Send and wait for the answer.

        Args:
            message: what JSON can hold.
            descriptors: duplicates of them go along.
            seconds: how long the answer may take.

        Raises:
            LinkBrokenError: the other side went away, or took too long.
        """
        if self._ended:
            raise LinkBrokenError("it has gone")
        number = next(self._ids)
        future = self._waiting[number] = self._loop.create_future()
        try:
            self.post({**message, "id": number}, descriptors)
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            raise LinkBrokenError(f"it did not answer within {seconds:g} s") from None
        finally:
            del self._waiting[number]

    def close(self) -> None:
        """Stop, and close the channel; `on_end` is not called any more."""
        if not self._ended:
            self._stop("closed")
        self._channel.close()

    def _enqueue(self, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        if len(self._queue) >= QUEUE:
            self._end("it takes no messages")
            return
        self._queue.append((message, [os.dup(fd) for fd in descriptors]))

    def _writable(self) -> None:
        while self._queue:
            message, descriptors = self._queue[0]
            try:
                self._channel.send(message, descriptors)
            except BlockingIOError:
                return
            except OSError:
                break
            self._queue.popleft()
            for fd in descriptors:
                os.close(fd)
        self._loop.remove_writer(self._channel.fileno())
        self._drop_queue()

    def _readable(self) -> None:
        for _ in range(BATCH):
            if self._ended:
                return
            try:
                received = self._channel.receive()
            except BlockingIOError:
                return
            except (ChannelError, OSError) as error:
                self._end(str(error))
                return
            if received is None:
                self._end("it has gone")
                return
            message, descriptors = received
            with descriptors:
                self._take(message, descriptors)

    def _take(self, message: dict[str, Any], descriptors: FdSet) -> None:
        number = message.get("id")
        if message.get("type") == "reply":
            future = self._waiting.get(number) if isinstance(number, int) else None
            if future is not None and not future.done():
                future.set_result(message)
            return
        self._on_message(message, descriptors)

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._stop(reason)
            self._on_end(reason)

    def _stop(self, reason: str) -> None:
        self._ended = True
        with contextlib.suppress(ValueError):
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
        self._drop_queue()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkBrokenError(reason))

    def _drop_queue(self) -> None:
        for _, descriptors in self._queue:
            for fd in descriptors:
                os.close(fd)
        self._queue.clear()
