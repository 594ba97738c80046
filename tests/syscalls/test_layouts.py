"""Structures of 32-bit programs: sizes, places of members, and what does not fit."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from sydd.syscalls.layouts import STRUCTURES, laid_out, stat_values, statfs_values
from sydd.syscalls.row import Layout

STAT_NAMES = (
    *("dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks"),
    *("atime", "atime_nsec", "mtime", "mtime_nsec", "ctime", "ctime_nsec"),
)
STAT = {name: place for place, name in enumerate(STAT_NAMES, 1)}
STATFS_NAMES = (
    *("type", "bsize", "blocks", "bfree", "bavail", "files", "ffree"),
    *("fsid", "fsid2", "namelen", "frsize", "flags"),
)
STATFS = {name: place for place, name in enumerate(STATFS_NAMES, 1)}


@pytest.mark.parametrize(
    ("layout", "size"),
    [
        (Layout.OLD_STAT, 32),
        (Layout.STAT_32, 64),
        (Layout.STAT64_I386, 96),
        (Layout.STAT64_ARM, 104),
        (Layout.STATFS_32, 64),
        (Layout.STATFS64_32, 84),
    ],
)
def test_sizes(layout: Layout, size: int) -> None:
    """As C says of the structures."""
    assert STRUCTURES[layout].layout.size == size
    assert len(laid_out(layout, STAT | STATFS)) == size


@pytest.mark.parametrize(
    ("layout", "places"),
    [
        (Layout.STAT_32, {"ino": 4, "mode": 8, "uid": 12, "rdev": 16, "size": 20, "atime": 32, "ctime": 48}),
        (Layout.STAT64_I386, {"mode": 16, "rdev": 32, "size": 44, "blksize": 52, "blocks": 56, "atime": 64}),
        (Layout.STAT64_ARM, {"mode": 16, "rdev": 32, "size": 48, "blksize": 56, "blocks": 64, "atime": 72}),
        (Layout.OLD_STAT, {"size": 16, "atime": 20, "ctime": 28}),
    ],
)
def test_places(layout: Layout, places: dict[str, int]) -> None:
    """Offsets, as offsetof() says them."""
    data = laid_out(layout, STAT)
    found = {name: struct.unpack_from("=H", data, place)[0] for name, place in places.items()}
    assert found == {name: STAT[name] for name in places}


@pytest.mark.parametrize(
    ("layout", "name", "value"),
    [
        (Layout.STAT_32, "size", 1 << 31),
        (Layout.STAT_32, "ino", 1 << 32),
        (Layout.STAT_32, "nlink", 1 << 16),
        (Layout.OLD_STAT, "ino", 1 << 16),
        (Layout.OLD_STAT, "nlink", 1 << 16),
        (Layout.STATFS_32, "blocks", 1 << 32),
        (Layout.STATFS_32, "files", 1 << 32),
        (Layout.STATFS64_32, "bsize", 1 << 32),
    ],
)
def test_what_does_not_fit(layout: Layout, name: str, value: int) -> None:
    """EOVERFLOW, and not with a value less by one."""
    laid_out(layout, STAT | STATFS | {name: value - 1})
    with pytest.raises(OSError, match="too large") as caught:
        laid_out(layout, STAT | STATFS | {name: value})
    assert caught.value.errno == errno.EOVERFLOW


def test_what_is_cut() -> None:
    """Times lose what is above, ids become the stand-in, an unknown number of files stays one."""
    times = struct.unpack_from("=I", laid_out(Layout.STAT_32, STAT | {"mtime": -1}), 40)
    assert times == (0xFFFFFFFF,)
    ids = struct.unpack_from("=HH", laid_out(Layout.STAT_32, STAT | {"uid": 65536, "gid": 65535}), 12)
    assert ids == (65534, 65535)
    unknown = laid_out(Layout.STATFS_32, STATFS | {"files": (1 << 64) - 1})
    assert struct.unpack_from("=I", unknown, 20) == (0xFFFFFFFF,)


def test_old_devices() -> None:
    """Eight bits each."""
    data = laid_out(Layout.OLD_STAT, STAT | {"rdev": os.makedev(4, 64)})
    assert struct.unpack_from("=H", data, 12) == (0x0440,)


def test_values_of_stat() -> None:
    """Times before 1970 have nanoseconds that count up, as the kernel's do."""
    values = stat_values(os.stat("/"))
    assert set(values) == set(STAT)
    with pytest.raises(struct.error):
        statfs_values(b"")
