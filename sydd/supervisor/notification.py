"""What the kernel hands over: one decoded `struct seccomp_notif`."""

from __future__ import annotations

from typing import NamedTuple

from sydd.kernel import seccomp

_unpack = seccomp.NOTIF.unpack


class Notification(NamedTuple):
    """One system call that waits for an answer.

    Attributes:
        id: the cookie by which it is answered.
        tid: the calling thread, in the supervisor's PID namespace; 0 when it is not visible there.
        number: system call number.
        arch: AUDIT_ARCH_* of the call.
        registers: the six arguments, as 64-bit unsigned integers.
    """

    id: int
    tid: int
    number: int
    arch: int
    registers: tuple[int, ...]


def decode(buffer: bytearray) -> Notification:
    """The notification in *buffer*, as SECCOMP_IOCTL_NOTIF_RECV left it (seccomp_unotify(2))."""
    fields = _unpack(buffer)
    return Notification(fields[0], fields[1], fields[3], fields[4], fields[6:])
