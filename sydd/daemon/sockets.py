"""The control socket: passed by the service manager, or made here, for the group of those who may use it."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sydd.control.server import BACKLOG
from sydd.kernel.fd import FileDescriptor

SYSTEM: Final = "/run/sydd/sydd.sock"
GROUP: Final = "sydd"


class SocketError(Exception):
    """There is no control socket to listen on; the message says why."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that the daemon listens on.

    Attributes:
        socket: of AF_UNIX.
        path: its name.
        made: whether this process made it, and removes it at the end.
    """

    socket: socket.socket
    path: str
    made: bool

    def close(self) -> None:
        """Close it, and remove its name where this process has made it and it is still its own."""
        if self.made:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.socket.close()


def user_directory() -> str:
    """Where a user's own daemon has its socket.

    Raises:
        SocketError: there is no such place.
    """
    directory = os.environ.get("XDG_RUNTIME_DIR", "")
    if not directory.startswith("/"):
        raise SocketError("XDG_RUNTIME_DIR is not set: name the socket with --socket")
    return f"{directory}/sydd"


def user_config() -> str:
    """The settings of a user's own daemon."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.config")
    return f"{base}/sydd/sydd.toml"


def default_path(*, own: bool) -> str:
    """The control socket's usual name.

    Args:
        own: whether it is that of a user's own daemon.

    Raises:
        SocketError: there is no place for it.
    """
    return os.environ.get("SYDD_SOCKET", "") or (f"{user_directory()}/sydd.sock" if own else SYSTEM)


def listening(passed: Sequence[tuple[str, FileDescriptor]], path: str) -> list[Listening]:
    """The sockets to listen on.

    Args:
        passed: by the service manager, with their names; now this function's.
        path: of the one to make where none was passed.

    Raises:
        SocketError: it cannot be made, or something else was passed.
    """
    if not passed:
        return [_made(path)]
    found = []
    for name, fd in passed:
        sock = socket.socket(fileno=fd.steal())
        if sock.family != socket.AF_UNIX or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise SocketError(f"the service manager passed '{name}', which is no listening unix socket")
        address = sock.getsockname()
        found.append(Listening(sock, os.fsdecode(address), made=False))
    return found


def _made(path: str) -> Listening:
    directory = os.path.dirname(path)
    system = os.geteuid() == 0
    try:
        os.makedirs(directory, mode=0o755 if system else 0o700, exist_ok=True)
    except OSError as error:
        raise SocketError(f"cannot make '{directory}': {error.strerror}") from None
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        if system:
            with contextlib.suppress(KeyError):
                os.chown(path, 0, grp.getgrnam(GROUP).gr_gid)
                os.chmod(path, 0o660)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise SocketError(f"cannot listen on '{path}': {error.strerror}") from None
    return Listening(sock, path, made=True)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on.

    Raises:
        SocketError: somebody does, or it is something else.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SocketError(f"'{path}' is there, and no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise SocketError(f"cannot tell who listens on '{path}': {error.strerror}") from None
        else:
            raise SocketError(f"another daemon listens on '{path}'")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
