"""What else an operation needs than paths, flags and mode: owners, times, attributes, sizes.

Read once, in the order in which the kernel finds mistakes.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING, Any

from sydd.kernel.names import RENAME_EXCHANGE
from sydd.supervisor.arguments import PAGE_SIZE, as_int, as_long, read_bytes, read_string, read_structure
from sydd.supervisor.failure import NaturalFailure
from sydd.syscalls.flags import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, STATX_SYNC_TYPE
from sydd.syscalls.row import Layout, Operation, Row, Times
from sydd.syscalls.rows import FLAG_REQUESTS

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader

PATH_MAX = 4096
XATTR_NAME_MAX = 255
XATTR_SIZE_MAX = 65536
_FILE_ATTR_SIZE = 24  # FILE_ATTR_SIZE_VER0
_STATFS64_SIZE = 84
_STATX_RESERVED = 0x8000_0000
_NO_ACCESS = 0xFFFF_FFF8  # all but R_OK, W_OK, X_OK
_XATTR_FLAGS = 0x3  # XATTR_CREATE, XATTR_REPLACE
UTIME_OMIT = (1 << 30) - 2

_TIMESPEC_PAIR = struct.Struct("=qqqq")
# The layouts of times, by what they are and whether longs have 32 bits. Of seconds with 64 bits beside a long
# of 32, what stands above the nanoseconds is padding (get_timespec64 in kernel/time/time.c).
_TIMES: dict[tuple[Times | None, bool], struct.Struct] = {
    (Times.UTIMBUF, False): struct.Struct("=qq"),
    (Times.UTIMBUF, True): struct.Struct("=ii"),
    (Times.TIMEVAL, False): _TIMESPEC_PAIR,
    (Times.TIMEVAL, True): struct.Struct("=iiii"),
    (Times.TIMESPEC, False): _TIMESPEC_PAIR,
    (Times.TIMESPEC, True): struct.Struct("=iiii"),
    (Times.TIMESPEC_64, True): struct.Struct("=qI4xqI4x"),
}
_XATTR_ARGS = struct.Struct("=QII")
_MICROSECOND = 1000
_DONT_FOLLOW = {"inotify_add_watch": 0x0200_0000, "fanotify_mark": 0x4}


_OF_DESCRIPTORS = frozenset({Layout.STAT, Layout.STATX, Layout.STAT64_I386, Layout.STAT64_ARM})
"""What is told by calls that look at no other flag when an empty path says that a descriptor is meant."""


def read_flags(row: Row, registers: tuple[int, ...]) -> int:
    """A call's own flags, with what its name implies; EINVAL for those that it refuses at once."""
    if row.operation is Operation.ACCESS and row.mode is not None and registers[row.mode] & _NO_ACCESS:
        raise NaturalFailure(errno.EINVAL)
    if row.flags is None:
        return row.fixed_flags
    flags = row.fixed_flags | (registers[row.flags] & 0xFFFFFFFF)
    if row.operation is Operation.WATCH:  # a mask of events, among which one bit speaks of the path
        return AT_SYMLINK_NOFOLLOW if flags & _DONT_FOLLOW[row.name] else 0
    unknown = row.known_flags is not None and flags & ~row.known_flags
    if unknown and not (flags & AT_EMPTY_PATH and row.layout in _OF_DESCRIPTORS):
        raise NaturalFailure(errno.EINVAL)
    if row.layout is Layout.STATX and flags & STATX_SYNC_TYPE == STATX_SYNC_TYPE:
        raise NaturalFailure(errno.EINVAL)
    if row.operation is Operation.RENAME and flags & RENAME_EXCHANGE and flags != RENAME_EXCHANGE:
        raise NaturalFailure(errno.EINVAL)
    return flags


_NODES = frozenset({0, stat.S_IFREG, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK})
"""What mknod(2) makes; 0 is a regular file, too."""


def _length(row: Row, values: list[int]) -> int:
    if len(values) > 1:
        return as_long(values[0] | values[1] << 32)
    return as_int(values[0]) if row.narrow else as_long(values[0])


def _check_node(row: Row, registers: tuple[int, ...]) -> None:
    kind = stat.S_IFMT(registers[row.mode] & 0xFFFF) if row.mode is not None else 0
    if kind not in _NODES:
        raise NaturalFailure(errno.EPERM if kind == stat.S_IFDIR else errno.EINVAL)


def read_extra(reader: Reader, tid: int, row: Row, registers: tuple[int, ...]) -> tuple[Any, ...]:
    """What *row.extra* names, as the operation takes it (`row.Operation`)."""
    values = [registers[number] for number in row.extra]
    match row.operation:
        case Operation.SYMLINK:
            return (_link_text(reader, tid, values[0]),)
        case Operation.TRUNCATE:
            length = _length(row, values)
            if length < 0:
                raise NaturalFailure(errno.EINVAL)
            return (length,)
        case Operation.MKNOD:
            _check_node(row, registers)
            return (values[0] & 0xFFFFFFFF,)
        case Operation.CHOWN:
            return tuple(map(as_int, values))
        case Operation.UTIME:
            return (_times(reader, tid, values[0], row),)
        case Operation.SETXATTR:
            return _xattr(reader, tid, row, registers, values)
        case Operation.REMOVEXATTR:
            return (_xattr_name(reader, tid, values[0]),)
        case Operation.SETFLAGS:
            return _set_flags(reader, tid, row, as_int(registers[0]), values)
        case Operation.GETXATTR:
            return _get_xattr(reader, tid, row, registers, values)
        case Operation.HANDLE:
            return int.from_bytes(read_bytes(reader, tid, values[0], 4), sys.byteorder), *values
        case _:
            _check_sizes(row, values)
            return tuple(values)


