"""How the answers of look-ups are laid out for 32-bit programs: structures as data.

For a program of the machine's own ABI the kernel's own bytes are handed on. What a 32-bit one gets is put
together here from the values, with the losses and the refusals of the kernel: cp_old_stat, cp_compat_stat,
cp_stat64 and cp_new_stat64 (fs/stat.c, arch/x86/kernel/sys_ia32.c), put_compat_statfs and
put_compat_statfs64 (fs/statfs.c); asm/compat.h and asm/stat.h of x86 and arm64.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple

from sydd.syscalls.row import Layout

_NANO = 1_000_000_000
_OVERFLOW_ID = 65534
"""Stands for ids that do not fit (high2lowuid), and for those that a user namespace does not know."""


class Loss(Enum):
    """What happens to a value that has more bits than its field."""

    CUT = auto()
    REFUSED = auto()  # EOVERFLOW
    SHORT_ID = auto()  # a stand-in
    OLD_DEVICE = auto()  # another encoding, eight bits each for major and minor number
    SIGNED = auto()  # EOVERFLOW from the highest bit on


class Field(NamedTuple):
    """A member of a structure: of what, in how many bits, and what becomes of more."""

    name: str
    bits: int
    loss: Loss = Loss.CUT


class Structure(NamedTuple):
    """A structure: where its members are, and what they are; the order is that of *layout*."""

    layout: struct.Struct
    fields: tuple[Field, ...]


_TIMES = tuple(
    Field(name, 32) for name in ("atime", "atime_nsec", "mtime", "mtime_nsec", "ctime", "ctime_nsec")
)
_SHORT_IDS = (Field("uid", 16, Loss.SHORT_ID), Field("gid", 16, Loss.SHORT_ID))
_STAT64 = (
    Field("dev", 64),
    Field("ino", 32),
    Field("mode", 32),
    Field("nlink", 32),
    Field("uid", 32),
    Field("gid", 32),
    Field("rdev", 64),
    Field("size", 64),
    Field("blksize", 32),
    Field("blocks", 64),
    *_TIMES,
    Field("ino", 64),
)

STRUCTURES: Mapping[Layout | None, Structure] = {
    Layout.OLD_STAT: Structure(
        struct.Struct("=7H2x4I"),
        (
            Field("dev", 16, Loss.OLD_DEVICE),
            Field("ino", 16, Loss.REFUSED),
            Field("mode", 16),
            Field("nlink", 16, Loss.REFUSED),
            *_SHORT_IDS,
            Field("rdev", 16, Loss.OLD_DEVICE),
            Field("size", 32),
            Field("atime", 32),
            Field("mtime", 32),
            Field("ctime", 32),
        ),
    ),
    Layout.STAT_32: Structure(
        struct.Struct("=2I4H10I8x"),
        (
            Field("dev", 32),
            Field("ino", 32, Loss.REFUSED),
            Field("mode", 16),
            Field("nlink", 16, Loss.REFUSED),
            *_SHORT_IDS,
            Field("rdev", 32),
            Field("size", 32, Loss.SIGNED),
            Field("blksize", 32),
            Field("blocks", 32),
            *_TIMES,
        ),
    ),
    Layout.STAT64_I386: Structure(struct.Struct("=Q4x5IQ4xQIQ6IQ"), _STAT64),
    Layout.STAT64_ARM: Structure(struct.Struct("=Q4x5IQ8xQI4xQ6IQ"), _STAT64),
    Layout.STATFS_32: Structure(
        struct.Struct("=12I16x"),
        (
            Field("type", 32),
            Field("bsize", 32, Loss.REFUSED),
            Field("blocks", 32, Loss.REFUSED),
            Field("bfree", 32, Loss.REFUSED),
            Field("bavail", 32, Loss.REFUSED),
            Field("files", 32, Loss.REFUSED),
            Field("ffree", 32, Loss.REFUSED),
            Field("fsid", 32),
            Field("fsid2", 32),
            Field("namelen", 32),
            Field("frsize", 32, Loss.REFUSED),
            Field("flags", 32),
        ),
    ),
    Layout.STATFS64_32: Structure(
        struct.Struct("=2I5Q5I16x"),
        (
            Field("type", 32),
            Field("bsize", 32, Loss.REFUSED),
            Field("blocks", 64),
            Field("bfree", 64),
            Field("bavail", 64),
            Field("files", 64),
            Field("ffree", 64),
            Field("fsid", 32),
            Field("fsid2", 32),
            Field("namelen", 32),
            Field("frsize", 32, Loss.REFUSED),
            Field("flags", 32),
        ),
    ),
}
"""By layout; all others are the kernel's own bytes."""

OWN_IDS: Mapping[str, tuple[int, int]] = {"x86_64": (28, 32), "aarch64": (24, 28)}
"""Where st_uid and st_gid are in struct stat, by machine; 32 bits each."""

STATX_IDS = (20, 24)
"""The same in struct statx."""


def stat_values(about: os.stat_result) -> dict[str, int]:
    """The values of STRUCTURES about an object."""
    values = {
        name: int(getattr(about, f"st_{name}"))
        for name in ("dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks")
    }
    for name in ("atime", "mtime", "ctime"):
        values[name], values[f"{name}_nsec"] = divmod(int(getattr(about, f"st_{name}_ns")), _NANO)
    return values


_OWN_STATFS = struct.Struct("=7Q2I3Q32x")
_STATFS = (
    "type", "bsize", "blocks", "bfree", "bavail", "files", "ffree",
    "fsid", "fsid2", "namelen", "frsize", "flags",
)  # fmt: skip


def statfs_values(native: bytes) -> dict[str, int]:
    """The values of STRUCTURES from a struct statfs of the machine's own."""
    return dict(zip(_STATFS, _OWN_STATFS.unpack(native), strict=True))


def laid_out(layout: Layout | None, values: Mapping[str, int]) -> bytes:
    """The structure with these values.

    Raises:
        OSError: EOVERFLOW for a value that has no room.
        KeyError: the layout is not one of STRUCTURES.
    """
    form = STRUCTURES[layout]
    return form.layout.pack(*(_fitted(field, values[field.name]) for field in form.fields))


def _fitted(field: Field, value: int) -> int:
    mask = (1 << field.bits) - 1
    if field.loss is Loss.OLD_DEVICE:
        return (os.major(value) << 8 | os.minor(value)) & mask
    if field.loss is Loss.SHORT_ID:
        return value if value <= mask else _OVERFLOW_ID
    if (field.loss is Loss.REFUSED and value > mask) or (field.loss is Loss.SIGNED and value > mask >> 1):
        if field.name in ("files", "ffree") and value == _UNKNOWN:
            return mask
        raise OSError(errno.EOVERFLOW, os.strerror(errno.EOVERFLOW))
    return value & mask


_UNKNOWN = (1 << 64) - 1
"""Of the number of files: the file system does not know it."""
