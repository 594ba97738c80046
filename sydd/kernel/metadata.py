"""Changing the metadata of an object held by a descriptor: mode, owner, times, attributes, flags.

The `…_object` functions and those on extended attributes take any descriptor, O_PATH ones of symbolic links
included, so that what was checked is what is changed. Where a call takes a descriptor with AT_EMPTY_PATH,
that is used (fchownat, utimensat; fchmodat2 from Linux 6.6 on). setxattrat, removexattrat, file_getattr and
file_setattr take the empty path too, but answer EBADF for O_PATH descriptors (seen on Linux 6.18): these go
through /proc/thread-self/fd, whose entry leads to the object itself and is not followed further when that is
a link.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from errno import EINVAL, ENOSYS, EOPNOTSUPP
from fcntl import ioctl

from sydd.kernel import _gate, _numbers

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000

XATTR_CREATE = 1
XATTR_REPLACE = 2

# <linux/fs.h>; the encoding is the same on x86-64 and aarch64. The first two say long and mean int.
FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602
FS_IOC_FSGETXATTR = 0x801C581F
FS_IOC_FSSETXATTR = 0x401C5820

FSXATTR = struct.Struct("<5I8x")
"""struct fsxattr: xflags, extsize, nextents, projid, cowextsize, padding."""
FILE_ATTR = struct.Struct("<Q4I")
"""struct file_attr (Linux 6.17): xflags, extsize, nextents, projid, cowextsize."""
_FLAGS = struct.Struct("=I")
TIMES_SIZE = 32
"""Bytes of two struct timespec."""

_fchmodat2 = _gate.bind_syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint)
_fchownat = _gate.bind_syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)
_utimensat = _gate.bind_syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_file_attr = _gate.bind_syscall(
    ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint
)

_lacks_fchmodat2 = False
"""Set by the first ENOSYS: the kernel does not learn it later."""


def _name(fd: int) -> bytes:
    """A name of the descriptor's object; of this thread's table, which may be its own."""
    return b"/proc/thread-self/fd/%d" % fd


def fchmodat2(dirfd: int, path: bytes, mode: int, flags: int) -> None:
    """Change the mode of a file, as fchmodat2 of Linux 6.6; on older kernels by /proc.

    Args:
        dirfd: the directory that a relative path starts at, or AT_FDCWD.
        path: the name; may be empty with AT_EMPTY_PATH, which means `dirfd` itself.
        mode: permission bits with set-user-id, set-group-id, sticky.
        flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.

    Raises:
        OSError: what chmod(2) says; EOPNOTSUPP for a symbolic link itself.
    """
    global _lacks_fchmodat2  # noqa: PLW0603 (a fact about the kernel, found out once)
    if not _lacks_fchmodat2:
        if _fchmodat2(_numbers.FCHMODAT2, dirfd, path, mode, flags) == 0:
            return
        error = ctypes.get_errno()
        if error != ENOSYS:
            _gate.fail(error, "fchmodat2", path)
        _lacks_fchmodat2 = True
    _chmod_by_proc(dirfd, path, mode, flags)


def _chmod_by_proc(dirfd: int, path: bytes, mode: int, flags: int) -> None:
    """What fchmodat2(2) does, for kernels without it."""
    if flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH):
        _gate.fail(EINVAL, "fchmodat2", path)
    if not path and flags & AT_EMPTY_PATH and dirfd >= 0:
        _chmod_held(dirfd, mode)
        return
    if not path and flags & AT_EMPTY_PATH:
        path = b"."
    nofollow = os.O_NOFOLLOW if flags & AT_SYMLINK_NOFOLLOW else 0
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC | nofollow, dir_fd=None if dirfd == AT_FDCWD else dirfd)
    try:
        _chmod_held(fd, mode)
    finally:
        os.close(fd)


def _chmod_held(fd: int, mode: int) -> None:
    """Change the mode of a descriptor's object by its name in /proc."""
    # Before Linux 6.6 some file systems changed a link's mode here and then said that they had not.
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        _gate.fail(EOPNOTSUPP, "fchmodat2")
    os.chmod(_name(fd), mode & 0o7777)


def chmod_object(fd: int, mode: int) -> None:
    """Change the mode of a descriptor's object.

    Args:
        fd: any descriptor of it.
        mode: permission bits with set-user-id, set-group-id, sticky.

    Raises:
        OSError: EPERM for others than the owner; EOPNOTSUPP for a symbolic link; EROFS.
    """
    fchmodat2(fd, b"", mode, AT_EMPTY_PATH)


def chown_object(fd: int, uid: int, gid: int) -> None:
    """Change owner and group of a descriptor's object.

    Args:
        fd: any descriptor of it.
        uid: the owner; -1 (or 2**32 - 1) leaves it.
        gid: the group; likewise.

    Raises:
        OSError: EPERM, EROFS, EINVAL for an id that the user namespace does not map.
    """
    _gate.check(_fchownat(_numbers.FCHOWNAT, fd, b"", uid, gid, AT_EMPTY_PATH), "fchownat")


def utimens_object(fd: int, times: bytes | None) -> None:
    """Change the access and modification times of a descriptor's object.

    Args:
        fd: any descriptor of it.
        times: two struct timespec (32 bytes: seconds and nanoseconds of access, then of modification),
            UTIME_NOW and UTIME_OMIT included; None for now.

    Raises:
        OSError: EPERM for times and EACCES for None without ownership or write permission; EINVAL for
            nanoseconds out of range.
        ValueError: `times` has another size.
    """
    if times is not None and len(times) != TIMES_SIZE:
        raise ValueError(f"two struct timespec are {TIMES_SIZE} bytes, not {len(times)}")
    _gate.check(_utimensat(_numbers.UTIMENSAT, fd, b"", times, AT_EMPTY_PATH), "utimensat")


