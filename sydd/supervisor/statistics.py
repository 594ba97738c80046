"""How many calls of which kind a worker has answered, how, and how long that took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sydd.supervisor.answer import Kind
from sydd.supervisor.notification import ARCH, NUMBER
from sydd.supervisor.slot import KINDS, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sydd.supervisor.slot import Slot
    from sydd.syscalls.row import Row

clock = time.perf_counter_ns


class Counters:
    """Counts into the memory of one slot.

    Args:
        slot: the memory, which a successor counts on in.
        arch: AUDIT_ARCH_* of the machine's own ABI.

    Attributes:
        count: counts one request: the fields of its notification, the kind of the answer, and when it was
            received, by `clock`.
        count_passed: counts one that the kernel was let go on with, of the machine's own ABI and a number
            below NUMBERS: its number, and when it was received.
    """

    def __init__(self, slot: Slot, arch: int) -> None:
        self.slot = slot
        # Functions, whose variables are nearer than attributes: this is done for every request.
        calls, latencies, now = slot.calls, slot.latencies, clock

        def count(fields: tuple[int, ...], kind: int, started: int) -> None:
            number = fields[NUMBER]
            if number >= NUMBERS:
                number = NUMBERS - 1
            if fields[ARCH] != arch:
                number += NUMBERS
            calls[number * KINDS + kind] += 1
            latencies[(now() - started).bit_length()] += 1

        def count_passed(number: int, started: int) -> None:
            calls[number * KINDS] += 1
            latencies[(now() - started).bit_length()] += 1

        self.count = count
        self.count_passed = count_passed


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
    """Everything that is counted: see `by_name`; bounds in seconds, and how many requests took less."""
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
