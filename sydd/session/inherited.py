"""Which sockets a command may inherit: none by which it could reach what its session is kept from."""

from __future__ import annotations

import os
import socket
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Iterable

    from sydd.kernel.sockets import About

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_STREAMS = (socket.IPPROTO_TCP, 262)  # and MPTCP: who sends by these cannot name a destination
_WAY_OUT = "redirect it (as in '<&-', '| cat')"


class InheritedSocketError(Exception):
    """A descriptor that the command would inherit is such a socket; the message says which and why."""


def refuse_sockets(descriptors: Iterable[int], *, private: bool, datagrams: bool) -> None:
    """Let no socket be inherited that would not be held.

    Where no message may go anywhere, nothing looks at messages: so no socket may come from outside that sends
    to another address with each, or could. To a private network sockets from outside are foreign altogether:
    each stays in the namespace that it was made in, and can be connected anew. Unix sockets that are
    connected, or listen, for good are the caller's gift.

    Args:
        descriptors: those that the command inherits; some may be closed.
        private: whether the command has a network of its own.
        datagrams: whether destinations of messages are judged, or may be any.

    Raises:
        InheritedSocketError: one is such a socket.
    """
    for number in descriptors:
        if not _is_socket(number):
            continue
        from sydd.kernel import sockets  # few commands inherit one

        try:
            about = sockets.about(number)
        except OSError:
            continue  # a name of one: O_PATH
        if private and not _leads_nowhere_else(number, about):
            msg = (
                f"descriptor {number} is a socket of the network outside, by which a command with a network "
                f"of its own would reach it; {_WAY_OUT}"
            )
            raise InheritedSocketError(msg)
        if not datagrams and _names_destinations(about):
            msg = (
                f"descriptor {number} is a socket whose messages may go anywhere, and the profile lets none "
                f"go; {_WAY_OUT}, or have a rule that allows 'send' to where they shall go"
            )
            raise InheritedSocketError(msg)


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False  # it is closed


def _leads_nowhere_else(number: int, about: About) -> bool:
    if about.domain != socket.AF_UNIX or not about.connects:
        return False
    with socket.socket(fileno=os.dup(number)) as own:
        if own.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return True
        try:
            own.getpeername()
        except OSError:
            return False
        return True


def _names_destinations(about: About) -> bool:
    """Whether a message can go elsewhere than to the peer; to have another peer takes a connect(2)."""
    if about.domain == socket.AF_UNIX:
        return not about.connects
    if about.domain in _INTERNET and about.protocol not in _STREAMS:
        return True
    return about.kind != socket.SOCK_STREAM
