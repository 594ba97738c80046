"""The service manager: sd_notify(3), sd_listen_fds(3) and the descriptor store, in the standard library.

Sources: sd_notify(3), sd_listen_fds_with_names(3), sd_watchdog_enabled(3), systemd.service(5). What is sent
is a datagram of lines `NAME=VALUE`; descriptors go with it by SCM_RIGHTS.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from sydd.kernel.fd import FileDescriptor

FIRST: Final = 3
"""Number of the first descriptor that the manager passes (SD_LISTEN_FDS_START)."""

WAIT: Final = 5.0
"""Seconds that a message to the manager may take when its queue is full; a lost descriptor costs a build."""

_NAME: Final = re.compile(r"[!-9;-~]{1,255}")
_MOST: Final = 253
"""SCM_MAX_FD: descriptors in one message."""


@dataclass(slots=True)
class Passed:
    """A descriptor that the manager has passed.

    Attributes:
        name: FileDescriptorName= of the socket unit, or the name under which it was stored; may be there
            several times.
        fd: the descriptor, close-on-exec.
    """

    name: str
    fd: FileDescriptor


def listen_fds(environment: MutableMapping[str, str] = os.environ) -> list[Passed]:
    """Take what the manager has passed: sockets of socket units, and everything from the descriptor store.

    The variables are removed: no child takes the descriptors for its own, and a second call finds none.

    Args:
        environment: of this process.

    Returns:
        The descriptors in the order of their numbers; empty when there are none for this process.

    Raises:
        ValueError: the variables contradict themselves; nothing was taken.
    """
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "")
    environment.pop("LISTEN_PIDFDID", None)
    if not pid or not count or _decimal("LISTEN_PID", pid) != os.getpid():
        return []
    number = _decimal("LISTEN_FDS", count)
    each = names.split(":") if names else ["unknown"] * number
    if len(each) != number:
        raise ValueError(f"LISTEN_FDNAMES has {len(each)} names for {number} descriptors")
    passed = []
    for fd, name in enumerate(each, FIRST):
        os.set_inheritable(fd, False)
        passed.append(Passed(name, FileDescriptor(fd)))
    return passed


def _decimal(variable: str, text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ValueError(f"{variable} is no number: {text!r}")
    return int(text)


def watchdog_interval(environment: MutableMapping[str, str] = os.environ) -> float | None:
    """Seconds within which the manager wants to hear `Manager.watchdog`; None when it does not watch.

    Args:
        environment: of this process.

    Raises:
        ValueError: WATCHDOG_USEC or WATCHDOG_PID is no number.
    """
    interval, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not interval or (pid and _decimal("WATCHDOG_PID", pid) != os.getpid()):
        return None
    return _decimal("WATCHDOG_USEC", interval) / 1_000_000


class Manager:
    """The service manager that started this process, or nobody.

    What is told about the state (ready, status, watchdog …) never blocks and never raises: a daemon goes on
    without an audience. The store does raise: a descriptor that is not there after a crash is a lost session.

    Args:
        address: value of NOTIFY_SOCKET: a path, or `@` and an abstract name; empty for nobody.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, address: str) -> None:
        if address and address[0] not in "/@":
            raise ValueError(f"NOTIFY_SOCKET is neither a path nor an abstract name: {address!r}")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Manager:
        """The manager of this process; NOTIFY_SOCKET is removed, as it is nobody else's.

        Raises:
            ValueError: NOTIFY_SOCKET is neither a path nor an abstract name.
        """
        return cls(environment.pop("NOTIFY_SOCKET", ""))

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Start-up, or a reload, is done (READY=1)."""
        self._tell("READY=1", *_status(status))

    def stopping(self, status: str = "") -> None:
        """This process is about to end (STOPPING=1)."""
        self._tell("STOPPING=1", *_status(status))

    def reloading(self, status: str = "") -> None:
        """The configuration is read again (RELOADING=1); `ready` tells when that is done."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", *_status(status))

    def status(self, text: str) -> None:
        """One line for `systemctl status` (STATUS=)."""
        self._tell(*_status(text))

    def watchdog(self) -> None:
        """This process is alive (WATCHDOG=1)."""
        self._tell("WATCHDOG=1")

    def store(self, name: str, fds: Sequence[int]) -> None:
        """Put duplicates of descriptors into the store, whence the next process of the service gets them.

        The manager does not watch them (FDPOLL=0): a listener that hangs up stays until it is removed. It
        drops what it holds already, and silently what is beyond FileDescriptorStoreMax=.

        Args:
            name: under which they come back: printable ASCII without spaces and colons, at most 255.
            fds: up to 253 descriptors; they stay the caller's.

        Raises:
            ValueError: the name or the number of descriptors will not do.
            OSError: the manager does not take the message within WAIT seconds.
        """
        if not 0 < len(fds) <= _MOST:
            raise ValueError(f"{len(fds)} descriptors in one message")
        self._send(["FDSTORE=1", "FDPOLL=0", f"FDNAME={_checked(name)}"], fds, WAIT)

    def remove(self, name: str) -> None:
        """Take all descriptors of a name out of the store.

        Args:
            name: under which they were stored; one that is not there is fine.

        Raises:
            ValueError: it is no name.
            OSError: the manager does not take the message within WAIT seconds.
        """
        self._send(["FDSTOREREMOVE=1", f"FDNAME={_checked(name)}"], (), WAIT)

    def _tell(self, *lines: str) -> None:
        with contextlib.suppress(OSError):
            self._send(lines, (), 0)

    def _send(self, lines: Iterable[str], fds: Sequence[int], wait: float) -> None:
        if not self._address:
            return
        message = "\n".join(lines).encode("utf-8", "surrogateescape")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(wait)
            channel.connect(self._address)
            if fds:
                socket.send_fds(channel, [message], list(fds))
            else:
                channel.send(message)


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"no name for stored descriptors: {name!r}")
    return name
