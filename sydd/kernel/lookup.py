"""Looking at an object held by a descriptor, with the kernel's own layout of the answer.

All take any descriptor, O_PATH ones of symbolic links included. Those calls that take no such descriptor go
through /proc/thread-self/fd, whose entry leads to the object itself and is not followed further when that is
a link. Each has one buffer: they are for one thread at a time.
"""

from __future__ import annotations

import ctypes
import sys
from errno import EOVERFLOW

from sydd.kernel import _gate, _numbers

AT_FDCWD = -100
AT_EACCESS = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000

MAX_HANDLE_SIZE = 128
"""Bytes of f_handle at most (MAX_HANDLE_SZ)."""

STATX_SIZE = 256
STATFS_SIZE = 120
"""Bytes of struct statfs, on all 64-bit machines."""
STAT_SIZE = 144 if _numbers.MACHINE == "x86_64" else 128

_newfstatat = _gate.bind_syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
_faccessat2 = _gate.bind_syscall(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
_statx = _gate.bind("statx", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
_fstatfs = _gate.bind("fstatfs", ctypes.c_int, ctypes.c_void_p)
_getxattr = _gate.bind("getxattr", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_listxattr = _gate.bind("listxattr", ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_name_to_handle_at = _gate.bind(
    "name_to_handle_at", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int
)
_NEWFSTATAT = _gate.number(_numbers.NEWFSTATAT)
_FACCESSAT2 = _gate.number(_numbers.FACCESSAT2)

_buffer = ctypes.create_string_buffer(STATX_SIZE)


def _name(fd: int) -> bytes:
    return b"/proc/thread-self/fd/%d" % fd


def _bytes(buffer: ctypes.Array[ctypes.c_char], size: int) -> bytes:
    """The beginning of a buffer: a slice of an array of c_char is bytes, whatever typeshed says."""
    data: bytes = buffer[:size]  # type: ignore[assignment]
    return data


def stat_object(fd: int) -> bytes:
    """A `struct stat` as this machine's own programs get it (stat(2)).

    Raises:
        OSError: what stat(2) says.
    """
    _gate.check(_newfstatat(_NEWFSTATAT, fd, b"", _buffer, AT_EMPTY_PATH), "newfstatat")
    return _bytes(_buffer, STAT_SIZE)


def statx_object(fd: int, flags: int, mask: int) -> bytes:
    """A `struct statx`, which is the same for all programs.

    Args:
        fd: the object.
        flags: AT_*, of which those of the path count for nothing.
        mask: STATX_*.

    Raises:
        OSError: what statx(2) says; EINVAL for flags and masks.
    """
    ctypes.memset(_buffer, 0, STATX_SIZE)
    _gate.check(_statx(fd, b"", flags | AT_EMPTY_PATH, mask, _buffer), "statx")
    return _bytes(_buffer, STATX_SIZE)


def statfs_object(fd: int) -> bytes:
    """A `struct statfs` as this machine's own programs get it (statfs(2)).

    Raises:
        OSError: what statfs(2) says.
    """
    _gate.check(_fstatfs(fd, _buffer), "fstatfs")
    return _bytes(_buffer, STATFS_SIZE)


def access_object(fd: int, mode: int, flags: int) -> None:
    """Whether the calling thread may use an object (faccessat2(2)).

    Args:
        fd: the object.
        mode: R_OK and so on.
        flags: AT_EACCESS to ask with the effective ids and capabilities in place of the real ones.

    Raises:
        OSError: EACCES when not; EROFS; what access(2) says.
    """
    _gate.check(_faccessat2(_FACCESSAT2, fd, b"", mode, flags | AT_EMPTY_PATH), "faccessat2")


def get_xattr(fd: int, name: bytes, size: int) -> tuple[int, bytes]:
    """An extended attribute.

    Args:
        fd: the object.
        name: the attribute with its namespace.
        size: room for the value, in bytes; 0 to learn its length alone.

    Returns:
        The length and, with room, the value.

    Raises:
        OSError: ENODATA, ERANGE when it does not fit; what getxattr(2) says.
    """
    buffer = ctypes.create_string_buffer(size) if size else None
    length = _gate.check(_getxattr(_name(fd), name, buffer, size), "getxattr")
    return length, _bytes(buffer, length) if buffer else b""


def list_xattr(fd: int, size: int) -> tuple[int, bytes]:
    """The names of all extended attributes, each with a NUL.

    Args:
        fd: the object.
        size: room for them, in bytes; 0 to learn their length alone.

    Returns:
        The length and, with room, the names.

    Raises:
        OSError: ERANGE when they do not fit; what listxattr(2) says.
    """
    buffer = ctypes.create_string_buffer(size) if size else None
    length = _gate.check(_listxattr(_name(fd), buffer, size), "listxattr")
    return length, _bytes(buffer, length) if buffer else b""


def handle_object(fd: int, room: int, flags: int) -> tuple[int, bytes, bytes]:
    """A file handle.

    Args:
        fd: the object.
        room: bytes that the caller has for it (handle_bytes).
        flags: AT_HANDLE_*.

    Returns:
        0 or EOVERFLOW; the structure, of which only the two numbers in front count when it did not fit; and
        the mount's id, of which the first four bytes count without AT_HANDLE_MNT_ID_UNIQUE.

    Raises:
        OSError: EOPNOTSUPP, EINVAL; what name_to_handle_at(2) says.
    """
    handle = ctypes.create_string_buffer(room.to_bytes(4, sys.byteorder), 8 + MAX_HANDLE_SIZE)
    mount = ctypes.create_string_buffer(8)
    result = _name_to_handle_at(AT_FDCWD, _name(fd), handle, mount, flags | AT_SYMLINK_FOLLOW)
    error = ctypes.get_errno() if result < 0 else 0
    if error not in (0, EOVERFLOW):
        _gate.fail(error, "name_to_handle_at")
    size = 0 if error else int.from_bytes(handle.raw[:4], sys.byteorder)
    return error, handle.raw[: 8 + size], mount.raw
