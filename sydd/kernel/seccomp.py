"""seccomp(2) filters and the user notifications of seccomp_unotify(2).

The notification calls are ioctls on a listener descriptor. They go through `fcntl.ioctl` with a caller's
bytearray, which was measured to be the fastest way from Python, and use no ctypes: 0.3 µs each over the
syscall. Constants are named as in <linux/seccomp.h>, without the leading SECCOMP_. The launcher imports this
module.
"""

from __future__ import annotations

import ctypes
import struct
from errno import EINVAL, ENOSYS, EOPNOTSUPP, ESRCH
from fcntl import ioctl

from sydd.kernel import _gate, _numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing typing would be over the launcher's budget.
    from collections.abc import Callable

NOTIF = struct.Struct("<QIIiIQ6Q")
"""struct seccomp_notif: id, pid (the caller's thread id), flags, then seccomp_data: nr, arch, ip, args[6]."""
RESP = struct.Struct("<QqiI")
"""struct seccomp_notif_resp: id, val, error (a negative errno or 0), flags."""
_ADDFD = struct.Struct("<QIIII")
_ID = struct.Struct("<Q")
_SIZE = NOTIF.size
_ZEROS = bytes(_SIZE)

# Operations of seccomp(2).
_SET_MODE_FILTER = 1
_GET_ACTION_AVAIL = 2
_GET_NOTIF_SIZES = 3

FILTER_FLAG_TSYNC = 1 << 0
FILTER_FLAG_LOG = 1 << 1
FILTER_FLAG_SPEC_ALLOW = 1 << 2
FILTER_FLAG_NEW_LISTENER = 1 << 3
FILTER_FLAG_TSYNC_ESRCH = 1 << 4
FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5
"""Linux 5.19: once a notification was received, only a fatal signal interrupts the caller."""

RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000
RET_ACTION_FULL = 0xFFFF0000
RET_DATA = 0x0000FFFF

USER_NOTIF_FLAG_CONTINUE = 1 << 0
"""In a response: the kernel performs the call, with the caller's pointers read anew."""
ADDFD_FLAG_SETFD = 1 << 0
"""The descriptor gets the number `newfd`."""
ADDFD_FLAG_SEND = 1 << 1
"""Linux 5.14: the call returns the new descriptor; no response is sent."""
USER_NOTIF_FD_SYNC_WAKE_UP = 1 << 0
"""Linux 6.6: caller and supervisor wake each other on one CPU, a quarter of the time per call."""

# _IOWR('!', 0, struct seccomp_notif) and so on; the encoding is the same on x86-64 and aarch64.
IOCTL_NOTIF_RECV = 0xC0502100
IOCTL_NOTIF_SEND = 0xC0182101
IOCTL_NOTIF_ID_VALID = 0x40082102
IOCTL_NOTIF_ADDFD = 0x40182103
IOCTL_NOTIF_SET_FLAGS = 0x40082104

