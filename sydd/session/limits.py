"""Limits on a session where it has no control group: process by process, by setrlimit(2).

What a control group limits for all processes together, the kernel can else limit only for each process
(memory), or for all of a user's (processes). So `memory` is what one process may have of its own, and
`processes` comes on top of what the user runs when the session begins, and does not bind root at all.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence

from sydd.policy.quantities import UNLIMITED
from sydd.policy.sessionlimits import SessionLimits


def launch_limits(
    limits: Sequence[tuple[str, int, int]], whole: SessionLimits, *, grouped: bool
) -> tuple[tuple[int, int, int], ...]:
    """The limits that a command is started with; of two on one thing the lower holds.

    Args:
        limits: those of each process, as `Policy.limits` has them.
        whole: those of the session as a whole.
        grouped: whether a control group holds those of the session as a whole.

    Returns:
        (resource, soft, hard) as setrlimit(2) takes them.
    """
    found = {getattr(resource, f"RLIMIT_{name.upper()}"): (soft, hard) for name, soft, hard in limits}
    if not grouped:
        for which, *pair in process_limits(whole, os.getuid()):
            own = found.get(which, (UNLIMITED, UNLIMITED))
            soft, hard = (_lower(one, other) for one, other in zip(own, pair, strict=True))
            found[which] = (soft, hard)
    return tuple((which, soft, hard) for which, (soft, hard) in found.items())


def _lower(one: int, other: int) -> int:
    return max(one, other) if UNLIMITED in (one, other) else min(one, other)


def process_limits(limits: SessionLimits, uid: int) -> tuple[tuple[int, int, int], ...]:
    """The limits of each process that come nearest to those of the session.

    Args:
        limits: the session's.
        uid: real user id of the command.

    Returns:
        (resource, soft, hard) as setrlimit(2) takes them.
    """
    found = []
    processes, memory = limits.most("processes"), limits.most("memory")
    if processes is not None:
        most = processes + tasks_of(uid)
        found.append((resource.RLIMIT_NPROC, most, most))
    if memory is not None:
        # Address space that is only reserved (Go, sanitizers) does not count here, as in a group.
        found.append((resource.RLIMIT_DATA, memory, memory))
    return tuple(found)


def tasks_of(uid: int) -> int:
    """How many processes and threads a user has."""
    count = 0
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as file:
                status = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = dict(line.split(b":\t", 1) for line in status.splitlines() if b":\t" in line)
        if int(fields[b"Uid"].split()[0]) == uid:
            count += int(fields[b"Threads"])
    return count
