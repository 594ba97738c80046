"""Reading and writing memory: this process's own, with holes made on purpose, and a child's."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from sydd.kernel import memory
from sydd.kernel.memory import PAGE_SIZE

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
READ_WRITE, PRIVATE_ANONYMOUS = 3, 0x22


@pytest.fixture
def pages() -> Iterator[int]:
    """The address of three pages; what stands before and behind them, and the fourth, is not mapped."""
    base = LIBC.mmap(None, 5 * PAGE_SIZE, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0)
    start = base + PAGE_SIZE
    assert LIBC.munmap(base, PAGE_SIZE) == 0
    assert LIBC.munmap(start + 3 * PAGE_SIZE, PAGE_SIZE) == 0
    yield start
    assert LIBC.munmap(start, 3 * PAGE_SIZE) == 0


def put(address: int, data: bytes) -> None:
    """Write into our own memory."""
    ctypes.memmove(address, data, len(data))


PID = os.getpid


def test_a_string(pages: int) -> None:
    """Up to the NUL and without it."""
    put(pages, b"/usr/bin/env\0rest")
    assert memory.read_string(PID(), pages) == b"/usr/bin/env"


def test_an_empty_string(pages: int) -> None:
    """The NUL comes at once."""
    assert memory.read_string(PID(), pages) == b""


def test_a_string_that_ends_with_its_page(pages: int) -> None:
    """The unmapped page behind it is not touched."""
    end = pages + 3 * PAGE_SIZE
    put(end - 5, b"/etc\0")
    assert memory.read_string(PID(), end - 5) == b"/etc"


@pytest.mark.parametrize("before", range(1, 8))
def test_a_string_across_pages(pages: int, before: int) -> None:
    """Wherever the boundary falls, right before and on the NUL included."""
    address = pages + PAGE_SIZE - before
    put(address, b"abcdef\0xyz")
    assert memory.read_string(PID(), address) == b"abcdef"


def test_a_string_that_runs_into_a_hole(pages: int) -> None:
    """As for the kernel: EFAULT."""
    end = pages + 3 * PAGE_SIZE
    put(end - 3, b"abc")
    with pytest.raises(OSError, match="process_vm_readv") as caught:
        memory.read_string(PID(), end - 3)
    assert caught.value.errno == errno.EFAULT


@pytest.mark.parametrize("offset", [0, 100, PAGE_SIZE - 1])
def test_no_nul_within_the_limit(pages: int, offset: int) -> None:
    """4096 bytes without a NUL are None, one less with a NUL is a string: PATH_MAX counts the NUL."""
    address = pages + offset
    put(address, b"x" * 4096 + b"\0")
    assert memory.read_string(PID(), address) is None
    assert memory.read_string(PID(), address + 1) == b"x" * 4095
    assert memory.read_string(PID(), address, 8192) == b"x" * 4096


def test_a_limit_below_the_string(pages: int) -> None:
    """What an older, longer read left in the buffer does not count."""
    reader = memory.Reader()
    put(pages, b"a" * 50 + b"\0")
    put(pages + 100, b"bb\0")
    assert reader.read_string(PID(), pages) == b"a" * 50
    assert reader.read_string(PID(), pages, 50) is None
    assert reader.read_string(PID(), pages + 100, 2) is None
    assert reader.read_string(PID(), pages + 100, 3) == b"bb"


@pytest.mark.parametrize("address", [0, 1, 0x10, 2**64 - 8, 0x8000_0000_0000_0000])
def test_bad_pointers(address: int) -> None:
    """NULL, the first page, kernel addresses."""
    for size in (None, 8):
        with pytest.raises(OSError, match="process_vm_readv") as caught:
            memory.read_string(PID(), address) if size is None else memory.read(PID(), address, size)
        assert caught.value.errno == errno.EFAULT


def test_bytes(pages: int) -> None:
    """NULs and all, over all pages."""
    data = os.urandom(3 * PAGE_SIZE)
    put(pages, data)
    assert memory.read(PID(), pages, len(data)) == data
    assert memory.read(PID(), pages + 7, 9) == data[7:16]
    assert memory.read(PID(), pages, 0) == b""


@pytest.mark.parametrize("start", [1, PAGE_SIZE + 1, 3 * PAGE_SIZE - 2])
def test_bytes_up_to_a_hole(pages: int, start: int) -> None:
    """What is there is returned."""
    data = os.urandom(3 * PAGE_SIZE)
    put(pages, data)
    assert memory.read(PID(), pages + start, 4 * PAGE_SIZE) == data[start:]


def test_a_task_that_is_gone() -> None:
    """ESRCH, also while it waits to be reaped."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        memory.read_string(pid, PAGE_SIZE)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        memory.read(pid, PAGE_SIZE, 1)


