"""Waiting until a name appears in a directory."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from types import TracebackType
from typing import Self

_IN_CREATE = 0x100  # sys/inotify.h
_EVENT = struct.Struct("=iIII")  # struct inotify_event: wd, mask, cookie, length of the name behind it
_libc = ctypes.CDLL(None, use_errno=True)


class Created:
    """The names that come into a directory from now on, by inotify(7).

    Args:
        directory: one that may be read.
    """

    def __init__(self, directory: str) -> None:
        self._fd = _libc.inotify_init1(os.O_CLOEXEC)
        assert self._fd >= 0, os.strerror(ctypes.get_errno())
        wd = _libc.inotify_add_watch(self._fd, os.fsencode(directory), _IN_CREATE)
        assert wd >= 0, os.strerror(ctypes.get_errno())

    def __enter__(self) -> Self:
        """It is itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no longer."""
        os.close(self._fd)

    def wait(self, name: str, pid: int, seconds: float) -> bool:
        """Wait until something is created.

        Args:
            name: what is waited for.
            pid: a child that is to create it.
            seconds: how long.

        Returns:
            False when the child ended before, or the time is over.
        """
        end = time.monotonic() + seconds
        child = os.pidfd_open(pid)
        try:
            while True:
                left = max(0, end - time.monotonic())
                if self._fd not in select.select([self._fd, child], [], [], left)[0]:
                    return False
                if name in self._names():
                    return True
        finally:
            os.close(child)

    def _names(self) -> set[str]:
        """What was created; there is something."""
        data = os.read(self._fd, 1 << 16)
        names, place = set(), 0
        while place < len(data):
            *_, length = _EVENT.unpack_from(data, place)
            place += _EVENT.size
            names.add(os.fsdecode(data[place : place + length].rstrip(b"\0")))
            place += length
        return names
