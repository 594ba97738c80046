"""The session's private temporary directory."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_O_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def private_directory() -> Iterator[str]:
    """A new directory of mode 0700 below $TMPDIR or /tmp, canonical; gone afterwards, with all that is in it.

    Raises:
        OSError: it cannot be made.
    """
    path = os.path.realpath(tempfile.mkdtemp(prefix="sydd-"))
    try:
        yield path
    finally:
        remove_tree(path)


def remove_tree(path: str) -> None:
    """Remove *path* and all below it, also directories left without permissions; follows no link.

    Every step is from a directory that is held open to one of its entries: a name that becomes a link
    meanwhile is refused or unlinked, never followed. One descriptor at a time and no recursion, however deep
    a build went. What cannot be removed is left.
    """
    try:
        here = _enter(None, path)
    except OSError:
        return
    names: list[str] = []  # of the directories from *path* down to where we are
    pending = [_unlink_entries(here)]  # at each level, the directories that are to be removed
    try:
        while True:
            if pending[-1]:
                name = pending[-1].pop()
                try:
                    below = _enter(here, name)
                except OSError:
                    continue
                os.close(here)
                here = below
                names.append(name)
                pending.append(_unlink_entries(here))
                continue
            if not names:
                break
            # Nobody is left who could move directories, so this is the one that we came from.
            above = os.open("..", _O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = above
            pending.pop()
            with contextlib.suppress(OSError):
                os.rmdir(names.pop(), dir_fd=here)
    finally:
        os.close(here)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _enter(directory: int | None, name: str) -> int:
    """Open a directory, giving its owner the permissions first where they are missing."""
    try:
        fd = os.open(name, _O_DIRECTORY, dir_fd=directory)
    except PermissionError:
        held = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.chmod(f"/proc/self/fd/{held}", 0o700)  # the directory itself, whatever its name means by now
        finally:
            os.close(held)
        fd = os.open(name, _O_DIRECTORY, dir_fd=directory)
    with contextlib.suppress(OSError):
        if stat.S_IMODE(os.fstat(fd).st_mode) & 0o700 != 0o700:
            os.fchmod(fd, 0o700)
    return fd


def _unlink_entries(directory: int) -> list[str]:
    """Unlink what is no directory; the names of those that are."""
    with os.scandir(directory) as listing:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listing]
    for name, is_directory in entries:
        if not is_directory:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory)
    return [name for name, is_directory in entries if is_directory]
