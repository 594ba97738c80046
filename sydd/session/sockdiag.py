"""The sockets of a network namespace, by sock_diag(7) through pyroute2.

Addresses are written as rules of profiles have them: `127.0.0.1!80`, `[::1]!80`, `unix:/path`, `@name`.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from sydd.kernel import namespaces, pidfd

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATES = {
    1: "connected",
    2: "connecting",
    3: "accepting",
    4: "closing",
    5: "closing",
    6: "closing",
    7: "bound",
    8: "closed by peer",
    9: "closing",
    10: "listening",
    11: "closing",
    12: "accepting",
}
"""TCP_* of <net/tcp_states.h>, which all families use."""

_TRANSPORTS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "raw": socket.IPPROTO_RAW}
_UNIX_TYPES = {
    socket.SOCK_STREAM: "unix stream",
    socket.SOCK_DGRAM: "unix dgram",
    socket.SOCK_SEQPACKET: "unix seqpacket",
}
UNNAMED = "unix:unnamed"


class Socket(NamedTuple):
    """One socket.

    Attributes:
        inode: as `socket:[N]` of /proc/<pid>/fd has it.
        protocol: tcp, udp, raw, or unix with its type.
        state: what it does.
        local: its address.
        remote: its peer's; empty where it has none.
    """

    inode: int
    protocol: str
    state: str
    local: str
    remote: str


def sockets() -> list[Socket]:
    """The sockets of this process's network namespace."""
    # Here: it takes 150 ms.
    from pyroute2.netlink.diag import DiagSocket, MarshalDiag, unix_diag_msg

    class UnixMessage(unix_diag_msg):  # type: ignore[misc]
        """The library takes the NUL that begins an abstract name for the end of one that is text."""

        nla_map = tuple(
            (name, "cdata" if name == "UNIX_DIAG_NAME" else kind) for name, kind in unix_diag_msg.nla_map
        )

    class Marshal(MarshalDiag):  # type: ignore[misc]
        """With that."""

        msg_map = MarshalDiag.msg_map | {socket.AF_UNIX: UnixMessage}

    found: list[Socket] = []
    with DiagSocket() as diag:
        diag.set_marshal(Marshal())
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol, number in _TRANSPORTS.items():
                messages = diag.get_sock_stats(family=family, protocol=number)
                found += [_internet(message, protocol) for message in messages]
        found += _unix(diag.get_sock_stats(family=socket.AF_UNIX))
    return found


def _internet(message: Any, protocol: str) -> Socket:
    family = message["idiag_family"]
    scope, port = message["idiag_if"], message["idiag_dport"]
    return Socket(
        message["idiag_inode"],
        protocol,
        _STATES.get(message["idiag_state"], "unknown"),
        _address(family, message["idiag_src"], message["idiag_sport"], scope),
        _address(family, message["idiag_dst"], port, scope) if port else "",
    )


def _address(family: int, host: str, port: int, scope: int) -> str:
    if family == socket.AF_INET:
        return f"{host}!{port}"
    on = f"%{scope}" if scope and host.startswith("fe80:") else ""
    return f"[{host}{on}]!{port}"


def _unix(messages: Any) -> Iterator[Socket]:
    names = {message["udiag_ino"]: _name(message.get_attr("UNIX_DIAG_NAME")) for message in messages}
    for message in messages:
        inode, kind, state = message["udiag_ino"], message["udiag_type"], message["udiag_state"]
        peer = message.get_attr("UNIX_DIAG_PEER")
        said = "unconnected" if names[inode] == UNNAMED and state == 7 else _STATES.get(state, "unknown")
        if peer is not None:
            said = "connected"  # a datagram socket with a peer keeps the state of one without
        yield Socket(
            inode,
            _UNIX_TYPES.get(kind, f"unix {kind}"),
            said,
            names[inode],
            "" if peer is None else names.get(peer, UNNAMED),
        )


def _name(raw: bytes | None) -> str:
    """The address of a unix socket: NUL begins an abstract name and ends a path."""
    if not raw:
        return UNNAMED
    if raw[0]:
        return "unix:" + os.fsdecode(raw.split(b"\0", 1)[0])
    return "@" + os.fsdecode(raw[1:])


def sockets_beside(pid: int) -> list[Socket]:
    """The sockets of the network namespace of process *pid*; none when it has gone.

    Raises:
        OSError: EPERM where this user may not enter it.
    """
    if _namespace(pid) == _namespace(os.getpid()):
        return sockets()
    try:
        handle = pidfd.pidfd_open(pid)
    except ProcessLookupError:
        return []
    try:
        return _in_child(handle)
    finally:
        os.close(handle)


def namespace_of(pid: int) -> str:
    """What tells the network namespace of *pid* from others; empty when it has gone."""
    try:
        return _namespace(pid)
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _in_child(process: int) -> list[Socket]:
    """`sockets` in a child that enters the namespace: this process stays where it is."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reader)
            _report(process, writer)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = json.loads(pipe.read() or b"0")
    os.waitpid(child, 0)
    if isinstance(answer, int):
        raise OSError(answer, os.strerror(answer) if answer else "the helper ended without an answer")
    return [Socket(*values) for values in answer]


def _report(process: int, writer: int) -> None:
    """In the child: enter, ask, write the answer as JSON, or the errno."""
    try:
        try:
            namespaces.setns(process, namespaces.CLONE_NEWNET)
        except PermissionError:
            # Of a user namespace that the same user has made, capabilities are had by entering it.
            namespaces.setns(process, namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNET)
        answer = json.dumps(sockets())
    except ProcessLookupError:
        answer = "[]"
    except OSError as error:
        answer = str(error.errno)
    with open(writer, "w", encoding="ascii") as pipe:
        pipe.write(answer)
