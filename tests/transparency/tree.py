"""A tree as it is seen from outside, with everything that two runs have in common."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import NamedTuple

RECENT = 3600
"""Seconds: a time that is younger was not set, but is that of the run."""


class Node(NamedTuple):
    """One name.

    Attributes:
        mode: type and permissions, octal.
        owner: uid and gid.
        links: hard links; of a directory 0, since file systems differ.
        size: in bytes; of a directory 0.
        sparse: whether it has far fewer blocks than its size needs.
        times: of access and modification in ns, "now" where nobody set it. Reading sets the first.
        attributes: extended attributes.
        content: digest, or where a link leads to.
    """

    mode: str
    owner: tuple[int, int]
    links: int
    size: int
    sparse: bool
    times: tuple[int | str, int | str]
    attributes: dict[str, bytes]
    content: str


def snapshot(root: str) -> dict[str, Node]:
    """Every name below *root*, and the root itself as "."; paths may be longer than PATH_MAX."""
    found: dict[str, Node] = {}
    with_root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found["."] = _node(root, None)
        _below(with_root, "", found)
    finally:
        os.close(with_root)
    return found


def _below(directory: int, prefix: str, found: dict[str, Node]) -> None:
    for name in sorted(os.listdir(directory)):
        node = _node(name, directory)
        found[prefix + name] = node
        if stat.S_ISDIR(int(node.mode, 8)):
            below = _opened(name, directory)
            try:
                _below(below, f"{prefix}{name}/", found)
            finally:
                os.close(below)


def _opened(name: str, directory: int) -> int:
    """A directory, for listing; the owner gives itself leave where the mode does not."""
    how = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    below = -1
    try:
        below = os.open(name, how, dir_fd=directory)
        os.close(os.open(".", os.O_PATH, dir_fd=below))
    except PermissionError:
        if below >= 0:
            os.close(below)
        os.chmod(name, 0o700, dir_fd=directory)
        return os.open(name, how, dir_fd=directory)
    return below


def _node(name: str, directory: int | None) -> Node:
    about = os.stat(name, dir_fd=directory, follow_symlinks=False)
    kind = stat.S_IFMT(about.st_mode)
    content = ""
    attributes: dict[str, bytes] = {}
    if kind == stat.S_IFLNK:
        content = os.readlink(name, dir_fd=directory)
    elif kind in (stat.S_IFREG, stat.S_IFDIR):
        content, attributes = _inside(name, directory, kind)
    return Node(
        f"{about.st_mode:o}",
        (about.st_uid, about.st_gid),
        0 if kind == stat.S_IFDIR else about.st_nlink,
        0 if kind == stat.S_IFDIR else about.st_size,
        about.st_blocks * 512 + 65536 < about.st_size,
        (_time(about.st_atime_ns), _time(about.st_mtime_ns)),
        attributes,
        content,
    )


def _inside(name: str, directory: int | None, kind: int) -> tuple[str, dict[str, bytes]]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME
    try:
        fd = os.open(name, flags, dir_fd=directory)
    except PermissionError:  # another one's, or without a mode that lets the owner read it
        return "not to be read", {}
    try:
        attributes = {each: os.getxattr(fd, each) for each in os.listxattr(fd)}
        if kind == stat.S_IFDIR:
            return "", attributes
        with open(fd, "rb", closefd=False) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), attributes
    finally:
        os.close(fd)


def _time(nanoseconds: int) -> int | str:
    return "now" if abs(time.time() - nanoseconds / 1e9) < RECENT else nanoseconds
