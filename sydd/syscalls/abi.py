"""The ABIs by which a program can make system calls: numbers, and where one differs from another.

A 64-bit kernel may run programs of a 32-bit ABI, too, and 64-bit code may make calls by it (`int 0x80`). To
seccomp each ABI is an architecture of its own. The rows of the table are written once, by name, for all;
what is laid out differently for a call of the same name is said here, as changed fields of its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sydd.syscalls import numbers, numbers32
from sydd.syscalls.row import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Abi:
    """One ABI.

    Attributes:
        name: of the ABI; that of a 64-bit one is what uname(2) calls the machine.
        audit_arch: what seccomp_data.arch holds (linux/audit.h).
        numbers: name to number.
        narrow: whether pointers and longs have 32 bits, and structures of them.
        o_directory: O_DIRECTORY of open(2); arm and arm64 number it as no one else does.
        changes: fields of a row, by name of the call, that are not as rows.py has them.
        beside: names of further ABIs that a kernel for this one may run.
    """

    name: str
    audit_arch: int
    numbers: Mapping[str, int]
    narrow: bool = False
    o_directory: int
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    beside: tuple[str, ...] = ()


_SHORT = {"short_ids": True}
_STAT_32, _STATFS_32 = {"layout": Layout.STAT_32}, {"layout": Layout.STATFS_32}
_STAT64_ARM = {"layout": Layout.STAT64_ARM}
_NARROW: dict[str, dict[str, Any]] = {
    # 16 bits for each id; the same with 32 in the name has 32 (kernel/uid16.c).
    **dict.fromkeys(("chown", "lchown", "fchown"), _SHORT),
    **dict.fromkeys(("setuid", "setreuid", "setresuid", "setfsuid"), _SHORT),
    **dict.fromkeys(("setgid", "setregid", "setresgid", "setfsgid"), _SHORT),
    **dict.fromkeys(("stat", "lstat", "fstat"), _STAT_32),
    **dict.fromkeys(("statfs", "fstatfs"), _STATFS_32),
    # The mask of 64 bits takes two registers (fs/notify/fanotify/fanotify_user.c).
    "fanotify_mark": {"dirfd": 4, "path": 5},
}

ABIS: dict[str, Abi] = {
    abi.name: abi
    for abi in (
        Abi(
            name="x86_64",
            audit_arch=0xC000_003E,
            numbers=numbers.X86_64,
            o_directory=0o200000,
            beside=("i386",),
        ),
        Abi(
            name="aarch64",
            audit_arch=0xC000_00B7,
            numbers=numbers.AARCH64,
            o_directory=0o40000,
            beside=("arm",),
        ),
        Abi(
            name="i386",
            audit_arch=0x4000_0003,
            numbers=numbers32.I386,
            narrow=True,
            o_directory=0o200000,
            changes=_NARROW,
        ),
        Abi(
            name="arm",
            audit_arch=0x4000_0028,
            numbers=numbers32.ARM,
            narrow=True,
            o_directory=0o40000,
            # A pair of registers begins at an even one (arch/arm64/kernel/sys32.c).
            changes=_NARROW
            | {"truncate64": {"extra": (2, 3)}}
            | dict.fromkeys(("stat64", "lstat64", "fstat64", "fstatat64"), _STAT64_ARM),
        ),
    )
}
"""All ABIs that have a table, by name."""
