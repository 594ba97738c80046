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

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from sydd.kernel.paths import RESOLVE_NO_MAGICLINKS, LinkReader, probe_openat2
from sydd.policy.access import FILE_ACCESSES, Access, Action
from sydd.supervisor.openflags import O_ACCMODE, O_TMPFILE_BIT
from sydd.supervisor.request import AT_FDCWD
from sydd.supervisor.rights import (
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
    from sydd.supervisor.stalls import Stalls

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

_O_JUDGED = _O_WRITING | os.O_EXCL | os.O_NOFOLLOW | os.O_DIRECTORY
"""The flags that make a difference to what is judged."""

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


CHANGING = frozenset(
    {
        Operation.SYMLINK,
        Operation.LINK,
        Operation.RENAME,
        Operation.UNLINK,
        Operation.MKDIR,
        Operation.MKNOD,
    }
)
"""Operations after which a name may be something else than it was."""


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

    Methods take what a call says: thread, directory descriptor (AT_FDCWD for none), path. True means that the
    call is one to go on with, for certain; False says nothing.

    Args:
        matcher: the policy.
        coverage: what the kernel holds.
        stalls: what may keep waiting who touches it.
    """

    def __init__(self, matcher: Matcher, coverage: Coverage, stalls: Stalls) -> None:
        self._stalls = stalls
        self._matcher = matcher
        self._readlink = LinkReader().read
        self._coverage = coverage
        self._plain: dict[tuple[bytes, bytes], _Directory] = {}
        self._known: dict[bytes, int] = {}
        self._learned: set[tuple[bytes, int]] = set()
        self._expires = 0.0
        self._reads = coverage.may_continue(READ_RIGHTS)
        self._writes = coverage.may_continue(READ_RIGHTS | _WRITE_RIGHTS)
        self._renames = self._writes and coverage.may_continue(_RENAME_RIGHTS)

    def forget(self) -> None:
        """Names have changed."""
        self._plain.clear()
        self._known.clear()
        self._learned.clear()

    def allows_open(self, tid: int, dirfd: int, path: bytes, flags: int) -> bool:
        """An open with the flags of open(2)."""
        if flags & _O_OTHER:
            return False
        wanted = READABLE
        if flags & _O_WRITING:
            wanted = WRITABLE if flags & O_ACCMODE == os.O_WRONLY else READABLE | WRITABLE
        start = b"" if path[:1] == b"/" else _start(tid, dirfd)
        if start is None:
            return False
        # Headers and libraries are opened thousands of times: one look into a table is all that this takes.
        key = b"%b\0%b" % (start, path)
        if time.monotonic() < self._expires and (
            self._known.get(key, 0) & wanted == wanted or (key, flags & _O_JUDGED) in self._learned
        ):
            return True
        if not (self._reads if wanted == READABLE else self._writes):
            return False
        kinds = self._place(start, path).kinds
        if kinds & wanted != wanted:
            return False
        if flags & os.O_NOFOLLOW or flags & _O_NEW == _O_NEW:
            return True
        if not self._stays(path if not start else _link(tid, dirfd) + b"/" + path):
            return False
        self._know(key, kinds)
        return True

    def allows_entry(self, tid: int, dirfd: int, path: bytes) -> bool:
        """A call about an entry itself: mkdir, rmdir, unlink. A link there is not followed."""
        start = b"" if path[:1] == b"/" else _start(tid, dirfd)
        if start is None or not self._writes:
            return False
        return bool(self._place(start, path).kinds & WRITABLE)

    def allows_rename(self, tid: int, old: tuple[int, bytes], new: tuple[int, bytes]) -> bool:
        """A rename, no exchange, that stays among directories of which the policy says one and the same.

        Then nothing is gained by the new name, whatever the object is. Unless it is a regular file that is
        renamed, directories are forgotten.
        """
        old_start, new_start = (b"" if path[:1] == b"/" else _start(tid, dirfd) for dirfd, path in (old, new))
        if old_start is None or new_start is None:
            self.forget()
            return False
        if self._stalls.some and not self._place(old_start, old[1]).kinds:
            self.forget()  # not to be looked at here
            return False
        try:
            link = old[1] if not old_start else _link(tid, old[0]) + b"/" + old[1]
            plain_file = stat.S_ISREG(os.lstat(link).st_mode)
        except (OSError, ValueError):
            plain_file = False
        if not plain_file:
            self.forget()
        if not self._renames:
            return False
        before = self._place(old_start, old[1])
        after = self._place(new_start, new[1])
        writable = before.kinds & after.kinds & WRITABLE
        return bool(writable) and before.says is not None and before.says == after.says

    def learn(self, tid: int, dirfd: int, path: bytes, flags: int, canonical: str) -> None:
        """Remember an open that was found, by the whole way, to be one to go on with.

        Args:
            tid: the caller.
            dirfd: what the path starts from.
            path: the path.
            flags: those of open(2).
            canonical: the object's name. What /proc shows has a meaning of its own for each process, and so
            have links in /dev.
        """
        if flags & _O_OTHER:
            return  # goes on without any right: that says nothing about an open for reading
        private = canonical.startswith("/dev/") and os.fsencode(canonical) != path
        if private or canonical.startswith("/proc"):
            return
        start = b"" if path[:1] == b"/" else _start(tid, dirfd)
        if start is None:
            return
        self._age()
        if len(self._learned) >= MAXIMUM:
            self._learned.clear()
        self._learned.add((b"%b\0%b" % (start, path), flags & _O_JUDGED))

    def _know(self, key: bytes, kinds: int) -> None:
        if len(self._known) >= MAXIMUM:
            self._known.clear()
        self._known[key] = kinds

    def _place(self, start: bytes, path: bytes) -> _Directory:
        """What is known of the directory of the entry *path*."""
        head, slash, name = path.rpartition(b"/")
        return _NOWHERE if name in _SPECIAL else self._directory(start, head or slash)

    def _directory(self, start: bytes, head: bytes) -> _Directory:
        """What is known of the directory *head* from *start* (empty when it is absolute)."""
        self._age()
        key = (start, head)
        plain = self._plain.get(key)
        if plain is None:
            plain = self._look(start, head)
            if plain is None:
                return _NOWHERE
            if len(self._plain) >= MAXIMUM:
                self._plain.clear()
            self._plain[key] = plain
        return plain

    def _age(self) -> None:
        """Forget everything once its time is over."""
        now = time.monotonic()
        if now > self._expires:
            self.forget()
            self._expires = now + LIFETIME
            self._stalls.look()

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

    def _look(self, base: bytes, head: bytes) -> _Directory | None:
        """Resolve a directory and see what may be done in it; None when it cannot be resolved now."""
        if base and not head:
            directory = os.fsdecode(base)
            return _NOWHERE if directory.endswith(" (deleted)") else self._of_directory(directory)
        if self._stalls.some and self._stalls.at(os.fsdecode(base)):
            return _NOWHERE
        start = AT_FDCWD
        if base:
            start = probe_openat2(AT_FDCWD, base, _O_DIRECTORY, 0)
            if start < 0:  # deleted, or renamed meanwhile
                return None
        try:
            fd = self._nearest(start, head)
        finally:
            if base:
                os.close(start)
        if fd < 0:
            return None
        try:
            return self._of_directory(_name(fd))
        finally:
            os.close(fd)

    def _of_directory(self, directory: str) -> _Directory:
        if directory == "/proc" or directory.startswith("/proc/") or directory == "/":
            return _NOWHERE
        if self._stalls.some and self._stalls.at(directory):
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

    def _nearest(self, start: int, head: bytes) -> int:
        """The directory *head*, or the nearest one above it that exists; a descriptor or a negative errno.

        What is true of everything below that one stays true of *head* when it is made: compilers look for
        each header in directories that are not there, and tar(1) makes a directory when the first file in it
        fails.
        """
        probe = self._stalls.probe
        fd = probe(start, head, _O_DIRECTORY, RESOLVE_NO_MAGICLINKS)
        missing = fd
        while missing == -errno.ENOENT:
            head, slash, name = head.rstrip(b"/").rpartition(b"/")
            if name in _SPECIAL:
                return -errno.ENOENT
            fd = missing = probe(start, head or slash or b".", _O_DIRECTORY, RESOLVE_NO_MAGICLINKS)
            if fd >= 0 and not (self._stalls.some and self._stalls.at(_name(fd))) and _exists(name, fd):
                os.close(fd)  # a link that leads nowhere now
                return -errno.ENOENT
        return fd


def _name(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _exists(name: bytes, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except OSError:
        return False
    return True


def _link(tid: int, dirfd: int) -> bytes:
    """The link of /proc to the directory that a relative path starts from."""
    return b"/proc/%d/cwd" % tid if dirfd == AT_FDCWD else b"/proc/%d/fd/%d" % (tid, dirfd)


def _start(tid: int, dirfd: int) -> bytes | None:
    """Where that link leads; None when it is not open, or has no name."""
    try:
        start = os.readlink(_link(tid, dirfd))
    except OSError:
        return None
    return start if start[:1] == b"/" else None
