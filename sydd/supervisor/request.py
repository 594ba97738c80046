"""A notification with its arguments read from memory, in one form for all spellings of an operation.

Everything that a pointer leads to is copied here once. Later stages look at the copy alone: another thread
may write to the original at any time.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from sydd.kernel.names import RENAME_EXCHANGE
from sydd.supervisor import openflags
from sydd.supervisor.failure import NaturalFailure
from sydd.syscalls.row import Layout, Operation, Row, Times
from sydd.syscalls.rows import FLAG_REQUESTS, STATX_SYNC_TYPE

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
_FILE_ATTR_SIZE = 24  # FILE_ATTR_SIZE_VER0
_STATFS64_SIZE = 84
_STATX_RESERVED = 0x8000_0000
_NO_ACCESS = 0xFFFF_FFF8  # all but R_OK, W_OK, X_OK
_XATTR_FLAGS = 0x3  # XATTR_CREATE, XATTR_REPLACE
PAGE_SIZE = os.sysconf("SC_PAGESIZE")

UTIME_OMIT = (1 << 30) - 2

_DONT_FOLLOW = {"inotify_add_watch": 0x0200_0000, "fanotify_mark": 0x4}

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
        failure2: errno of what cannot be read, but which the kernel reads only when it has looked up the
            object: *path2*, and the structure of an ioctl.
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
    failure2: int = 0


def read_request(notification: Notification, row: Row, reader: Reader) -> Request:
    """Read the arguments of *notification* as *row* describes them.

    Raises:
        NaturalFailure: EFAULT for a bad pointer, ENAMETOOLONG for a path without an end, EINVAL or E2BIG
        for a bad structure.
    """
    registers = notification.registers
    tid = notification.tid
    operation = row.operation
    dirfd = dirfd2 = AT_FDCWD
    path = path2 = None
    extra: tuple[Any, ...] = ()
    mode = 0 if row.mode is None else registers[row.mode] & 0xFFFFFFFF
    resolve = failure2 = 0
    # What the kernel reads first fails first.
    flags_last = operation in _FLAGS_LAST
    flags = 0 if flags_last else _flags(row, registers)
    if operation is Operation.OPEN:
        if row.extra:
            flags, mode, resolve = _open_how(reader, tid, registers[row.extra[0]], registers[row.extra[1]])
        else:
            flags, mode = openflags.lenient(flags, mode)
    elif row.extra:
        extra, failure2 = _read_extra(reader, tid, row, registers)
    if flags_last:
        flags = _flags(row, registers)
    if row.fd is not None:
        dirfd = _int(registers[row.fd])
        if dirfd < 0:  # AT_FDCWD is no descriptor here
            raise NaturalFailure(errno.EBADF)
    elif row.dirfd is not None:
        dirfd = _int(registers[row.dirfd])
    if row.path is not None:
        path = _path(reader, tid, registers[row.path], row, flags, dirfd)
    if row.path2 is not None:
        dirfd2 = AT_FDCWD if row.dirfd2 is None else _int(registers[row.dirfd2])
        try:
            path2 = _path(reader, tid, registers[row.path2], row, flags, dirfd2)
        except NaturalFailure as failure:
            failure2 = failure.errno
    return Request(notification, row, dirfd, path, dirfd2, path2, flags, mode, resolve, extra, failure2)


_FLAGS_LAST = frozenset({Operation.UTIME, Operation.SETXATTR, Operation.GETXATTR})
"""Operations whose flags are looked at after what their pointers lead to."""


def _flags(row: Row, registers: tuple[int, ...]) -> int:
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


_OF_DESCRIPTORS = frozenset({Layout.STAT, Layout.STATX, Layout.STAT64_I386, Layout.STAT64_ARM})
"""What is told by calls that look at no other flag when an empty path says that a descriptor is meant."""


def _int(register: int) -> int:
    """The low 32 bits as the kernel's `int`: what stands above them is the caller's garbage."""
    register &= 0xFFFFFFFF
    return register - 0x100000000 if register & 0x80000000 else register


def _long(register: int) -> int:
    return register - (1 << 64) if register >> 63 else register


def _length(row: Row, values: list[int]) -> int:
    if len(values) > 1:
        return _long(values[0] | values[1] << 32)
    return _int(values[0]) if row.narrow else _long(values[0])


def _path(reader: Reader, tid: int, address: int, row: Row, flags: int, dirfd: int) -> bytes | None:
    unknown = row.known_flags is not None and flags & ~row.known_flags  # none, but of _OF_DESCRIPTORS
    if unknown and (dirfd < 0 or (address and not _is_empty(reader, tid, address))):
        raise NaturalFailure(errno.EINVAL)
    if not address:
        if row.operation is Operation.UTIME and row.dirfd is not None and dirfd != AT_FDCWD:
            if flags:
                raise NaturalFailure(errno.EINVAL)
            return None  # utimensat(2): a null path stands for the descriptor
        if flags & AT_EMPTY_PATH and row.operation in _EMPTY_PATH_MAY_BE_NULL:
            return b""  # Linux 6.11, and the others from their beginning
    path = _string(reader, tid, address, PATH_MAX)
    if path is None:
        raise NaturalFailure(errno.ENAMETOOLONG)
    return path


_EMPTY_PATH_MAY_BE_NULL = frozenset(
    {
        Operation.STAT,
        Operation.GETXATTR,
        Operation.LISTXATTR,
        Operation.SETXATTR,
        Operation.REMOVEXATTR,
        Operation.SETFLAGS,
    }
)


def _is_empty(reader: Reader, tid: int, address: int) -> bool:
    try:
        return reader.read(tid, address, 1) == b"\0"
    except OSError:
        return False


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


def _structure(reader: Reader, tid: int, address: int, size: int, known: int) -> bytes:
    """A structure that may grow: what is not *known* of its *size* has to be zero (copy_struct_from_user)."""
    if size > PAGE_SIZE:
        raise NaturalFailure(errno.E2BIG)
    if size < known:
        raise NaturalFailure(errno.EINVAL)
    try:
        data = reader.read(tid, address, size)
    except OSError as error:
        raise NaturalFailure(errno.EFAULT) from error
    if any(data[known:]):
        raise NaturalFailure(errno.E2BIG)
    if len(data) < size:
        raise NaturalFailure(errno.EFAULT)
    return data


def _open_how(reader: Reader, tid: int, address: int, size: int) -> tuple[int, int, int]:
    """The fields of `struct open_how` (openat2(2))."""
    data = _structure(reader, tid, address, size, _HOW.size)
    flags, mode, resolve = _HOW.unpack_from(data)
    openflags.check(flags, mode, resolve)
    return flags, mode, resolve


_NODES = frozenset({0, stat.S_IFREG, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK})
"""What mknod(2) makes; 0 is a regular file, too."""


def _read_extra(
    reader: Reader, tid: int, row: Row, registers: tuple[int, ...]
) -> tuple[tuple[Any, ...], int]:
    """`Request.extra`, or `Request.failure2` where that counts later."""
    try:
        return _extra(reader, tid, row, registers), 0
    except NaturalFailure as failure:
        of_ioctl = row.operation is Operation.SETFLAGS and row.fd is not None
        if not of_ioctl and row.operation is not Operation.HANDLE:
            raise
        return (), failure.errno


def _check_node(row: Row, registers: tuple[int, ...]) -> None:
    kind = stat.S_IFMT(registers[row.mode] & 0xFFFF) if row.mode is not None else 0
    if kind not in _NODES:
        raise NaturalFailure(errno.EPERM if kind == stat.S_IFDIR else errno.EINVAL)


def _extra(reader: Reader, tid: int, row: Row, registers: tuple[int, ...]) -> tuple[Any, ...]:
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
            return tuple(map(_int, values))
        case Operation.UTIME:
            return (_times(reader, tid, values[0], row),)
        case Operation.SETXATTR:
            return _xattr(reader, tid, row, registers, values)
        case Operation.REMOVEXATTR:
            return (_xattr_name(reader, tid, values[0]),)
        case Operation.SETFLAGS:
            return _set_flags(reader, tid, row, _int(registers[0]), values)
        case Operation.GETXATTR:
            return _get_xattr(reader, tid, row, registers, values)
        case Operation.HANDLE:
            return int.from_bytes(_bytes(reader, tid, values[0], 4), sys.byteorder), *values
        case _:
            _check_sizes(row, values)
            return tuple(values)


def _link_text(reader: Reader, tid: int, address: int) -> bytes:
    text = _string(reader, tid, address, PATH_MAX)
    if not text:
        raise NaturalFailure(errno.ENAMETOOLONG if text is None else errno.ENOENT)
    return text


def _times(reader: Reader, tid: int, address: int, row: Row) -> bytes | None:
    """The times as two `struct timespec` of 64 bits, or None for "now"."""
    if not address:
        return None
    kind = row.times
    layout = _TIMES[kind, row.narrow]
    fields = layout.unpack(_bytes(reader, tid, address, layout.size))
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
    name = _string(reader, tid, address, XATTR_NAME_MAX + 1)
    if not name:  # too long or empty: the kernel has one errno for both
        raise NaturalFailure(errno.ERANGE)
    return name


def _xattr(
    reader: Reader, tid: int, row: Row, registers: tuple[int, ...], values: list[int]
) -> tuple[Any, ...]:
    """(name, value, flags) of setxattr(2) and setxattrat(2)."""
    if row.dirfd is not None:  # setxattrat: a structure of its own size
        data = _structure(reader, tid, values[1], values[2], _XATTR_ARGS.size)
        value, length, flags = _XATTR_ARGS.unpack_from(data)
        _flags(row, registers)
    else:
        value, length, flags = values[1], values[2], values[3] & 0xFFFFFFFF
    if flags & ~_XATTR_FLAGS:
        raise NaturalFailure(errno.EINVAL)
    name = _xattr_name(reader, tid, values[0])
    if length > XATTR_SIZE_MAX:
        raise NaturalFailure(errno.E2BIG)
    return name, _bytes(reader, tid, value, length), flags


def _get_xattr(
    reader: Reader, tid: int, row: Row, registers: tuple[int, ...], values: list[int]
) -> tuple[Any, ...]:
    """(name, value, size) of getxattr(2) and getxattrat(2)."""
    name, value, size = values
    if row.dirfd is not None:
        data = _structure(reader, tid, value, size, _XATTR_ARGS.size)
        value, size, flags = _XATTR_ARGS.unpack_from(data)
        if flags:
            raise NaturalFailure(errno.EINVAL)
    _flags(row, registers)
    return _xattr_name(reader, tid, name), value, size


def _check_sizes(row: Row, values: list[int]) -> None:
    """What the kernel refuses of a look-up's numbers before it looks at the path."""
    if row.layout is Layout.FILE_ATTR and values[1] > PAGE_SIZE:
        raise NaturalFailure(errno.E2BIG)
    if (
        (row.layout is Layout.FILE_ATTR and values[1] < _FILE_ATTR_SIZE)
        or (row.layout is Layout.STATFS64_32 and values[0] != _STATFS64_SIZE)
        or (row.layout is Layout.STATX and values[0] & _STATX_RESERVED)
        or (row.operation is Operation.READLINK and _int(values[1]) <= 0)
    ):
        raise NaturalFailure(errno.EINVAL)


def _set_flags(reader: Reader, tid: int, row: Row, fd: int, values: list[int]) -> tuple[Any, ...]:
    """(request, structure) of the ioctls, (None, structure) of file_setattr(2)."""
    if row.fd is None:
        return None, _structure(reader, tid, values[0], values[1], _FILE_ATTR_SIZE)
    request = values[0] & 0xFFFFFFFF
    if row.narrow and request == FLAG_REQUESTS["FS_IOC32_SETFLAGS"]:
        # the same to the kernel (compat_sys_ioctl); other callers it tells ENOTTY
        request = FLAG_REQUESTS["FS_IOC_SETFLAGS"]
    # The number of FS_IOC_SETFLAGS speaks of a long; the kernel reads an int (ioctl_iflags(2)).
    size = {FLAG_REQUESTS["FS_IOC_SETFLAGS"]: 4, FLAG_REQUESTS["FS_IOC_FSSETXATTR"]: 28}.get(request, 0)
    try:
        return request, _bytes(reader, tid, values[1], size)
    except NaturalFailure:
        if os.path.lexists(f"/proc/{tid}/fd/{fd}"):
            raise
        raise NaturalFailure(errno.EBADF) from None  # which is looked at first
