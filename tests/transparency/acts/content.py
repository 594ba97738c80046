"""Content: holes, mappings, copies inside the kernel, sizes and limits."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import signal

from tests.transparency.acts.tell import attempt, child, ended, opened, raw, read, say, write

FICLONE = 0x40049409
MEGABYTE = 1 << 20


def holes() -> None:
    """Sparse files stay sparse, and their holes are found."""
    fd = os.open("sparse", os.O_CREAT | os.O_RDWR)
    os.pwrite(fd, b"start", 0)
    os.pwrite(fd, b"end", 8 * MEGABYTE)
    os.fsync(fd)
    say(os.lseek(fd, 0, os.SEEK_HOLE) < MEGABYTE, os.lseek(fd, MEGABYTE, os.SEEK_DATA) == 8 * MEGABYTE)
    say(os.fstat(fd).st_blocks * 512 < MEGABYTE, os.fstat(fd).st_size)
    os.truncate("sparse", 16 * MEGABYTE)
    raw("punch", "fallocate", fd, 3, ctypes.c_long(0), ctypes.c_long(4096))
    attempt("allocate", os.posix_fallocate, fd, 0, 65536)
    say(os.pread(fd, 5, 0))


def truncations() -> None:
    """By path and by descriptor, longer and shorter, of what has no length."""
    write("file", "0123456789")
    os.mkdir("d")
    os.mkfifo("fifo")
    os.symlink("file", "link")
    for name, length in (
        ("file", 4),
        ("link", 20),
        ("d", 0),
        ("fifo", 0),
        ("missing", 0),
        ("", 0),
        ("file", -1),
        ("file/", 1),
    ):
        attempt(f"{name} {length}", os.truncate, name, length)
    say(read("file"))
    os.chmod("file", 0o400)
    attempt("read-only", os.truncate, "file", 0) if os.getuid() else None


def limit_of_size() -> None:
    """Over RLIMIT_FSIZE a write is EFBIG with SIGXFSZ, a truncation too, by path and by descriptor."""
    write("file")
    write("by-descriptor")
    caught: list[int] = []
    signal.signal(signal.SIGXFSZ, lambda number, _: caught.append(number))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    fd = os.open("by-descriptor", os.O_RDWR)
    for what, call in (
        ("write over", lambda: os.pwrite(fd, b"x", 1000)),
        ("write up to", lambda: os.pwrite(fd, b"x" * 20, 990)),
        ("truncate", lambda: os.truncate("file", 1001)),
        ("ftruncate", lambda: os.ftruncate(fd, 1001)),
        ("truncate below", lambda: os.truncate("file", 999)),
    ):
        attempt(what, call)
        say(len(caught))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    ended(child(lambda: os.truncate("file", 5000)))
    say(os.path.getsize("file"))


def mappings() -> None:
    """Shared, private, executable, larger than the file, after the descriptor is closed."""
    write("file", b"a" * 8192)
    fd = os.open("file", os.O_RDWR)
    shared, private = mmap.mmap(fd, 8192), mmap.mmap(fd, 8192, flags=mmap.MAP_PRIVATE)
    os.close(fd)
    shared[0:4] = b"mine"
    private[4:8] = b"copy"
    say(read("file")[:8], private[:8])
    shared.flush()
    shared.resize(4096) if hasattr(shared, "resize") else None
    reading = os.open("file", os.O_RDONLY)
    attempt("writable mapping of a read-only file", lambda: len(mmap.mmap(reading, 4096)))
    attempt(
        "executable",
        lambda: len(mmap.mmap(reading, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)),
    )
    writing = os.open("file", os.O_WRONLY)
    attempt("of write-only", lambda: len(mmap.mmap(writing, 4096)))


def copies_in_the_kernel() -> None:
    """copy_file_range, sendfile, splice, clones."""
    write("from", b"0123456789" * 1000)
    source, target = os.open("from", os.O_RDONLY), os.open("to", os.O_CREAT | os.O_RDWR)
    say(os.copy_file_range(source, target, 4000))
    say(os.sendfile(target, source, 4000, 1000))
    reader, writer = os.pipe()
    say(os.splice(source, writer, 100, 5000), os.splice(reader, target, 100))
    clone = os.open("clone", os.O_CREAT | os.O_RDWR)
    attempt("clone", fcntl.ioctl, clone, FICLONE, source)
    attempt("onto a reader", os.copy_file_range, target, source, 10)


def flushes() -> None:
    """Fsync and the like, of files and directories."""
    fd = os.open("file", os.O_CREAT | os.O_RDWR | os.O_SYNC)
    os.write(fd, b"x")
    directory = opened("directory", ".", os.O_RDONLY)
    for call in (os.fsync, os.fdatasync):
        attempt(call.__name__, call, fd)
        attempt(call.__name__, call, directory)
    raw("syncfs", "syncfs", fd)
    attempt("advice", os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)
    attempt("O_DIRECT", lambda: os.close(os.open("file", os.O_RDWR | os.O_DIRECT)))


def memory_files() -> None:
    """Memfd with seals, executed as well."""
    fd = os.memfd_create("m", os.MFD_ALLOW_SEALING)
    os.write(fd, b"#!/bin/sh\necho from memory\n")
    attempt("seal", fcntl.fcntl, fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    attempt("shrink", os.ftruncate, fd, 0)
    attempt("by path", os.truncate, f"/proc/self/fd/{fd}", 0)
    attempt("chmod", os.fchmod, fd, 0o700)
    program = os.memfd_create("p", 0)
    os.write(program, read("/bin/true"))
    os.fchmod(program, 0o755)
    ended(child(lambda: os.execve(program, ["true"], {})))


def shared_memory() -> None:
    """POSIX shared memory and semaphores between processes, as multiprocessing uses them."""
    import multiprocessing
    from multiprocessing import shared_memory as shared

    context = multiprocessing.get_context("fork")
    lock, value = context.Lock(), context.Value("i", 0)

    def add() -> None:
        for _ in range(100):
            with value.get_lock():
                value.value += 1

    processes = [context.Process(target=add) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    with lock:
        say(value.value)
    memory = shared.SharedMemory(create=True, size=4096)
    assert memory.buf is not None
    memory.buf[:5] = b"hello"
    again = shared.SharedMemory(memory.name)
    assert again.buf is not None
    say(bytes(again.buf[:5]))
    again.close()
    memory.close()
    memory.unlink()