_ioctl = _gate.bind("ioctl", ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
_seccomp = _gate.bind_syscall(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)


def set_mode_filter(program: bytes, flags: int) -> int:
    """Put a filter on the calling thread: SECCOMP_SET_MODE_FILTER of seccomp(2).

    Args:
        program: classic BPF, an array of struct sock_filter (8 bytes each, at most 4096 of them).
        flags: FILTER_FLAG_*; without TSYNC only the calling thread is filtered.

    Returns:
        the listener descriptor (close-on-exec) with FILTER_FLAG_NEW_LISTENER, else 0.

    Raises:
        OSError: EACCES without no_new_privs and CAP_SYS_ADMIN; EINVAL for a bad program or flag; EBUSY for a
            second listener in the filter chain; ESRCH when TSYNC met a thread that it could not take along.
        ValueError: the program is empty or no whole number of instructions.
    """
    count, rest = divmod(len(program), 8)
    if rest or not 0 < count <= 0xFFFF:
        raise ValueError(f"a filter of {len(program)} bytes: not 1 to 65535 instructions of 8 bytes")
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: unsigned short len; struct sock_filter *filter.
    fprog = ctypes.create_string_buffer(struct.pack("@HP", count, ctypes.addressof(code)), 16)
    result = _gate.check(_seccomp(_numbers.SECCOMP, _SET_MODE_FILTER, flags, fprog), "seccomp")
    if flags & FILTER_FLAG_NEW_LISTENER:
        return result
    if result:
        # TSYNC without TSYNC_ESRCH returns the id of the thread that stood in the way.
        _gate.fail(ESRCH, f"seccomp: thread {result} has a filter of its own")
    return 0


def notif_sizes() -> tuple[int, int, int]:
    """The kernel's sizes of seccomp_notif, seccomp_notif_resp, seccomp_data in bytes: (80, 24, 64) so far.

    Raises:
        OSError: EINVAL before Linux 5.0, ENOSYS without seccomp.
    """
    sizes = ctypes.create_string_buffer(6)
    _gate.check(_seccomp(_numbers.SECCOMP, _GET_NOTIF_SIZES, 0, sizes), "seccomp")
    notif, resp, data = struct.unpack("@HHH", sizes.raw)
    return notif, resp, data


def action_available(action: int) -> bool:
    """Whether the kernel knows a filter's return action: SECCOMP_GET_ACTION_AVAIL.

    Args:
        action: one of RET_*.

    Raises:
        OSError: another error than that the action, or seccomp at all, is not known.
    """
    word = ctypes.c_uint32(action)
    if _seccomp(_numbers.SECCOMP, _GET_ACTION_AVAIL, 0, ctypes.byref(word)) == 0:
        return True
    error = ctypes.get_errno()
    if error not in (EOPNOTSUPP, EINVAL, ENOSYS):
        _gate.fail(error, "seccomp")
    return False


def receive(listener: int, buf: bytearray | memoryview) -> None:
    """Wait for a notification and fill a buffer with it, to be unpacked by `NOTIF`.

    Args:
        listener: the listener descriptor.
        buf: `NOTIF.size` bytes; cleared first, since the kernel refuses a buffer that is not zero.

    Raises:
        OSError: ENOENT when the caller died before its notification was copied, EINTR after a signal: both
            are everyday events, the caller goes on; EINVAL for a buffer of another size.
    """
    buf[:] = _ZEROS
    ioctl(listener, IOCTL_NOTIF_RECV, buf, True)


def receiver(listener: int, memory: memoryview) -> Callable[[], None]:
    """`receive` for memory that others look at as well: the kernel writes to it directly.

    fcntl.ioctl gives the kernel a copy of what is short, and keeps the interpreter locked over what is long.
    If the kernel cannot write, it keeps the notification for whoever receives next; so a notification that
    was given out is in this memory, also when this process is killed while it returns.

    Args:
        listener: the listener descriptor.
        memory: `NOTIF.size` bytes, which stay where they are; cannot be released any more.

    Returns:
        What receives one, and raises what `receive` does.
    """
    held = ctypes.c_char.from_buffer(memory)
    # Converted once, and to a function without argument types: each of them would look at its argument again.
    ioctl_there = _gate.unchecked("ioctl")
    arguments = (
        ctypes.c_int.from_param(listener),
        ctypes.c_ulong.from_param(IOCTL_NOTIF_RECV),
        ctypes.byref(held),
    )

    def receive_there() -> None:
        memory[:] = _ZEROS
        if ioctl_there(*arguments) < 0:
            _gate.fail(ctypes.get_errno(), "ioctl")

    return receive_there


def send(listener: int, resp: bytes | bytearray) -> None:
    """Answer a notification.

    Args:
        listener: the listener descriptor.
        resp: `RESP.size` bytes, packed by `RESP`.

    Raises:
        OSError: ENOENT when the caller is gone or was interrupted, EINPROGRESS when somebody answered
            already, EINVAL for flags or sizes that make no sense.
    """
    ioctl(listener, IOCTL_NOTIF_SEND, resp)


def id_valid(listener: int, id: int) -> bool:  # noqa: A002 (the kernel's name)
    """Whether the caller of a notification still waits for its answer, so that its pid is still its own.

    Args:
        listener: the listener descriptor.
        id: the notification's id.

    Raises:
        OSError: another error than ENOENT, such as EBADF.
    """
    try:
        ioctl(listener, IOCTL_NOTIF_ID_VALID, _ID.pack(id))
    except FileNotFoundError:
        return False
    return True


def add_fd(
    listener: int,
    id: int,  # noqa: A002 (the kernel's name)
    srcfd: int,
    flags: int,
    newfd: int = 0,
    newfd_flags: int = 0,
) -> int:
    """Put a duplicate of an own descriptor into the caller of a notification.

    Args:
        listener: the listener descriptor.
        id: the notification's id.
        srcfd: the descriptor to duplicate.
        flags: ADDFD_FLAG_SETFD, ADDFD_FLAG_SEND.
        newfd: the number it shall get there, with ADDFD_FLAG_SETFD; otherwise 0, and the kernel takes the
            lowest.
        newfd_flags: O_CLOEXEC or 0.

    Returns:
        the number that it has there.

    Raises:
        OSError: ENOENT when the caller is gone, EMFILE when it may have no more descriptors, EBADF for srcfd,
            EBUSY with SEND while another descriptor is on its way, EINPROGRESS when answered already.
    """
    # A bytearray, though the kernel only reads it: with bytes, fcntl.ioctl would not give the result.
    request = bytearray(_ADDFD.pack(id, flags, srcfd, newfd, newfd_flags))
    number: int = ioctl(listener, IOCTL_NOTIF_ADDFD, request, True)
    return number


def set_flags(listener: int, flags: int) -> None:
    """Set how the listener wakes: SECCOMP_IOCTL_NOTIF_SET_FLAGS, Linux 6.6.

    Args:
        listener: the listener descriptor.
        flags: USER_NOTIF_FD_SYNC_WAKE_UP or 0.

    Raises:
        OSError: EINVAL on older kernels and for unknown flags.
    """
    ioctl(listener, IOCTL_NOTIF_SET_FLAGS, flags)
