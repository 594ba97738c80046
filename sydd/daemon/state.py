"""What of a session changes, as plain values: the next daemon reads it after a crash."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class State:
    """How far a session is.

    Attributes:
        phase: "created", "running" or "ended".
        created: seconds since the epoch.
        began: the same moment by the monotonic clock, which nobody sets.
        ended: seconds since the epoch; None while it lasts.
        seconds: how long it lasted; 0 while it lasts.
        status: of the command, as far as it is known.
        failure: why sydd failed; empty when it did not.
        command: pid of the command; 0 before it is there.
        parent: pid of the process below which the session's processes are; 0 before it is known.
        worker: pid of the worker; 0 for none.
        argv: the command, to be shown.
        lock: "off", "exec" or "on".
        mode: "enforce" or "audit"; empty before it is known.
        rules: added at run time, as `sydd.wire.values.RuntimeRule` has them.
        restarts: workers that were replaced.
        tmp: the private directory; empty for none.
        hidden: the directory of a precedent, which who prepares it may have made; empty for none.
        served: whether the worker has said that it serves a listener that was attached.
        emptied: whether the keeper has seen its last process go.
        first: position from which on records may be about it.
    """

    created: float
    began: float
    phase: str = "created"
    ended: float | None = None
    seconds: float = 0.0
    status: int | None = None
    failure: str = ""
    command: int = 0
    parent: int = 0
    worker: int = 0
    argv: list[str] = field(default_factory=list)
    lock: str = "off"
    mode: str = ""
    rules: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    tmp: str = ""
    hidden: str = ""
    served: bool = True
    emptied: bool = False
    first: int = 1

    def begin_again(self) -> None:
        """Forget what processes have made of it that were to begin it, and died."""
        self.phase, self.tmp, self.mode, self.status = "created", "", "", None

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> State:
        """From what `as_json` gave.

        Raises:
            TypeError: it is something else.
        """
        return cls(**value)