def futimens(fd: int, times: bytes | None) -> None:
    """Change the times of an open file; EBADF for a descriptor of O_PATH.

    Args:
        fd: a real descriptor.
        times: as for `utimens_object`.

    Raises:
        OSError: as for `utimens_object`, and EBADF.
        ValueError: `times` has another size.
    """
    if times is not None and len(times) != TIMES_SIZE:
        raise ValueError(f"two struct timespec are {TIMES_SIZE} bytes, not {len(times)}")
    if _utimensat(_numbers.UTIMENSAT, fd, None, times, 0) < 0:
        _gate.fail(ctypes.get_errno(), "utimensat")


def set_xattr(fd: int, name: bytes, value: bytes, flags: int = 0) -> None:
    """Set an extended attribute of a descriptor's object.

    Args:
        fd: any descriptor of it.
        name: the attribute with its namespace, such as b"user.origin".
        value: its value.
        flags: XATTR_CREATE: fail with EEXIST if it is there; XATTR_REPLACE: with ENODATA if it is not.

    Raises:
        OSError: what setxattr(2) says; EPERM for `user.` on a symbolic link.
    """
    os.setxattr(_name(fd), name, value, flags)


def remove_xattr(fd: int, name: bytes) -> None:
    """Remove an extended attribute of a descriptor's object.

    Args:
        fd: any descriptor of it.
        name: the attribute with its namespace.

    Raises:
        OSError: ENODATA when it is not there; what removexattr(2) says.
    """
    os.removexattr(_name(fd), name)


def get_flags(fd: int) -> int:
    """The inode flags (FS_IMMUTABLE_FL and so on, see ioctl_iflags(2)) of an open file or directory.

    Args:
        fd: a real descriptor; with an O_PATH one it is EBADF.

    Raises:
        OSError: ENOTTY where the file system has none.
    """
    buffer = bytearray(_FLAGS.size)
    ioctl(fd, FS_IOC_GETFLAGS, buffer, True)
    flags: int = _FLAGS.unpack(buffer)[0]
    return flags


def set_flags(fd: int, flags: int) -> None:
    """Set the inode flags of an open file or directory: all of them, those that stay included.

    Args:
        fd: a real descriptor; with an O_PATH one it is EBADF.
        flags: FS_*_FL.

    Raises:
        OSError: EPERM for immutable and append-only without CAP_LINUX_IMMUTABLE; EOPNOTSUPP for flags that
            the file system does not have; ENOTTY where it has none.
    """
    ioctl(fd, FS_IOC_SETFLAGS, _FLAGS.pack(flags))


def get_fsxattr(fd: int) -> bytes:
    """FS_IOC_FSGETXATTR on an open file or directory.

    Args:
        fd: a real descriptor; with an O_PATH one it is EBADF.

    Returns:
        a struct fsxattr, to be unpacked by `FSXATTR`.

    Raises:
        OSError: ENOTTY or EOPNOTSUPP where the file system has none.
    """
    buffer = bytearray(FSXATTR.size)
    ioctl(fd, FS_IOC_FSGETXATTR, buffer, True)
    return bytes(buffer)


def set_fsxattr(fd: int, attr: bytes) -> None:
    """FS_IOC_FSSETXATTR on an open file or directory.

    Args:
        fd: a real descriptor; with an O_PATH one it is EBADF.
        attr: a struct fsxattr, packed by `FSXATTR`.

    Raises:
        OSError: EPERM, EOPNOTSUPP, EINVAL as for `set_flags`.
        ValueError: `attr` has another size.
    """
    if len(attr) != FSXATTR.size:
        raise ValueError(f"struct fsxattr is {FSXATTR.size} bytes, not {len(attr)}")
    ioctl(fd, FS_IOC_FSSETXATTR, attr)


def file_getattr(fd: int) -> bytes:
    """Ask for the attributes of a descriptor's object, by the call of that name of Linux 6.17.

    Args:
        fd: any descriptor of it.

    Returns:
        a struct file_attr, to be unpacked by `FILE_ATTR`.

    Raises:
        OSError: ENOSYS on older kernels; EOPNOTSUPP where the file system has none (symbolic links, mostly).
    """
    buffer = ctypes.create_string_buffer(FILE_ATTR.size)
    _gate.check(
        _file_attr(_numbers.FILE_GETATTR, AT_FDCWD, _name(fd), buffer, FILE_ATTR.size, 0), "file_getattr"
    )
    return buffer.raw


def file_setattr(fd: int, attr: bytes) -> None:
    """Set the attributes of a descriptor's object, by the call of that name of Linux 6.17.

    Args:
        fd: any descriptor of it.
        attr: a struct file_attr, packed by `FILE_ATTR`; a longer one, as the kernel allows, too.

    Raises:
        OSError: ENOSYS on older kernels; E2BIG for a longer one with news in it; EINVAL for a shorter one;
            EPERM and EOPNOTSUPP as for `set_flags`.
    """
    result = _file_attr(_numbers.FILE_SETATTR, AT_FDCWD, _name(fd), attr, len(attr), 0)
    _gate.check(result, "file_setattr")