def _link_text(reader: Reader, tid: int, address: int) -> bytes:
    text = read_string(reader, tid, address, PATH_MAX)
    if not text:
        raise NaturalFailure(errno.ENAMETOOLONG if text is None else errno.ENOENT)
    return text


def _times(reader: Reader, tid: int, address: int, row: Row) -> bytes | None:
    """The times as two `struct timespec` of 64 bits, or None for "now"."""
    if not address:
        return None
    kind = row.times
    layout = _TIMES[kind, row.narrow]
    fields = layout.unpack(read_bytes(reader, tid, address, layout.size))
    if kind is Times.UTIMBUF:
        accessed, modified = fields
        return _TIMESPEC_PAIR.pack(accessed, 0, modified, 0)
    seconds, micro, seconds2, micro2 = fields
    if kind is not Times.TIMEVAL:
        if micro == micro2 == UTIME_OMIT:
            raise NaturalFailure(0)  # the kernel does not even look at the path
        return _TIMESPEC_PAIR.pack(*fields)
    if not (0 <= micro < 1_000_000 and 0 <= micro2 < 1_000_000):
        raise NaturalFailure(errno.EINVAL)
    return _TIMESPEC_PAIR.pack(seconds, micro * _MICROSECOND, seconds2, micro2 * _MICROSECOND)


def _xattr_name(reader: Reader, tid: int, address: int) -> bytes:
    name = read_string(reader, tid, address, XATTR_NAME_MAX + 1)
    if not name:  # too long or empty: the kernel has one errno for both
        raise NaturalFailure(errno.ERANGE)
    return name


def _xattr(
    reader: Reader, tid: int, row: Row, registers: tuple[int, ...], values: list[int]
) -> tuple[Any, ...]:
    """(name, value, flags) of setxattr(2) and setxattrat(2)."""
    if row.dirfd is not None:  # setxattrat: a structure of its own size
        data = read_structure(reader, tid, values[1], values[2], _XATTR_ARGS.size)
        value, length, flags = _XATTR_ARGS.unpack_from(data)
        read_flags(row, registers)
    else:
        value, length, flags = values[1], values[2], values[3] & 0xFFFFFFFF
    if flags & ~_XATTR_FLAGS:
        raise NaturalFailure(errno.EINVAL)
    name = _xattr_name(reader, tid, values[0])
    if length > XATTR_SIZE_MAX:
        raise NaturalFailure(errno.E2BIG)
    return name, read_bytes(reader, tid, value, length), flags


def _get_xattr(
    reader: Reader, tid: int, row: Row, registers: tuple[int, ...], values: list[int]
) -> tuple[Any, ...]:
    """(name, value, size) of getxattr(2) and getxattrat(2)."""
    name, value, size = values
    if row.dirfd is not None:
        data = read_structure(reader, tid, value, size, _XATTR_ARGS.size)
        value, size, flags = _XATTR_ARGS.unpack_from(data)
        if flags:
            raise NaturalFailure(errno.EINVAL)
    read_flags(row, registers)
    return _xattr_name(reader, tid, name), value, size


def _check_sizes(row: Row, values: list[int]) -> None:
    """What the kernel refuses of a look-up's numbers before it looks at the path."""
    if row.layout is Layout.FILE_ATTR and values[1] > PAGE_SIZE:
        raise NaturalFailure(errno.E2BIG)
    if (
        (row.layout is Layout.FILE_ATTR and values[1] < _FILE_ATTR_SIZE)
        or (row.layout is Layout.STATFS64_32 and values[0] != _STATFS64_SIZE)
        or (row.layout is Layout.STATX and values[0] & _STATX_RESERVED)
        or (row.operation is Operation.READLINK and as_int(values[1]) <= 0)
    ):
        raise NaturalFailure(errno.EINVAL)


def _set_flags(reader: Reader, tid: int, row: Row, fd: int, values: list[int]) -> tuple[Any, ...]:
    """(request, structure) of the ioctls, (None, structure) of file_setattr(2)."""
    if row.fd is None:
        return None, read_structure(reader, tid, values[0], values[1], _FILE_ATTR_SIZE)
    request = values[0] & 0xFFFFFFFF
    if row.narrow and request == FLAG_REQUESTS["FS_IOC32_SETFLAGS"]:
        # the same to the kernel (compat_sys_ioctl); other callers it tells ENOTTY
        request = FLAG_REQUESTS["FS_IOC_SETFLAGS"]
    # The number of FS_IOC_SETFLAGS speaks of a long; the kernel reads an int (ioctl_iflags(2)).
    size = {FLAG_REQUESTS["FS_IOC_SETFLAGS"]: 4, FLAG_REQUESTS["FS_IOC_FSSETXATTR"]: 28}.get(request, 0)
    try:
        return request, read_bytes(reader, tid, values[1], size)
    except NaturalFailure:
        if os.path.lexists(f"/proc/{tid}/fd/{fd}"):
            raise
        raise NaturalFailure(errno.EBADF) from None  # which is looked at first
