"""Look-ups in the data: which ABI, which number, which row."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

from sydd.syscalls.abi import ABIS
from sydd.syscalls.row import Row
from sydd.syscalls.rows import ROWS
from sydd.syscalls.rows32 import MULTIPLEXERS

AUDIT_ARCH: dict[str, int] = {abi.name: abi.audit_arch for abi in ABIS.values()}
"""ABI to what seccomp_data.arch holds."""

NUMBERS: dict[str, dict[str, int]] = {abi.name: dict(abi.numbers) for abi in ABIS.values()}


def native() -> str:
    """The ABI of this machine, by the name that uname(2) gives the machine: a key of AUDIT_ARCH.

    Raises:
        NotImplementedError: sydd has no table for it.
    """
    machine = os.uname().machine
    known = [abi.name for abi in ABIS.values() if not abi.narrow]
    if machine not in known:
        raise NotImplementedError(
            f"no system call table for {machine}; there are ones for {', '.join(known)}"
        )
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
def _rows(arch: str) -> dict[str, Row]:
    """All rows as they are laid out on *arch*."""
    abi = ABIS[arch]
    return {row.name: replace(row, narrow=abi.narrow, **abi.changes.get(row.name, {})) for row in ROWS}


@cache
def rows_by_name(arch: str) -> dict[str, Row]:
    """The rows that *arch* has a number for. Shared between callers: not to be changed."""
    return {name: row for name, row in _rows(arch).items() if name in ABIS[arch].numbers}


@cache
def rows_by_number(arch: str) -> dict[int, Row]:
    """The same by number."""
    return {NUMBERS[arch][name]: row for name, row in rows_by_name(arch).items()}


@cache
def parts(arch: str, multiplexer: str) -> dict[int, Row]:
    """The rows of the calls that *multiplexer* stands for, by its first argument; those that have one.

    Some have no number of their own: i386 has no semop but by ipc.
    """
    rows = _rows(arch)
    return {which: rows[name] for which, name in MULTIPLEXERS[multiplexer].items() if name in rows}


def abis_beside(arch: str) -> tuple[str, ...]:
    """The ABIs of a machine: its own, and those whose programs its kernel may run as well."""
    return (arch, *ABIS[arch].beside)


def rows_by_arch(arch: str) -> dict[int, dict[int, Row]]:
    """For all ABIs of a machine: what seccomp_data.arch holds to the rows by number."""
    return {AUDIT_ARCH[abi]: rows_by_number(abi) for abi in abis_beside(arch)}
