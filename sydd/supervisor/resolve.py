"""From a path as the caller wrote it to the object that the kernel would find for the caller.

Resolution is the kernel's: openat2(2) from the caller's working directory or descriptor, without following
magic links, then the canonical name read back from the descriptor. What is judged is that descriptor's
name, and what is acted on is that descriptor.

Two things cannot be left to openat2, because the worker is another process: `/proc/self` and
`/proc/thread-self` would be the worker's own, and magic links (`/proc/<pid>/fd/<n>`, `cwd`, `root`, `exe`)
may lead anywhere. Both show (the canonical name lies in the worker's own /proc directory, or the result is
ELOOP), and then `sydd.supervisor.walk` goes component by component.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sydd.kernel import credentials
from sydd.kernel.paths import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    probe_openat2,
)
from sydd.policy.terminal import own_name
from sydd.supervisor.descriptors import Descriptors
from sydd.supervisor.failure import CallerGone, MayStall, NaturalFailure, Stranger
from sydd.supervisor.found import Found
from sydd.supervisor.longname import long_name
from sydd.supervisor.procfs import in_session, is_elsewhere, is_guarded, process_of
from sydd.supervisor.request import AT_FDCWD
from sydd.supervisor.terminal import Terminals
from sydd.supervisor.walk import walk

if TYPE_CHECKING:
    from sydd.supervisor.stalls import Stalls

    Probe = Callable[[int, bytes, int, int], int]

O_OBJECT = os.O_PATH | os.O_CLOEXEC
O_OBJECT_NOFOLLOW = O_OBJECT | os.O_NOFOLLOW
O_DIRECTORY_OBJECT = O_OBJECT | os.O_DIRECTORY
_SCOPED = RESOLVE_BENEATH | RESOLVE_IN_ROOT

MAXIMUM_LINKS = 40
DELETED = " (deleted)"


class Resolver:
    """Resolves for one worker. The descriptors it opens belong to the request: `close` ends them all.

    Not for several threads at once.

    Args:
        terminals_of_launch: their names; None where the worker has them as well.

    Attributes:
        descriptors: takes copies of the descriptors of callers.
        caller: the thread whose request it is: its own directory in /proc is called /proc/self, as rules
        write it. credentials: the caller's, to look names up with; None when they are the worker's own.
        What belongs to the caller's
            process (its directory, its descriptors) is opened with the worker's: a process that changed
            its user is not dumpable, and could not even look at itself through /proc.
    """

    def __init__(self, terminals_of_launch: Sequence[str] | None = None) -> None:
        self._opened: list[int] = []
        self.descriptors = Descriptors()
        self._terminals = Terminals(terminals_of_launch)
        self.caller = 0
        self.credentials: credentials.Credentials | None = None
        self._stalls: Stalls | None = None
        self._probe: Probe = probe_openat2
        self._begin()

    def _begin(self) -> None:
        self._own = f"/proc/{os.getpid()}"
        self._own_below = self._own + "/"

    def take_over(self) -> None:
        """Go on in a process that was just forked."""
        self.end()
        self._begin()

    def heed(self, stalls: Stalls | None) -> None:
        """From now on touch nothing that may stall, but raise MayStall; None where there is nothing."""
        self._stalls = stalls
        self._probe = probe_openat2 if stalls is None else stalls.probe
        self.descriptors.before = None if stalls is None else stalls.before_copying

    def close(self) -> None:
        """Close what was opened for the last request."""
        for fd in self._opened:
            os.close(fd)
        self._opened.clear()

    def end(self) -> None:
        """Close what is kept between requests, too."""
        self.close()
        self.descriptors.close()
        self._terminals.close()

    def start(self, tid: int, dirfd: int, path: bytes) -> int:
        """The descriptor from which *path* is looked up: AT_FDCWD when it is absolute.

        Raises:
            NaturalFailure: EBADF for a descriptor that is not open.
            CallerGone: the thread has ended.
        """
        if path[:1] == b"/":
            if self.credentials is not None:
                credentials.assume(self.credentials)
            return AT_FDCWD
        return self.descriptor(tid, dirfd)

    def descriptor(self, tid: int, dirfd: int) -> int:
        """An O_PATH descriptor of what *dirfd* is for the caller; AT_FDCWD is its working directory.

        Raises:
            NaturalFailure: EBADF.
            CallerGone: the thread has ended.
        """
        if dirfd == AT_FDCWD:
            link = b"/proc/%d/cwd" % tid
        elif dirfd >= 0:
            link = b"/proc/%d/fd/%d" % (tid, dirfd)
        else:
            raise NaturalFailure(errno.EBADF)
        if self.credentials is not None:
            credentials.restore()
        if self._stalls is not None:
            with suppress(OSError):
                if self._stalls.at(os.fsdecode(os.readlink(link))):
                    raise MayStall
        fd = probe_openat2(AT_FDCWD, link, O_OBJECT, 0)
        if self.credentials is not None:
            credentials.assume(self.credentials)
        if fd < 0:
            if dirfd == AT_FDCWD or not os.path.exists(f"/proc/{tid}"):
                raise CallerGone
            raise NaturalFailure(errno.EBADF)
        self._opened.append(fd)
        return fd

    def open_file(self, tid: int, fd: int) -> Found:
        """The object behind an open descriptor, for the calls that refuse one that was opened with O_PATH.

        Raises:
            NaturalFailure: EBADF.
            CallerGone: the thread has ended.
        """
        if self.credentials is not None:
            credentials.restore()
        try:
            copy = self.descriptors.copy(tid, fd)
        except OSError as error:
            if error.errno == errno.EBADF:
                raise NaturalFailure(errno.EBADF) from None
            copy = -1
        if copy >= 0:
            self._opened.append(copy)
            is_path = fcntl.fcntl(copy, fcntl.F_GETFL) & os.O_PATH
        else:
            # The link's own mode shows how the file was opened; for O_PATH it has no bits (proc_pid_fd(5)).
            copy = self.descriptor(tid, fd)
            is_path = not os.lstat(f"/proc/{tid}/fd/{fd}").st_mode & 0o600
        if self.credentials is not None:
            credentials.assume(self.credentials)
        if is_path:
            raise NaturalFailure(errno.EBADF)
        return self.describe(copy)

    def object(self, tid: int, start: int, path: bytes, *, follow: bool, resolve: int = 0) -> Found:
        """The object that *path* names from *start*.

        Args:
            tid: the caller.
            start: from `start`.
            path: not empty.
            follow: whether a symbolic link as the last component is followed.
            resolve: RESOLVE_* that the caller of openat2(2) asked for.

        Raises:
            NaturalFailure: what the kernel would answer: ENOENT, ENOTDIR, ELOOP, EACCES, EXDEV, ENAMETOOLONG.
        """
        flags = O_OBJECT if follow else O_OBJECT_NOFOLLOW
        magic_links = not resolve & RESOLVE_NO_MAGICLINKS
        limited = resolve & ~RESOLVE_NO_MAGICLINKS  # which the kernel alone can tell
        fd = self._found(start, path, flags, resolve | RESOLVE_NO_MAGICLINKS)
        if fd < 0:
            if not limited and (fd == -errno.ELOOP or (fd in _MISSED and self._passes_link(start, path))):
                fd = walk(tid, start, path, follow=follow, magic_links=magic_links, stalls=self._stalls)
            if fd < 0:
                raise NaturalFailure(self._reason(start, path, flags, resolve, -fd))
            self._opened.append(fd)
            return self._named(tid, start, path, fd, follow=follow)
        self._opened.append(fd)
        found = self._named(tid, start, path, fd, follow=follow, walked=False)
        if self._is_own(found.path):
            if limited:
                raise NaturalFailure(errno.ELOOP)
            fd = walk(tid, start, path, follow=follow, magic_links=magic_links, stalls=self._stalls)
            if fd < 0:
                raise NaturalFailure(-fd)
            self._opened.append(fd)
            return self._named(tid, start, path, fd, follow=follow)
        return found

    def _named(
        self, tid: int, start: int, path: bytes, fd: int, *, follow: bool, walked: bool = True
    ) -> Found:
        """*fd*, to which *path* led; of a file deeper than PATH_MAX the directory tells the name."""
        try:
            return self.describe(fd, walked=walked)
        except NaturalFailure:
            pass
        about = os.fstat(fd)
        for _ in range(MAXIMUM_LINKS):
            found = self.entry(tid, start, path)
            entry = os.stat(found.name, dir_fd=found.parent, follow_symlinks=False)
            if (entry.st_dev, entry.st_ino) == (about.st_dev, about.st_ino):
                return Found(found.path, fd)
            if not follow or not stat.S_ISLNK(entry.st_mode):
                break
            target = os.readlink(found.name, dir_fd=found.parent)
            start, path = (AT_FDCWD if target[:1] == b"/" else found.parent), target
        raise NaturalFailure(errno.ENAMETOOLONG)

    def entry(self, tid: int, start: int, path: bytes, *, resolve: int = 0) -> Found:
        """The directory entry that *path* names from *start*, whether or not it exists.

        Raises:
            NaturalFailure: what the kernel would answer for the directories on the way; ENOENT for an
            empty path.
        """
        stripped = path.rstrip(b"/")
        if not stripped:
            if not path:
                raise NaturalFailure(errno.ENOENT)
            return Found("/", -1, -1, b"/", trailing_slash=True)
        head, slash, name = stripped.rpartition(b"/")
        trailing = len(stripped) != len(path)
        if slash:
            directory = self._directory(tid, start, head or b"/", resolve)
        else:
            if not stat.S_ISDIR(os.fstat(start).st_mode):
                raise NaturalFailure(errno.ENOTDIR)
            directory = self.describe(start)
        if name in (b".", b".."):
            return Found(directory.path, -1, directory.fd, name, trailing)
        prefix = directory.path if directory.path != "/" else ""
        full = f"{prefix}/{os.fsdecode(name)}"
        if self._stalls is not None and self._stalls.at(full):
            raise MayStall
        return Found(full, -1, directory.fd, name, trailing, directory.named)

    def place_to_create(self, tid: int, start: int, path: bytes, *, follow: bool, resolve: int = 0) -> Found:
        """Where open(2) would create *path*, which does not exist: through dangling links.

        Raises:
            NaturalFailure: ELOOP after too many links, and what `entry` raises.
        """
        for _ in range(MAXIMUM_LINKS):
            found = self.entry(tid, start, path, resolve=resolve)
            if found.trailing_slash or found.parent < 0:
                raise NaturalFailure(errno.EISDIR)
            if not follow:
                return in_existing_place(found)
            try:
                target = os.readlink(found.name, dir_fd=found.parent)
            except OSError:
                return in_existing_place(found)
            if resolve & RESOLVE_NO_SYMLINKS:
                raise NaturalFailure(errno.ELOOP)
            if resolve:
                # Its limits are those of the place where the caller starts: the way is gone again from there.
                head, slash, _ = path.rpartition(b"/")
                path = target if target[:1] == b"/" else head + slash + target
                if path[:1] == b"/" and resolve & RESOLVE_BENEATH:
                    raise NaturalFailure(errno.EXDEV)
                continue
            start, path = (AT_FDCWD if target[:1] == b"/" else found.parent), target
        raise NaturalFailure(errno.ELOOP)

    def describe(self, fd: int, *, walked: bool = True) -> Found:
        """The canonical name of an O_PATH descriptor.

        Args:
            fd: the descriptor.
            walked: whether a name in the worker's own /proc directory is really meant, and was not just
                taken for the caller's.

        Raises:
            Stranger: it is the inside of a process that is not of the session.
            MayStall: it is of a file system that may not answer.
        """
        try:
            path = self.descriptors.name(fd)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            if self._stalls is not None:  # of which one it is part cannot be told without touching it
                raise MayStall from None
            path = long_name(fd)
        if self._stalls is not None and self._stalls.at(path):
            raise MayStall
        if path.endswith(DELETED) and os.fstat(fd).st_nlink == 0:
            return Found(path[: -len(DELETED)], fd, named=False)
        if path[:1] != "/":
            return Found(path, fd, named=False)
        owner = process_of(path)
        if owner and (walked or not self._is_own(path)):
            if owner == credentials.of_task(self.caller).tgid:
                _, _, rest = path[6:].partition("/")
                path = f"/proc/self/{rest}" if rest else "/proc/self"
            elif is_guarded(path) and not in_session(owner):
                raise Stranger(path)
        elif not owner and is_elsewhere(path, fd):
            raise Stranger(path)
        elif path.startswith("/dev/") and self._is_own_terminal(path, fd):
            path = own_name(path)
        return Found(path, fd)

    def _is_own_terminal(self, path: str, fd: int) -> bool:
        if self.credentials is None:
            return self._terminals.is_own(path, fd, self.caller)
        credentials.restore()  # who has its master may be another user of the session
        try:
            return self._terminals.is_own(path, fd, self.caller)
        finally:
            credentials.assume(self.credentials)

    def _is_own(self, path: str) -> bool:
        """Whether *path* is in the worker's own /proc directory: /proc/self meant the wrong process."""
        return path.startswith(self._own) and (path == self._own or path.startswith(self._own_below))

    def _directory(self, tid: int, start: int, path: bytes, resolve: int) -> Found:
        fd = self._found(start, path, O_DIRECTORY_OBJECT, resolve | RESOLVE_NO_MAGICLINKS)
        if fd >= 0:
            self._opened.append(fd)
            found = self.describe(fd, walked=False)
            if not self._is_own(found.path):
                return found
        elif fd != -errno.ELOOP and (fd not in _MISSED or not self._passes_link(start, path)):
            raise NaturalFailure(-fd)
        found = self.object(tid, start, path, follow=True, resolve=resolve)
        if not stat.S_ISDIR(os.fstat(found.fd).st_mode):
            raise NaturalFailure(errno.ENOTDIR)
        return found

    def _found(self, start: int, path: bytes, flags: int, resolve: int) -> int:
        """As `probe_openat2`; raises MayStall where that may have to wait."""
        fd = self._probe(start, path, flags, resolve)
        if fd == -errno.EAGAIN and self._stalls is not None:
            raise MayStall
        return fd

    def _passes_link(self, start: int, path: bytes) -> bool:
        """Whether a symbolic link is on the way, such as /proc/self: what is missing may be the caller's."""
        return self._found(start, path, O_OBJECT, RESOLVE_NO_SYMLINKS) == -errno.ELOOP

    def _reason(self, start: int, path: bytes, flags: int, resolve: int, number: int) -> int:
        """The errno: ELOOP is EXDEV where it means a magic link, below a root of the caller's."""
        if number == errno.ELOOP and resolve & _SCOPED:
            fd = self._found(start, path, flags, resolve)
            if fd < 0:
                return -fd
            os.close(fd)
        return number


def in_existing_place(found: Found) -> Found:
    """*found*, an entry that is to be made.

    Raises:
        NaturalFailure: ENOENT in a removed directory, and in procfs, where no name is looked up to be made.
    """
    if not found.named:
        raise NaturalFailure(errno.ENOENT)
    if found.path.startswith("/proc/") and found.parent >= 0:
        fd = probe_openat2(found.parent, found.name, O_OBJECT_NOFOLLOW, 0)
        if fd == -errno.ENOENT:
            raise NaturalFailure(errno.ENOENT)
        if fd >= 0:
            os.close(fd)
    return found


_MISSED = (-errno.ENOENT, -errno.ENOTDIR)
"""What comes of looking for the caller's own in the worker's directory of /proc."""
