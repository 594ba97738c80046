"""Which pages of another task's memory are there, without touching them: move_pages(2), proc_pid_pagemap(5).

To read memory brings what is not there, and waits for whoever keeps it. These calls only look into the task's
page tables. They need PTRACE_MODE_READ over it, which is less than reading takes.
"""

from __future__ import annotations

import ctypes
import os
import struct
from errno import ENOSYS

from sydd.kernel import _gate, _numbers
from sydd.kernel.memory import PAGE_SIZE

_move_pages = _gate.bind_syscall(
    ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int
)
_NUMBER = _gate.number(_numbers.MOVE_PAGES)
_NONE = ctypes.c_void_p(None)
_ENTRY = struct.Struct("=Q")
_PRESENT = 1 << 63
_OF_FILE = 1 << 61
"""PM_FILE: a page of a file, or of shared memory."""
_MOST = 1024
"""Pages that are asked about at a time."""


def first_absent(tid: int, address: int, size: int) -> int | None:
    """The address of the first page that is not there, of those that hold some bytes.

    Args:
        tid: the task, a process or thread id.
        address: of the first byte.
        size: how many bytes; at least one.

    Returns:
        None when all are there. A page that reads as zeros and was never written, or is no memory at all,
        counts as absent.

    Raises:
        OSError: ESRCH when the task is gone, EPERM when it may not be looked into.
    """
    page = address & -PAGE_SIZE
    end = address + size
    while page < end:
        count = min(_MOST, (end - page + PAGE_SIZE - 1) // PAGE_SIZE)
        missing = _absent(tid, page, count)
        if missing is not None:
            return page + missing * PAGE_SIZE
        page += count * PAGE_SIZE
    return None


def _absent(tid: int, page: int, count: int) -> int | None:
    addresses = (ctypes.c_uint64 * count)(*range(page, page + count * PAGE_SIZE, PAGE_SIZE))
    states = (ctypes.c_int * count)()
    result = _move_pages(_NUMBER, tid, count, ctypes.addressof(addresses), _NONE, ctypes.addressof(states), 0)
    if result >= 0:  # each page's node, or a negative errno
        return next((place for place, state in enumerate(states) if state < 0), None)
    if ctypes.get_errno() != ENOSYS:  # as it is in kernels that know one node only
        _gate.fail(ctypes.get_errno(), "move_pages")
    entries = _entries(tid, page, count)
    return next((place for place, entry in enumerate(entries) if not entry & _PRESENT), None)


def may_wait_to_be_written(tid: int, address: int, size: int) -> bool:
    """Whether a page that holds some bytes is not there, or is one of a file, whose keeper hears of writing.

    Args:
        tid: the task, a process or thread id.
        address: of the first byte.
        size: how many bytes; at least one.

    Raises:
        OSError: ESRCH or ENOENT when the task is gone, EACCES when it may not be looked into.
    """
    page = address & -PAGE_SIZE
    count = (address + size - page + PAGE_SIZE - 1) // PAGE_SIZE
    entries = _entries(tid, page, count)
    return any(not entry & _PRESENT or entry & _OF_FILE for entry in entries)


def _entries(tid: int, page: int, count: int) -> list[int]:
    """Entries of /proc/<tid>/pagemap; zero for what cannot be memory of a program."""
    fd = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(fd, count * _ENTRY.size, page // PAGE_SIZE * _ENTRY.size)
    finally:
        os.close(fd)
    found = [entry for (entry,) in _ENTRY.iter_unpack(data[: len(data) & -_ENTRY.size])]
    return found + [0] * (count - len(found))
