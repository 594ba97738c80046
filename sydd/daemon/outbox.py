"""What a worker has to say to main: put there by one thread, sent by the other, waiting for nobody."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.daemon.channel import Channel

MAXIMUM = 2000
"""Messages that wait; what comes then is counted as lost."""


class Outbox:
    """Messages on their way.

    Args:
        channel: by which they go; stays the caller's.

    Attributes:
        wake: eventfd that is readable when something was put there.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._waiting: deque[tuple[dict[str, Any], tuple[int, ...]]] = deque()
        self._lost = 0
        self._gone = False
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def tell(self, kind: str, **values: Any) -> bool:
        """Say something that may be lost when main does not read; from any thread.

        Returns:
            False when it is lost.
        """
        if len(self._waiting) >= MAXIMUM or self._gone:
            self._lost += 1
            return False
        self.put({"type": kind, **values})
        return True

    def put(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Say something that must not be lost.

        Args:
            message: what JSON can hold.
            descriptors: duplicates go along; they are closed when they have gone, or cannot go.
        """
        self._waiting.append((message, tuple(descriptors)))
        self.ring()

    def ring(self) -> None:
        """Have the other thread look."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self.wake, 1)

    def flush(self) -> bool:
        """Send what can be sent now.

        Returns:
            Whether something is left, for which main has no room.

        Raises:
            OSError: ETOOMANYREFS: its owner has too many descriptors under way.
        """
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.wake)
        while self._waiting:
            message, descriptors = self._waiting[0]
            try:
                self._channel.send(message, descriptors)
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno == errno.ETOOMANYREFS:
                    raise
                self._gone = True  # main has gone; nobody will ever read
            except ValueError:
                self._lost += 1
            self._waiting.popleft()
            for fd in descriptors:
                os.close(fd)
            if not self._waiting and self._lost and not self._gone:
                lost, self._lost = self._lost, 0
                self.put({"type": "lost", "count": lost})
        return False

    def close(self) -> None:
        """Let go of what is left."""
        for _, descriptors in self._waiting:
            for fd in descriptors:
                os.close(fd)
        self._waiting.clear()
        os.close(self.wake)
