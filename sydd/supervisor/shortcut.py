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
import time
from typing import TYPE_CHECKING

from sydd.kernel.paths import RESOLVE_NO_MAGICLINKS, LinkReader, probe_openat2
from sydd.policy.access import Access, Action
from sydd.supervisor.request import AT_FDCWD, Request
from sydd.supervisor.target import (
    MAKE_DIR,
    MAKE_REG,
    MAKE_SYM,
    O_ACCMODE,
    O_TMPFILE_BIT,
    READ_RIGHTS,
    REMOVE_DIR,
    REMOVE_FILE,
    TRUNCATE_RIGHT,
    WRITE_FILE,
)
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

_O_WRITING = O_ACCMODE | os.O_CREAT | os.O_TRUNC | O_TMPFILE_BIT
_O_OTHER = os.O_PATH | O_TMPFILE_BIT

_READ = Access.READ | Access.LIST
_WRITE = Access.CREATE | Access.DELETE | Access.MODIFY | Access.TRUNCATE
_WRITE_RIGHTS = WRITE_FILE | TRUNCATE_RIGHT | MAKE_REG | MAKE_DIR | MAKE_SYM | REMOVE_FILE | REMOVE_DIR

_SPECIAL = (b"", b".", b"..")

_ENTRIES = frozenset({Operation.MKDIR, Operation.UNLINK})
"""Operations on an entry itself: a link as the last component is not followed."""


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
        self._plain: dict[tuple[str, bytes], int] = {}
        self._read: set[bytes] = set()
        self._expires = 0.0
        self._reads = coverage.may_continue(READ_RIGHTS)
        self._writes = coverage.may_continue(READ_RIGHTS | _WRITE_RIGHTS)

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
        where = self._where(request, path)
        if name in _SPECIAL or where is None:
            return False
        base, link = where
        if self._kind(base, head or slash) & wanted != wanted:
            return False
        if request.row.operation in _ENTRIES:
            return True
        if not self._stays(link):
            return False
        if wanted == READABLE and not base:
            if len(self._read) >= MAXIMUM:
                self._read.clear()
            self._read.add(path)
        return True

    def _where(self, request: Request, path: bytes) -> tuple[str, bytes] | None:
        """The caller's directory (empty for an absolute path), and a path that means the same to the worker."""
        if path[:1] == b"/":
            return "", path
        if request.dirfd != AT_FDCWD:
            return None
        tid = request.notification.tid
        link = self._readlink(b"/proc/%d/cwd" % tid)
        return (os.fsdecode(link), b"/proc/%d/cwd/%s" % (tid, path)) if link is not None else None

    def _kind(self, base: str, head: bytes) -> int:
        """What may be done in the directory *head* from *base*: bits of READABLE and WRITABLE."""
        now = time.monotonic()
        if now > self._expires:
            self.forget()
            self._expires = now + LIFETIME
        key = (base, head)
        plain = self._plain.get(key)
        if plain is None:
            plain = self._look(base, head)
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

    def _look(self, base: str, head: bytes) -> int:
        """What may be done in a directory: bits of READABLE and WRITABLE."""
        if base and not head:
            directory = base
            if not directory.startswith("/") or directory.endswith(" (deleted)"):
                return 0
        else:
            start = os.open(base, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY) if base else AT_FDCWD
            try:
                fd = probe_openat2(
                    start, head, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY, RESOLVE_NO_MAGICLINKS
                )
            finally:
                if base:
                    os.close(start)
            if fd < 0:
                return 0
            try:
                directory = os.readlink(f"/proc/self/fd/{fd}")
            finally:
                os.close(fd)
        return self._of_directory(directory)

    def _of_directory(self, directory: str) -> int:
        if directory == "/proc" or directory.startswith("/proc/") or directory == "/":
            return 0
        matcher, coverage = self._matcher, self._coverage
        plain = 0
        if matcher.uniform(_READ, directory) is Action.ALLOW and coverage.grants_below(
            directory, READ_RIGHTS
        ):
            plain |= READABLE
        if matcher.uniform(_WRITE, directory) is Action.ALLOW and coverage.grants_below(
            directory, _WRITE_RIGHTS
        ):
            plain |= WRITABLE
        return plain


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
