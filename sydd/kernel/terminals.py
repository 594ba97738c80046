"""Terminals: who has which, and the two ends of a pseudo terminal.

Source: tty(4), pts(4), ioctl_tty(2), proc_pid_stat(5), proc_pid_fd(5);
Documentation/admin-guide/devices.txt.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterable

TTY = os.makedev(5, 0)
"""/dev/tty: the controlling terminal of whoever opens it."""

_PTMX = os.makedev(5, 2)
_PSEUDO_TERMINALS = 136
"""Major number of what /dev/pts holds; sysfs does not know them."""

_TIOCGSID, _TIOCGPTPEER = 0x5429, 0x5441  # asm-generic/ioctls.h
_QUIETLY = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC

_TIOCGSID = 0x5429  # asm-generic/ioctls.h; typeshed does not know it


def controlling(tid: int) -> tuple[int, int]:
    """The session of a task (setsid(2)) and the device number of its controlling terminal, 0 for none."""
    with open(f"/proc/{tid}/stat", "rb") as file:
        session, terminal = (int(word) for word in file.read().rpartition(b")")[2].split()[3:5])
    return session, os.makedev(terminal >> 8 & 0xFFF, (terminal & 0xFF) | (terminal >> 12 & 0xFFF00))


def path_of(device: int) -> str:
    """Where a terminal is, by its device number.

    Raises:
        OSError: ENXIO when it has no name here.
    """
    major, minor = os.major(device), os.minor(device)
    if major == _PSEUDO_TERMINALS:
        path = f"/dev/pts/{minor}"
    else:
        with open(f"/sys/dev/char/{major}:{minor}/uevent", encoding="ascii") as file:
            names = [line[8:].strip() for line in file if line.startswith("DEVNAME=")]
        path = f"/dev/{names[0]}"
    if os.stat(path).st_rdev != device:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return path


def of_this_process() -> list[tuple[str, int]]:
    """The terminals that this process has: standard input, output and error, and the controlling one.

    Returns:
        Canonical name and a descriptor of each, for the caller to close. As long as one is open, its name
        means that terminal and no other.
    """
    found: dict[str, int] = {}
    for number in (0, 1, 2):
        if not os.isatty(number) or os.fstat(number).st_rdev in (TTY, _PTMX):
            continue
        path = os.readlink(f"/proc/self/fd/{number}")
        if path not in found and _is_named(path, number):
            found[path] = os.dup(number)
    with contextlib.suppress(OSError):  # it has no name here, or may not be opened: not by the session either
        session, device = controlling(os.getpid())
        path = path_of(device) if device else ""
        if path and path not in found:
            found[path] = os.open(path, _QUIETLY)
            if _session_of(found[path]) != session:
                os.close(found.pop(path))
    return list(found.items())


def of_names(names: Iterable[str]) -> list[tuple[str, int]]:
    """Terminals by their names; those that are none, or may not be opened, are left out.

    Returns:
        As `of_this_process`.
    """
    found: dict[str, int] = {}
    for path in names:
        with contextlib.suppress(OSError):
            opened = os.open(path, _QUIETLY)
            if path not in found and os.isatty(opened):
                found[path] = opened
            else:
                os.close(opened)
    return list(found.items())


def _is_named(path: str, fd: int) -> bool:
    """Whether *path* is a name of what *fd* is; in a container it may be that of another terminal."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except OSError:
        return False


def _session_of(fd: int) -> int:
    """The session whose controlling terminal *fd* is (TIOCGSID); 0 for nobody's."""
    try:
        answer: bytes = fcntl.ioctl(fd, _TIOCGSID, bytes(4))
    except OSError:
        return 0
    (session,) = struct.unpack("i", answer)
    return int(session)


def masters(pid: int) -> list[int]:
    """Descriptors of a process that may be masters of pseudo terminals, by their names."""
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:  # it has gone, or is none of ours
        return []
    return [int(name) for name in names if _target(f"{directory}/{name}").endswith("ptmx")]


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed meanwhile
        return ""


def slave_of(master: int) -> int:
    """The other end of a pseudo terminal, not opened: an O_PATH descriptor (ioctl_tty(2), TIOCGPTPEER).

    Raises:
        OSError: ENOTTY when *master* is none.
    """
    about = os.fstat(master)
    if not stat.S_ISCHR(about.st_mode) or about.st_rdev != _PTMX:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
    return fcntl.ioctl(master, _TIOCGPTPEER, os.O_PATH | os.O_CLOEXEC)
