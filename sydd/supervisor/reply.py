"""Answers on their way to the kernel.

Source: seccomp_unotify(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from typing import TYPE_CHECKING

from sydd.kernel import credentials, seccomp
from sydd.supervisor.answer import Answer, Kind

if TYPE_CHECKING:
    from sydd.supervisor.notification import Notification
    from sydd.supervisor.slot import Slot

_RESPONSE = seccomp.RESP.pack


MARK = 64
"""The highest signal. Nobody has it for F_SETSIG but an open file that is on its way to a caller."""


def mark(fd: int) -> None:
    """Mark the open file behind *fd*, so that it is known in whatever table it is."""
    fcntl.fcntl(fd, fcntl.F_SETSIG, MARK)


def unmark(fd: int) -> None:
    """Take the mark from the open file."""
    fcntl.fcntl(fd, fcntl.F_SETSIG, 0)


def is_marked(fd: int) -> bool:
    """Whether the open file has the mark."""
    return bool(fcntl.fcntl(fd, fcntl.F_GETSIG) == MARK)


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
                self._install(cookie, answer)
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

    def _install(self, cookie: int, answer: Answer) -> None:
        """Give the caller its descriptor, or the errno with which its table refuses it (EMFILE)."""
        # Not both in one call (SECCOMP_ADDFD_FLAG_SEND): there the caller counts as answered before it has
        # the descriptor. A worker that is killed in between leaves it an open that returns 0, its own stdin.
        # And our copy is closed before the caller goes on: else a program that it has just written would be
        # busy (ETXTBSY), or a FIFO still have a writer, after its own close.
        number = error = 0
        slot = self._slot
        if slot is not None:
            mark(answer.value)
            slot.installing()
        try:
            number = seccomp.add_fd(self._listener, cookie, answer.value, 0, 0, answer.flags & os.O_CLOEXEC)
        except OSError as failure:
            if failure.errno == errno.ENOENT:
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
