"""unshare(2) and setns(2). Constants from <linux/sched.h>."""

from __future__ import annotations

import ctypes

from sydd.kernel import _gate

CLONE_FS = 0x00000200
"""For `unshare`: root, cwd and umask of the calling thread become its own."""
CLONE_FILES = 0x00000400
"""For `unshare`: the calling thread's descriptor table becomes its own."""
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_unshare = _gate.bind("unshare", ctypes.c_int)
_setns = _gate.bind("setns", ctypes.c_int, ctypes.c_int)


def unshare(flags: int) -> None:
    """Give the calling thread its own of what it shared.

    Args:
        flags: CLONE_*; CLONE_NEWUSER needs a process of one thread.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN (but for CLONE_NEWUSER, CLONE_FS, CLONE_FILES) or when the
            administrator forbids user namespaces; ENOSPC at the limit of nesting or number; EINVAL for
            unknown flags and for CLONE_NEWUSER with several threads.
    """
    _gate.check(_unshare(flags), "unshare")


def setns(fd: int, nstype: int = 0) -> None:
    """Move the calling thread into a namespace.

    Args:
        fd: the namespace's descriptor, or a process's with `nstype` saying which ones.
        nstype: CLONE_NEW*, or 0 for whatever the descriptor is about.

    Raises:
        OSError: EPERM, EINVAL when the descriptor is of another type.
    """
    _gate.check(_setns(fd, nstype), "setns")
