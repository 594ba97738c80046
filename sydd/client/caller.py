"""Calls: on which connection, and what becomes of it."""

from __future__ import annotations

import os
from _thread import allocate_lock  # threading is slow to import

from sydd.client.connection import CallError, Connection, DisconnectedError, find_socket
from sydd.client.stream import Stream
from sydd.wire.errors import ControlError

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Any, Self

ANSWER_SECONDS = 60.0
"""How long an answer may take unless said otherwise: preparing a session on a busy machine is the longest."""


class Caller:
    """Makes calls; may be used by several threads.

    The connection is made by the first call and again after the daemon was restarted. `wait`, `subscribe` and
    `questions` have connections of their own.

    Args:
        path: of the socket; None for $SYDD_SOCKET, the system's or the user's own.
        timeout: seconds that an answer may take; None for no bound.
    """

    def __init__(self, path: str | None = None, timeout: float | None = ANSWER_SECONDS) -> None:
        self.path = find_socket() if path is None else path
        self._timeout = timeout
        self._lock = allocate_lock()
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a second time is fine, and a later call makes a new one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _call(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        descriptors: Sequence[int] = (),
        meanwhile: Callable[[], object] | None = None,
    ) -> tuple[dict[str, Any], list[int]]:
        """One call, one reply; *meanwhile* is done once it is sent."""
        with self._lock:
            try:
                connection = self._send(method, parameters or {}, descriptors)
                if meanwhile is not None:
                    meanwhile()
                result, received, _ = connection.receive()
            except (ControlError, CallError):
                raise  # an answer like another
            except BaseException:
                # A reply that nobody awaits any more must not be taken for the next call's.
                self._close()
                raise
        return result, received

    def _send(self, method: str, parameters: Mapping[str, Any], descriptors: Sequence[int]) -> Connection:
        """Send a call on the connection that there is, or on a new one where the daemon was restarted."""
        if self._connection is not None:
            try:
                self._connection.send(method, parameters, descriptors)
            except DisconnectedError:
                self._close()
            else:
                return self._connection
        self._connection = Connection(self.path, self._timeout)
        try:
            self._connection.send(method, parameters, descriptors)
        except DisconnectedError:
            self._connection.receive()  # what it said before it closed tells why
            raise
        return self._connection

    def _ask(self, method: str, **parameters: Any) -> Any:
        """One call without descriptors."""
        result, received = self._call(method, parameters)
        for fd in received:
            os.close(fd)
        return result

    def _stream(self, method: str, field: str, parameters: Mapping[str, Any]) -> Stream[Any]:
        """A call that is answered more than once, on a connection of its own."""
        return Stream(Connection(self.path, self._timeout), method, field, parameters)
