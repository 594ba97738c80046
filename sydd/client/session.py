"""A session whose command the daemon has started."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from types import TracebackType
    from typing import Self

    from sydd.client.client import Client
    from sydd.wire.values import Outcome

_SIGKILL = 9


class RunningSession:
    """A session that `Client.run` began. It does not end when this is closed.

    Attributes:
        session: its name.
        pid: the command's.
    """

    def __init__(self, client: Client, session: str, pid: int, pidfd: int) -> None:
        self.session = session
        self.pid = pid
        self._client = client
        self._pidfd = pidfd

    def fileno(self) -> int:
        """A descriptor of the command's process, for select and poll: readable when it has ended."""
        return self._pidfd

    def wait(self) -> Outcome:
        """Wait until the session has ended: the command, and every process that it left behind."""
        return self._client.wait(self.session)

    def kill(self, signal: int = _SIGKILL) -> int:
        """Send a signal to every process of the session; how many got it."""
        return self._client.kill_session(self.session, signal)

    def close(self) -> None:
        """Close the descriptor; a second time is fine."""
        fd, self._pidfd = self._pidfd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
