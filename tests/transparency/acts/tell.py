"""What acts have in common: saying what came of a call, and calls that Python has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def say(*values: object) -> None:
    """One line of output, at once: a child that is forked later must not say it again."""
    os.write(1, (" ".join(map(str, values)) + "\n").encode(errors="surrogateescape"))


def word(number: int | None) -> str:
    """The name of an errno."""
    return errno.errorcode.get(number or 0, str(number))


def attempt(what: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call, and say what came of it: the value, or the name of the errno.

    Returns:
        What the call returned; None after an error.
    """
    try:
        value = call(*arguments, **named)
    except OSError as failure:
        say(what, word(failure.errno))
        return None
    say(what, "is done" if value is None or isinstance(value, int) else value)
    return value


def opened(what: str, path: Any, flags: int, mode: int = 0o666, **named: Any) -> int:
    """Open, say what came of it, and return the descriptor, or -1."""
    try:
        fd = os.open(path, flags, mode, **named)
    except OSError as failure:
        say(what, word(failure.errno))
        return -1
    say(what, "is open")
    return fd


def tried(path: Any, flags: int, mode: int = 0o666, **named: Any) -> str:
    """What an open comes to: "ok", or the errno."""
    try:
        os.close(os.open(path, flags, mode, **named))
    except OSError as failure:
        return word(failure.errno)
    return "ok"


def raw(what: str, function: str, *arguments: Any) -> int:
    """Call a function of the C library, which does not call again after EINTR as Python's do."""
    ctypes.set_errno(0)
    value: int = getattr(LIBC, function)(*arguments)
    say(what, "ok" if value >= 0 else word(ctypes.get_errno()))
    return value


def write(path: str, text: str | bytes = "text\n") -> None:
    """A file with content."""
    with open(path, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)


def read(path: str) -> bytes:
    """The content of a file."""
    with open(path, "rb") as file:
        return file.read()


def child(function: Callable[..., Any], *arguments: Any) -> int:
    """Run *function* in a forked child; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        function(*arguments)
    except BaseException as failure:  # noqa: BLE001  # said, since the parent compares output
        say("the child failed:", type(failure).__name__, failure)
        os._exit(99)
    os._exit(0)


def ended(pid: int) -> None:
    """Wait for a child and say how it ended."""
    say("ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def shell(script: str, program: str = "sh", **how: Any) -> None:
    """Run a script and say its output and status; errors name no program's own line numbers."""
    done = subprocess.run(
        [program, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=25, **how
    )
    say(done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape"))
    say("status", done.returncode)


def asleep(pid: int) -> None:
    """Wait until a process sleeps in a system call: what it is to be interrupted in has begun."""
    while True:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            if file.read().rpartition(")")[2].split()[0] in "SD":
                return
        os.sched_yield()
