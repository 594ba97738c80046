"""Engines: which of the three layers a session uses."""

from __future__ import annotations

from enum import Enum

from sydd.policy.policy import Mode


class Engine(Enum):
    """Which layers a session uses."""

    HYBRID = "hybrid"  # all three: the kernel holds, the supervisor explains and is exact
    SUPERVISOR = "supervisor"  # without Landlock: every restricted operation is performed by the worker
    LANDLOCK = "landlock"  # what the kernel decides exactly is neither notified nor explained
    NESTED = "nested"  # inside another session: filter and Landlock, which can only narrow
    AUDIT = "audit"  # mode = "audit": everything goes on, and is recorded


def pick_engine(
    mode: Mode, wanted: Engine | None, landlock_available: bool, *, supervised: bool = False
) -> Engine:
    """The engine for a session: what was asked for, else the strongest that there is here.

    Args:
        mode: of the policy.
        wanted: what was asked for.
        landlock_available: whether the kernel has it.
        supervised: whether this process has a seccomp supervisor, beside which there can be no other.

    Raises:
        ValueError: what was asked for needs something that is not here.
    """
    if supervised:
        if mode is Mode.AUDIT or wanted in (Engine.SUPERVISOR, Engine.HYBRID):
            what = "mode audit" if mode is Mode.AUDIT else f"the {wanted.value if wanted else ''} engine"
            msg = f"{what} needs a supervisor; this process has one already, and the kernel allows no second"
            raise ValueError(msg)
        if not landlock_available:
            msg = "inside a supervised session sydd needs Landlock, which is not to be had here"
            raise ValueError(msg)
        return Engine.NESTED
    if mode is Mode.AUDIT:
        return Engine.AUDIT
    if wanted in (Engine.HYBRID, Engine.LANDLOCK) and not landlock_available:
        msg = f"the {wanted.value} engine needs Landlock, which this kernel lacks; use --engine supervisor"
        raise ValueError(msg)
    return wanted or (Engine.HYBRID if landlock_available else Engine.SUPERVISOR)
