"""prctl(2): attributes of the calling process or thread, <linux/prctl.h>. The launcher imports this."""

from __future__ import annotations

import ctypes
import errno

from sydd.kernel import _gate

_SET_PDEATHSIG = 1
_GET_DUMPABLE = 3
_SET_DUMPABLE = 4
_SET_KEEPCAPS = 8
_CAPBSET_READ = 23
_CAPBSET_DROP = 24
_SET_CHILD_SUBREAPER = 36
_GET_CHILD_SUBREAPER = 37
_SET_NO_NEW_PRIVS = 38
_GET_NO_NEW_PRIVS = 39
_SET_PTRACER = 0x59616D61

PTRACER_ANY = -1
"""For `set_ptracer`: any process that the other rules allow."""

# All five: the kernel refuses some operations when an unused argument is not zero.
_prctl = _gate.bind("prctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def _call(operation: int, argument: int = 0) -> int:
    """One operation with one argument; what it returned."""
    return _gate.check(_prctl(operation, argument, 0, 0, 0), "prctl")


def set_no_new_privs() -> None:
    """No exec of this thread, or of what it starts, gains privileges any more; there is no way back.

    Raises:
        OSError: none is known.
    """
    _call(_SET_NO_NEW_PRIVS, 1)


def get_no_new_privs() -> bool:
    """Whether `set_no_new_privs` holds for the calling thread."""
    return _call(_GET_NO_NEW_PRIVS) == 1


def set_keep_capabilities(on: bool = True) -> None:
    """Keep the permitted set when all user ids become other than 0; cleared by exec.

    Args:
        on: false to give that up.
    """
    _call(_SET_KEEPCAPS, int(on))


def set_child_subreaper(on: bool = True) -> None:
    """Orphaned descendants become children of this process instead of init's.

    Args:
        on: false to give that up.
    """
    _call(_SET_CHILD_SUBREAPER, int(on))


def get_child_subreaper() -> bool:
    """Whether this process is a subreaper."""
    word = ctypes.c_int()
    _call(_GET_CHILD_SUBREAPER, ctypes.addressof(word))
    return word.value == 1


def set_dumpable(on: bool) -> None:
    """Whether processes of the same user may ptrace this one and read its /proc files.

    A change of the effective or file-system ids makes a process non-dumpable by itself.

    Args:
        on: false to forbid it.
    """
    _call(_SET_DUMPABLE, int(on))


def get_dumpable() -> int:
    """1: dumpable, 0: not, 2: /proc/sys/fs/suid_dumpable says so (root only)."""
    return _call(_GET_DUMPABLE)


def set_ptracer(pid: int) -> None:
    """Under Yama, let a process that is no ancestor attach to this one and read its memory.

    Args:
        pid: the process; 0 for none, PTRACER_ANY for any.

    Raises:
        OSError: EINVAL without Yama, or for a process that is not there.
    """
    _call(_SET_PTRACER, pid)


def set_parent_death_signal(number: int) -> None:
    """Send this process a signal when the thread that started it ends.

    Cleared by exec of a set-user-id program and not inherited; the parent may be gone already: check getppid.

    Args:
        number: the signal; 0 for none.
    """
    _call(_SET_PDEATHSIG, number)


def drop_bounding(capability: int) -> bool:
    """Take a capability from the bounding set of the calling thread.

    Args:
        capability: its number in <linux/capability.h>.

    Returns:
        Whether the kernel knows it.

    Raises:
        OSError: EPERM without CAP_SETPCAP.
    """
    try:
        _call(_CAPBSET_DROP, capability)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def bounding_capability(capability: int) -> bool:
    """Whether a capability is in the bounding set of the calling thread.

    Args:
        capability: its number in <linux/capability.h>.

    Raises:
        OSError: EINVAL for a number that the kernel does not know.
    """
    return _call(_CAPBSET_READ, capability) == 1
