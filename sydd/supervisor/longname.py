"""Canonical names that are longer than the kernel tells (PATH_MAX, readlink(2))."""

from __future__ import annotations

import errno
import os
import stat

from sydd.supervisor.failure import NaturalFailure

_O_OBJECT = os.O_PATH | os.O_CLOEXEC


def long_name(fd: int) -> str:
    """The canonical name of a directory whose name is longer than the kernel tells, put together from below.

    Each parent is opened and searched for the inode, until a name is short enough. It is not a fast way;
    nobody comes here twice.
    """
    names: list[str] = []
    here = os.open(f"/proc/self/fd/{fd}", _O_OBJECT)
    try:
        if not stat.S_ISDIR(os.fstat(here).st_mode):
            raise NaturalFailure(errno.ENAMETOOLONG)
        while True:
            try:
                top = os.readlink(f"/proc/self/fd/{here}")
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
            else:
                return "/".join([top.rstrip("/"), *reversed(names)])
            parent = os.open("..", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY, dir_fd=here)
            wanted = os.fstat(here)
            os.close(here)
            here = parent
            names.append(_name_of(parent, wanted))
    finally:
        os.close(here)


def _name_of(parent: int, wanted: os.stat_result) -> str:
    with os.scandir(parent) as listing:
        for entry in listing:
            if entry.inode() == wanted.st_ino and entry.stat(follow_symlinks=False).st_dev == wanted.st_dev:
                return entry.name
    raise NaturalFailure(errno.ENOENT)
