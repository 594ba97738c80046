"""Messages with a destination of their own: sendto, sendmsg and sendmmsg.

Names, ancillary data and content lie in the caller's memory, where other threads write, and the descriptor
may be another socket by the time that the kernel looks. So once such a call is notified it is always
performed here, on a copy of the socket, also where it names nobody: nothing but a copy can be judged.

What shows of that is who did it: a unix socket that asks (SO_PASSCRED) is told the supervisor's process id,
with the caller's user and group.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from sydd.kernel import credentials, pidfd, sockets
from sydd.kernel.memory import Reader, Writer
from sydd.policy.access import Access
from sydd.policy.address import Address, AddressKind
from sydd.supervisor import answer as answers
from sydd.supervisor.ancillary import Ancillary
from sydd.supervisor.answer import LATER, Answer, Kind
from sydd.supervisor.delivery import CHUNK, Delivery, Source, raises_signal
from sydd.supervisor.failure import MayStall, NaturalFailure, Stranger
from sydd.supervisor.messages import (
    MOST_PARTS,
    NARROW,
    WIDE,
    Layout,
    Message,
    content,
    plain_content,
    read_message,
    read_plain,
)
from sydd.supervisor.questions import Asking
from sydd.supervisor.sockaddr import pack_sockaddr, parse_sockaddr

if TYPE_CHECKING:
    from sydd.kernel.credentials import Credentials
    from sydd.kernel.sockets import About
    from sydd.supervisor.addressjudge import AddressJudge
    from sydd.supervisor.blocking import WaitingRoom
    from sydd.supervisor.found import Found
    from sydd.supervisor.notification import Notification
    from sydd.syscalls.row import Row

_SHORTEST_LIMIT: Final = 1 << 17
"""No internet datagram is longer; of others the send buffer is the limit."""

_MSG_CMSG_COMPAT: Final = 0x8000_0000
_MSG_FASTOPEN: Final = 0x2000_0000
_STREAMING: Final = (socket.IPPROTO_TCP, 262)  # and MPTCP: these pass over the name of a message
_DATAGRAMS: Final = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_COUNT = struct.Struct("=I")


class _Call(NamedTuple):
    """One call.

    Attributes:
        notification, row: as everywhere.
        fd: a copy of the caller's socket.
        about: what that is.
        flags: MSG_*.
        blocks: whether the caller waits where it has to.
        whose: with whose credentials; None for the worker's.
    """

    notification: Notification
    row: Row
    fd: int
    about: About
    flags: int
    blocks: bool
    whose: Credentials | None

    @property
    def goes_whole(self) -> bool:
        """Whether a message is sent in one piece, or not at all."""
        return self.about.kind != socket.SOCK_STREAM and self.about.domain in _DATAGRAMS


class _To(NamedTuple):
    """Where a message goes.

    Attributes:
        raw: as the kernel is given it; None for the peer that there is.
        address: None where nobody is named.
        found: of a unix socket with a path: the object.
        given: the path as it was written.
        access: what is asked.
    """

    raw: bytes | None = None
    address: Address | None = None
    found: Found | None = None
    given: bytes = b""
    access: Access = Access.SEND


class Sends:
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
        self._writer = Writer(_COUNT.size)
        self._of_rest = Reader()  # of what is read when something was sent, by who may wait
        self._resolver = judge.resolver

    def answer(self, notification: Notification, row: Row) -> Answer:
        """The answer to one call.

        Raises:
            NaturalFailure: it fails whatever the policy says.
            CallerGone: the caller has ended.
        """
        tid, registers = notification.tid, notification.registers
        flags = registers[row.flags or 0] & 0xFFFFFFFF
        message = None
        if row.name == "sendto":
            _, buffer, size, _, name, name_size = registers
            parts = plain_content(buffer, size)
        elif flags & _MSG_CMSG_COMPAT:
            if not row.narrow:
                raise NaturalFailure(errno.EINVAL)
            flags &= ~_MSG_CMSG_COMPAT
        fd = self._judge.take(tid, registers[0])
        try:
            if row.name == "sendto":
                message = read_plain(self._reader, tid, parts, (name, name_size))
            about = sockets.about(fd)
            blocks = not (flags & socket.MSG_DONTWAIT or fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)
            whose = self._resolver.credentials if about.domain == socket.AF_UNIX else None
            call = _Call(notification, row, fd, about, flags, blocks, whose)
            if row.name == "sendmmsg":
                return self._many(call)
            if message is None:
                message = read_message(self._reader, tid, registers[1], _layout(row))
            return self._one(call, message)
        except Stranger as failure:
            return self._judge.refuse_stranger(notification, row, failure.path)
        finally:
            os.close(fd)

    def _many(self, call: _Call) -> Answer:
        """One message after the other; what comes behind one that fails, or would wait, is not sent.

        The kernel tells of a failure only when nothing was sent, as here. It would wait for a later message;
        to return before it is allowed to every such call (sendmmsg(2)).
        """
        _, vector, count, *_ = call.notification.registers
        layout = _layout(call.row)
        sent = 0
        for place in range(min(count & 0xFFFFFFFF, MOST_PARTS)):
            at = vector + place * layout.many
            told = at + layout.header.size
            try:
                message = read_message(self._reader, call.notification.tid, at, layout)
                last = place + 1 == count & 0xFFFFFFFF
                more = message.flags & socket.MSG_EOR
                each = call._replace(flags=call.flags | more, blocks=call.blocks and not sent)
                answer = self._one(each, message, told)
            except NaturalFailure as failure:
                answer = answers.error(failure.errno)
            except (Asking, MayStall):
                if not sent:
                    raise
                break  # it comes first in the next call
            if answer.kind is not Kind.VALUE:
                return answers.value(sent) if sent and answer.kind is Kind.ERROR else answer
            credentials.restore()
            try:
                self._writer.write(call.notification.tid, told, _COUNT.pack(answer.value))
            except OSError as failure:
                return answers.value(sent) if sent else answers.error(failure.errno or errno.EFAULT)
            sent += 1
            if answer.value < message.size or last:
                break
        return answers.value(sent)

    def _one(self, call: _Call, message: Message, told: int = 0) -> Answer:
        """Judge and send one message.

        Args:
            call: the call.
            message: the message.
            told: where the caller is told how much was sent, of sendmmsg, which then is one message; 0 for
                none.
        """
        tid = call.notification.tid
        ancillary = Ancillary(message.control)
        try:
            if message.control:
                scope = self._scope(call, message.name)
                ancillary.take(tid, call.about.domain, scope, self._resolver.descriptors)
            address = self._parsed(call, message.name)  # before the content: so fails what is wrong with both
            data = self._content(call, message)
            if self._resolver.credentials is not None:
                # From here on; to look into the caller takes the worker's own.
                credentials.assume(self._resolver.credentials)
            to = self._destination(call, message.name, address)
            if to.address is not None:
                refused = self._judge.judge(
                    call.notification,
                    call.row,
                    to.access,
                    to.address,
                    call.about,
                    fd=call.fd,
                    given=to.given,
                    found=to.found,
                )
                if refused is not None:
                    return refused
            self._judge.make_sure(call.notification, confines=to.address is not None)
            # A process that becomes the caller may not be able to read its memory.
            source = None if call.whose is not None else Source(self._of_rest, tid, message)
            streams = not call.goes_whole
            delivery = Delivery(call.fd, call.flags, to.raw, ancillary, data, source, streams=streams)
            return self._send(call, message, to, delivery, told)
        finally:
            ancillary.close()
            credentials.restore()

    def _content(self, call: _Call, message: Message) -> bytes:
        """The content of a datagram, or the beginning of a stream's."""
        tid = call.notification.tid
        if not call.goes_whole:
            return content(self._reader, tid, message, 0, CHUNK)
        limit = max(sockets.send_buffer(call.fd), _SHORTEST_LIMIT)
        if message.size > limit:
            return bytes(limit + 1)  # which the kernel refuses, without looking at it
        data = content(self._reader, tid, message, 0, message.size)
        if len(data) < message.size:
            raise NaturalFailure(errno.EFAULT)
        return data

    @staticmethod
    def _scope(call: _Call, name: bytes) -> int:
        """The interface that a destination names; 0 for none."""
        if call.about.domain != socket.AF_INET6 or not name:
            return 0
        about = call.about
        return parse_sockaddr(name, Access.SEND, about.domain, about.kind, about.protocol).scope

    @staticmethod
    def _parsed(call: _Call, name: bytes) -> Address | None:
        """The address of a destination; None where the kernel passes over it, or tells what is wrong."""
        about = call.about
        if not name or (about.kind == socket.SOCK_SEQPACKET and about.domain == socket.AF_UNIX):
            return None
        if about.kind == socket.SOCK_STREAM and (
            about.domain == socket.AF_UNIX
            or (about.protocol in _STREAMING and not call.flags & _MSG_FASTOPEN)
        ):
            return None
        address = parse_sockaddr(name, Access.SEND, about.domain, about.kind, about.protocol)
        return None if address.kind is AddressKind.NOBODY else address

    def _destination(self, call: _Call, name: bytes, address: Address | None) -> _To:
        """Where a message goes, as the kernel takes its name."""
        about = call.about
        if address is None:
            # A unix stream's is an error to the kernel.
            streams = (about.domain, about.kind) == (socket.AF_UNIX, socket.SOCK_STREAM)
            return _To(name) if name and streams else _To()
        access = Access.CONNECT if about.kind == socket.SOCK_STREAM else Access.SEND
        if address.kind is AddressKind.UNIX:
            given = os.fsencode(address.name)
            found = self._judge.object(call.notification.tid, given)
            raw = pack_sockaddr(Address(AddressKind.UNIX, f"/proc/self/fd/{found.fd}"), about.domain)
            return _To(raw, address._replace(name=found.path), found, given, access)
        meant = address.meant(Access.SEND)
        if address.kind is AddressKind.INET and (meant != address or not _has_family(name, about.domain)):
            name = pack_sockaddr(meant, about.domain)
        return _To(name, meant, access=access)

    def _send(self, call: _Call, message: Message, to: _To, delivery: Delivery, told: int) -> Answer:
        """Send what was judged, in a process of its own where that has to wait."""
        opens = bool(call.flags & _MSG_FASTOPEN) and to.raw is not None
        if call.whose is None and not (opens and call.blocks):
            result = delivery.once(0 if opens else socket.MSG_DONTWAIT)
            if result >= 0:
                self._learn(call, to)
                if not call.blocks or call.goes_whole or result == message.size:
                    return answers.value(result)
            elif result != -errno.EAGAIN or not call.blocks:
                self._signal(call, result)
                return answers.error(-result)
        self._wait(call, delivery, told)
        return LATER

    def _wait(self, call: _Call, delivery: Delivery, told: int) -> None:
        """Send in a process of its own, of a stream until all has gone."""
        memory = -1
        if told:
            # To write what only that process knows, which by then may be another user.
            credentials.restore()
            memory = os.open(f"/proc/{call.notification.tid}/mem", os.O_WRONLY | os.O_CLOEXEC)

        def tell(result: int) -> int:
            self._signal(call, result)
            if memory < 0 or result < 0:
                return result
            os.pwrite(memory, _COUNT.pack(result), told)
            return 1

        try:
            self._judge.make_sure(call.notification, confines=False)
            self._waiting.send(
                call.notification, call.fd, delivery.rest, lambda: delivery.done, tell, call.whose
            )
        finally:
            if memory >= 0:
                os.close(memory)

    @staticmethod
    def _signal(call: _Call, result: int) -> None:
        if raises_signal(result, call.about.kind, call.flags):
            credentials.restore()
            pidfd.signal_thread(call.notification.tid, signal.SIGPIPE)

    def _learn(self, call: _Call, to: _To) -> None:
        if to.address is not None and not call.about.connects and self._judge.bound is not None:
            self._judge.bound.learn_sender(call.fd, call.about)


def _layout(row: Row) -> Layout:
    return NARROW if row.narrow else WIDE


def _has_family(name: bytes, domain: int) -> bool:
    """Whether an address says of itself what it is, and is not taken for what the socket is."""
    family = int.from_bytes(name[:2], sys.byteorder)
    return family in (domain, socket.AF_INET)
