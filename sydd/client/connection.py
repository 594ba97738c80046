"""One connection to the daemon: calls out, replies and descriptors in."""

from __future__ import annotations

import errno
import os
import socket

from sydd.wire.errors import ERRORS, ControlError

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Mapping, Sequence
    from typing import Any

SYSTEM_SOCKET = "/run/sydd/sydd.sock"
VARIABLE = "SYDD_SOCKET"
"""Names another socket."""

_PIECE = 64 << 10
_MOST_DESCRIPTORS = 253
_ERRORS = {error.qualified(): error for error in ERRORS}


class UnavailableError(Exception):
    """The daemon cannot be reached, or did not answer."""


class NotRunningError(UnavailableError):
    """Nobody listens on the socket, or this user may not use it.

    Attributes:
        path: of the socket; empty when there is none to be found.
        reason: what connect(2) said.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot reach sydd at {self.path}: {self.reason}"


class DisconnectedError(UnavailableError):
    """The daemon closed the connection without an answer: whether the call was performed is not known."""

    def __str__(self) -> str:
        return "sydd closed the connection without an answer"


class TooSlowError(UnavailableError):
    """No answer in time: whether the call was performed is not known.

    Attributes:
        seconds: how long it was waited for.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"sydd did not answer within {self.seconds:g} s"


class CrowdedError(UnavailableError):
    """The descriptors that go with a call cannot be sent; nothing was performed."""

    def __str__(self) -> str:
        return "too many descriptors of this user are on their way through sockets (ETOOMANYREFS)"


class CallError(Exception):
    """An error that the interface `org.sydd` does not define: another version of sydd is running.

    Attributes:
        name: of the error, qualified.
        parameters: its fields.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any]) -> None:
        super().__init__(name, parameters)
        self.name = name
        self.parameters = dict(parameters)

    def __str__(self) -> str:
        fields = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"sydd answered with {self.name}{f' ({fields})' if fields else ''}"


def find_socket() -> str:
    """The socket to use: $SYDD_SOCKET, else the system's, else the user's own.

    Returns:
        Its path, which nobody need listen on; empty when there is neither a variable nor a socket that this
        user may connect to.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return named
    candidates = [SYSTEM_SOCKET]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        candidates.append(os.path.join(runtime, "sydd", "sydd.sock"))
    return next((path for path in candidates if os.access(path, os.W_OK)), "")


class Connection:
    """A connection, made at once.

    Args:
        path: of the socket; empty for the system's, of which the kernel then says why it cannot be had.
        timeout: seconds that an answer may take; None for no bound.

    Raises:
        NotRunningError: nobody listens there.
    """

    def __init__(self, path: str, timeout: float | None) -> None:
        self._path = path or SYSTEM_SOCKET
        self._timeout = timeout
        self._buffer = bytearray()
        self._descriptors: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(self._path)
        except OSError as error:
            self._socket.close()
            raise NotRunningError(self._path, error.strerror or str(error)) from None

    def close(self) -> None:
        """Close it; a second time is fine."""
        self._socket.close()
        self._drop_descriptors()

    def fileno(self) -> int:
        """The descriptor, for select and poll: it is readable when a reply has come."""
        return self._socket.fileno()

    @property
    def buffered(self) -> bool:
        """Whether a reply is here already."""
        return b"\0" in self._buffer

    def send(
        self,
        method: str,
        parameters: Mapping[str, Any],
        descriptors: Sequence[int] = (),
        *,
        more: bool = False,
    ) -> None:
        """Send a call.

        Args:
            method: its name in `org.sydd`.
            parameters: those that are None are left out.
            descriptors: go beside the call.
            more: whether to ask for a stream of replies.

        Raises:
            DisconnectedError: the daemon is gone; nothing was performed.
            TooSlowError: it does not read.
            CrowdedError: the descriptors cannot go along.
        """
        call: dict[str, Any] = {
            "method": method if "." in method else f"org.sydd.{method}",
            "parameters": {name: value for name, value in parameters.items() if value is not None},
        }
        if more:
            call["more"] = True
        import json

        # With escapes, so that names that are not UTF-8 arrive.
        view = memoryview(json.dumps(call, separators=(",", ":")).encode("ascii") + b"\0")
        try:
            while view:
                if descriptors:
                    sent = socket.send_fds(self._socket, [view], list(descriptors))
                    descriptors = ()
                else:
                    sent = self._socket.send(view)
                view = view[sent:]
        except TimeoutError:
            raise TooSlowError(self._timeout or 0.0) from None
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:
                raise CrowdedError from None
            if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                raise DisconnectedError from None
            raise  # of the descriptors: nothing was sent

    def receive(self) -> tuple[dict[str, Any], list[int], bool]:
        """The next reply: parameters, descriptors beside it, which are the caller's, whether more follow.

        Raises:
            ControlError: it is an error of the interface.
            CallError: it is another error.
            DisconnectedError: the daemon closed the connection.
            TooSlowError: nothing came in time.
        """
        import json

        frame = self._frame()
        descriptors, self._descriptors = self._descriptors, []
        try:
            reply = json.loads(frame)
            parameters = reply.get("parameters") or {}
            if reply.get("error"):
                raise _error(reply["error"], parameters)
        except BaseException:
            for fd in descriptors:
                os.close(fd)
            raise
        return parameters, descriptors, bool(reply.get("continues"))

    def receive_plain(self) -> tuple[dict[str, Any], bool]:
        """The next reply without descriptors: parameters, whether more follow. Raises as `receive`."""
        parameters, descriptors, more = self.receive()
        for fd in descriptors:
            os.close(fd)
        return parameters, more

    def patient(self) -> None:
        """Wait for replies without a bound from now on."""
        self._timeout = None
        self._socket.settimeout(None)

    def _frame(self) -> bytes:
        while (end := self._buffer.find(b"\0")) < 0:
            try:
                data, descriptors, _, _ = socket.recv_fds(
                    self._socket, _PIECE, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
                )
            except TimeoutError:
                raise TooSlowError(self._timeout or 0.0) from None
            except OSError:
                raise DisconnectedError from None
            self._descriptors += descriptors
            if not data:
                raise DisconnectedError
            self._buffer += data
        frame = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return frame

    def _drop_descriptors(self) -> None:
        for fd in self._descriptors:
            os.close(fd)
        self._descriptors = []


def _error(name: str, parameters: dict[str, Any]) -> ControlError | CallError:
    kind = _ERRORS.get(name)
    if kind is None or kind.FIELDS.keys() != parameters.keys():
        return CallError(name, parameters)
    return kind(**parameters)
