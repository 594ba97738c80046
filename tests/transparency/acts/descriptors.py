"""Descriptors that an open gave: locks, leases, inheritance, sharing, watching."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys

from tests.transparency.acts.tell import LIBC, attempt, child, ended, opened, say, tried, word, write


def record_locks() -> None:
    """Fcntl locks keep others out, belong to the process, and end with any close."""
    write("file", "0123456789")
    fd = os.open("file", os.O_RDWR)
    other = os.open("file", os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 4, 2)

    def conflict() -> None:
        mine = os.open("file", os.O_RDWR)
        attempt("overlapping", fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 4, 4)
        attempt("beside", fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 2, 8)
        lock = fcntl.fcntl(mine, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        kind, whence, start, length, pid = struct.unpack("hhqqi4x", lock)
        say(kind, whence, start, length, pid == os.getppid())

    ended(child(conflict))
    os.close(other)
    ended(child(conflict))
    fcntl.lockf(fd, fcntl.LOCK_SH)
    reading = os.open("file", os.O_RDONLY)
    attempt("exclusive on read-only", fcntl.lockf, reading, fcntl.LOCK_EX | fcntl.LOCK_NB)


def whole_file_locks() -> None:
    """Flock belongs to the open file: shared by dup and fork, not by a second open."""
    write("file")
    first, second = os.open("file", os.O_RDONLY), os.open("file", os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    attempt("second open", fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    copy = os.dup(first)
    attempt("dup", fcntl.flock, copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
    ended(child(lambda: attempt("in a child", fcntl.flock, first, fcntl.LOCK_SH | fcntl.LOCK_NB)))
    os.close(first)
    attempt("dup still holds", fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(copy)
    attempt("free", fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def locks_end_with_the_close() -> None:
    """Opened, locked, closed: nobody else holds the file open after that."""
    write("file")
    for _ in range(300):
        fd = os.open("file", os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)


def open_file_locks() -> None:
    """Locks of the open file description."""
    write("file")
    first, second = os.open("file", os.O_RDWR), os.open("file", os.O_RDWR)
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
    set_lock = 37  # F_OFD_SETLK
    attempt("first", fcntl.fcntl, first, set_lock, lock)
    attempt("second", fcntl.fcntl, second, set_lock, lock)
    os.close(first)
    attempt("after the close", fcntl.fcntl, second, set_lock, lock)


def leases() -> None:
    """A lease for writing is had by whoever alone has the file open."""
    write("file")
    fd = os.open("file", os.O_RDWR)
    attempt("lease", fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    say(fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_WRLCK)
    attempt("back", fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def inherited_by_a_program() -> None:
    """Descriptors with close-on-exec are gone in the next program, others are there."""
    os.close(os.open("file", os.O_CREAT | os.O_RDWR))
    kept = os.open("file", os.O_RDWR)
    os.set_inheritable(kept, True)
    os.open("file", os.O_RDWR | os.O_CLOEXEC)
    opened_by_c = LIBC.open(b"file", os.O_RDWR)
    say(os.get_inheritable(opened_by_c))
    show = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])"
    done = subprocess.run(
        [sys.executable, "-ISc", show], capture_output=True, text=True, close_fds=False, check=True
    )
    say(done.stdout)


def sent_to_another() -> None:
    """A descriptor goes over a socket and shares its offset."""
    import socket

    write("file", "0123456789")
    here, there = socket.socketpair()

    def receive() -> None:
        _, (fd,), _, _ = socket.recv_fds(there, 9, 1)
        say(os.read(fd, 4))
        there.send(b"x")

    pid = child(receive)
    fd = os.open("file", os.O_RDWR)
    socket.send_fds(here, [b"fd"], [fd])
    here.recv(1)
    ended(pid)
    say(os.read(fd, 4))


def copies() -> None:
    """dup, dup2, dup3, F_DUPFD share one open file."""
    fd = os.open("file", os.O_CREAT | os.O_RDWR)
    for copy in (
        os.dup(fd),
        os.dup2(fd, 90),
        os.dup2(fd, 91, inheritable=False),
        fcntl.fcntl(fd, fcntl.F_DUPFD, 95),
    ):
        os.write(copy, b"x")
        say(os.lseek(fd, 0, os.SEEK_CUR), os.get_inheritable(copy), os.path.sameopenfile(fd, copy))


def inotify() -> None:
    """Who watches a directory sees each change once, in order."""
    LIBC.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    os.mkdir("d")
    write("d/old")
    fd = LIBC.inotify_init1(os.O_NONBLOCK)
    everything = 0xFFF
    say(LIBC.inotify_add_watch(fd, b"d", everything) > 0, LIBC.inotify_add_watch(fd, b"missing", everything))
    say(word(ctypes.get_errno()))

    def events(what: str) -> None:
        seen = []
        with contextlib.suppress(BlockingIOError):
            data = os.read(fd, 65536)
            while data:
                _, mask, _, length = struct.unpack_from("iIII", data)
                seen.append((f"{mask:x}", data[16 : 16 + length].rstrip(b"\0").decode()))
                data = data[16 + length :]
        say(what, *seen)

    file = os.open("d/new", os.O_CREAT | os.O_WRONLY)
    events("create")
    os.write(file, b"x")
    events("write")
    os.close(file)
    write("d/old", "again")
    os.close(os.open("d/old", os.O_RDONLY))
    for what, call, *arguments in (
        ("chmod", os.chmod, "d/new", 0o600),
        ("utime", os.utime, "d/new", (1, 2)),
        ("rename", os.rename, "d/new", "d/newer"),
        ("truncate", os.truncate, "d/newer", 0),
        ("link", os.link, "d/newer", "d/hard"),
        ("unlink", os.unlink, "d/hard"),
        ("mkdir", os.mkdir, "d/sub"),
        ("rmdir", os.rmdir, "d/sub"),
        ("symlink", os.symlink, "x", "d/symbolic"),
        ("mkfifo", os.mkfifo, "d/fifo"),
        ("setxattr", os.setxattr, "d/newer", "user.x", b"y"),
        ("list", os.listdir, "d"),
        ("out", os.rename, "d/newer", "out"),
        ("in", os.rename, "out", "d/in"),
        ("chown", os.chown, "d/in", -1, -1),
    ):
        call(*arguments)
        # When the last close of the worker's own descriptor comes is not the caller's business.
        if what != "chmod":
            events(what)


def polling() -> None:
    """select, poll and epoll on what was opened: files refuse epoll, FIFOs tell when there is something."""
    os.mkfifo("fifo")
    write("file")
    reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open("fifo", os.O_WRONLY)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    say(poll.poll(0))
    os.write(writer, b"x")
    say([events for _, events in poll.poll(1000)])
    os.close(writer)
    os.read(reader, 9)
    say([events for _, events in poll.poll(1000)])
    with select.epoll() as epoll:
        epoll.register(reader, select.EPOLLIN)
        attempt("epoll of a file", epoll.register, os.open("file", os.O_RDONLY))
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(reader, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    say(f"{fcntl.fcntl(reader, fcntl.F_GETFL):o}")


def executed_right_after_the_close() -> None:
    """A program that was just written and closed can be executed: no other writer holds it."""
    program = b"#!/bin/sh\nexit 7\n"
    for turn in range(150):
        fd = os.open(f"program-{turn % 5}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o755)
        os.write(fd, program)
        os.close(fd)
        pid = os.posix_spawn(f"./program-{turn % 5}", ["x"], {})
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 7:
            say("turn", turn)


def only_for_reading() -> None:
    """What is open for reading cannot be written to, and the other way round; O_APPEND ignores the offset."""
    write("file", "0123456789")
    reading, writing = opened("r", "file", os.O_RDONLY), opened("w", "file", os.O_WRONLY)
    attempt("write", os.write, reading, b"x")
    attempt("read", os.read, writing, 1)
    attempt("ftruncate", os.ftruncate, reading, 1)
    appending = opened("a", "file", os.O_RDWR | os.O_APPEND)
    os.lseek(appending, 0, os.SEEK_SET)
    os.write(appending, b"end")
    os.pwrite(appending, b"more", 0)
    say(os.lseek(appending, 0, os.SEEK_CUR), os.read(reading, 99))
    os.chmod("file", 0)
    os.write(writing, b"still")
    say(tried("file", os.O_RDONLY) if os.getuid() else "")
