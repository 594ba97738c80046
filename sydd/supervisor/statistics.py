"""How many calls of which kind a worker has answered, how, and how long that took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sydd.supervisor.answer import Kind
from sydd.supervisor.notification import NUMBER
from sydd.supervisor.slot import KINDS, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sydd.supervisor.slot import Slot
    from sydd.syscalls.row import Row

TIMED = 17
"""Of so many requests one is timed: to look at the clock and to sort costs more than to count. A prime, as
programs that do the same again and again rarely do so in rounds of it."""


def count(slot: Slot, fields: tuple[int, ...], kind: int, *, own: bool) -> None:
    """Count one request.

    Args:
        slot: where; a successor counts on in it.
        fields: of its notification.
        kind: of the answer.
        own: whether it is of the machine's own ABI.
    """
    place = min(fields[NUMBER], NUMBERS - 1)
    slot.calls[(place if own else place + NUMBERS) * KINDS + kind] += 1


def timed(slot: Slot, handle: Callable[[tuple[int, ...]], None], fields: tuple[int, ...]) -> None:
    """Handle one request, and sort it by how long that took.

    Args:
        slot: where.
        handle: what does it.
        fields: of its notification.
    """
    started = time.perf_counter_ns()
    handle(fields)
    slot.latencies[(time.perf_counter_ns() - started).bit_length()] += 1


def by_name(slot: Slot, rows: Mapping[int, Mapping[int, Row]], arch: int) -> dict[str, dict[str, int]]:
    """The counters of *slot*, by the name of the call and the kind of the answer.

    Args:
        slot: where they are.
        rows: the syscall table of each ABI.
        arch: AUDIT_ARCH_* of the machine's own ABI.
    """
    found: dict[str, dict[str, int]] = {}
    for index, count in enumerate(slot.calls):
        if not count:
            continue
        place, kind = divmod(index, KINDS)
        other, number = divmod(place, NUMBERS)
        tables = [table for key, table in rows.items() if (key != arch) == other]
        names = {table[number].name for table in tables if number in table}
        name = "/".join(sorted(names)) or str(number)
        counts = found.setdefault(name, {})
        word = Kind(kind).name.lower()
        counts[word] = counts.get(word, 0) + count
    return found


def as_json(slot: Slot, rows: Mapping[int, Mapping[int, Row]], arch: int) -> dict[str, Any]:
    """Everything that is counted: see `by_name`; bounds in seconds, and how many of those timed took less."""
    used = max((bucket for bucket, count in enumerate(slot.latencies) if count), default=0) + 1
    return {
        "handled": total(slot),
        "notifications": by_name(slot, rows, arch),
        "bounds": [2**bucket / 1e9 for bucket in range(used)],
        "buckets": list(slot.latencies[:used]),
    }


def total(slot: Slot) -> int:
    """How many requests were answered."""
    return sum(slot.calls)
