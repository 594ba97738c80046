"""What registers and pointers hold, copied from the caller's memory.

A pointer that leads nowhere is EFAULT, as to the kernel.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sydd.supervisor.failure import NaturalFailure

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader

PAGE_SIZE = os.sysconf("SC_PAGESIZE")


def as_int(register: int) -> int:
    """The low 32 bits as the kernel's `int`: what stands above them is the caller's garbage."""
    register &= 0xFFFFFFFF
    return register - 0x100000000 if register & 0x80000000 else register


def as_long(register: int) -> int:
    """The register as the kernel's `long`."""
    return register - (1 << 64) if register >> 63 else register


def read_string(reader: Reader, tid: int, address: int, limit: int) -> bytes | None:
    """A string of fewer than *limit* bytes; None when it has no end within them."""
    try:
        return reader.read_string(tid, address, limit)
    except OSError as error:
        raise NaturalFailure(errno.EFAULT) from error


def read_bytes(reader: Reader, tid: int, address: int, size: int) -> bytes:
    """Exactly *size* bytes."""
    if not size:
        return b""
    try:
        data = reader.read(tid, address, size)
    except OSError as error:
        raise NaturalFailure(errno.EFAULT) from error
    if len(data) < size:
        raise NaturalFailure(errno.EFAULT)
    return data


def read_structure(reader: Reader, tid: int, address: int, size: int, known: int) -> bytes:
    """A structure that may grow: what is not *known* of its *size* has to be zero (copy_struct_from_user)."""
    if size > PAGE_SIZE:
        raise NaturalFailure(errno.E2BIG)
    if size < known:
        raise NaturalFailure(errno.EINVAL)
    try:
        data = reader.read(tid, address, size)
    except OSError as error:
        raise NaturalFailure(errno.EFAULT) from error
    if any(data[known:]):
        raise NaturalFailure(errno.E2BIG)
    if len(data) < size:
        raise NaturalFailure(errno.EFAULT)
    return data
