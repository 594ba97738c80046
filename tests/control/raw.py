"""A client that sends whatever it is told to."""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import Any, Self


class Raw:
    """A connection without manners.

    Args:
        path: of the socket.
        seconds: how long to wait for an answer.
    """

    def __init__(self, path: str, seconds: float = 10.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.socket.connect(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def call(self, method: str, parameters: dict[str, Any] | None = None, **more: Any) -> None:
        """Send a well-formed call."""
        call = {"method": method, "parameters": parameters or {}, **more}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def replies(self) -> list[dict[str, Any]]:
        """Everything up to the end of the connection."""
        data = b""
        while True:
            try:
                piece = self.socket.recv(1 << 16)
            except ConnectionResetError:
                break  # closed with something unread
            if not piece:
                break
            data += piece
        return [json.loads(frame) for frame in data.split(b"\0")[:-1]]

    def reply(self) -> dict[str, Any]:
        """The next reply."""
        data = b""
        while not data.endswith(b"\0"):
            piece = self.socket.recv(1)
            assert piece, "closed without a reply"
            data += piece
        value: dict[str, Any] = json.loads(data[:-1])
        return value
