"""Whether a socket is still open, and which one listens: netlink's diagnosis of sockets, sock_diag(7).

Each question is about one socket, asked by its number or its address: nothing is listed. A kernel without the
modules for it (tcp_diag, unix_diag) knows none.
"""

from __future__ import annotations

import errno
import socket
import struct

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, _NLM_F_DUMP = 4, 20, 1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port id
_ERROR = struct.Struct("=i")
_INET = struct.Struct("=BBBBI2s2s16s16sI8s")  # struct inet_diag_req_v2
_UNIX = struct.Struct("=BBHIII8s")  # struct unix_diag_req
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_VFS = struct.Struct("=II")  # struct unix_diag_vfs: inode, device
_ANY_COOKIE = b"\xff" * 8  # INET_DIAG_NOCOOKIE
_ALL_STATES = 0xFFFF_FFFF
_LISTEN = 10  # TCP_LISTEN
_SHOW_VFS, _UNIX_DIAG_VFS = 2, 1
_INET_STATE, _INET_COOKIE = 1, slice(44, 52)
_UNIX_SIZE = 16  # struct unix_diag_msg
_PORT = struct.Struct("!H")
_ANSWER = 8192


class Diagnosis:
    """Asks the kernel about sockets in one network namespace.

    Args:
        fd: a netlink socket for it, of the namespace that is meant, which becomes this object's own; None for
            one of the caller's.
    """

    def __init__(self, fd: int | None = None) -> None:
        self._socket = (
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
            if fd is None
            else socket.socket(fileno=fd)
        )
        self._sequence = 0
        self._known: dict[int, bool] = {}

    def close(self) -> None:
        """Let go of the netlink socket."""
        self._socket.close()

    def knows(self, protocol: int) -> bool:
        """Whether the kernel has what it takes to tell of a protocol: else every question finds nothing.

        It is asked, once, to list the sockets in no state at all.

        Args:
            protocol: IPPROTO_TCP or IPPROTO_UDP.
        """
        if protocol not in self._known:
            request = _request(4, protocol, (0, 0), (0, 0), states=0)
            self._send(request, _NLM_F_DUMP)
            kind, answer = self._receive()
            (number,) = _ERROR.unpack_from(answer)
            self._known[protocol] = kind == _NLMSG_DONE and not number
        return self._known[protocol]

    def listener(self, version: int, number: int, port: int) -> bytes | None:
        """The cookie of the TCP socket that takes connections to an address; None when there is none.

        Args:
            version: 4 or 6.
            number: the address, most significant byte first.
            port: 1 to 65535.
        """
        answer = self._ask(_request(version, socket.IPPROTO_TCP, (number, port), (0, 0)))
        return answer[_INET_COOKIE] if answer and answer[_INET_STATE] == _LISTEN else None

    def receiver(self, version: int, number: int, port: int, sender: tuple[int, int]) -> bytes | None:
        """The cookie of the UDP socket that gets what is sent to an address; None when there is none.

        Args:
            version: 4 or 6.
            number: the address, most significant byte first.
            port: 1 to 65535.
            sender: address and port that it is sent from, by which connected sockets are told from others.
        """
        # Of UDP the kernel takes the two ends the other way round, "for historical reasons".
        answer = self._ask(_request(version, socket.IPPROTO_UDP, sender, (number, port)))
        return answer[_INET_COOKIE] if answer else None

    def unix(self, inode: int, cookie: bytes) -> int | None:
        """The inode of the name of a unix socket, its lower 32 bits; 0 when it has none in the file system.

        Args:
            inode: of the socket itself, as fstat(2) says.
            cookie: its cookie.

        Returns:
            None when the socket is not open any more.
        """
        request = _UNIX.pack(socket.AF_UNIX, 0, 0, _ALL_STATES, inode & 0xFFFF_FFFF, _SHOW_VFS, cookie)
        answer = self._ask(request)
        if answer is None:
            return None
        place = _UNIX_SIZE
        while place + _ATTRIBUTE.size <= len(answer):
            length, kind = _ATTRIBUTE.unpack_from(answer, place)
            if kind == _UNIX_DIAG_VFS:
                return int(_VFS.unpack_from(answer, place + _ATTRIBUTE.size)[0])
            place += max(length + 3 & ~3, _ATTRIBUTE.size)
        return 0

    def _ask(self, request: bytes) -> bytes | None:
        """What the kernel says about one socket; None for nothing.

        Raises:
            OSError: it cannot be asked.
        """
        self._send(request)
        kind, answer = self._receive()
        if kind == _NLMSG_ERROR:
            (number,) = _ERROR.unpack_from(answer)
            if -number in (errno.ENOENT, errno.ESTALE, errno.EINVAL, 0):
                return None
            raise OSError(-number, "sock_diag")
        return answer

    def _send(self, request: bytes, flags: int = 0) -> None:
        """Ask one question."""
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        length = _HEADER.size + len(request)
        header = _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + request)

    def _receive(self) -> tuple[int, bytes]:
        """Type and content of the answer to the last question."""
        while True:
            answer = self._socket.recv(_ANSWER)
            length, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            if sequence == self._sequence:
                return kind, answer[_HEADER.size : length]


def _request(
    version: int,
    protocol: int,
    source: tuple[int, int],
    destination: tuple[int, int],
    states: int = _ALL_STATES,
) -> bytes:
    """A struct inet_diag_req_v2 about one socket, by addresses and ports."""
    family, size = (socket.AF_INET, 4) if version == 4 else (socket.AF_INET6, 16)
    return _INET.pack(
        family,
        protocol,
        0,
        0,
        states,
        _PORT.pack(source[1]),
        _PORT.pack(destination[1]),
        source[0].to_bytes(size, "big").ljust(16, b"\0"),
        destination[0].to_bytes(size, "big").ljust(16, b"\0"),
        0,
        _ANY_COOKIE,
    )
