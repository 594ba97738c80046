"""Process descriptors: pidfd_open(2), pidfd_getfd(2), pidfd_send_signal(2); and tgkill(2)."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

from sydd.kernel import _gate, _numbers

PIDFD_NONBLOCK = os.O_NONBLOCK
"""waitid(2) on it does not wait (Linux 5.10)."""
PIDFD_THREAD = os.O_EXCL
"""It is about one thread instead of the process (Linux 6.9)."""

_INFO = struct.Struct("=Q 52x i")
"""struct pidfd_info as far as exit_code: mask, then ids."""
_INFO_EXIT = 1 << 3
_GET_INFO = 0xC000_0000 | _INFO.size << 16 | 0xFF << 8 | 11

_tkill = _gate.bind_syscall(ctypes.c_int, ctypes.c_int)
_open = _gate.bind_syscall(ctypes.c_int, ctypes.c_uint)
_getfd = _gate.bind_syscall(ctypes.c_int, ctypes.c_int, ctypes.c_uint)
_tgkill = _gate.bind_syscall(ctypes.c_int, ctypes.c_int, ctypes.c_int)
_send_signal = _gate.bind_syscall(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)


def pidfd_open(pid: int, flags: int = 0) -> int:
    """A descriptor (close-on-exec) that stays this process's, whatever becomes of its number.

    Args:
        pid: the process; a thread that does not lead one only with PIDFD_THREAD.
        flags: PIDFD_*.

    Raises:
        OSError: ESRCH when it is gone; EINVAL (ENOENT from Linux 6.15 on) when the number is a mere thread's.
    """
    return _gate.check(_open(_numbers.PIDFD_OPEN, pid, flags), "pidfd_open")


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """Duplicate another process's descriptor into this one, close-on-exec.

    Args:
        pidfd: the process; PTRACE_MODE_ATTACH_REALCREDS is needed.
        fd: the descriptor's number there.

    Raises:
        OSError: EBADF when it has no such descriptor, EPERM when it may not be looked into, ESRCH when it is
            gone.
    """
    return _gate.check(_getfd(_numbers.PIDFD_GETFD, pidfd, fd, 0), "pidfd_getfd")


def pidfd_send_signal(pidfd: int, sig: int, info: bytes | None = None, flags: int = 0) -> None:
    """Send a signal, as kill(2) would.

    Args:
        pidfd: the process, or the thread with PIDFD_THREAD.
        sig: the signal; 0 only asks whether it could be sent.
        info: siginfo_t; None for that of kill(2).
        flags: PIDFD_SIGNAL_* (Linux 6.9).

    Raises:
        OSError: ESRCH when it is gone, EPERM.
    """
    _gate.check(_send_signal(_numbers.PIDFD_SEND_SIGNAL, pidfd, sig, info, flags), "pidfd_send_signal")


def tgkill(process: int, thread: int, sig: int) -> None:
    """Send a signal to a thread by its number; the kernel makes sure that it is of that process.

    Raises:
        OSError: ESRCH when there is no such thread, EPERM, EINVAL.
    """
    _gate.check(_tgkill(_numbers.TGKILL, process, thread, sig), "tgkill")


def signal_thread(tid: int, sig: int) -> None:
    """Send a signal to one thread, as tkill(2) does; the kernel's own go to the thread that is at fault.

    Args:
        tid: the thread.
        sig: the signal.

    Raises:
        OSError: ESRCH when it is gone, EPERM.
    """
    _gate.check(_tkill(_numbers.TKILL, tid, sig), "tkill")


def knows_exit_status() -> bool:
    """Whether `exit_status` can ever tell: Linux 6.15. No call says so before a process has ended."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.partition("-")[0])) >= (6, 15)


def exit_status(pidfd: int) -> int | None:
    """How a process ended that somebody has collected (Linux 6.15).

    Args:
        pidfd: the process; it has to have been opened while that was there.

    Returns:
        Its exit status, 128 + N when signal N ended it; None where it cannot be known.

    Source: include/uapi/linux/pidfd.h, PIDFD_GET_INFO.
    """
    buffer = bytearray(_INFO.size)
    _INFO.pack_into(buffer, 0, _INFO_EXIT, 0)
    try:
        fcntl.ioctl(pidfd, _GET_INFO, buffer)
    except OSError:
        return None
    mask, word = _INFO.unpack(buffer)
    if not mask & _INFO_EXIT:
        return None
    code = os.waitstatus_to_exitcode(word)
    return 128 - code if code < 0 else code


def pid_of(handle: int) -> int:
    """The number of a pidfd's process; 0 when it is no pidfd, -1 when the process has gone."""
    try:
        with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pid:"):
                    return int(line[4:])
    except OSError:
        pass
    return 0
