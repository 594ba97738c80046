"""Calls about sockets where addresses are judged: connect, bind, listen.

A descriptor is taken from the caller, the address is copied, and what was judged is done with these two: what
other threads do to the memory or to the table of descriptors in between changes nothing. It is the caller's
socket that is connected or bound, with the caller's credentials for the file system and for ports.

The one thing that shows is who did it: a unix socket tells its peer the process that connected or listened
(SO_PEERCRED), which is the supervisor's, with the caller's user and group.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING

from sydd.kernel import credentials, sockets
from sydd.policy.access import Access
from sydd.policy.address import Address, AddressKind
from sydd.supervisor import answer as answers
from sydd.supervisor.answer import DONE, LATER, Answer
from sydd.supervisor.arguments import as_int, read_bytes
from sydd.supervisor.failure import NaturalFailure, Stranger
from sydd.supervisor.found import Found
from sydd.supervisor.request import AT_FDCWD
from sydd.supervisor.resolve import in_existing_place
from sydd.supervisor.sends import Sends
from sydd.supervisor.sockaddr import LONGEST, pack_sockaddr, parse_sockaddr
from sydd.supervisor.unixname import alike_below, bind_name
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.kernel.memory import Reader
    from sydd.kernel.sockets import About
    from sydd.supervisor.addressjudge import AddressJudge, Answers
    from sydd.supervisor.blocking import WaitingRoom
    from sydd.supervisor.notification import Notification
    from sydd.syscalls.row import Row

_NAMES_NOTHING = (b".", b"..", b"/")


def about_addresses(judge: AddressJudge, reader: Reader, waiting: WaitingRoom) -> Answers:
    """Who answers calls with addresses, by operation.

    Args:
        judge: takes sockets and judges addresses.
        reader: of callers' memory.
        waiting: for what may block.
    """
    calls, sends = SocketCalls(judge, reader, waiting), Sends(judge, reader, waiting)
    return {Operation.SOCKET: calls.answer, Operation.SEND: sends.answer}


class SocketCalls:
    """Answers them for one session.

    Args:
        judge: takes sockets and judges addresses.
        reader: of callers' memory.
        waiting: for what may block.
    """

    def __init__(self, judge: AddressJudge, reader: Reader, waiting: WaitingRoom) -> None:
        self._judge = judge
        self._reader = reader
        self._waiting = waiting
        self._resolver = judge.resolver

    def answer(self, notification: Notification, row: Row) -> Answer:
        """The answer to one call.

        Raises:
            NaturalFailure: it fails whatever the policy says.
            CallerGone: the caller has ended.
        """
        registers = notification.registers
        try:
            fd = self._judge.take(notification.tid, registers[0])
        except NaturalFailure as failure:
            if failure.errno == errno.ENOTSOCK and row.name == "connect":  # which reads the address first
                self._address(notification.tid, *(registers[n] for n in row.extra))
            raise
        try:
            about = sockets.about(fd)
            listens = row.name == "listen"
            raw = b"" if listens else self._address(notification.tid, *(registers[n] for n in row.extra))
            if self._resolver.credentials is not None:
                # From here on; to look into the caller takes the worker's own.
                credentials.assume(self._resolver.credentials)
            if listens:
                return self._listen(notification, row, fd, about)
            if row.name == "bind":
                return self._bind(notification, row, fd, about, raw)
            return self._connect(notification, row, fd, about, raw)
        except Stranger as failure:
            return self._judge.refuse_stranger(notification, row, failure.path)
        finally:
            os.close(fd)

    def _address(self, tid: int, pointer: int, size: int) -> bytes:
        """The one copy of the address."""
        length = size & 0xFFFFFFFF
        if length > LONGEST:  # negative ones, too
            raise NaturalFailure(errno.EINVAL)
        return read_bytes(self._reader, tid, pointer, length)

    def _connect(self, notification: Notification, row: Row, fd: int, about: About, raw: bytes) -> Answer:
        named = parse_sockaddr(raw, Access.CONNECT, about.domain, about.kind, about.protocol)
        address = named.meant(Access.CONNECT)
        found = None
        given = b""
        if address.kind is AddressKind.UNIX:
            given = os.fsencode(address.name)
            found = self._judge.object(notification.tid, given)
            address = address._replace(name=found.path)
        # What a socket for datagrams then sends to its peer is not looked at.
        asks = Access.CONNECT if about.connects else Access.CONNECT | Access.SEND
        refused = self._judge.judge(notification, row, asks, address, about, fd=fd, given=given, found=found)
        if refused is not None:
            return refused
        if found is not None:
            raw = pack_sockaddr(Address(AddressKind.UNIX, f"/proc/self/fd/{found.fd}"), about.domain)
        elif address is not named:  # the bytes stand for another address than they name
            raw = pack_sockaddr(address, about.domain)
        self._judge.make_sure(notification)
        if about.domain == socket.AF_UNIX and self._resolver.credentials is not None:
            self._waiting.connect(notification, fd, raw, self._resolver.credentials)
            return LATER
        number = _try_connect(fd, raw)
        if number is None:
            self._waiting.connect(notification, fd, raw, None)
            return LATER
        if not number and not about.connects and self._judge.bound is not None:
            self._judge.bound.learn_sender(fd, about)
        return _answer(number)

    def _bind(self, notification: Notification, row: Row, fd: int, about: About, raw: bytes) -> Answer:
        address = parse_sockaddr(raw, Access.BIND, about.domain, about.kind, about.protocol)
        if address.kind is AddressKind.UNIX:
            return self._bind_name(notification, row, fd, about, raw, os.fsencode(address.name))
        refused = self._judge.judge(notification, row, Access.BIND, address, about)
        if refused is not None:
            return refused
        self._judge.make_sure(notification)
        number = sockets.bind(fd, raw)
        if not number and self._judge.bound is not None:
            self._judge.bound.learn(fd, about)
        return _answer(number)

    def _bind_name(
        self, notification: Notification, row: Row, fd: int, about: About, raw: bytes, path: bytes
    ) -> Answer:
        """Bind a unix socket to a path: a name is made as well, which the policy has to allow."""
        tid = notification.tid
        place = self._resolver.entry(tid, self._resolver.start(tid, AT_FDCWD, path), path)
        if place.name in _NAMES_NOTHING:
            raise NaturalFailure(errno.EADDRINUSE)
        if _exists(place):
            raise NaturalFailure(errno.EADDRINUSE)
        if place.trailing_slash:
            raise NaturalFailure(errno.ENOENT)
        place = in_existing_place(place)
        address = Address(AddressKind.UNIX, place.path)
        refused = self._judge.judge(notification, row, Access.BIND, address, about, given=path, found=place)
        if refused is None:
            refused = self._judge.judge_name(notification, row, place, path)
        if refused is not None:
            return refused
        cwd = self._resolver.descriptor(tid, AT_FDCWD)
        umask = credentials.of_task(tid).umask
        alike = alike_below(self._judge.matcher, place.path.rpartition("/")[0] or "/")
        self._judge.make_sure(notification)
        number = bind_name(fd, raw, place, cwd, umask, alike=alike)
        if not number and self._judge.bound is not None:
            self._judge.bound.learn(fd, about, place)
        return _answer(number)

    def _listen(self, notification: Notification, row: Row, fd: int, about: About) -> Answer:
        """To listen on an unbound socket binds it to a port of the kernel's choice, at every address."""
        unbound = False
        if about.connects and about.domain in (socket.AF_INET, socket.AF_INET6):
            name = sockets.name(fd)
            address = parse_sockaddr(name, Access.BIND, about.domain, about.kind, about.protocol)
            unbound = not address.port
            if unbound:
                refused = self._judge.judge(notification, row, Access.BIND, address, about)
                if refused is not None:
                    return refused
        self._judge.make_sure(notification)
        backlog = as_int(notification.registers[row.extra[0]])
        if about.domain == socket.AF_UNIX and self._resolver.credentials is not None:
            self._waiting.listen(notification, fd, backlog, self._resolver.credentials)
            return LATER
        number = sockets.listen(fd, backlog)
        if unbound and not number and self._judge.bound is not None:
            self._judge.bound.learn(fd, about)
        return _answer(number)


def _try_connect(fd: int, address: bytes) -> int | None:
    """Connect without waiting: 0 or a negative errno; None where it has to be waited for.

    The open file is the caller's, too: for the moment of the call it shows as non-blocking.
    """
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    if flags & os.O_NONBLOCK:
        return sockets.connect(fd, address)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        number = sockets.connect(fd, address)
        if number == -errno.EINPROGRESS:
            # On this host the peer has answered by now; the second call tells what.
            number = sockets.connect(fd, address)
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    return None if -number in (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN) else number


def _exists(place: Found) -> bool:
    """Whether the entry is there already.

    Raises:
        NaturalFailure: its directory may not be searched.
    """
    try:
        os.stat(place.name, dir_fd=place.parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as failure:
        raise NaturalFailure(failure.errno or errno.EIO) from None
    return True


def _answer(number: int) -> Answer:
    return answers.error(-number) if number else DONE
