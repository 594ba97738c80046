"""How many descriptors the daemon may have: many; and a command that it starts as many as others have.

Programs look through all numbers up to the soft limit, and select(2) knows 1024.
"""

from __future__ import annotations

import resource

_given: list[tuple[int, int]] = []


def raise_limit() -> None:
    """Have as many as this process may; what its children inherit, until they `restore`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _given[:] = [(soft, hard)]
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def restore() -> None:
    """As before `raise_limit`, also in a process that was forked since."""
    for given in _given:
        resource.setrlimit(resource.RLIMIT_NOFILE, given)
