"""The request that a worker holds, in memory that outlives it."""

from __future__ import annotations

import mmap
import os

SIZE = 4 * mmap.PAGESIZE


def create() -> int:
    """A new slot: a memfd (close-on-exec), which the caller closes."""
    fd = os.memfd_create("sydd-slot", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, SIZE)
    except BaseException:
        os.close(fd)
        raise
    return fd
