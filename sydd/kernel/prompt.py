"""Closing what somebody else has made, without waiting for it.

close(2) of the last descriptor of a socket that lingers (SO_LINGER of socket(7)) waits until its peer has
read what was sent, for as long as its maker likes, non-blocking or not; so does closing a unix socket in
which such a descriptor is under way. A signal ends that wait: while something is closed, one comes every
PERIOD.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

PERIOD = 0.0005
"""Seconds that one close may take."""


def _wake(_number: int, _frame: FrameType | None) -> None:
    """The signal has done all that it is for."""


def prepare() -> None:
    """Have `closing` do what it says, in this process's first thread, which calls this.

    Raises:
        ValueError: it is another one.
    """
    signal.signal(signal.SIGALRM, _wake)


@contextlib.contextmanager
def closing() -> Iterator[None]:
    """Wait for nothing that is closed in the block; without effect where nobody has called `prepare`."""
    if signal.getsignal(signal.SIGALRM) is not _wake:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, PERIOD, PERIOD)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
