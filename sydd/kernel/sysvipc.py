"""System V IPC: making and finding objects. See shmget(2), semget(2), msgget(2), sysvipc(7)."""

from __future__ import annotations

import ctypes

from sydd.kernel import _gate

IPC_PRIVATE = 0
IPC_CREAT, IPC_EXCL = 0o1000, 0o2000
SHM_NORESERVE = 0o10000
IPC_RMID, IPC_STAT = 0, 2

_shmget = _gate.bind("shmget", ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
_semget = _gate.bind("semget", ctypes.c_int, ctypes.c_int, ctypes.c_int)
_msgget = _gate.bind("msgget", ctypes.c_int, ctypes.c_int)
_shmctl = _gate.bind("shmctl", ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_semctl = _gate.bind("semctl", ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_msgctl = _gate.bind("msgctl", ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_STATUS_SIZE = 512
"""More than struct shmid_ds, semid_ds or msqid_ds."""


def shmget(key: int, size: int, flags: int) -> int:
    """The id of a segment of shared memory.

    Args:
        key: 32 bits; IPC_PRIVATE always makes a new one.
        size: bytes.
        flags: IPC_CREAT, IPC_EXCL, SHM_NORESERVE and the mode.

    Raises:
        OSError: ENOENT, EEXIST, EACCES, EINVAL (size), ENOSPC, ENOMEM.
    """
    return _gate.check(_shmget(key, size, flags), "shmget")


def semget(key: int, number: int, flags: int) -> int:
    """The id of a set of *number* semaphores; else as shmget."""
    return _gate.check(_semget(key, number, flags), "semget")


def msgget(key: int, flags: int) -> int:
    """The id of a message queue; else as shmget."""
    return _gate.check(_msgget(key, flags), "msgget")


def stat(kind: str, number: int) -> None:
    """Look at an object, to see whether it is there.

    Args:
        kind: "shm", "sem" or "msg".
        number: its id.

    Raises:
        OSError: EINVAL or EIDRM where there is none; EACCES where it may not be read.
    """
    buffer = ctypes.create_string_buffer(_STATUS_SIZE)
    if kind == "sem":
        _gate.check(_semctl(number, 0, IPC_STAT, buffer), "semctl")
    else:
        _gate.check((_shmctl if kind == "shm" else _msgctl)(number, IPC_STAT, buffer), f"{kind}ctl")
