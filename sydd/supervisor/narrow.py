"""Calls by a 32-bit ABI: what its registers hold, and which call a multiplexer stands for.

The program is of that ABI, or 64-bit code that makes such a call (`int 0x80`). Seccomp then shows registers
whose upper halves may hold anything; the kernel takes the lower ones.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from sydd.supervisor.arguments import read_bytes
from sydd.supervisor.failure import NaturalFailure
from sydd.syscalls.abi import ABIS
from sydd.syscalls.argument import WORD
from sydd.syscalls.row import Operation
from sydd.syscalls.rows32 import SOCKETCALL_ARGUMENTS
from sydd.syscalls.table import parts

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader
    from sydd.supervisor.notification import Notification
    from sydd.syscalls.row import Row

_WORD = struct.Struct("=I")
_REGISTERS = 6
_BY_ARCH = {abi.audit_arch: abi.name for abi in ABIS.values()}


def narrowed(notification: Notification, row: Row, reader: Reader) -> tuple[Notification, Row]:
    """The call with registers as the kernel takes them, a multiplexer's as the call that it stands for.

    What a multiplexer's arguments say may be changed before the kernel reads it: it is good for telling what
    was asked, and not for a decision. Which call it is stands in a register. Ids of 16 bits become those that
    they stand for.

    Raises:
        NaturalFailure: EFAULT, EINVAL.
    """
    registers = tuple(register & WORD for register in notification.registers)
    if row.operation is Operation.MULTIPLEX:
        which, *arguments = (registers[number] for number in row.extra)
        if not arguments:
            which &= WORD >> 16  # the rest is a version (ipc(2))
        part = parts(_BY_ARCH[notification.arch], row.name).get(which)
        if part is None:  # the filter passes these
            raise NaturalFailure(errno.EINVAL)
        if arguments:
            words = _arguments(reader, notification.tid, arguments[0], SOCKETCALL_ARGUMENTS[part.name])
            registers = (*words, *(0,) * (_REGISTERS - len(words)))
        else:
            registers = (*registers[1:], 0)
        row = part
    if row.short_ids:
        registers = tuple(
            _short_id(register) if place in row.extra else register
            for place, register in enumerate(registers)
        )
    return notification._replace(registers=registers), row


def _short_id(register: int) -> int:
    """A user or group of 16 bits; the highest stands for -1 (linux/highuid.h)."""
    register &= 0xFFFF
    return WORD if register == 0xFFFF else register


def _arguments(reader: Reader, tid: int, address: int, count: int) -> tuple[int, ...]:
    data = read_bytes(reader, tid, address, count * _WORD.size)
    return tuple(word for (word,) in _WORD.iter_unpack(data))
