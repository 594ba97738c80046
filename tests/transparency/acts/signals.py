"""Signals while calls are under way: waiting opens, storms, stops, restarts."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading

from tests.transparency.acts.tell import LIBC, asleep, attempt, child, ended, raw, say, tried, write


def fifo_of_two() -> None:
    """An open waits for the other end, whichever comes first."""
    os.mkfifo("fifo")

    def reader() -> None:
        with open("fifo", "rb") as fifo:
            say(fifo.read())

    def writer() -> None:
        with open("fifo", "wb") as fifo:
            fifo.write(b"through")

    for first, second in ((reader, writer), (writer, reader)):
        pid = child(first)
        asleep(pid)
        other = child(second)
        statuses = [os.waitpid(each, 0)[1] for each in (pid, other)]
        say(statuses)


def fifo_without_waiting() -> None:
    """O_NONBLOCK: a reader gets it, a writer ENXIO; O_RDWR never waits."""
    os.mkfifo("fifo")
    say(
        tried("fifo", os.O_WRONLY | os.O_NONBLOCK),
        tried("fifo", os.O_RDONLY | os.O_NONBLOCK),
        tried("fifo", os.O_RDWR),
    )
    reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
    say(tried("fifo", os.O_WRONLY | os.O_NONBLOCK), tried("fifo", os.O_WRONLY))
    attempt("read", os.read, reader, 1)


def fifo_interrupted() -> None:
    """A handler without SA_RESTART ends a waiting open with EINTR."""
    os.mkfifo("fifo")
    signal.signal(signal.SIGALRM, lambda *_: say("handled"))
    signal.siginterrupt(signal.SIGALRM, True)
    for flags in (os.O_RDONLY, os.O_WRONLY):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        raw("open", "open", b"fifo", flags)
    signal.setitimer(signal.ITIMER_REAL, 0.1)

    class EnoughError(Exception):
        pass

    def enough(*_: object) -> None:
        raise EnoughError

    signal.signal(signal.SIGALRM, enough)
    try:
        os.open("fifo", os.O_RDONLY)
    except EnoughError:
        say("an exception came through")


def fifo_restarted() -> None:
    """A handler with SA_RESTART runs while the open waits, which then goes on."""
    os.mkfifo("fifo")
    reader, writer = os.pipe()

    def wait() -> None:
        # Written by the handler of C, which runs at once: Python's would come after the call.
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.siginterrupt(signal.SIGUSR1, False)
        os.write(writer, b"r")
        raw("open", "open", b"fifo", os.O_RDONLY)

    pid = child(wait)
    say(os.read(reader, 1))
    asleep(pid)
    for _ in range(3):
        os.kill(pid, signal.SIGUSR1)
        say(os.read(reader, 1) == bytes([signal.SIGUSR1]))
    with open("fifo", "wb"):
        ended(pid)


def fifo_ignored_and_blocked() -> None:
    """Signals that nobody hears leave a waiting open alone."""
    os.mkfifo("fifo")
    reader, writer = os.pipe()

    def wait() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, lambda *_: say("handled"))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        os.write(writer, b"r")
        raw("open", "open", b"fifo", os.O_RDONLY)
        say(signal.SIGUSR2 in signal.sigpending())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})

    pid = child(wait)
    os.read(reader, 1)
    asleep(pid)
    for number in (
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCHLD,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGCONT,
    ):
        os.kill(pid, number)
    with open("fifo", "wb"):
        ended(pid)


def fifo_killed() -> None:
    """Each deadly signal ends a process in a waiting open."""
    os.mkfifo("fifo")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in (
        "HUP",
        "INT",
        "QUIT",
        "ILL",
        "ABRT",
        "FPE",
        "SEGV",
        "PIPE",
        "ALRM",
        "TERM",
        "USR1",
        "KILL",
        "XCPU",
    ):
        ready, told = os.pipe()

        def wait(told: int = told, name: str = name) -> None:
            if name != "KILL":
                signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_DFL)
            os.write(told, b"r")
            os.open("fifo", os.O_WRONLY)

        pid = child(wait)
        os.read(ready, 1)
        asleep(pid)
        os.kill(pid, signal.Signals[f"SIG{name}"])
        ended(pid)


def fifo_stopped() -> None:
    """A process in a waiting open can be stopped and goes on to wait."""
    os.mkfifo("fifo")
    ready, told = os.pipe()

    def wait() -> None:
        os.write(told, b"r")
        raw("open", "open", b"fifo", os.O_RDONLY)

    for number in (signal.SIGSTOP, signal.SIGTSTP):
        os.setpgid(0, 0) if os.getpid() != os.getpgrp() else None
        pid = child(wait)
        os.read(ready, 1)
        asleep(pid)
        os.kill(pid, number)
        _, status = os.waitpid(pid, os.WUNTRACED)
        say(os.WIFSTOPPED(status), os.WSTOPSIG(status) if os.WIFSTOPPED(status) else status)
        os.kill(pid, signal.SIGCONT)
        say(os.WIFCONTINUED(os.waitpid(pid, os.WCONTINUED)[1]))
        with open("fifo", "wb"):
            ended(pid)


def fifo_in_one_thread() -> None:
    """A thread that waits holds up no other, and a signal may go to either."""
    os.mkfifo("fifo")
    thread = threading.Thread(target=lambda: raw("open", "open", b"fifo", os.O_RDONLY))
    thread.start()
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, False)
    for number in range(20):
        signal.raise_signal(signal.SIGALRM)
        write(f"meanwhile-{number}")
    with open("fifo", "wb"):
        thread.join()


def storm() -> None:
    """A thousand signals a second, for handlers with SA_RESTART: no call fails, none is done twice."""
    heard = 0

    def hear(*_: object) -> None:
        nonlocal heard
        heard += 1

    for number in (signal.SIGALRM, signal.SIGURG):
        signal.signal(number, hear)
        signal.siginterrupt(number, False)
    failed = []
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for turn in range(300):
        for what, *arguments in (
            ("mkdir", f"d{turn}".encode(), 0o755),
            ("creat", f"f{turn}".encode(), 0o644),
            ("rename", f"f{turn}".encode(), f"d{turn}/f".encode()),
            ("symlink", b"x", f"l{turn}".encode()),
            ("chmod", f"d{turn}/f".encode(), 0o600),
            ("link", f"d{turn}/f".encode(), f"h{turn}".encode()),
            ("unlink", f"l{turn}".encode()),
            ("truncate", f"h{turn}".encode(), ctypes.c_long(5)),
        ):
            value = getattr(LIBC, what)(*arguments)
            if value < 0:
                failed.append((what, turn, ctypes.get_errno()))
            elif what == "creat":
                os.close(value)
        os.kill(os.getpid(), signal.SIGURG)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(failed, heard > 300)


def pending_stays_pending() -> None:
    """Signals that are blocked while calls are made come after them."""
    said: list[str] = []
    signal.signal(signal.SIGUSR1, lambda *_: said.append("handled"))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.kill(os.getpid(), signal.SIGUSR1)
    write("file")
    os.chmod("file", 0o600)
    os.rename("file", "renamed")
    say(said, signal.sigpending() & {signal.SIGUSR1})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    say(said)


def killed_in_the_middle() -> None:
    """Processes that are killed while they create leave whole files, and nothing hangs."""
    for turn in range(20):
        os.mkdir(f"{turn}")

        def create(turn: int = turn) -> None:
            number = 0
            while True:
                os.close(os.open(f"{turn}/file", os.O_CREAT | os.O_WRONLY))
                os.rename(f"{turn}/file", f"{turn}/renamed")
                number += 1

        pid = child(create)
        while not os.path.exists(f"{turn}/renamed"):
            os.sched_yield()
        os.kill(pid, signal.SIGKILL)
        ended(pid)
        for name in os.listdir(f"{turn}"):
            os.unlink(f"{turn}/{name}")


def alarm_during_a_wait_for_a_child() -> None:
    """Calls that are not the supervisor's restart and fail as ever."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    reader, _ = os.pipe()
    for interrupt in (True, False):
        signal.siginterrupt(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        buffer = ctypes.create_string_buffer(1)
        if interrupt:
            raw("read", "read", reader, buffer, ctypes.c_size_t(1))
        else:
            raw("pause", "pause")
