"""What the kernel hands over: one decoded `struct seccomp_notif`."""

from __future__ import annotations

from typing import NamedTuple

from sydd.kernel import seccomp

unpack = seccomp.NOTIF.unpack_from
"""The fields of `struct seccomp_notif` in a buffer that SECCOMP_IOCTL_NOTIF_RECV filled."""

# Their places.
ID, TID, NUMBER, ARCH, ARGUMENTS = 0, 1, 3, 4, 6


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


def decode(fields: tuple[int, ...]) -> Notification:
    """The notification that *fields*, from `unpack`, are."""
    return Notification(fields[ID], fields[TID], fields[NUMBER], fields[ARCH], fields[ARGUMENTS:])
