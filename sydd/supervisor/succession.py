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
from sydd.supervisor.failure import CallerGone, NaturalFailure
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
    Again = Callable[[Notification], Answer]

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
    elif answer.kind is not Kind.LATER:  # else it is somebody else's, who works in its seat already
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
    """What a worker left that has died.

    Args:
        slot: its memory.
        listener: the listener that it served.
    """

    def __init__(self, slot: Slot, listener: int) -> None:
        self._slot = slot
        self._listener = listener
        self._theirs: list[tuple[int, Notification]] = []
        self._ours: dict[int, Notification] = {}  # by seat
        slot.settle_counts()
        for seat, data in slot.seated():
            notification = decode(unpack(data))
            if not seccomp.id_valid(listener, notification.id):
                slot.leave_seat(seat)
            elif slot.claimant(seat):
                self._theirs.append((seat, notification))
            else:
                self._ours[seat] = notification

    def answered_by_others(self) -> list[tuple[int, Notification]]:
        """Seat and request of each call that another process of that worker goes on waiting for."""
        return self._theirs

    def left(self) -> Iterator[Notification]:
        """The calls that nobody answers. Each is worked on until `Slot.rise` says that it is not."""
        held = self._slot.held()
        fields = unpack(held)
        seated = {each.id for _, each in self._theirs} | {each.id for each in self._ours.values()}
        if any(held) and fields[ID] not in seated and seccomp.id_valid(self._listener, fields[ID]):
            yield decode(fields)
        # Also what was stored of a request that was answered: the next one is received over it.
        self._slot.begin()
        for seat, notification in self._ours.items():
            self._slot.sit(seat)
            yield notification


class Resumption:
    """Answers the request that is worked on from where who worked on it has died.

    Args:
        slot: where something was stored of it.
        reader: of callers' memory.
        resolver: of paths.
    """

    def __init__(self, slot: Slot, reader: Reader, resolver: Resolver) -> None:
        self._slot = slot
        self._reader = reader
        self._resolver = resolver

    def answer(self, notification: Notification, row: Row | None, again: Again) -> Answer:
        """The answer.

        Args:
            notification: the request.
            row: its row; None for none.
            again: answers it where nothing was done.

        Raises:
            MayStall: it has to be looked for what was done, which may have to wait.
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
        except (NaturalFailure, CallerGone, Changed, MayBlock, OSError):
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
                if is_marked(copy, tid):
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
