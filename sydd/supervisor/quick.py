"""The quick way: most calls of a build, answered from their registers and one string.

A request that goes the whole way becomes a value at every stage, and that takes longer than all that the
kernel does for it. What can be known sooner is answered here, before any of these values are made: opens, new
and vanishing names in directories that are known (`sydd.supervisor.shortcut`), and metadata by descriptor,
which is performed on a copy of the very descriptor. Whatever is not plain here is None, and goes the whole
way; nothing is denied here.
"""

from __future__ import annotations

import os
import stat
from errno import EFAULT, EIO
from typing import TYPE_CHECKING

from sydd.kernel import metadata, seccomp
from sydd.kernel.names import RENAME_NOREPLACE
from sydd.policy.access import Access, Action
from sydd.supervisor.answer import CONTINUE, DONE, Answer, error
from sydd.supervisor.arguments import as_int
from sydd.supervisor.notification import ARGUMENTS, ID, NUMBER, TID
from sydd.supervisor.request import AT_FDCWD
from sydd.syscalls.row import Operation, Row, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sydd.kernel.memory import Reader
    from sydd.policy.matcher import Matcher
    from sydd.supervisor.descriptors import Descriptors
    from sydd.supervisor.shortcut import Shortcuts

    Fields = tuple[int, ...]
    Way = Callable[[Fields], Answer | None]

_DELETED = " (deleted)"
_IDENTITY_BITS = stat.S_ISUID | stat.S_ISGID

MAXIMUM = 4096
"""Directories remembered."""


