"""Reading and writing another process's memory by process_vm_readv(2) and process_vm_writev(2).

One `Reader` belongs to one thread and has its buffers and iovecs ready: a short string costs about 3 µs. The
functions of the module do the same with a reader per thread. What was read is a copy of what another thread
may change at once, and by the time it is used the task may be gone: check the notification's id before
acting on it.

Needs PTRACE_MODE_ATTACH_REALCREDS over the task: the same user and a dumpable task, or CAP_SYS_PTRACE; and
what Yama says.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from errno import EFAULT

from sydd.kernel import _gate

PAGE_SIZE = os.sysconf("SC_PAGESIZE")
"""The size in bytes of the unit in which memory is mapped or not."""
_PAGE_REST = PAGE_SIZE - 1

_readv = _gate.bind(
    "process_vm_readv",
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)
_writev = _gate.bind(
    "process_vm_writev",
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)
_get_errno = ctypes.get_errno
# Converted once, not per call.
_ONE = ctypes.c_ulong(1)
_NO_FLAGS = ctypes.c_ulong(0)


Guard = Callable[[int, int, int], None]


class Reader:
    """Reads other tasks' memory; for one thread at a time.

    Args:
        capacity: bytes of the buffer to start with; it grows to the longest read that was asked for.

    Attributes:
        guard: called with task, address and size before that is read; what it raises goes on to who reads.
            None for nobody.
    """

    __slots__ = ("_address", "_buffer", "_capacity", "_iov", "_local", "_remote", "guard")

    def __init__(self, capacity: int = 4096) -> None:
        # Two struct iovec: ours (base, length), theirs (base, length).
        self._iov = (ctypes.c_uint64 * 4)()
        address = ctypes.addressof(self._iov)
        self._local = ctypes.c_void_p(address)
        self._remote = ctypes.c_void_p(address + 16)
        self.guard: Guard | None = None
        self._grow(max(capacity, 1))

    def _grow(self, capacity: int) -> None:
        """Take a new buffer."""
        self._buffer = ctypes.create_string_buffer(capacity)
        self._capacity = capacity
        self._address = ctypes.addressof(self._buffer)
        # The kernel stops at the shorter of the two sides: ours can stay at the whole buffer.
        self._iov[0] = self._address
        self._iov[1] = capacity

    def read(self, tid: int, address: int, size: int) -> bytes:
        """Read bytes.

        Args:
            tid: the task, a process or thread id.
            address: where to start in its memory.
            size: how many bytes.

        Returns:
            the bytes; fewer than asked for where the memory ends before.

        Raises:
            OSError: EFAULT when not even the first byte can be read; ESRCH when the task is gone, EPERM when
                it may not be read.
        """
        if size <= 0:
            return b""
        if size > self._capacity:
            self._grow(size)
        if self.guard is not None:
            self.guard(tid, address, size)
        iov = self._iov
        iov[2] = address
        iov[3] = size
        got = _readv(tid, self._local, _ONE, self._remote, _ONE, _NO_FLAGS)
        if got == size:
            return self._bytes(size)
        if got < 0 and (_get_errno() != EFAULT or size <= PAGE_SIZE - (address & _PAGE_REST)):
            _gate.fail(_get_errno(), "process_vm_readv")
        # process_vm_readv(2) promises nothing about a part of an iovec: page by page is for sure.
        return self._bytes(self._read_pages(tid, address, size))

    def _bytes(self, size: int) -> bytes:
        """The beginning of the buffer: a slice of an array of c_char is bytes, whatever typeshed says."""
        data: bytes = self._buffer[:size]  # type: ignore[assignment]
        return data

    def _read_pages(self, tid: int, address: int, size: int) -> int:
        """Fill the buffer page by page; the number of bytes before the first hole."""
        done = 0
        try:
            while done < size:
                done += self._read_at(done, tid, address + done, size - done)
        except OSError as error:
            if error.errno != EFAULT or not done:
                raise
        return done

    def _read_at(self, offset: int, tid: int, address: int, size: int) -> int:
        """Read at most up to the page's end into the buffer from an offset on; the number of bytes."""
        iov = self._iov
        iov[0] = self._address + offset
        iov[2] = address
        iov[3] = min(size, PAGE_SIZE - (address & _PAGE_REST))
        got = _readv(tid, self._local, _ONE, self._remote, _ONE, _NO_FLAGS)
        iov[0] = self._address
        return _gate.check(got, "process_vm_readv")

    def read_string(self, tid: int, address: int, limit: int = 4096) -> bytes | None:
        """Read a string up to its NUL.

        Args:
            tid: the task, a process or thread id.
            address: where the string starts in its memory.
            limit: how many bytes, the NUL included, it may have at most; the kernel's PATH_MAX by default.

        Returns:
            the string without the NUL, or None when there is none within the limit.

        Raises:
            OSError: EFAULT when memory ends before the NUL, as it would be for the kernel; ESRCH when the
                task is gone, EPERM when it may not be read.
        """
        if limit > self._capacity:
            self._grow(limit)
        # Never into the next page unless the string goes there: it may not be mapped.
        size = PAGE_SIZE - (address & _PAGE_REST)
        if size > limit:  # noqa: PLR1730 (min costs more, and this is the request path)
            size = limit
        if self.guard is not None:
            self.guard(tid, address, size)
        iov = self._iov
        iov[2] = address
        iov[3] = size
        got = _readv(tid, self._local, _ONE, self._remote, _ONE, _NO_FLAGS)
        if got < 0:
            _gate.fail(_get_errno(), "process_vm_readv")
        # What stood behind `got` bytes is of an older read: only what is before counts.
        text = self._buffer.value
        while len(text) >= got:
            if got >= limit:
                return None
            if self.guard is not None:
                self.guard(tid, address + got, 1)
            got += self._read_at(got, tid, address + got, limit - got)
            text = self._buffer.value
        return text


