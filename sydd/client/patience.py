"""With a daemon that goes away and comes back: what was asked is asked again."""

from __future__ import annotations

from time import monotonic, sleep

from sydd.client.connection import NotRunningError

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from sydd.client.connection import DisconnectedError

SECONDS = 30.0
"""How long a daemon that went away may take to come back."""

PAUSE = 0.1
"""Seconds between two attempts to connect again."""


class Patience:
    """Bears a daemon's absence, as often as it goes away, for so long each time.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._since = 0.0
        self._last = 0.0

    def bear(self, error: DisconnectedError | NotRunningError) -> None:
        """Wait for a moment, after which the daemon may be asked again.

        Args:
            error: what became of the last call.

        Raises:
            UnavailableError: the error, where the daemon was not there in the first place, or is away for too
                long.
        """
        now = monotonic()
        if not self._last and isinstance(error, NotRunningError):
            raise error
        if now - self._last > self._seconds:
            self._since = now
        self._last = now
        if now - self._since > self._seconds:
            raise error
        sleep(PAUSE)