def test_a_child(pages: int) -> None:
    """Its own copy is read, not ours."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        put(pages, b"child\0")
        os.write(writer, b"x")
        signal.pause()
    try:
        put(pages, b"parent\0")
        os.read(reader, 1)
        assert memory.read_string(pid, pages) == b"child"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def test_a_thread_is_a_task(pages: int) -> None:
    """A notification names a thread."""
    put(pages, b"shared\0")
    ready, done = threading.Event(), threading.Event()

    def run() -> None:
        ready.set()
        done.wait()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        assert thread.native_id
        assert memory.read_string(thread.native_id, pages) == b"shared"
    finally:
        done.set()
        thread.join()


def test_threads_do_not_share_a_buffer(pages: int) -> None:
    """The module's functions are for any thread at any time."""
    put(pages, b"first\0")
    put(pages + 100, b"the second\0")
    wrong: list[bytes | None] = []

    def run(address: int, expected: bytes) -> None:
        wrong.extend(got for _ in range(3000) if (got := memory.read_string(PID(), address)) != expected)

    threads = [
        threading.Thread(target=run, args=(pages, b"first")),
        threading.Thread(target=run, args=(pages + 100, b"the second")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_writing(pages: int) -> None:
    """Over the end of a page; what is before and behind stays."""
    writer = memory.Writer()
    put(pages, b"." * 2 * PAGE_SIZE)
    writer.write(PID(), pages + PAGE_SIZE - 3, b"abcdef")
    assert memory.read(PID(), pages + PAGE_SIZE - 4, 8) == b".abcdef."


def test_writing_more_than_the_buffer_holds(pages: int) -> None:
    """The buffer grows, and a shorter write after it is as short."""
    writer = memory.Writer(4)
    writer.write(PID(), pages, b"x" * PAGE_SIZE)
    writer.write(PID(), pages, b"ab")
    assert memory.read(PID(), pages, PAGE_SIZE) == b"ab" + b"x" * (PAGE_SIZE - 2)


def test_writing_nothing(pages: int) -> None:
    """No address is looked at, as by the kernel."""
    memory.Writer().write(PID(), 0, b"")


@pytest.mark.parametrize("offset", [3 * PAGE_SIZE, 3 * PAGE_SIZE - 3], ids=["none", "a part"])
def test_writing_into_a_hole(pages: int, offset: int) -> None:
    """As for the kernel: EFAULT, whether or not a part fits."""
    with pytest.raises(OSError, match="process_vm_writev") as caught:
        memory.Writer().write(PID(), pages + offset, b"abcdef")
    assert caught.value.errno == errno.EFAULT


def test_writing_what_is_not_writable() -> None:
    """Protections hold: a constant stays as it is."""
    page = LIBC.mmap(None, PAGE_SIZE, 1, PRIVATE_ANONYMOUS, -1, 0)
    try:
        with pytest.raises(OSError, match="process_vm_writev") as caught:
            memory.Writer().write(PID(), page, b"x")
        assert caught.value.errno == errno.EFAULT
        assert memory.read(PID(), page, 1) == b"\0"
    finally:
        assert LIBC.munmap(page, PAGE_SIZE) == 0


def test_writing_to_nobody(pages: int) -> None:
    """A task that has gone."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(ProcessLookupError):
        memory.Writer().write(child, pages, b"x")
