"""The short way to CONTINUE, for what the kernel holds and the policy allows in a whole directory.

Most calls of a build are of this kind: a header below /usr, an object file in the work directory. For them
the full resolution would only confirm what is known of the directory, and the answer is safe whatever the
caller's memory says by the time the kernel reads it: Landlock holds (`Coverage.may_continue`). So a
directory, once resolved, is remembered as *plain* when the policy says "allow" to everything in it and
Landlock grants all of it. A later call with the same directory needs one look: whether the last component
is a symbolic link.

What is remembered may be outdated, and then at worst an event is missed: the kernel denies on its own. To
keep events exact, everything is forgotten when the session renames or links a name, and after a second in
any case.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from sydd.kernel.paths import RESOLVE_NO_MAGICLINKS, LinkReader, probe_openat2
from sydd.policy.access import FILE_ACCESSES, Access, Action
from sydd.supervisor.openflags import O_ACCMODE, O_TMPFILE_BIT
from sydd.supervisor.request import AT_FDCWD, Request
from sydd.supervisor.target import (
    MAKE_DIR,
    MAKE_REG,
    MAKE_SPECIAL,
    MAKE_SYM,
    READ_RIGHTS,
    REFER,
    REMOVE_DIR,
    REMOVE_FILE,
    TRUNCATE_RIGHT,
    WRITE_FILE,
)
from sydd.supervisor.verdict import singles
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.plan.coverage import Coverage
    from sydd.policy.matcher import Matcher

LIFETIME = 1.0
"""Seconds after which everything is forgotten: what processes outside the session rename is not seen."""

MAXIMUM = 4096
"""Directories remembered."""

LINKS = 4
"""Symbolic links within one directory that are followed here (libz.so to libz.so.1 to libz.so.1.2.13)."""

READABLE = 1
WRITABLE = 2

_O_DIRECTORY = os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY
_O_WRITING = O_ACCMODE | os.O_CREAT | os.O_TRUNC | O_TMPFILE_BIT
_O_OTHER = os.O_PATH | O_TMPFILE_BIT

_O_NEW = os.O_CREAT | os.O_EXCL

_READ = Access.READ | Access.LIST
_WRITE = (
    Access.CREATE
    | Access.DELETE
    | Access.MODIFY
    | Access.TRUNCATE
    | Access.RENAME
    | Access.LINK
    | Access.MKNOD
)
_WRITE_RIGHTS = WRITE_FILE | TRUNCATE_RIGHT | MAKE_REG | MAKE_DIR | MAKE_SYM | REMOVE_FILE | REMOVE_DIR

_SPECIAL = (b"", b".", b"..")

_RENAME_RIGHTS = _WRITE_RIGHTS | MAKE_SPECIAL | REFER

_ENTRIES = frozenset({Operation.MKDIR, Operation.UNLINK})
"""Operations on an entry itself: a link as the last component is not followed."""


class _Directory(NamedTuple):
    """A directory, as far as the short way needs to know it.

    Attributes:
        kinds: bits of READABLE and WRITABLE.
        says: what the policy says about everything in it, access by access; None when it is not one thing.
    """

    kinds: int
    says: tuple[Action | None, ...] | None


_NOWHERE = _Directory(0, None)


class Shortcuts:
    """Plain directories of one session, by the words that calls use for them.

    Args:
        matcher: the policy.
        coverage: what the kernel holds.
    """

    def __init__(self, matcher: Matcher, coverage: Coverage) -> None:
        self._matcher = matcher
        self._readlink = LinkReader().read
        self._coverage = coverage
        self._plain: dict[tuple[str, bytes], _Directory] = {}
        self._read: set[bytes] = set()
        self._expires = 0.0
        self._reads = coverage.may_continue(READ_RIGHTS)
        self._writes = coverage.may_continue(READ_RIGHTS | _WRITE_RIGHTS)
        self._renames = self._writes and coverage.may_continue(_RENAME_RIGHTS)

    def forget(self) -> None:
        """Names have changed."""
        self._plain.clear()
        self._read.clear()

    def allows(self, request: Request) -> bool:
        """Whether *request* is one to go on with, for certain. False says nothing."""
        wanted = _wanted(request)
        path = request.path
        if not wanted or not path:
            return False
        # Headers and libraries are opened thousands of times: one look into a set is all that this takes.
        if wanted == READABLE and path in self._read and time.monotonic() < self._expires:
            return True
        if not (self._reads if wanted == READABLE else self._writes):
            return False
        head, slash, name = path.rpartition(b"/")
        where = self._where(request, request.dirfd, path)
        if name in _SPECIAL or where is None:
            return False
        base, link = where
        kinds = self._directory(base, head or slash).kinds
        if kinds & wanted != wanted:
            return False
        flags = request.flags
        if request.row.operation in _ENTRIES or flags & os.O_NOFOLLOW or flags & _O_NEW == _O_NEW:
            return True
        if not self._stays(link):
            return False
        if wanted == READABLE and not base and not kinds & WRITABLE:
            if len(self._read) >= MAXIMUM:
                self._read.clear()
            self._read.add(path)
        return True

    def allows_rename(self, request: Request) -> bool:
        """Whether *request*, a rename, stays among directories of which the policy says one and the same.

        Then nothing is gained by the new name, whatever the object is. False says nothing. Unless it is a
        regular file that is renamed, directories are forgotten.
        """
        old_link, old = self._of_entry(request, request.dirfd, request.path)
        _, new = self._of_entry(request, request.dirfd2, request.path2)
        try:
            plain_file = stat.S_ISREG(os.lstat(old_link).st_mode) if old_link else False
        except OSError:
            plain_file = False
        if not plain_file or request.flags:
            self.forget()
        if not self._renames or request.flags:
            return False
        return bool(old.kinds & new.kinds & WRITABLE) and old.says is not None and old.says == new.says

    def _of_entry(self, request: Request, dirfd: int, path: bytes | None) -> tuple[bytes, _Directory]:
        """The entry *path* as the worker says it, and its directory."""
        if path:
            head, slash, name = path.rpartition(b"/")
            where = self._where(request, dirfd, path)
            if where is not None and name not in _SPECIAL:
                return where[1], self._directory(where[0], head or slash)
        return b"", _NOWHERE

    def _where(self, request: Request, dirfd: int, path: bytes) -> tuple[str, bytes] | None:
        """The caller's directory (empty for an absolute path), and the path as the worker says it."""
        if path[:1] == b"/":
            return "", path
        tid = request.notification.tid
        start = b"/proc/%d/cwd" % tid if dirfd == AT_FDCWD else b"/proc/%d/fd/%d" % (tid, dirfd)
        link = self._readlink(start)
        if link is None or link[:1] != b"/":
            return None
        return os.fsdecode(link), b"%s/%s" % (start, path)

    def _directory(self, base: str, head: bytes) -> _Directory:
        """What is known of the directory *head* from *base*."""
        now = time.monotonic()
        if now > self._expires:
            self.forget()
            self._expires = now + LIFETIME
        key = (base, head)
        plain = self._plain.get(key)
        if plain is None:
            plain = self._look(base, head)
            if plain is None:  # not remembered: tar(1) makes a directory when the first file in it fails
                return _NOWHERE
            if len(self._plain) >= MAXIMUM:
                self._plain.clear()
            self._plain[key] = plain
        return plain

    def _stays(self, where: bytes) -> bool:
        """Whether the last component is no link, or one to a name in the same directory."""
        for _ in range(LINKS):
            target = self._readlink(where)
            if target is None:
                return True
            if b"/" in target or target in _SPECIAL:
                return False
            where = where[: where.rindex(b"/") + 1] + target
        return False

    def _look(self, base: str, head: bytes) -> _Directory | None:
        """Resolve a directory and see what may be done in it; None when it cannot be resolved now."""
        if base and not head:
            directory = base
            if not directory.startswith("/") or directory.endswith(" (deleted)"):
                return _NOWHERE
        else:
            start = AT_FDCWD
            if base:
                start = probe_openat2(AT_FDCWD, os.fsencode(base), _O_DIRECTORY, 0)
                if start < 0:  # deleted, or renamed meanwhile
                    return None
            try:
                fd = probe_openat2(start, head, _O_DIRECTORY, RESOLVE_NO_MAGICLINKS)
            finally:
                if base:
                    os.close(start)
            if fd < 0:
                return None
            try:
                directory = os.readlink(f"/proc/self/fd/{fd}")
            finally:
                os.close(fd)
        return self._of_directory(directory)

    def _of_directory(self, directory: str) -> _Directory:
        if directory == "/proc" or directory.startswith("/proc/") or directory == "/":
            return _NOWHERE
        matcher, coverage = self._matcher, self._coverage
        plain = 0
        if matcher.uniform(_READ, directory) is Action.ALLOW and coverage.grants_below(
            directory, READ_RIGHTS
        ):
            plain |= READABLE
        if matcher.uniform(_WRITE, directory) is Action.ALLOW and coverage.grants_below(
            directory, _RENAME_RIGHTS
        ):
            plain |= WRITABLE
        says = tuple(matcher.uniform(access, directory) for access in singles(int(FILE_ACCESSES)))
        return _Directory(plain, None if None in says else says)


def _wanted(request: Request) -> int:
    """What the directory has to be for *request*; 0 for a kind of request that does not come here."""
    operation = request.row.operation
    if operation in _ENTRIES:
        return WRITABLE
    flags = request.flags
    if operation is not Operation.OPEN or flags & _O_OTHER or request.row.extra:
        return 0
    if not flags & _O_WRITING:
        return READABLE
    return WRITABLE if flags & O_ACCMODE == os.O_WRONLY else READABLE | WRITABLE
