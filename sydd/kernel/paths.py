"""openat2(2): opening by a name, with the kernel's own limits on how the name is resolved.

Constants are named as in <linux/openat2.h>; O_* come from `os`.
"""

from __future__ import annotations

import ctypes
import struct
import sys

from sydd.kernel import _gate, _numbers

AT_FDCWD = -100

RESOLVE_NO_XDEV = 0x01
"""Do not cross into another mount, bind mounts included: EXDEV."""
RESOLVE_NO_MAGICLINKS = 0x02
"""Do not follow the links of /proc that lead to an object instead of a name: ELOOP."""
RESOLVE_NO_SYMLINKS = 0x04
"""Do not follow symbolic links at all: ELOOP."""
RESOLVE_BENEATH = 0x08
"""Do not leave the tree below dirfd: EXDEV."""
RESOLVE_IN_ROOT = 0x10
"""Take dirfd for the root directory, as chroot(2) would."""
RESOLVE_CACHED = 0x20
"""Answer only from the kernel's cache: EAGAIN otherwise (Linux 5.12)."""

_HOW = struct.Struct("<QQQ")
"""struct open_how: flags, mode, resolve."""
_HOW_SIZE = ctypes.c_size_t(_HOW.size)
_NUMBER = _gate.number(_numbers.OPENAT2)

_openat2 = _gate.bind_syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_get_errno = ctypes.get_errno

_hows: dict[tuple[int, int], ctypes.Array[ctypes.c_char]] = {}
_HOWS_LIMIT = 4096
"""Bound of the cache: flags come from the supervised program, which must not make it grow."""


def openat2(dirfd: int, path: bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open a file.

    Args:
        dirfd: the directory that a relative path starts at, or AT_FDCWD.
        path: the name.
        flags: O_*; O_CLOEXEC is not added by itself. Unlike open(2), unknown bits are EINVAL.
        mode: permission bits with O_CREAT or O_TMPFILE; must be 0 otherwise.
        resolve: RESOLVE_*.

    Returns:
        the descriptor, the caller's to close.

    Raises:
        OSError: what open(2) and openat2(2) say; EAGAIN when a rename raced with RESOLVE_BENEATH or
            RESOLVE_IN_ROOT: try again.
        ValueError: the path has a NUL inside, where the kernel would see only its beginning.
    """
    if 0 in path:
        raise ValueError(f"a path with a NUL inside: {path!r}")
    how = ctypes.create_string_buffer(_HOW.pack(flags, mode, resolve), _HOW.size)
    return _gate.check(_openat2(_NUMBER, dirfd, path, how, _HOW_SIZE), "openat2", path)


def probe_openat2(dirfd: int, path: bytes, flags: int, resolve: int) -> int:
    """As `openat2`, without exceptions: for the request path, where a missing file is no exception.

    Args:
        dirfd: the directory that a relative path starts at, or AT_FDCWD.
        path: the name, without a NUL inside (the kernel would see only what is before it).
        flags: O_*, without O_CREAT and O_TMPFILE.
        resolve: RESOLVE_*.

    Returns:
        the descriptor, the caller's to close; or the negative errno.
    """
    how = _hows.get((flags, resolve))
    if how is None:
        how = _remember(flags, resolve)
    result = _openat2(_NUMBER, dirfd, path, how, _HOW_SIZE)
    return result if result >= 0 else -_get_errno()


def _remember(flags: int, resolve: int) -> ctypes.Array[ctypes.c_char]:
    """Make and keep the struct open_how of one pair; never changed afterwards, so threads may share it."""
    if len(_hows) >= _HOWS_LIMIT:
        _hows.clear()
    how = ctypes.create_string_buffer(_HOW.pack(flags, 0, resolve), _HOW.size)
    _hows[flags, resolve] = how
    return how


_readlink = _gate.bind("readlink", ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_LINK_SIZE = ctypes.c_size_t(4096)


class LinkReader:
    """readlink(2) without exceptions, with a buffer of its own: one for each thread."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(_LINK_SIZE.value)
        self._address = ctypes.c_void_p(ctypes.addressof(self._buffer))

    def read(self, path: bytes) -> bytes | None:
        """What the symbolic link *path* says.

        Args:
            path: the name, without a NUL inside.

        Returns:
            None when it is no symbolic link, does not exist, cannot be reached, or says more than PATH_MAX.
        """
        size = _readlink(path, self._address, _LINK_SIZE)
        if size < 0 or size == _LINK_SIZE.value:
            return None
        return ctypes.string_at(self._address, size)


PROC_SUPER_MAGIC = 0x9FA0
"""The type of procfs, <linux/magic.h>."""

_fstatfs = _gate.bind("fstatfs", ctypes.c_int, ctypes.c_void_p)
_STATFS_SIZE = 120
"""struct statfs of 64-bit architectures; its first member is the type, a long."""


def filesystem_type(fd: int) -> int:
    """The type of the file system that a descriptor, also one of O_PATH, is on: statfs(2), f_type.

    Raises:
        OSError: EBADF.
    """
    buffer = ctypes.create_string_buffer(_STATFS_SIZE)
    _gate.check(_fstatfs(fd, buffer), "fstatfs")
    return int.from_bytes(buffer.raw[:8], sys.byteorder)