class QuickWays:
    """The quick ways of one session.

    Args:
        listener: the listener descriptor.
        matcher: the policy.
        reader: reads callers' memory.
        descriptors: takes copies of callers' descriptors.
    """

    def __init__(self, listener: int, matcher: Matcher, reader: Reader, descriptors: Descriptors) -> None:
        self._listener = listener
        self._matcher = matcher
        self._reader = reader
        self._descriptors = descriptors
        self._free: dict[str, bool] = {}

    def by_number(
        self, rows: Mapping[int, Row], shortcuts: Shortcuts | None, *, looked_at: bool
    ) -> dict[int, Way]:
        """The quick way of each call that has one, by its number.

        Args:
            rows: the syscall table of the machine's own ABI.
            shortcuts: what is known of directories; None where the kernel holds nothing.
            looked_at: whether modes or ids have to be looked at: those of a caller in a user namespace of its
                own mean something else, and modes by which a program runs as its owner may be refused.
        """
        ways = {}
        for number, row in rows.items():
            way = None if looked_at else self._of_descriptor(row)
            if way is None and shortcuts is not None:
                way = self._of_name(row, shortcuts)
            if way is not None:
                ways[number] = way
        return ways

    def _of_name(self, row: Row, shortcuts: Shortcuts) -> Way | None:
        if row.path is None:
            return None
        path = ARGUMENTS + row.path
        dirfd = NUMBER if row.dirfd is None else ARGUMENTS + row.dirfd
        if row.operation is Operation.OPEN and not row.extra:
            flags = NUMBER if row.flags is None else ARGUMENTS + row.flags
            return self._open(path, dirfd, row, flags, shortcuts.allows_open)
        if row.operation in (Operation.MKDIR, Operation.UNLINK):
            return self._entry(path, dirfd, row, shortcuts.allows_entry)
        if row.operation is Operation.RENAME:
            return self._rename(row, shortcuts)
        return None

    def _open(
        self, path: int, dirfd: int, row: Row, flags: int, allows: Callable[[int, int, bytes, int], bool]
    ) -> Way:
        read = self._reader.read_string
        relative = row.dirfd is not None
        fixed = row.fixed_flags
        variable = 0 if row.flags is None else 0xFFFFFFFF

        def way(fields: Fields) -> Answer | None:
            tid = fields[TID]
            try:
                name = read(tid, fields[path])
            except OSError:
                return None
            start = as_int(fields[dirfd]) if relative else AT_FDCWD
            if name and allows(tid, start, name, fields[flags] & variable | fixed):
                return CONTINUE
            return None

        return way

    def _entry(self, path: int, dirfd: int, row: Row, allows: Callable[[int, int, bytes], bool]) -> Way:
        read = self._reader.read_string
        relative = row.dirfd is not None

        def way(fields: Fields) -> Answer | None:
            tid = fields[TID]
            try:
                name = read(tid, fields[path])
            except OSError:
                return None
            start = as_int(fields[dirfd]) if relative else AT_FDCWD
            return CONTINUE if name and allows(tid, start, name) else None

        return way

    def _rename(self, row: Row, shortcuts: Shortcuts) -> Way:
        read = self._reader.read_string

        def way(fields: Fields) -> Answer | None:
            arguments = fields[ARGUMENTS:]
            tid = fields[TID]
            flags = 0 if row.flags is None else arguments[row.flags] & 0xFFFFFFFF
            if row.path is None or row.path2 is None or flags & ~RENAME_NOREPLACE:
                return None
            try:
                old, new = read(tid, arguments[row.path]), read(tid, arguments[row.path2])
            except OSError:
                return None
            if not old or not new:
                return None
            start = AT_FDCWD if row.dirfd is None else as_int(arguments[row.dirfd])
            start2 = AT_FDCWD if row.dirfd2 is None else as_int(arguments[row.dirfd2])
            return CONTINUE if shortcuts.allows_rename(tid, (start, old), (start2, new)) else None

        return way

    def _of_descriptor(self, row: Row) -> Way | None:
        """Mode, owner and times of an open file: the same system call, on a copy of its descriptor."""
        if row.fd is not None and row.operation is Operation.CHMOD and row.mode is not None:
            mode = ARGUMENTS + row.mode
            return self._mode(row.fd, mode)
        if row.fd is not None and row.operation is Operation.CHOWN:
            uid, gid = (ARGUMENTS + register for register in row.extra)
            return self._on_copy(row.fd, lambda fields, fd: os.fchown(fd, _id(fields[uid]), _id(fields[gid])))
        if row.operation is Operation.UTIME and row.times is Times.TIMESPEC and row.dirfd is not None:
            return self._times(row)
        return None

    def _mode(self, register: int, mode: int) -> Way:
        """fchmod(2), but with bits by which a program runs as its owner: of these a profile may speak."""
        on_copy = self._on_copy(register, lambda fields, fd: os.fchmod(fd, fields[mode] & 0o7777))

        def way(fields: Fields) -> Answer | None:
            return None if fields[mode] & _IDENTITY_BITS else on_copy(fields)

        return way

    def _times(self, row: Row) -> Way | None:
        """utimensat(2) with a null path, which is futimens(3)."""
        if row.dirfd is None or row.path is None or row.flags is None:
            return None
        path, flags, times = (ARGUMENTS + register for register in (row.path, row.flags, row.extra[0]))
        read = self._reader.read

        def act(fields: Fields, fd: int) -> None:
            address = fields[times]
            data = read(fields[TID], address, metadata.TIMES_SIZE) if address else None
            if data is not None and len(data) < metadata.TIMES_SIZE:
                raise OSError(EFAULT, os.strerror(EFAULT))
            metadata.futimens(fd, data)

        on_copy = self._on_copy(row.dirfd, act)

        def way(fields: Fields) -> Answer | None:
            return None if fields[path] or fields[flags] & 0xFFFFFFFF else on_copy(fields)

        return way

    def _on_copy(self, register: int, act: Callable[[Fields, int], None]) -> Way:
        """The way of a call that changes the object behind a descriptor."""
        place = ARGUMENTS + register
        listener = self._listener
        copy = self._descriptors.copy

        def way(fields: Fields) -> Answer | None:
            number = as_int(fields[place])
            if number < 0:
                return None
            try:
                fd = copy(fields[TID], number)
            except OSError:
                return None
            try:
                # The copy may be from another process that has the caller's number by now.
                if not self._is_free(fd) or not seccomp.id_valid(listener, fields[ID]):
                    return None
                act(fields, fd)
            except OSError as failure:
                return error(failure.errno or EIO)
            finally:
                os.close(fd)
            return DONE

        return way

    def _is_free(self, fd: int) -> bool:
        """Whether the policy allows changing the metadata of all in the directory of *fd*'s object."""
        try:
            path = self._descriptors.name(fd)
        except OSError:  # too long a name
            return False
        directory = path[: path.rfind("/")]
        free = self._free.get(directory)
        if free is None:
            free = (
                directory[:1] == "/"
                and not directory.startswith("/proc")
                and self._matcher.uniform(Access.ATTRIBUTES, directory) is Action.ALLOW
            )
            if len(self._free) >= MAXIMUM:
                self._free.clear()
            self._free[directory] = free
        return free and not path.endswith(_DELETED)


def _id(register: int) -> int:
    """A user or group id; -1 leaves what there is."""
    register &= 0xFFFFFFFF
    return -1 if register == 0xFFFFFFFF else register
