"""Requests whose worker has died over them: which acts may be done twice, and whether one was done.

Of acts that may not, only those whose result was stored are known to have been done; what was just being done
is answered by EINTR, and the caller looks for itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sydd.kernel import seccomp
from sydd.supervisor import answer as answers
from sydd.supervisor.answer import Answer, Kind
from sydd.supervisor.failure import CallerGone, MayStall, NaturalFailure
from sydd.supervisor.narrow import narrowed
from sydd.supervisor.notification import ID, decode, unpack
from sydd.supervisor.openflags import O_TMPFILE_BIT
from sydd.supervisor.perform import Changed, MayBlock, perform
from sydd.supervisor.reply import is_marked, unmark
from sydd.supervisor.request import read_request
from sydd.supervisor.slot import Stage
from sydd.supervisor.target import locate
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sydd.kernel.memory import Reader
    from sydd.supervisor.descriptors import Descriptors
    from sydd.supervisor.notification import Notification
    from sydd.supervisor.request import Request
    from sydd.supervisor.resolve import Resolver
    from sydd.supervisor.slot import Slot
    from sydd.supervisor.target import Target
    from sydd.syscalls.row import Row

    Call = Callable[[Notification, Row], Answer]

_NOT_TWICE = frozenset(
    {
        Operation.MKDIR,
        Operation.MKNOD,
        Operation.UNLINK,
        Operation.RENAME,
        Operation.LINK,
        Operation.SYMLINK,
        Operation.REMOVEXATTR,
        Operation.SETXATTR,
    }
)
_OWNER_WRITES = 0o600


def not_twice(request: Request, target: Target) -> bool:
    """Whether doing what *request* asks for a second time would give another answer, or another tree."""
    if request.row.operation in _NOT_TWICE:
        return True
    if request.row.operation is not Operation.OPEN or not target.creates or request.flags & O_TMPFILE_BIT:
        return False
    # A file that its mode does not let its owner open can be opened as it is made, and only then.
    return bool(request.flags & os.O_EXCL) or request.mode & _OWNER_WRITES != _OWNER_WRITES


def at_most_once(slot: Slot | None, act: Callable[[], Answer]) -> Answer:
    """Do something that may not be done twice, and store what became of it.

    Args:
        slot: where; None for a worker without successor.
        act: does it.
    """
    if slot is None:
        return act()
    slot.performing()
    try:
        answer = act()
    except BaseException:
        slot.undone()
        raise
    return stored(slot, answer)


def stored(slot: Slot, answer: Answer) -> Answer:
    """Store what became of something that was done, or what kept it from being done."""
    if answer.kind is Kind.DESCRIPTOR:
        about = os.fstat(answer.value)
        slot.opened(about.st_dev, about.st_ino)
    elif answer.kind in (Kind.VALUE, Kind.ERROR):
        slot.performed(answer.kind, answer.value)
    else:
        slot.undone()
    return answer


def storing(slot: Slot | None, call: Call) -> Call:
    """*call*, whose answers are stored; it says by itself when it begins what may not be done twice."""
    if slot is None:
        return call

    def answered(notification: Notification, row: Row) -> Answer:
        return stored(slot, call(notification, row))

    return answered


class Succession:
    """What a worker left that has died, and how it is answered.

    Args:
        slot: its memory.
        listener: the listener that it served.
        reader: of callers' memory.
        resolver: of paths.
    """

    def __init__(self, slot: Slot, listener: int, reader: Reader, resolver: Resolver) -> None:
        self._slot = slot
        self._listener = listener
        self._reader = reader
        self._resolver = resolver
        self._seated = dict(slot.seated())
        self._theirs: dict[int, int] = {}  # seat to cookie
        self._ours: list[int] = []
        for seat, data in self._seated.items():
            cookie = unpack(data)[ID]
            if not seccomp.id_valid(listener, cookie):
                slot.leave_seat(seat)
            elif slot.claim(seat):
                self._ours.append(seat)
            else:
                self._theirs[seat] = cookie

    def answered_by_others(self) -> list[tuple[int, int]]:
        """Seat and cookie of each call that another process of that worker goes on waiting for."""
        return list(self._theirs.items())

    def left(self) -> Iterator[Notification]:
        """The calls that nobody answers, each held until the next one is asked for."""
        held = self._slot.held()
        fields = unpack(held)
        seat_of = {unpack(data)[ID]: seat for seat, data in self._seated.items()}
        seat = seat_of.get(fields[ID], -1)
        if any(held) and seat not in self._theirs and seccomp.id_valid(self._listener, fields[ID]):
            if self._slot.result().stage is Stage.NOTHING:
                self._slot.resume_seat(seat)  # what a stand-in did stands there
            yield decode(fields)
        # Also what was stored of a request that was answered: the next one is received over it.
        self._slot.begin()
        for other in self._ours:
            if other != seat:
                self._slot.resume_seat(other)
                yield decode(unpack(self._seated[other]))
                self._slot.begin()
            self._slot.leave_seat(other)

    def answer(
        self, notification: Notification, row: Row | None, again: Callable[[Notification], Answer]
    ) -> Answer:
        """The answer to the call that is held, from where the worker left it.

        Args:
            notification: the call.
            row: its row; None for none.
            again: takes it the whole way.
        """

        def reopen() -> Answer:
            if row is None:
                return answers.error(errno.EINTR)
            plain = narrowed(notification, row, self._reader) if row.narrow else (notification, row)
            self._resolver.caller = notification.tid
            try:
                request = _reopening(read_request(*plain, self._reader))
                return perform(request, locate(request, self._resolver))
            finally:
                self._resolver.close()

        descriptors = self._resolver.descriptors
        try:
            return _finish(self._slot, notification.tid, descriptors, lambda: again(notification), reopen)
        except (NaturalFailure, CallerGone, Changed, MayBlock, MayStall, OSError):
            return answers.error(errno.EINTR)


def _finish(
    slot: Slot,
    tid: int,
    descriptors: Descriptors,
    again: Callable[[], Answer],
    reopen: Callable[[], Answer],
) -> Answer:
    """The answer to a request whose worker has died over it.

    Args:
        slot: where something was stored of it.
        tid: the caller.
        descriptors: copies of its descriptors.
        again: takes it the whole way.
        reopen: opens the file that was made for it, by its name.
    """
    result = slot.result()
    if result.stage is Stage.PERFORMED:
        if result.installing and result.kind == Kind.VALUE:
            _unmark_in(descriptors, tid, result.value)
        return Answer(Kind(result.kind), result.value)
    if result.installing:
        installed = _find_marked(descriptors, tid)
        if installed >= 0:
            # Before the mark goes: this process may die, too.
            slot.performed(Kind.VALUE, installed)
            _unmark_in(descriptors, tid, installed)
            return Answer(Kind.VALUE, installed)
    if result.stage is Stage.NOTHING:
        return again()
    if result.stage is Stage.OPENED:
        answer = reopen()
        if answer.kind is not Kind.DESCRIPTOR:
            return answers.error(errno.EINTR)
        about = os.fstat(answer.value)
        if (about.st_dev, about.st_ino) == (result.value, result.inode):
            return answer
        os.close(answer.value)
    return answers.error(errno.EINTR)


def _reopening(request: Request) -> Request:
    """The open of what *request* has made."""
    return request._replace(flags=request.flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC))


def _find_marked(descriptors: Descriptors, tid: int) -> int:
    """The descriptor of a task whose open file has the mark; -1 for none."""
    for number in map(int, os.listdir(f"/proc/{tid}/fd")):
        with contextlib.suppress(OSError):
            copy = descriptors.copy(tid, number)
            try:
                if is_marked(copy):
                    return number
            finally:
                os.close(copy)
    return -1


def _unmark_in(descriptors: Descriptors, tid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        copy = descriptors.copy(tid, number)
        try:
            unmark(copy)
        finally:
            os.close(copy)
