"""The messages of sendto, sendmsg and sendmmsg, read from the caller's memory once.

Names, places and ancillary data are copied when a message is read; its content when it is sent, and a
stream's in pieces, since that decides nothing. What the kernel refuses for the bytes alone is refused here,
in its order of checks.

Sources: net/socket.c (copy_msghdr_from_user, ____sys_sendmsg, __sys_sendto), net/compat.c, lib/iov_iter.c
(import_iovec) of Linux 6.18; sendmsg(2), cmsg(3).
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sydd.kernel.sockets import is_user_range
from sydd.supervisor.arguments import PAGE_SIZE, read_bytes
from sydd.supervisor.failure import NaturalFailure
from sydd.supervisor.sockaddr import LONGEST

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader

MOST_PARTS: Final = 1024
"""UIO_MAXIOV: pieces of one message, and messages of one sendmmsg."""

_MOST_BYTES: Final = (1 << 31) - PAGE_SIZE  # MAX_RW_COUNT
_MOST_CONTROL: Final = 1 << 20
"""More than any net.core.optmem_max lets a message have."""
_INT_MAX: Final = 0x7FFF_FFFF
_ALIGN_32: Final = 4


class Layout(NamedTuple):
    """How an ABI lays the structures out.

    Attributes:
        header: struct msghdr: name, its size, vector, its size, control, its size, flags.
        vector: struct iovec: base, length.
        length_bits: of a size.
        many: bytes of a struct mmsghdr, in which how much was sent stands behind the header.
        control: struct cmsghdr: length, level, type.
        alignment: of ancillary data.
    """

    header: struct.Struct
    vector: struct.Struct
    length_bits: int
    many: int
    control: struct.Struct
    alignment: int


WIDE: Final = Layout(struct.Struct("=QI4xQQQQI4x"), struct.Struct("=QQ"), 64, 64, struct.Struct("=Qii"), 8)
NARROW: Final = Layout(struct.Struct("=IIIIIII"), struct.Struct("=II"), 32, 32, struct.Struct("=Iii"), 4)


class Message(NamedTuple):
    """One message.

    Attributes:
        name: the destination as it was written; empty for none.
        parts: address and size of each piece of the content.
        control: ancillary data as 64-bit programs lay it out.
        flags: MSG_*, of the structure.
    """

    name: bytes
    parts: tuple[tuple[int, int], ...]
    control: bytes = b""
    flags: int = 0

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return sum(size for _, size in self.parts)


def plain_content(address: int, size: int) -> tuple[tuple[int, int], ...]:
    """The content of the message of sendto(2), which is looked at before the descriptor.

    Raises:
        NaturalFailure: EFAULT.
    """
    return _limited([(address, size)])


def read_plain(
    reader: Reader, tid: int, parts: tuple[tuple[int, int], ...], name: tuple[int, int]
) -> Message:
    """The message of sendto(2).

    Args:
        reader: of the caller's memory.
        tid: the caller.
        parts: of `plain_content`.
        name: address and size of the destination; none at address 0.

    Raises:
        NaturalFailure: EINVAL, EFAULT.
    """
    address, size = name
    size &= 0xFFFFFFFF
    if not address:
        return Message(b"", parts)
    if size > LONGEST:
        raise NaturalFailure(errno.EINVAL)
    return Message(read_bytes(reader, tid, address, size), parts)


def read_message(reader: Reader, tid: int, address: int, layout: Layout) -> Message:
    """The message of a struct msghdr.

    Raises:
        NaturalFailure: EFAULT, EINVAL, EMSGSIZE, ENOBUFS.
    """
    data = read_bytes(reader, tid, address, layout.header.size)
    name, name_size, vector, count, control, control_size, flags = layout.header.unpack(data)
    if not name:
        name_size = 0
    if name_size > _INT_MAX:
        raise NaturalFailure(errno.EINVAL)
    raw = read_bytes(reader, tid, name, min(name_size, LONGEST))
    if count > MOST_PARTS:
        raise NaturalFailure(errno.EMSGSIZE)
    places = read_bytes(reader, tid, vector, count * layout.vector.size)
    parts = list(layout.vector.iter_unpack(places))
    if any(size >> layout.length_bits - 1 for _, size in parts):
        raise NaturalFailure(errno.EINVAL)
    parts = list(_limited(parts))
    if control_size > _MOST_CONTROL:
        raise NaturalFailure(errno.ENOBUFS)
    if not control_size:
        return Message(raw, tuple(parts), b"", flags)
    if layout is NARROW:
        return Message(raw, tuple(parts), _widened(reader, tid, control, control_size), flags)
    return Message(raw, tuple(parts), read_bytes(reader, tid, control, control_size), flags)


def content(reader: Reader, tid: int, message: Message, offset: int, size: int) -> bytes:
    """At most *size* bytes of a message's content from *offset* on, fewer where memory ends before.

    Raises:
        NaturalFailure: EFAULT when there is not even one.
    """
    pieces: list[bytes] = []
    wanted = size
    for address, length in message.parts:
        if offset >= length:
            offset -= length
            continue
        part = min(length - offset, wanted)
        if not part:
            break
        try:
            data = reader.read(tid, address + offset, part)
        except OSError:
            data = b""
        pieces.append(data)
        wanted -= len(data)
        if len(data) < part:
            if wanted == size:
                raise NaturalFailure(errno.EFAULT)
            break
        offset = 0
    return b"".join(pieces)


def _limited(parts: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The pieces as far as one call takes them; all have to be a program's memory."""
    left = _MOST_BYTES
    result = []
    for address, size in parts:
        taken = min(size, left)
        if not is_user_range(address, taken):
            raise NaturalFailure(errno.EFAULT)
        result.append((address, taken))
        left -= taken
    return tuple(result)


def _widened(reader: Reader, tid: int, address: int, size: int) -> bytes:
    """Ancillary data of a 32-bit program as that of a 64-bit one (cmsghdr_from_user_compat_to_kern)."""
    header = NARROW.control
    if size < header.size:
        raise NaturalFailure(errno.EINVAL)
    data = read_bytes(reader, tid, address, size)
    result = bytearray()
    place = 0
    while place + header.size <= size:
        length, level, kind = header.unpack_from(data, place)
        if length < header.size or length > size - place:
            raise NaturalFailure(errno.EINVAL)
        body = data[place + header.size : place + length]
        result += WIDE.control.pack(WIDE.control.size + len(body), level, kind) + body
        result += bytes(-len(result) % WIDE.alignment)
        place += length + (-length % _ALIGN_32)
    return bytes(result)
