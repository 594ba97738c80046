"""Component-by-component resolution, for what openat2(2) cannot do for another process.

`/proc/self` and `/proc/thread-self` are read as the caller's. A magic link is followed by the kernel
itself, from the directory in which it stands, so that its permission checks are the kernel's. Everything
else is opened one name at a time with O_NOFOLLOW, and symbolic links are put in front of what remains, as
namei(7) says. Each step starts at the descriptor of the one before: nothing is looked up twice.

The way is slow, some ten microseconds a component; only paths into /proc, and loops, come here.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from sydd.kernel.credentials import of_task
from sydd.kernel.paths import RESOLVE_NO_MAGICLINKS, probe_openat2
from sydd.supervisor.failure import MayStall, Stranger
from sydd.supervisor.procfs import in_session, process_of

O_STEP = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW
if TYPE_CHECKING:
    from sydd.supervisor.stalls import Stalls

AT_FDCWD = -100
MAXIMUM_LINKS = 40
MAGIC = (b"fd", b"ns", b"map_files")
MAGIC_NAMES = (b"cwd", b"root", b"exe")


def walk(
    tid: int,
    start: int,
    path: bytes,
    *,
    follow: bool,
    magic_links: bool = True,
    stalls: Stalls | None = None,
) -> int:
    """Resolve *path* for the thread *tid*.

    Args:
        tid: the caller, whose /proc/self is meant.
        start: descriptor to start from when *path* is relative; AT_FDCWD only with an absolute one.
        path: what to resolve.
        follow: whether a symbolic link as the last component is followed.
        magic_links: whether magic links are followed; else one is ELOOP, as with RESOLVE_NO_MAGICLINKS.
        stalls: what is not to be touched; None where nothing is.

    Returns:
        An O_PATH descriptor that the caller of this owns, or a negative errno.

    Raises:
        Stranger: the way leads through a process outside the session.
        MayStall: it leads over a file system that may not answer.
    """
    here = _root() if path[:1] == b"/" else os.dup(start)
    pending = [name for name in reversed(path.split(b"/")) if name]
    must_be_directory = path.endswith(b"/")
    links = 0
    try:
        while pending:
            name = pending.pop()
            last = not pending
            _heed(stalls, here, name)
            step = _step(tid, here, name)
            if step < 0:
                return step
            if not stat.S_ISLNK(os.fstat(step).st_mode) or (last and not follow and not must_be_directory):
                os.close(here)
                here = step
                continue
            links += 1
            if links > MAXIMUM_LINKS:
                os.close(step)
                return -errno.ELOOP
            magic = _is_magic(here, name)
            target = os.readlink(b"", dir_fd=step) if not magic else b""
            os.close(step)
            if magic and not magic_links:
                return -errno.ELOOP
            if magic:
                where = _name(here)
                if not in_session(process_of(where)):
                    raise Stranger(f"{where}/{os.fsdecode(name)}")
                step = probe_openat2(here, name, os.O_PATH | os.O_CLOEXEC, 0)
                if step < 0:
                    return step
                os.close(here)
                here = step
                _heed(stalls, here)
                continue
            must_be_directory = must_be_directory or (last and target.endswith(b"/"))
            pending.extend(part for part in reversed(target.split(b"/")) if part)
            if target[:1] == b"/":
                os.close(here)
                here = _root()
        if must_be_directory and not stat.S_ISDIR(os.fstat(here).st_mode):
            return -errno.ENOTDIR
        found, here = here, -1
        return found
    finally:
        if here >= 0:
            os.close(here)


def _heed(stalls: Stalls | None, directory: int, name: bytes = b"") -> None:
    """Look whether the entry, or the directory itself, may be looked at."""
    if stalls is None:
        return
    with suppress(OSError):  # a name that is too long
        if stalls.at(os.path.join(_name(directory), os.fsdecode(name)).rstrip("/")):
            raise MayStall


def _name(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _root() -> int:
    return os.open("/", O_STEP)


def _step(tid: int, here: int, name: bytes) -> int:
    """One component below *here*; the caller's own directory for /proc/self."""
    if name in (b"self", b"thread-self") and _is_proc_root(here):
        group = of_task(tid).tgid
        name = b"%d" % group if name == b"self" else b"%d/task/%d" % (group, tid)
    return probe_openat2(here, name, O_STEP, RESOLVE_NO_MAGICLINKS)


def _is_proc_root(fd: int) -> bool:
    """Whether *fd* is the root of a procfs: its inode is 1 there (PROC_ROOT_INO), and its name says so."""
    return os.fstat(fd).st_ino == 1 and _name(fd) == "/proc"


def _is_magic(directory: int, name: bytes) -> bool:
    """Whether the link *name* in *directory* is one of procfs that leads to an object and not to a name."""
    try:
        where = os.readlink(f"/proc/self/fd/{directory}")
    except OSError:  # a name that is too long; those of procfs are short
        return False
    if not where.startswith("/proc/"):
        return False
    return name in MAGIC_NAMES or os.fsencode(os.path.basename(where)) in MAGIC
