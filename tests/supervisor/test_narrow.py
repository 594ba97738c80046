"""Calls by a 32-bit ABI, as the stages after this one see them."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from sydd.kernel.memory import Reader
from sydd.supervisor.failure import NaturalFailure
from sydd.supervisor.identity import keeps
from sydd.supervisor.narrow import narrowed
from sydd.supervisor.notification import Notification
from sydd.syscalls.row import Row
from sydd.syscalls.table import AUDIT_ARCH, number, rows_by_name

RUBBISH = 0x5EAD_BEEF << 32


def seen(name: str, *registers: int, rubbish: int = RUBBISH) -> tuple[tuple[int, ...], Row]:
    """What becomes of a call of i386 with rubbish above its registers."""
    filled = tuple(register | rubbish for register in (*registers, 0, 0, 0, 0, 0, 0)[:6])
    call = Notification(1, os.getpid(), number("i386", name), AUDIT_ARCH["i386"], filled)
    notification, row = narrowed(call, rows_by_name("i386")[name], Reader())
    return notification.registers, row


def test_upper_halves_are_dropped() -> None:
    """The kernel takes the lower halves."""
    assert seen("open", 0x1000, 2, 0o644) == ((0x1000, 2, 0o644, 0, 0, 0), rows_by_name("i386")["open"])


@pytest.mark.parametrize("name", ["chown", "fchown", "lchown"])
def test_short_owners(name: str) -> None:
    """Of 16 bits, what is above counts for nothing, and the highest is -1; the first register is no id."""
    assert seen(name, 0x12345, 0x10005, 0xFFFF)[0][:3] == (0x12345, 5, 0xFFFFFFFF)
    assert seen(name + "32", 0x12345, 0x10005, 0xFFFF)[0][:3] == (0x12345, 0x10005, 0xFFFF)


def test_short_ids_that_only_look_like_ones_own() -> None:
    """With 65536 added it is the same id, and -1 leaves an id alone: that keeps credentials."""
    uid, gid = os.getuid(), os.getgid()
    for name, own in (("setresuid", uid), ("setresgid", gid)):
        registers, row = seen(name, own | 1 << 16, own, 0xFFFF)
        assert keeps(row, registers) == (own < 0xFFFF)
        registers, row = seen(name, own ^ 1, own, own)
        assert not keeps(row, registers)
        registers, row = seen(name + "32", own | 1 << 16, own, own)
        assert keeps(row, registers) == bool(own >> 16 & 1)


def test_ipc() -> None:
    """The first register and its version go, the others move up."""
    registers, row = seen("ipc", 2 << 16 | 3, 77, 0, 16, 0x5000)
    assert (row.name, [registers[place] for place in row.extra]) == ("semctl", [77, 16])
    with pytest.raises(NaturalFailure) as caught:
        seen("ipc", 22)
    assert caught.value.errno == errno.EINVAL


def test_socketcall() -> None:
    """The arguments come from memory, where 32 bits reach."""
    with pytest.raises(NaturalFailure) as caught:
        seen("socketcall", 1, 0)
    assert caught.value.errno == errno.EFAULT
    call = Notification(
        1, 0, number("i386", "socketcall"), AUDIT_ARCH["i386"], (1 | RUBBISH, 0x4000 | RUBBISH, 0, 0, 0, 0)
    )
    reader = _Reader(0x4000, struct.pack("=3I", 2, 1, 0))
    notification, row = narrowed(call, rows_by_name("i386")["socketcall"], reader)
    assert (row.name, notification.registers) == ("socket", (2, 1, 0, 0, 0, 0))


class _Reader(Reader):
    """Memory with one thing in it."""

    def __init__(self, address: int, content: bytes) -> None:
        super().__init__()
        self._place = (address, content)

    def read(self, tid: int, address: int, size: int) -> bytes:
        """What is there."""
        assert (address, size) == (self._place[0], len(self._place[1]))
        return self._place[1]