class Writer:
    """Writes other tasks' memory; for one thread at a time.

    Protections of pages hold, unlike for /proc/<pid>/mem: what the task could not write is EFAULT. The number
    of a task that has gone may be another's by now: check the notification's id immediately before.

    Args:
        capacity: bytes of the buffer to start with; it grows to the longest write that was asked for.

    Attributes:
        guard: as in Reader.
    """

    __slots__ = ("_buffer", "_iov", "_local", "_remote", "guard")

    def __init__(self, capacity: int = 4096) -> None:
        # As in Reader: ours (base, length), theirs (base, length).
        self._iov = (ctypes.c_uint64 * 4)()
        address = ctypes.addressof(self._iov)
        self._local = ctypes.c_void_p(address)
        self._remote = ctypes.c_void_p(address + 16)
        self.guard: Guard | None = None
        self._grow(capacity)

    def _grow(self, capacity: int) -> None:
        """Take a new buffer."""
        self._buffer = ctypes.create_string_buffer(capacity)
        self._iov[0] = ctypes.addressof(self._buffer)

    def write(self, tid: int, address: int, data: bytes) -> None:
        """Write all of *data*.

        Args:
            tid: the task, a process or thread id.
            address: where to start in its memory.
            data: what to write.

        Raises:
            OSError: EFAULT when not everything can be written, though a part may have been, as when the
                kernel itself writes; ESRCH when the task is gone, EPERM when it may not be written to.
        """
        size = len(data)
        if not size:
            return
        if self.guard is not None:
            self.guard(tid, address, size)
        if size > len(self._buffer):
            self._grow(size)
        ctypes.memmove(self._buffer, data, size)
        iov = self._iov
        iov[1] = iov[3] = size
        iov[2] = address
        done = _gate.check(
            _writev(tid, self._local, _ONE, self._remote, _ONE, _NO_FLAGS), "process_vm_writev"
        )
        if done < size:
            _gate.fail(EFAULT, "process_vm_writev")


class _Readers(threading.local):
    """A reader for each thread that calls the functions below."""

    def __init__(self) -> None:
        self.reader = Reader()


_readers = _Readers()


def read(tid: int, address: int, size: int) -> bytes:
    """As `Reader.read`, with the calling thread's own reader."""
    return _readers.reader.read(tid, address, size)


def read_string(tid: int, address: int, limit: int = 4096) -> bytes | None:
    """As `Reader.read_string`, with the calling thread's own reader."""
    return _readers.reader.read_string(tid, address, limit)
