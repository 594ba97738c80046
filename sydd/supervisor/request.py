"""A notification with its arguments read from memory, in one form for all spellings of an operation.

Everything that a pointer leads to is copied here once. Later stages look at the copy alone: another thread
may write to the original at any time.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from sydd.supervisor import openflags
from sydd.supervisor.arguments import as_int, read_string, read_structure
from sydd.supervisor.extra import read_extra, read_flags
from sydd.supervisor.failure import NaturalFailure
from sydd.syscalls.row import Operation, Row

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader
    from sydd.supervisor.notification import Notification

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000

PATH_MAX = 4096

_HOW = struct.Struct("=QQQ")

_INT = 0xFFFF_FFFF
_UMODE = 0xFFFF
"""Bits of a umode_t, which is what calls take that make or change an object; access(2) takes an int."""


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


def unread(notification: Notification, row: Row) -> Request:
    """What registers alone tell of a request: its flags, where they are in one."""
    flags = row.fixed_flags | (0 if row.flags is None else notification.registers[row.flags] & 0xFFFFFFFF)
    return Request(notification, row, AT_FDCWD, None, AT_FDCWD, None, flags, 0, 0, ())


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
    mode = 0
    if row.mode is not None:
        mode = registers[row.mode] & (_INT if operation is Operation.ACCESS else _UMODE)
    resolve = failure2 = 0
    # What the kernel reads first fails first.
    flags_last = operation in _FLAGS_LAST
    flags = 0 if flags_last else read_flags(row, registers)
    if operation is Operation.OPEN:
        if row.extra:
            flags, mode, resolve = _open_how(reader, tid, registers[row.extra[0]], registers[row.extra[1]])
        else:
            flags, mode = openflags.lenient(flags, mode)
    elif row.extra:
        extra, failure2 = _read_extra(reader, tid, row, registers)
    if flags_last:
        flags = read_flags(row, registers)
    if row.fd is not None:
        dirfd = as_int(registers[row.fd])
        if dirfd < 0:  # AT_FDCWD is no descriptor here
            raise NaturalFailure(errno.EBADF)
    elif row.dirfd is not None:
        dirfd = as_int(registers[row.dirfd])
    if row.path is not None:
        path = _path(reader, tid, registers[row.path], row, flags, dirfd)
    if row.path2 is not None:
        dirfd2 = AT_FDCWD if row.dirfd2 is None else as_int(registers[row.dirfd2])
        try:
            path2 = _path(reader, tid, registers[row.path2], row, flags, dirfd2)
        except NaturalFailure as failure:
            failure2 = failure.errno
    return Request(notification, row, dirfd, path, dirfd2, path2, flags, mode, resolve, extra, failure2)


_FLAGS_LAST = frozenset({Operation.UTIME, Operation.SETXATTR, Operation.GETXATTR})
"""Operations whose flags are looked at after what their pointers lead to."""


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
    path = read_string(reader, tid, address, PATH_MAX)
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


def _open_how(reader: Reader, tid: int, address: int, size: int) -> tuple[int, int, int]:
    """The fields of `struct open_how` (openat2(2))."""
    data = read_structure(reader, tid, address, size, _HOW.size)
    flags, mode, resolve = _HOW.unpack_from(data)
    openflags.check(flags, mode, resolve)
    return flags, mode, resolve


def _read_extra(
    reader: Reader, tid: int, row: Row, registers: tuple[int, ...]
) -> tuple[tuple[Any, ...], int]:
    """`Request.extra`, or `Request.failure2` where that counts later."""
    try:
        return read_extra(reader, tid, row, registers), 0
    except NaturalFailure as failure:
        of_ioctl = row.operation is Operation.SETFLAGS and row.fd is not None
        if not of_ioctl and row.operation is not Operation.HANDLE:
            raise
        return (), failure.errno
