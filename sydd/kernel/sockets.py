"""Calls on sockets with addresses as the kernel takes them: bytes. connect(2), bind(2), sendmsg(2).

Python's own know each family's addresses, and call again by themselves after a signal. These say -errno,
since a failure here is mostly what somebody else is told.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import socket
import struct
from errno import EFAULT
from typing import NamedTuple

from sydd.kernel import _gate

_connect = _gate.bind("connect", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_bind = _gate.bind("bind", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_listen = _gate.bind("listen", ctypes.c_int, ctypes.c_int)
_getsockname = _gate.bind("getsockname", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_getsockopt = _gate.bind(
    "getsockopt", ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
)
_sendto = _gate.bind(
    "sendto",
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_uint,
)
_sendmsg = _gate.bind("sendmsg", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_get_errno = ctypes.get_errno

_INT = struct.Struct("=i")
_TIMEVAL = struct.Struct("@ll")
_LONGEST = 128  # sizeof(struct sockaddr_storage)
# asm-generic/socket.h
_SO_TYPE, _SO_SNDBUF, _SO_SNDTIMEO, _SO_PROTOCOL, _SO_DOMAIN, _SO_COOKIE = 3, 7, 21, 38, 39, 57
_SURELY_OURS = (1 << 47) - mmap.PAGESIZE
"""Below it every address is a program's, on all machines."""
_MSG_ZEROCOPY = 0x400_0000  # linux/socket.h


class About(NamedTuple):
    """What a socket is: the arguments of the socket(2) that made it, flags aside."""

    domain: int
    kind: int
    protocol: int

    @property
    def connects(self) -> bool:
        """Whether it sends by a connection alone; else each message may go elsewhere."""
        return self.kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


def about(fd: int) -> About:
    """What the socket *fd* is.

    Raises:
        OSError: EBADF, ENOTSOCK.
    """
    try:
        # Python's own asks for the three without a way through ctypes, in less than half the time.
        made = socket.SocketType(fileno=fd)
    except OSError as failure:
        if failure.errno in (errno.EBADF, errno.ENOTSOCK):
            raise
        # It takes the family from getsockname(2), which some have not.
        return About(_number(fd, _SO_DOMAIN), _number(fd, _SO_TYPE), _number(fd, _SO_PROTOCOL))
    found = About(made.family, made.type, made.proto)
    made.detach()
    return found


def cookie(fd: int) -> bytes:
    """What tells the socket from every other one since boot, as netlink's diagnosis has it (SO_COOKIE).

    Raises:
        OSError: EBADF, ENOTSOCK.
    """
    return _option(fd, _SO_COOKIE, 8)


def send_timeout(fd: int) -> float:
    """Seconds after which a connect gives up (SO_SNDTIMEO); 0 for never.

    Raises:
        OSError: EBADF, ENOTSOCK.
    """
    seconds, micro = _TIMEVAL.unpack(_option(fd, _SO_SNDTIMEO, _TIMEVAL.size))
    return float(seconds + micro / 1_000_000)


def send_buffer(fd: int) -> int:
    """Bytes that may wait to be sent (SO_SNDBUF); no datagram of a unix or netlink socket is longer.

    Raises:
        OSError: EBADF, ENOTSOCK.
    """
    return _number(fd, _SO_SNDBUF)


def is_user_range(address: int, size: int) -> bool:
    """Whether a program's memory could be there, mapped or not, which the kernel looks at first of all."""
    if address + size <= _SURELY_OURS:
        return True
    return _sendto(-1, address, size, 0, None, 0) < 0 and _get_errno() != EFAULT


def name(fd: int) -> bytes:
    """The address that a socket is bound to.

    Raises:
        OSError: EBADF, ENOTSOCK.
    """
    buffer = ctypes.create_string_buffer(_LONGEST)
    size = ctypes.c_uint(_LONGEST)
    _gate.check(_getsockname(fd, buffer, ctypes.byref(size)), "getsockname")
    return buffer.raw[: size.value]


def connect(fd: int, address: bytes) -> int:
    """Connect; 0, or a negative errno."""
    return -_get_errno() if _connect(fd, address, len(address)) < 0 else 0


def bind(fd: int, address: bytes) -> int:
    """Bind; 0, or a negative errno."""
    return -_get_errno() if _bind(fd, address, len(address)) < 0 else 0


def listen(fd: int, backlog: int) -> int:
    """Listen; 0, or a negative errno."""
    return -_get_errno() if _listen(fd, backlog) < 0 else 0


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr (sendmsg(2))."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("name_size", ctypes.c_uint),
        ("vector", ctypes.POINTER(_Vector)),
        ("vector_size", ctypes.c_size_t),
        ("control", ctypes.c_char_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


def send(fd: int, data: bytes, flags: int, name: bytes | None = None, control: bytes = b"") -> int:
    """Send one message.

    Args:
        fd: the socket.
        data: its content.
        flags: MSG_*. With MSG_ZEROCOPY the kernel may read the content later: it gets pages of its own.
        name: the destination; None for the peer that there is.
        control: ancillary data, struct cmsghdr and what follows (cmsg(3)).

    Returns:
        how many bytes of *data* were sent, or a negative errno.
    """
    if flags & _MSG_ZEROCOPY and data:
        # The kernel holds the pages; who unmaps them does not change what is in them.
        with mmap.mmap(-1, len(data)) as room:
            room.write(data)
            view = ctypes.c_char.from_buffer(room)
            result = _send(fd, ctypes.addressof(view), len(data), flags, name, control)
            del view
        return result
    return _send(
        fd, ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0, len(data), flags, name, control
    )


def _send(fd: int, address: int, size: int, flags: int, name: bytes | None, control: bytes) -> int:
    vector = _Vector(address, size)
    header = _Header(name, len(name or b""), ctypes.pointer(vector), 1, control or None, len(control), 0)
    result = _sendmsg(fd, ctypes.byref(header), ctypes.c_int(flags))
    return -_get_errno() if result < 0 else result


def _number(fd: int, option: int) -> int:
    return int(_INT.unpack(_option(fd, option, _INT.size))[0])


def _option(fd: int, option: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    length = ctypes.c_uint(size)
    _gate.check(_getsockopt(fd, socket.SOL_SOCKET, option, buffer, ctypes.byref(length)), "getsockopt")
    return buffer.raw
