"""The tree that a case starts from, and what is to be seen of one."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from typing import NamedTuple

LONG = b"l" * 250
LEVELS = 17
"""So many directories with long names are deeper than PATH_MAX."""

OLD = 1_000_000_000
"""The times of everything in a new tree, in seconds."""

NAMES = (b"file", b"empty", b"exe", b"new")
"""What the calls are about; the last does not exist."""

_ACL = struct.pack(
    "<I" + "HHI" * 5,
    2,
    *(0x01, 7, 0xFFFFFFFF),  # the owner
    *(0x02, 7, 1),  # user 1
    *(0x04, 5, 0xFFFFFFFF),  # the group
    *(0x10, 7, 0xFFFFFFFF),  # the mask
    *(0x20, 0, 0xFFFFFFFF),  # others
)
"""A default ACL (linux/posix_acl_xattr.h): the umask counts for nothing below a directory that has one."""


class Seen(NamedTuple):
    """One object of a tree."""

    mode: int
    links: int
    owner: int
    group: int
    content: bytes
    attributes: tuple[tuple[str, bytes], ...]
    times: tuple[object, ...]


UNSEEN = Seen(0, 0, 0, 0, b"unseen", (), ())


def make(root: str, name: bytes, *, deep: bool = False, special: bool = False) -> None:
    """Make a new tree.

    Args:
        root: its top, which does not exist.
        name: what the call is about: links lead there.
        deep: with a chain of directories that is longer than PATH_MAX, filled at its end.
        special: with the objects that few calls are about: FIFO, set-group-id directory, default ACL …
    """
    os.mkdir(root, 0o755)
    base = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for directory in (b"d", b"movable", b"other"):
            os.mkdir(directory, 0o755, dir_fd=base)
        os.symlink(b"d", b"sd", dir_fd=base)
        os.mkdir(b"locked", 0o700, dir_fd=base)
        _fill(base, b"d", os.fsencode(root), name.removeprefix(b"to-").removeprefix(b"far-"))
        _plain(base, b"other")
        _plain(base, b"movable")
        os.mkdir(b"other/sub", 0o755, dir_fd=base)
        os.chmod(b"locked", 0, dir_fd=base)
        if special:
            _special(root)
        if deep:
            _deep(base)
    finally:
        os.close(base)


def _plain(base: int, where: bytes) -> None:
    """What every directory has: file, exe and empty."""
    for name, mode, content in ((b"file", 0o640, b"content\n"), (b"exe", 0o755, b"#!/bin/sh\nexit 7\n")):
        fd = os.open(where + b"/" + name, os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode, dir_fd=base)
        try:
            os.write(fd, content)
            if name == b"file":
                with contextlib.suppress(OSError):  # not on this file system: natively and under sydd alike
                    os.setxattr(fd, b"user.origin", b"here")
            os.utime(fd, (OLD, OLD))
        finally:
            os.close(fd)
    os.mkdir(where + b"/empty", 0o755, dir_fd=base)


def _fill(base: int, where: bytes, root: bytes, name: bytes) -> None:
    """Objects, and links to one of them from everywhere."""
    _plain(base, where)
    if name in NAMES:
        os.symlink(name, where + b"/to-" + name, dir_fd=base)
        os.symlink(b"to-" + name, where + b"/chain-" + name, dir_fd=base)
        os.symlink(root + b"/other/" + name, where + b"/far-" + name, dir_fd=base)
    os.symlink(b"../other/sub", where + b"/up", dir_fd=base)
    os.symlink(b"loop", where + b"/loop", dir_fd=base)
    os.symlink(b"nowhere/at/all", where + b"/dangling", dir_fd=base)
    os.mkdir(where + b"/full", 0o755, dir_fd=base)
    os.mkdir(where + b"/full/x", 0o755, dir_fd=base)


def _special(root: str) -> None:
    os.mkfifo(f"{root}/d/fifo", 0o644)
    os.mknod(f"{root}/d/socket", stat.S_IFSOCK | 0o644)
    os.mkdir(f"{root}/d/setgid")
    if os.geteuid() == 0:
        os.chown(f"{root}/d/setgid", -1, 4321)
    os.chmod(f"{root}/d/setgid", 0o2775)
    os.mkdir(f"{root}/d/sticky")
    os.chmod(f"{root}/d/sticky", 0o1777)
    os.mkdir(f"{root}/d/acl", 0o755)
    with contextlib.suppress(OSError):  # as above
        os.setxattr(f"{root}/d/acl", "system.posix_acl_default", _ACL)
    for name, mode in (("setuid", 0o6755), ("secret", 0), ("x (deleted)", 0o644), ("a\nb", 0o644)):
        fd = os.open(f"{root}/d/{name}", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(fd, b"special\n")
        os.fchmod(fd, mode)
        os.close(fd)


def _deep(base: int) -> None:
    here = os.dup(base)
    for _ in range(LEVELS):
        os.mkdir(LONG, 0o755, dir_fd=here)
        below = os.open(LONG, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    _plain(here, b".")
    os.close(here)


def look(root: str, *, times: bool = False) -> dict[bytes, Seen]:
    """Everything in a tree.

    Args:
        root: its top.
        times: whether access and modification times count; what is younger than the tree is "now".
    """
    found: dict[bytes, Seen] = {}
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return {b".": UNSEEN}
    try:
        _look(top, b".", found, os.fsencode(root), times)
    finally:
        os.close(top)
    return found


def _look(directory: int, prefix: bytes, found: dict[bytes, Seen], root: bytes, times: bool) -> None:
    for name in os.listdir(f"/proc/self/fd/{directory}"):
        raw = os.fsencode(name)
        try:
            about = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except PermissionError:  # the call took the right to look into it
            found[prefix + b"/" + raw] = UNSEEN
            continue
        content = b""
        attributes: tuple[tuple[str, bytes], ...] = ()
        kind = stat.S_IFMT(about.st_mode)
        if kind == stat.S_IFLNK:
            content = os.readlink(raw, dir_fd=directory).replace(root, b"ROOT")
        elif kind in (stat.S_IFREG, stat.S_IFDIR):
            content, attributes = _inside(directory, raw, kind)
        when: tuple[object, ...] = ()
        if times and kind != stat.S_IFDIR:
            when = tuple(
                "now" if seconds > OLD * 1.6 else seconds for seconds in (about.st_atime, about.st_mtime)
            )
        path = prefix + b"/" + raw
        found[path] = Seen(
            about.st_mode, about.st_nlink, about.st_uid, about.st_gid, content, attributes, when
        )
        if kind == stat.S_IFDIR:
            below = _open(directory, raw, os.O_DIRECTORY)
            if below >= 0:
                _look(below, path, found, root, times)
                os.close(below)


def _inside(directory: int, name: bytes, kind: int) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    fd = _open(directory, name, os.O_NOATIME)
    if fd < 0:
        return b"unreadable", ()
    try:
        content = os.read(fd, 4096) if kind == stat.S_IFREG else b""
        return content, tuple(sorted((key, os.getxattr(fd, key)) for key in os.listxattr(fd)))
    except OSError:
        return b"unreadable", ()
    finally:
        os.close(fd)


def _open(directory: int, name: bytes, flags: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=directory)
    except OSError:
        return -1
