"""How much anybody may have of the control socket."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; what goes beyond one gets an error reply and is closed.

    Attributes:
        connections: of all users together.
        user_connections: of one user (`[limits] connections` of the settings); those of the user that the
            daemon runs as are not counted, but for the bound above. One in sixteen is kept for others where
            one process has all the rest.
        frame: bytes of one call, its NUL excluded.
        nesting: objects and arrays within one another.
        descriptors: that come with one call.
        user_descriptors: that came with calls of one user and are not answered yet (`[limits] descriptors`).
        user_bytes: of one user's calls that are not read to their end or not answered yet.
        calls: that wait on one connection.
        frame_seconds: in which a call that was begun has to be complete.
        idle_seconds: in which a new connection has to make its first call.
        write_seconds: in which a reply has to be taken.
    """

    connections: int = 1024
    user_connections: int = 256
    frame: int = 256 << 10
    nesting: int = 16
    descriptors: int = 64
    user_descriptors: int = 2048
    user_bytes: int = 16 << 20
    calls: int = 64
    frame_seconds: float = 10.0
    idle_seconds: float = 30.0
    write_seconds: float = 30.0

    def as_json(self) -> dict[str, int]:
        """By name, for `Info`."""
        return {name: int(getattr(self, name)) for name in self.__slots__}
