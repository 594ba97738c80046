"""Answers on their way to the kernel.

Source: seccomp_unotify(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from typing import TYPE_CHECKING

from sydd.kernel import credentials, seccomp
from sydd.supervisor.answer import Answer, Kind

if TYPE_CHECKING:
    from sydd.supervisor.notification import Notification
    from sydd.supervisor.slot import Slot

_RESPONSE = seccomp.RESP.pack


MARK = 64
"""The highest signal. Nobody has it for F_SETSIG but an open file that is on its way to a caller."""

# <fcntl.h>, which Python does not know, with struct f_owner_ex: type and number.
_F_SETOWN_EX, _F_GETOWN_EX, _F_OWNER_TID = 15, 16, 0
_OWNER = struct.Struct("=ii")


def mark(fd: int, tid: int) -> None:
    """Mark the open file behind *fd*, so that it is known in whatever table it is.

    Args:
        fd: a descriptor of it.
        tid: to which thread it goes. Threads share a table, and each may be about to get one.
    """
    fcntl.fcntl(fd, _F_SETOWN_EX, _OWNER.pack(_F_OWNER_TID, tid))
    fcntl.fcntl(fd, fcntl.F_SETSIG, MARK)


def unmark(fd: int) -> None:
    """Take the mark from the open file."""
    fcntl.fcntl(fd, _F_SETOWN_EX, _OWNER.pack(_F_OWNER_TID, 0))
    fcntl.fcntl(fd, fcntl.F_SETSIG, 0)


def is_marked(fd: int, tid: int) -> bool:
    """Whether the open file is on its way to this thread."""
    if fcntl.fcntl(fd, fcntl.F_GETSIG) != MARK:
        return False
    owner = fcntl.fcntl(fd, _F_GETOWN_EX, bytes(_OWNER.size))
    return bool(_OWNER.unpack(owner) == (_F_OWNER_TID, tid))


class Replies:
    """Sends answers by one listener.

    Args:
        listener: its descriptor; stays the caller's to close.
        slot: what a successor has to know is written there; None for a worker without.
    """

    def __init__(self, listener: int, slot: Slot | None = None) -> None:
        self._listener = listener
        self._slot = slot

    def send(self, notification: Notification, answer: Answer) -> None:
        """Answer; a caller that has gone in the meantime is no error."""
        kind = answer.kind
        cookie = notification.id
        if kind is Kind.CONTINUE:
            self.go_on(cookie)
            return
        try:
            if kind is Kind.ERROR:
                seccomp.send(self._listener, _RESPONSE(cookie, 0, -answer.value, 0))
            elif kind is Kind.VALUE:
                seccomp.send(self._listener, _RESPONSE(cookie, answer.value, 0, 0))
            elif kind is Kind.DESCRIPTOR:
                self._install(notification, answer)
            elif kind is Kind.KILL:
                self._kill(notification)
        except OSError as failure:
            if failure.errno != errno.ENOENT:
                raise

    def go_on(self, cookie: int) -> None:
        """Let the kernel perform the call whose cookie this is."""
        try:
            seccomp.send(self._listener, _RESPONSE(cookie, 0, 0, seccomp.USER_NOTIF_FLAG_CONTINUE))
        except FileNotFoundError:
            return  # the caller has gone

    def _install(self, notification: Notification, answer: Answer) -> None:
        """Give the caller its descriptor, or the errno with which its table refuses it (EMFILE)."""
        # Not both in one call (SECCOMP_ADDFD_FLAG_SEND): there the caller counts as answered before it has
        # the descriptor. A worker that is killed in between leaves it an open that returns 0, its own stdin.
        # And our copy is closed before the caller goes on: else a program that it has just written would be
        # busy (ETXTBSY), or a FIFO still have a writer, after its own close.
        cookie = notification.id
        number = error = 0
        slot = self._slot
        try:
            if slot is not None:
                mark(answer.value, notification.tid)
                slot.installing()
            number = seccomp.add_fd(self._listener, cookie, answer.value, 0, 0, answer.flags & os.O_CLOEXEC)
        except OSError as failure:
            if failure.errno in (errno.ENOENT, errno.ESRCH):
                return
            error = failure.errno or errno.EIO
        finally:
            if slot is not None:
                slot.performed(*((Kind.ERROR, error) if error else (Kind.VALUE, number)))
                unmark(answer.value)
            os.close(answer.value)
        seccomp.send(self._listener, _RESPONSE(cookie, number, -error, 0))

    def _kill(self, notification: Notification) -> None:
        """End the whole process that asked, then let the call fail: it does not return from it."""
        group = credentials.of_task(notification.tid).tgid
        if seccomp.id_valid(self._listener, notification.id):
            os.kill(group, signal.SIGKILL)
        seccomp.send(self._listener, _RESPONSE(notification.id, 0, -errno.EPERM, 0))
