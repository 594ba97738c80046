"""Look-ups in the data: which architecture, which number, which row."""

from __future__ import annotations

import os
from functools import cache

from sydd.syscalls import numbers
from sydd.syscalls.row import Row
from sydd.syscalls.rows import ROWS

AUDIT_ARCH: dict[str, int] = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
"""Architecture, as uname(2) names the machine, to what seccomp_data.arch holds (linux/audit.h)."""

NUMBERS: dict[str, dict[str, int]] = {"x86_64": numbers.X86_64, "aarch64": numbers.AARCH64}


def native() -> str:
    """The architecture of this machine: a key of AUDIT_ARCH.

    Raises:
        NotImplementedError: sydd has no table for it.
    """
    machine = os.uname().machine
    if machine not in AUDIT_ARCH:
        known = ", ".join(AUDIT_ARCH)
        raise NotImplementedError(f"no system call table for {machine}; there are ones for {known}")
    return machine


def number(arch: str, name: str) -> int:
    """The number of a call. Raises KeyError where *arch* has no such call."""
    return NUMBERS[arch][name]


@cache
def _names(arch: str) -> dict[int, str]:
    return {nr: name for name, nr in NUMBERS[arch].items()}


def name(arch: str, nr: int) -> str:
    """The name of a number; ``syscall_N`` for one that the table lacks: an event can always say something."""
    return _names(arch).get(nr, f"syscall_{nr}")


@cache
def rows_by_number(arch: str) -> dict[int, Row]:
    """The rows that *arch* has, by number. Shared between callers: not to be changed."""
    known = NUMBERS[arch]
    return {known[row.name]: row for row in ROWS if row.name in known}
