"""/dev/tty: the controlling terminal of whoever opens it, which the worker opens for somebody else.

Source: tty(4), proc_pid_stat(5).
"""

from __future__ import annotations

import errno
import os

DEVICE = os.makedev(5, 0)
_PSEUDO_TERMINALS = 136
"""Their major number (Documentation/admin-guide/devices.txt); sysfs does not know them."""


def terminal_of(tid: int) -> str:
    """A path to the controlling terminal of a task.

    Raises:
        OSError: ENXIO when it has none, or one without a name here.
    """
    with open(f"/proc/{tid}/stat", "rb") as file:
        session, terminal = (int(word) for word in file.read().rpartition(b")")[2].split()[3:5])
    if not terminal:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    if session == os.getsid(0):
        return "/dev/tty"  # the worker's own is the same
    device = os.makedev(terminal >> 8 & 0xFFF, (terminal & 0xFF) | (terminal >> 12 & 0xFFF00))
    path = _path(device)
    if os.stat(path).st_rdev != device:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return path


def _path(device: int) -> str:
    major, minor = os.major(device), os.minor(device)
    if major == _PSEUDO_TERMINALS:
        return f"/dev/pts/{minor}"
    with open(f"/sys/dev/char/{major}:{minor}/uevent", encoding="ascii") as file:
        names = [line[8:].strip() for line in file if line.startswith("DEVNAME=")]
    return f"/dev/{names[0]}"
