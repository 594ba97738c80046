"""A notification with its arguments read from memory, in one form for all spellings of an operation.

Everything that a pointer leads to is copied here once. Later stages look at the copy alone: another thread
may write to the original at any time.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from sydd.kernel.names import RENAME_EXCHANGE
from sydd.supervisor import openflags
from sydd.supervisor.failure import NaturalFailure
from sydd.syscalls.row import Operation, Row, Times

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader
    from sydd.supervisor.notification import Notification

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000

PATH_MAX = 4096
XATTR_NAME_MAX = 255
XATTR_SIZE_MAX = 65536
PAGE_SIZE = os.sysconf("SC_PAGESIZE")

FS_IOC_SETFLAGS = 0x6602
UTIME_OMIT = (1 << 30) - 2

_DONT_FOLLOW = {"inotify_add_watch": 0x0200_0000, "fanotify_mark": 0x4}

_TIMESPEC_PAIR = struct.Struct("=qqqq")
_SECONDS_PAIR = struct.Struct("=qq")
_HOW = struct.Struct("=QQQ")
_XATTR_ARGS = struct.Struct("=QII")
_MICROSECOND = 1000


class Request(NamedTuple):
    """What is asked, by whom.

    Attributes:
        notification: the call itself.
        row: its row in the syscall table.
        dirfd: where *path* starts when it is relative; AT_FDCWD for the working directory.
        path: the object's path as the caller wrote it, or None where a descriptor is the object.
        dirfd2, path2: the new name of rename and link.
        flags: the call's own flags, with what its name implies.
        mode: the mode argument; 0 where there is none.
        resolve: RESOLVE_* of openat2; 0 for every other call.
        extra: what else the operation needs, copied; see _EXTRA.
    """

    notification: Notification
    row: Row
    dirfd: int
    path: bytes | None
    dirfd2: int
    path2: bytes | None
    flags: int
    mode: int
    resolve: int
    extra: tuple[Any, ...]


def read_request(notification: Notification, row: Row, reader: Reader) -> Request:
    """Read the arguments of *notification* as *row* describes them.

    Raises:
        NaturalFailure: EFAULT for a bad pointer, ENAMETOOLONG for a path without an end, EINVAL or E2BIG
        for a bad structure.
    """
    registers = notification.registers
    tid = notification.tid
    dirfd = AT_FDCWD
    path = path2 = None
    dirfd2 = AT_FDCWD
    if row.fd is not None:
        dirfd = _int(registers[row.fd])
        if dirfd < 0:  # AT_FDCWD is no descriptor here
            raise NaturalFailure(errno.EBADF)
    elif row.dirfd is not None:
        dirfd = _int(registers[row.dirfd])
    flags = _flags(row, registers)
    mode = 0 if row.mode is None else registers[row.mode] & 0xFFFFFFFF
    resolve = 0
    if row.operation is Operation.OPEN:
        # The kernel looks at these first.
        if row.extra:
            flags, mode, resolve = _open_how(reader, tid, registers[row.extra[0]], registers[row.extra[1]])
        else:
            flags, mode = openflags.lenient(flags, mode)
    if row.path is not None:
        path = _path(reader, tid, registers[row.path], row, flags, dirfd)
    if row.path2 is not None:
        if row.dirfd2 is not None:
            dirfd2 = _int(registers[row.dirfd2])
        path2 = _path(reader, tid, registers[row.path2], row, flags, dirfd2)
    extra: tuple[Any, ...] = ()
    if row.extra and row.operation is not Operation.OPEN:
        extra = _extra(reader, tid, row, registers)
    return Request(notification, row, dirfd, path, dirfd2, path2, flags, mode, resolve, extra)


def _flags(row: Row, registers: tuple[int, ...]) -> int:
    if row.flags is None:
        return row.fixed_flags
    flags = row.fixed_flags | (registers[row.flags] & 0xFFFFFFFF)
    if row.operation is Operation.WATCH:  # a mask of events, among which one bit speaks of the path
        return AT_SYMLINK_NOFOLLOW if flags & _DONT_FOLLOW[row.name] else 0
    if row.known_flags is not None and flags & ~row.known_flags:
        raise NaturalFailure(errno.EINVAL)
    if row.operation is Operation.RENAME and flags & RENAME_EXCHANGE and flags != RENAME_EXCHANGE:
        raise NaturalFailure(errno.EINVAL)
    return flags


def _int(register: int) -> int:
    """The low 32 bits as the kernel's `int`: what stands above them is the caller's garbage."""
    register &= 0xFFFFFFFF
    return register - 0x100000000 if register & 0x80000000 else register


def _long(register: int) -> int:
    return register - (1 << 64) if register >> 63 else register


def _path(reader: Reader, tid: int, address: int, row: Row, flags: int, dirfd: int) -> bytes | None:
    if not address:
        if row.operation is Operation.UTIME and row.dirfd is not None and dirfd != AT_FDCWD:
            if flags:
                raise NaturalFailure(errno.EINVAL)
            return None  # utimensat(2): a null path stands for the descriptor
        if flags & AT_EMPTY_PATH and row.operation in _EMPTY_PATH_MAY_BE_NULL:
            return b""  # Linux 6.11
    path = _string(reader, tid, address, PATH_MAX)
    if path is None:
        raise NaturalFailure(errno.ENAMETOOLONG)
    return path


_EMPTY_PATH_MAY_BE_NULL = frozenset({Operation.STAT})


def _string(reader: Reader, tid: int, address: int, limit: int) -> bytes | None:
    try:
        return reader.read_string(tid, address, limit)
    except OSError as error:
        raise NaturalFailure(errno.EFAULT) from error


def _bytes(reader: Reader, tid: int, address: int, size: int) -> bytes:
    """Exactly *size* bytes."""
    if not size:
        return b""
    try:
        data = reader.read(tid, address, size)
    except OSError as error:
        raise NaturalFailure(errno.EFAULT) from error
    if len(data) < size:
        raise NaturalFailure(errno.EFAULT)
    return data


def _open_how(reader: Reader, tid: int, address: int, size: int) -> tuple[int, int, int]:
    """The fields of `struct open_how`, with the checks of copy_struct_from_user (openat2(2))."""
    if size < _HOW.size:
        raise NaturalFailure(errno.EINVAL)
    if size > PAGE_SIZE:
        raise NaturalFailure(errno.E2BIG)
    data = _bytes(reader, tid, address, size)
    if any(data[_HOW.size :]):
        raise NaturalFailure(errno.E2BIG)
    flags, mode, resolve = _HOW.unpack_from(data)
    openflags.check(flags, mode, resolve)
    return flags, mode, resolve


def _extra(reader: Reader, tid: int, row: Row, registers: tuple[int, ...]) -> tuple[Any, ...]:
    values = [registers[number] for number in row.extra]
    match row.operation:
        case Operation.SYMLINK:
            target = _string(reader, tid, values[0], PATH_MAX)
            if not target:
                raise NaturalFailure(errno.ENAMETOOLONG if target is None else errno.ENOENT)
            return (target,)
        case Operation.TRUNCATE:
            return (_long(values[0]),)
        case Operation.MKNOD:
            return (values[0] & 0xFFFFFFFF,)
        case Operation.CHOWN:
            return (_int(values[0]), _int(values[1]))
        case Operation.UTIME:
            return (_times(reader, tid, values[0], row.times),)
        case Operation.SETXATTR:
            return _xattr(reader, tid, row, values)
        case Operation.REMOVEXATTR:
            return (_xattr_name(reader, tid, values[0]),)
        case Operation.SETFLAGS:
            return _set_flags(reader, tid, row, _int(registers[0]), values)
        case _:
            return tuple(values)


def _times(reader: Reader, tid: int, address: int, layout: Times | None) -> bytes | None:
    """The times as two `struct timespec`, or None for "now"."""
    if not address:
        return None
    if layout is Times.TIMESPEC:
        times = _bytes(reader, tid, address, _TIMESPEC_PAIR.size)
        _, accessed, _, modified = _TIMESPEC_PAIR.unpack(times)
        if accessed == modified == UTIME_OMIT:
            raise NaturalFailure(0)  # the kernel does not even look at the path
        return times
    if layout is Times.UTIMBUF:
        accessed, modified = _SECONDS_PAIR.unpack(_bytes(reader, tid, address, _SECONDS_PAIR.size))
        return _TIMESPEC_PAIR.pack(accessed, 0, modified, 0)
    seconds, micro, seconds2, micro2 = _TIMESPEC_PAIR.unpack(
        _bytes(reader, tid, address, _TIMESPEC_PAIR.size)
    )
    if not (0 <= micro < 1_000_000 and 0 <= micro2 < 1_000_000):
        raise NaturalFailure(errno.EINVAL)
    return _TIMESPEC_PAIR.pack(seconds, micro * _MICROSECOND, seconds2, micro2 * _MICROSECOND)


def _xattr_name(reader: Reader, tid: int, address: int) -> bytes:
    name = _string(reader, tid, address, XATTR_NAME_MAX + 1)
    if not name:  # too long or empty: the kernel has one errno for both
        raise NaturalFailure(errno.ERANGE)
    return name


def _xattr(reader: Reader, tid: int, row: Row, values: list[int]) -> tuple[Any, ...]:
    """(name, value, flags) of setxattr(2) and setxattrat(2)."""
    name = _xattr_name(reader, tid, values[0])
    if row.dirfd is not None:  # setxattrat: a structure of its own size
        size = values[2]
        if size < _XATTR_ARGS.size:
            raise NaturalFailure(errno.EINVAL)
        if size > PAGE_SIZE:
            raise NaturalFailure(errno.E2BIG)
        data = _bytes(reader, tid, values[1], size)
        if any(data[_XATTR_ARGS.size :]):
            raise NaturalFailure(errno.E2BIG)
        value, length, flags = _XATTR_ARGS.unpack_from(data)
    else:
        value, length, flags = values[1], values[2], values[3] & 0xFFFFFFFF
    if length > XATTR_SIZE_MAX:
        raise NaturalFailure(errno.E2BIG)
    return name, _bytes(reader, tid, value, length), flags


def _set_flags(reader: Reader, tid: int, row: Row, fd: int, values: list[int]) -> tuple[Any, ...]:
    """(request, structure) of the ioctls, (None, structure) of file_setattr(2)."""
    if row.fd is None:
        size = values[1]
        if size > PAGE_SIZE:
            raise NaturalFailure(errno.E2BIG)
        if size < 24:  # FILE_ATTR_SIZE_VER0
            raise NaturalFailure(errno.EINVAL)
        return None, _bytes(reader, tid, values[0], size)
    request = values[0] & 0xFFFFFFFF
    # The number of FS_IOC_SETFLAGS speaks of a long; the kernel reads an int (ioctl_iflags(2)).
    size = 4 if request & 0xFFFF == FS_IOC_SETFLAGS else 28
    try:
        return request, _bytes(reader, tid, values[1], size)
    except NaturalFailure:
        if os.path.lexists(f"/proc/{tid}/fd/{fd}"):
            raise
        raise NaturalFailure(errno.EBADF) from None  # which is looked at first
