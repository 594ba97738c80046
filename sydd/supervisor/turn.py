"""What is done between two requests: changes that come from another thread than the worker's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 0.01
"""How often who waits looks whether a worker that is never idle has done what was to be done."""


class Turn:
    """Whose turn it is: the worker's, while it answers a request, or somebody's who changes its session.

    The worker holds `lock` for each request, and before that does what waits in `change`.

    Attributes:
        lock: held while a request is answered.
        change: what is to be done before the next one is; None for nothing.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.change: Callable[[], None] | None = None
        self._entrance = threading.Lock()  # one change at a time

    def between(self, change: Callable[[], None]) -> None:
        """Do *change* between two requests, in this thread or in the worker's.

        When this returns it is done, and every request that was answered without it has its answer.
        """
        with self._entrance:
            self.change = change
            while not self.lock.acquire(timeout=LOOK_SECONDS):
                if self.change is not change:
                    return  # the worker has come by
            try:
                self.catch_up()
            finally:
                self.lock.release()

    def catch_up(self) -> None:
        """Do what waits; with the lock."""
        change, self.change = self.change, None
        if change is not None:
            change()
