"""The rows that 32-bit ABIs alone have: second attempts with wider ids, times and offsets, and older forms.

Source as in ``rows.py``, and kernel/uid16.c, net/socket.c (socketcall), fs/readdir.c. Of names that 64-bit
ABIs have, too, ``abi.py`` says what differs.
"""

from __future__ import annotations

from errno import EACCES, EPERM

from sydd.policy.access import Access
from sydd.syscalls.row import Layout, Operation, Row, Times

_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_STAT_FLAGS = _AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH | 0x6800  # AT_NO_AUTOMOUNT, AT_STATX_*_SYNC

MULTIPLEXERS: dict[str, dict[int, str]] = {
    "socketcall": {
        1: "socket",
        2: "bind",
        3: "connect",
        4: "listen",
        5: "accept",
        6: "getsockname",
        7: "getpeername",
        8: "socketpair",
        9: "send",
        10: "recv",
        11: "sendto",
        12: "recvfrom",
        13: "shutdown",
        14: "setsockopt",
        15: "getsockopt",
        16: "sendmsg",
        17: "recvmsg",
        18: "accept4",
        19: "recvmmsg",
        20: "sendmmsg",
    },
    "ipc": {
        1: "semop",
        2: "semget",
        3: "semctl",
        4: "semtimedop",
        11: "msgsnd",
        12: "msgrcv",
        13: "msgget",
        14: "msgctl",
        21: "shmat",
        22: "shmdt",
        23: "shmget",
        24: "shmctl",
    },
}
"""Calls that stand for many, by their first argument (linux/net.h, linux/ipc.h).

The others lie behind a pointer for socketcall: a filter sees which call is made, and nothing more."""

SOCKETCALL_ARGUMENTS: dict[str, int] = {
    "socket": 3,
    "bind": 3,
    "connect": 3,
    "listen": 2,
    "socketpair": 4,
    "sendto": 6,
    "sendmsg": 3,
    "sendmmsg": 4,
}
"""How many words the calls that have a row keep there (net/socket.c, nargs)."""

_chown, _stat = Operation.CHOWN, Operation.STAT
_ATTRIBUTES, _STAT = Access.ATTRIBUTES, Access.STAT

ROWS_32: tuple[Row, ...] = (
    # The length in two registers, the low half first.
    Row(name="truncate64", operation=Operation.TRUNCATE, asks=Access.TRUNCATE, path=0, extra=(1, 2)),
    Row(name="chown32", operation=_chown, asks=_ATTRIBUTES, path=0, extra=(1, 2)),
    Row(
        name="lchown32",
        operation=_chown,
        asks=_ATTRIBUTES,
        path=0,
        extra=(1, 2),
        fixed_flags=_AT_SYMLINK_NOFOLLOW,
        follow=False,
    ),
    Row(name="fchown32", operation=_chown, asks=_ATTRIBUTES, fd=0, extra=(1, 2)),
    Row(
        name="utimensat_time64",
        operation=Operation.UTIME,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        extra=(2,),
        flags=3,
        known_flags=_AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH,
        times=Times.TIMESPEC_64,
    ),
    *(
        row
        for prefix, suffix, layout in (("old", "", Layout.OLD_STAT), ("", "64", Layout.STAT64_I386))
        for row in (
            Row(name=f"{prefix}stat{suffix}", operation=_stat, asks=_STAT, path=0, extra=(1,), layout=layout),
            Row(
                name=f"{prefix}lstat{suffix}",
                operation=_stat,
                asks=_STAT,
                path=0,
                extra=(1,),
                fixed_flags=_AT_SYMLINK_NOFOLLOW,
                follow=False,
                layout=layout,
            ),
            Row(name=f"{prefix}fstat{suffix}", operation=_stat, asks=_STAT, fd=0, extra=(1,), layout=layout),
        )
    ),
    Row(
        name="fstatat64",
        operation=_stat,
        asks=_STAT,
        dirfd=0,
        path=1,
        extra=(2,),
        flags=3,
        known_flags=_STAT_FLAGS,
        layout=Layout.STAT64_I386,
    ),
    Row(name="statfs64", operation=_stat, asks=_STAT, path=0, extra=(1, 2), layout=Layout.STATFS64_32),
    Row(name="fstatfs64", operation=_stat, asks=_STAT, fd=0, extra=(1, 2), layout=Layout.STATFS64_32),
    Row(name="readdir", operation=Operation.LIST, asks=Access.LIST, fd=0),
    Row(name="socketcall", operation=Operation.MULTIPLEX, asks=Access.NET, extra=(0, 1)),
    Row(name="umount", operation=Operation.REFUSED, path=0, errno=EPERM),
    *(
        Row(name=name, operation=Operation.IDENTITY, extra=registers)
        for name, registers in (
            ("setuid32", (0,)),
            ("setgid32", (0,)),
            ("setreuid32", (0, 1)),
            ("setregid32", (0, 1)),
            ("setresuid32", (0, 1, 2)),
            ("setresgid32", (0, 1, 2)),
            ("setfsuid32", (0,)),
            ("setfsgid32", (0,)),
            ("setgroups32", ()),
        )
    ),
    Row(name="fcntl64", operation=Operation.SIGNAL, errno=EPERM),
    Row(name="semtimedop_time64", operation=Operation.IPC_USE, extra=(0,), errno=EACCES),
    Row(name="ipc", operation=Operation.MULTIPLEX, extra=(0,)),
)
"""Rows of names that no 64-bit ABI has."""
