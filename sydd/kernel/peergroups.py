"""SO_PEERGROUPS of unix(7), Linux 4.13: socket.getsockopt takes 1024 bytes at most, which are 256 groups."""

from __future__ import annotations

import ctypes
import errno
import struct

from sydd.kernel import _gate

_SOL_SOCKET = 1
_SO_PEERGROUPS = 59
_SIZE = 4
_USUAL = 256

NGROUPS_MAX = 65536
"""<linux/limits.h>."""

_getsockopt = _gate.bind(
    "getsockopt", ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
)


def peer_groups(fd: int) -> tuple[int, ...]:
    """The supplementary groups of who connected, as they were then.

    Args:
        fd: a connected unix socket.

    Raises:
        OSError: it is none.
    """
    for most in (_USUAL, NGROUPS_MAX):
        buffer = ctypes.create_string_buffer(most * _SIZE)
        length = ctypes.c_uint(len(buffer))
        result = _getsockopt(fd, _SOL_SOCKET, _SO_PEERGROUPS, buffer, ctypes.addressof(length))
        if result == 0:
            return struct.unpack(f"{length.value // _SIZE}I", buffer.raw[: length.value])
        if ctypes.get_errno() != errno.ERANGE:
            break
    return _gate.fail(ctypes.get_errno(), "getsockopt")
