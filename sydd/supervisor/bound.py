"""What the sockets of a session are bound to, for as long as they are open.

A socket is remembered by its cookie, which no other one gets until the machine is started anew; a copy of its
descriptor would keep it open. Whether it is still there, and is the one that a connection would come to, the
kernel says when somebody wants to connect. So it does not matter which process holds it, or by how many
descriptors.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING, Any, TypeVar

from sydd.kernel import sockets
from sydd.policy.access import Access
from sydd.policy.address import AddressKind
from sydd.supervisor.sockaddr import parse_sockaddr

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.kernel.sockdiag import Diagnosis
    from sydd.policy.address import Address
    from sydd.supervisor.found import Found

MAXIMUM = 4096
"""Sockets remembered of each kind; the oldest are forgotten first."""

_LOOPBACK_4, _LOOPBACK_6 = 0x7F, 1
_SOURCE = 0x7F000001  # of what goes to any of 127.0.0.0/8
_TO_MANY = (127 << 24, (128 << 24) - 1)
"""Addresses of 127.0.0.0/8 at which several sockets get a datagram: for broadcasts, today's and the older."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Bound:
    """The bound sockets of one session.

    Args:
        note: writes down what a successor has to know.
        diagnosis: a netlink socket of the session's network namespace, to ask the kernel by, which becomes
            this object's own; None where the caller's thread is in it.
    """

    def __init__(self, note: Callable[..., None], diagnosis: int | None = None) -> None:
        self._note = note
        self._given = diagnosis
        self._diagnosis: Diagnosis | None = None
        self._ports: dict[bytes, int] = {}  # cookie to port
        self._senders: dict[bytes, int] = {}  # likewise, of sockets that no call has bound
        self._names: dict[tuple[int, int] | str, tuple[int, bytes]] = {}  # file or abstract name to socket

    def close(self) -> None:
        """Let go of the way to ask the kernel."""
        if self._diagnosis is not None:
            self._diagnosis.close()
            self._diagnosis = None
        elif self._given is not None:
            os.close(self._given)
            self._given = None

    def learn(self, fd: int, about: sockets.About, entry: Found | None = None) -> None:
        """Remember a socket that was just bound.

        Args:
            fd: a copy of its descriptor.
            about: what it is.
            entry: of a unix socket with a path: the name that was made.
        """
        cookie = sockets.cookie(fd)
        if about.domain in (socket.AF_INET, socket.AF_INET6):
            if _is_followed(about):
                self._port("port", self._ports, cookie, _own(fd, about).port)
            return
        if about.domain != socket.AF_UNIX:
            return
        inode = os.fstat(fd).st_ino
        if entry is None:
            address = parse_sockaddr(sockets.name(fd), Access.BIND, about.domain, about.kind)
            if address.kind is AddressKind.ABSTRACT:
                self._name(address.name, inode, cookie)
            return
        try:
            made = os.stat(entry.name, dir_fd=entry.parent, follow_symlinks=False)
        except OSError:
            return  # somebody has removed it already
        # It is the file of this very socket, and not one that was put in its place.
        if stat.S_ISSOCK(made.st_mode) and self._ask().unix(inode, cookie) == made.st_ino & 0xFFFF_FFFF:
            self._name((made.st_dev, made.st_ino), inode, cookie)

    def _port(self, kind: str, table: dict[bytes, int], cookie: bytes, port: int) -> None:
        if table.get(cookie) != port:
            self._note(kind, cookie.hex(), port)
        _remember(table, cookie, port)

    def _name(self, key: tuple[int, int] | str, inode: int, cookie: bytes) -> None:
        if self._names.get(key) != (inode, cookie):
            self._note("name", key, inode, cookie.hex())
        _remember(self._names, key, (inode, cookie))

    def recall(self, kind: str, values: tuple[Any, ...]) -> None:
        """Take what another worker has noted."""
        if kind != "name":
            cookie, port = values
            _remember(self._ports if kind == "port" else self._senders, bytes.fromhex(cookie), port)
            return
        key, inode, cookie = values
        known = key if isinstance(key, str) else (key[0], key[1])
        _remember(self._names, known, (inode, bytes.fromhex(cookie)))

    def learn_sender(self, fd: int, about: sockets.About) -> None:
        """Remember a socket that has sent to an address, or was connected to one; who gets that may answer.

        The kernel has bound it to a port of its own choice, if nobody had done so before.

        Args:
            fd: a copy of its descriptor.
            about: what it is.
        """
        if about.domain == socket.AF_UNIX:
            self.learn(fd, about)  # an abstract name, if any (SO_PASSCRED)
        elif _is_followed(about):
            cookie = sockets.cookie(fd)
            if cookie not in self._ports:
                self._port("sender", self._senders, cookie, _own(fd, about).port)

    def takes(self, address: Address, about: sockets.About, fd: int, found: Found | None) -> bool:
        """Whether a connection or a datagram to *address* comes to an open socket of the session.

        Args:
            address: the destination, as it was meant.
            about: the socket that would be connected, or sends.
            fd: a copy of its descriptor.
            found: of a unix socket with a path: the object.
        """
        if address.kind is AddressKind.INET:
            return _is_loopback(address) and _is_followed(about) and self._gets(address, about, fd)
        key: tuple[int, int] | str = address.name
        if found is not None:
            # As long as the socket is open, nothing else gets the inode of its name.
            status = os.fstat(found.fd)
            key = (status.st_dev, status.st_ino)
        elif address.kind is not AddressKind.ABSTRACT:
            return False
        known = self._names.get(key)
        if known is None:
            return False
        if self._ask().unix(*known) is not None:
            return True
        del self._names[key]
        return False

    def nobody(self, address: Address, about: sockets.About, fd: int) -> bool:
        """Whether there surely is no socket, of the session or not, that a connection would come to.

        Args:
            address: the destination, as it was meant.
            about: the socket that would be connected.
            fd: a copy of its descriptor.
        """
        if address.kind is not AddressKind.INET or not _is_loopback(address) or not _is_followed(about):
            return False
        if not self._ask().knows(about.protocol):
            return False
        return address.number not in _TO_MANY and self._at(address, about, fd) is None

    def _gets(self, address: Address, about: sockets.About, fd: int) -> bool:
        """Whether a socket of the session is the one at a port of this host."""
        port = address.port
        if port not in self._ports.values() and port not in self._senders.values():
            return False
        if not about.connects and address.number in _TO_MANY:
            return False
        cookie = self._at(address, about, fd)
        return cookie is not None and port in (self._ports.get(cookie), self._senders.get(cookie))

    def _at(self, address: Address, about: sockets.About, fd: int) -> bytes | None:
        """The cookie of the socket that a connection or a datagram comes to; None where there is none."""
        ask = self._ask()
        if about.connects:
            return ask.listener(address.version, address.number, address.port)
        return ask.receiver(address.version, address.number, address.port, _sender(fd, about, address))

    def _ask(self) -> Diagnosis:
        if self._diagnosis is None:
            from sydd.kernel.sockdiag import Diagnosis  # here: few sessions bind anything

            self._diagnosis = Diagnosis(self._given)
        return self._diagnosis


def _is_followed(about: sockets.About) -> bool:
    """Whether it is a socket of TCP or UDP."""
    return about.protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP)


def _own(fd: int, about: sockets.About) -> Address:
    """The address that a socket is bound to."""
    return parse_sockaddr(sockets.name(fd), Access.BIND, about.domain, about.kind, about.protocol)


def _sender(fd: int, about: sockets.About, to: Address) -> tuple[int, int]:
    """Where a datagram to a loopback address comes from: address and port, 0 for one yet to be chosen."""
    own = _own(fd, about)
    if own.version == to.version and own.number:
        return own.number, own.port
    return to.number if to.version == 6 else _SOURCE, own.port


def _is_loopback(address: Address) -> bool:
    """Whether an address surely is this host's: a socket can be bound to others' (IP_FREEBIND)."""
    if address.version == 4:
        return address.number >> 24 == _LOOPBACK_4
    return address.number == _LOOPBACK_6


def _remember(table: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Put the newest last, and drop the oldest where there are too many."""
    table.pop(key, None)
    if len(table) >= MAXIMUM:
        del table[next(iter(table))]
    table[key] = value
