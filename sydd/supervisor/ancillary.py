"""Ancillary data of a message, so that the supervisor can send it for the caller.

Descriptors that a unix socket passes on are the caller's numbers: each is taken, and its copy sent.
Credentials are checked as the kernel would check the caller's, and are then sent with the number of the
sending process, since no other may be claimed without CAP_SYS_ADMIN. Of an internet socket what leads a
packet another way than the destination says is refused, and what is not known.

Sources: net/core/scm.c, net/core/sock.c (__sock_cmsg_send), net/ipv4/ip_sockglue.c, net/ipv6/datagram.c,
net/ipv4/udp.c of Linux 6.18; unix(7), ip(7), ipv6(7).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

from sydd.kernel import credentials
from sydd.supervisor.failure import CallerGone, NaturalFailure
from sydd.supervisor.messages import WIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sydd.supervisor.descriptors import Descriptors

_SOL_IP, _SOL_SOCKET, _SOL_IPV6 = 0, 1, 41
_SCM_RIGHTS, _SCM_CREDENTIALS = 1, 2
_MOST_DESCRIPTORS: Final = 253  # SCM_MAX_FD
_CAP_SETGID, _CAP_SETUID = 6, 7

_HEADER = WIDE.control
_INT = struct.Struct("=i")
_UCRED = struct.Struct("=iII")  # pid, user, group
_LOOPBACK: Final = 1
"""Index of `lo` in every network namespace."""

_INTERFACE: Final = {
    (_SOL_IP, 8): 0,  # IP_PKTINFO
    (_SOL_IPV6, 50): 16,  # IPV6_PKTINFO
    (_SOL_IPV6, 2): 16,  # IPV6_2292PKTINFO
}
"""Where an interface's index stands, by level and type; beside it stands the address to send from."""

_ROUTES: Final = frozenset(
    {
        (_SOL_IP, 7),  # IP_RETOPTS
        (_SOL_IPV6, 57),  # IPV6_RTHDR
        (_SOL_IPV6, 5),  # IPV6_2292RTHDR
    }
)
"""A source route: the packet goes first to another host."""

_HARMLESS: Final = frozenset(
    {
        (_SOL_SOCKET, _SCM_RIGHTS),  # passed over by internet sockets, as is the next
        (_SOL_SOCKET, _SCM_CREDENTIALS),
        (_SOL_SOCKET, 36),  # SO_MARK: the kernel wants a capability
        (_SOL_SOCKET, 37),  # SO_TIMESTAMPING_OLD
        (_SOL_SOCKET, 61),  # SCM_TXTIME
        (_SOL_SOCKET, 65),  # SO_TIMESTAMPING_NEW
        (_SOL_SOCKET, 81),  # SCM_TS_OPT_ID
        (_SOL_SOCKET, 82),  # SO_PRIORITY
        (_SOL_IP, 1),  # IP_TOS
        (_SOL_IP, 2),  # IP_TTL
        (_SOL_IPV6, 8),  # IPV6_2292HOPLIMIT
        (_SOL_IPV6, 11),  # IPV6_FLOWINFO
        (_SOL_IPV6, 52),  # IPV6_HOPLIMIT
        (_SOL_IPV6, 62),  # IPV6_DONTFRAG
        (_SOL_IPV6, 67),  # IPV6_TCLASS
    }
)
"""What changes neither who gets a packet nor by which way."""


class Ancillary:
    """Ancillary data that can be sent.

    Args:
        data: as 64-bit programs lay it out.

    Attributes:
        descriptors: copies of the caller's, until `close`.
    """

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data)
        self._claims: list[int] = []  # where a struct ucred stands
        self.descriptors: list[int] = []

    def close(self) -> None:
        """Let go of the copies."""
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()

    def packed(self) -> bytes:
        """The bytes for the process that sends them."""
        for place in self._claims:
            _, user, group = _UCRED.unpack_from(self._data, place)
            _UCRED.pack_into(self._data, place, os.getpid(), user, group)
        return bytes(self._data)

    def take(self, tid: int, domain: int, scope: int, descriptors: Descriptors) -> None:
        """Make it the supervisor's.

        Args:
            tid: the caller.
            domain: the socket's family.
            scope: the interface that the destination names; 0 for none.
            descriptors: takes copies.

        Raises:
            NaturalFailure: the kernel refuses it, or it leads elsewhere than the destination says (EPERM).
            CallerGone: the caller has ended.
        """
        internet = domain in (socket.AF_INET, socket.AF_INET6)
        for place, length, level, kind in _items(self._data):
            if internet:
                self._check(place, length, (level, kind), scope)
            elif level != _SOL_SOCKET:
                continue
            elif kind == _SCM_RIGHTS and domain == socket.AF_UNIX:
                self._rights(tid, place, length, descriptors)
            elif kind == _SCM_CREDENTIALS:
                self._credentials(tid, place, length)

    def _check(self, place: int, length: int, which: tuple[int, int], scope: int) -> None:
        offset = _INTERFACE.get(which)
        if offset is not None:
            if length < offset + _INT.size:
                raise NaturalFailure(errno.EINVAL)
            if _INT.unpack_from(self._data, place + offset)[0] in (0, _LOOPBACK, scope):
                return
            raise NaturalFailure(errno.EPERM)
        if which in _ROUTES:
            raise NaturalFailure(errno.EPERM)
        if which[0] in (_SOL_SOCKET, _SOL_IP, _SOL_IPV6) and which not in _HARMLESS:
            raise NaturalFailure(errno.EINVAL)

    def _rights(self, tid: int, place: int, length: int, descriptors: Descriptors) -> None:
        count = length // _INT.size
        if count + len(self.descriptors) > _MOST_DESCRIPTORS:
            raise NaturalFailure(errno.EINVAL)
        for number in range(place, place + count * _INT.size, _INT.size):
            (fd,) = _INT.unpack_from(self._data, number)
            try:
                if fd < 0:
                    raise NaturalFailure(errno.EBADF)
                self.descriptors.append(descriptors.copy(tid, fd))
            except OSError as failure:
                if failure.errno == errno.ESRCH:
                    raise CallerGone from None
                full = failure.errno in (errno.EMFILE, errno.ENFILE)
                raise NaturalFailure(errno.ETOOMANYREFS if full else errno.EBADF) from None
            _INT.pack_into(self._data, number, self.descriptors[-1])

    def _credentials(self, tid: int, place: int, length: int) -> None:
        """What the kernel asks of who claims to be somebody (scm_check_creds)."""
        if length != _UCRED.size:
            raise NaturalFailure(errno.EINVAL)
        pid, user, group = _UCRED.unpack_from(self._data, place)
        caller = credentials.of_task(tid)
        users, groups = (caller.ruid, caller.euid, caller.suid), (caller.rgid, caller.egid, caller.sgid)
        if (
            pid != caller.tgid
            or not (user in users or caller.cap_effective >> _CAP_SETUID & 1)
            or not (group in groups or caller.cap_effective >> _CAP_SETGID & 1)
        ):
            raise NaturalFailure(errno.EPERM)
        self._claims.append(place)


def _items(data: bytearray) -> Iterator[tuple[int, int, int, int]]:
    """Place and size of the content, level and type of each; what is malformed the kernel will refuse."""
    place = 0
    while place + _HEADER.size <= len(data):
        length, level, kind = _HEADER.unpack_from(data, place)
        if length < _HEADER.size or length > len(data) - place:
            return
        yield place + _HEADER.size, length - _HEADER.size, level, kind
        place += length + (-length % WIDE.alignment)
