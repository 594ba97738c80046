"""What a command's parent knows of who supervises: a thread of its own (embedded), or the daemon's worker."""

from __future__ import annotations

from typing import Protocol


class Supervisor(Protocol):
    """Who supervises the session.

    Attributes:
        failure: what went wrong with the supervision; empty while nothing did.
    """

    failure: str

    def serve(self, listener: int, command: int) -> None:
        """Begin to answer.

        Args:
            listener: descriptor of the listener, now the supervisor's.
            command: pid of the command, which waits.

        Raises:
            LaunchError: it cannot.
        """

    def is_over(self, *, alone: bool) -> bool:
        """Whether the session's last process has gone.

        Args:
            alone: whether this process has no child any more, orphans of the session included.
        """

    def close(self) -> None:
        """Wait for what it has to end by itself, once it is over."""
