"""What is done between two requests: changes that come from another thread than the worker's.

The worker answers tens of thousands of requests between two changes, so what it does for them at each request
is two attributes: it says that it is busy, then looks whether a change waits. Who changes something does it
the other way round: it puts the change there, then looks whether the worker is busy. One of the two sees the
other (CPython runs one thread's bytecode at a time, so stores are seen in order), and what both might do is
done under a lock, once.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 0.0005
"""How often who waits for a request to be answered looks whether it is."""


class Turn:
    """Whose turn it is: the worker's, while it answers a request, or somebody's who changes its session.

    Attributes:
        busy: set by the worker alone, for the time of a request.
        change: what is to be done before the next request is answered; None for nothing. The worker looks
            after it has set `busy`.
    """

    __slots__ = ("_done", "_entrance", "busy", "change")

    def __init__(self) -> None:
        self.busy = False
        self.change: Callable[[], None] | None = None
        self._entrance = threading.Lock()  # one change at a time
        self._done = threading.Lock()  # held while it is done

    def between(self, change: Callable[[], None]) -> None:
        """Do *change* between two requests, in this thread or in the worker's. Not for the worker itself.

        When this returns it is done, and every request that was answered without it has its answer.
        """
        with self._entrance:
            self.change = change
            while self.busy and self.change is change:
                time.sleep(LOOK_SECONDS)
            self.catch_up()

    def catch_up(self) -> None:
        """Do what waits. For the worker while it is busy, and before it answers."""
        with self._done:
            if self.change is not None:
                try:
                    self.change()
                finally:
                    self.change = None
