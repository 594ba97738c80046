"""What the calls of the open family are called with."""

from __future__ import annotations

import os
import struct
from typing import Any

from tests.rows.cases import Act
from tests.rows.script import BAD, NULL, data, do, number, opened


def open_acts(spell: str) -> list[Act]:
    """Acts of the open family; `spell` has places for flags and mode."""

    def act(label: str, name: bytes, flags: int, mode: int = 0, access: str = "read", **more: Any) -> Act:
        follow = not (flags & os.O_NOFOLLOW or (flags & os.O_EXCL and flags & os.O_CREAT))
        arguments = spell.format(flags=number(flags), mode=number(mode), how=_how(flags, mode))
        return Act(label, name, arguments, access, follow, after=("fd",))._replace(**more)

    creating = os.O_CREAT | os.O_RDWR
    return [
        act("create", b"new", creating | os.O_CLOEXEC, 0o666, "read", every=True),
        act("read", b"file", os.O_RDONLY, every=True),
        act("write", b"file", os.O_WRONLY, access="modify"),
        act("create or open", b"file", os.O_CREAT | os.O_WRONLY, 0o666, "modify"),
        act("exclusive", b"file", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, "", every=True),
        act("exclusive new", b"new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, "create", every=True),
        act("truncate", b"file", os.O_WRONLY | os.O_TRUNC, access="modify", every=True),
        act("directory", b"empty", os.O_RDONLY | os.O_DIRECTORY, access="list"),
        act("O_PATH", b"file", os.O_PATH, access="stat", every=True),
        act("O_NOFOLLOW", b"file", os.O_RDONLY | os.O_NOFOLLOW),
        act("append", b"file", os.O_WRONLY | os.O_APPEND, access="modify"),
        act("read and write", b"file", os.O_RDWR | os.O_NONBLOCK, access="read"),
        act("read-only truncation", b"file", os.O_RDONLY | os.O_TRUNC, access="read"),
        act("access mode 3", b"file", 3, access="read"),
        act("O_SYNC", b"file", os.O_RDWR | os.O_SYNC | os.O_CLOEXEC, access="read"),
        act("O_NOATIME", b"file", os.O_RDONLY | os.O_NOATIME),
        act("O_NOFOLLOW of a link", b"to-file", os.O_RDONLY | os.O_NOFOLLOW, access=""),
        act("O_NOFOLLOW creating through a link", b"to-new", creating | os.O_NOFOLLOW, 0o666, ""),
        act("O_PATH of a link", b"to-file", os.O_PATH | os.O_NOFOLLOW, access="stat"),
        act("O_PATH of a directory", b"empty", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, access="stat"),
        act("O_PATH and O_CREAT", b"file", os.O_PATH | os.O_CREAT | os.O_WRONLY, 0o600, "stat"),
        act("O_TMPFILE", b"empty", os.O_TMPFILE | os.O_RDWR, 0o666, "create"),
        act("O_TMPFILE exclusive", b"empty", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL, 0o666, "create"),
        act("O_TMPFILE for reading", b"empty", os.O_TMPFILE | os.O_RDONLY, 0o666, ""),
        act("O_TMPFILE of a file", b"file", os.O_TMPFILE | os.O_RDWR, 0o666, ""),
        act("create a directory", b"empty", os.O_CREAT | os.O_RDONLY, 0o666, ""),
        act("write a directory", b"empty", os.O_WRONLY, access=""),
        act("a directory by name", b"empty", os.O_RDONLY, access="list"),
        act("a file as directory", b"file", os.O_RDONLY | os.O_DIRECTORY, access=""),
        act("a new directory", b"new", os.O_CREAT | os.O_DIRECTORY | os.O_RDONLY, 0o755, ""),
        act("without O_CREAT", b"new", os.O_WRONLY | os.O_TRUNC, access=""),
        act("strange bits", b"new", creating, 0o107777, "read", umask=0),
        act("umask 0", b"new", creating, 0o777, "read", umask=0),
        act("umask 002", b"new", creating, 0o777, "read", umask=0o002),
        act("umask 027", b"new", creating, 0o777, "read", umask=0o027),
        act("set-group-id directory", b"setgid/new", creating, 0o2777, "read", umask=0o027, special=True),
        act("default ACL", b"acl/new", creating, 0o666, "read", umask=0o077, special=True),
        act("sticky directory", b"sticky/new", creating, 0o666, "read", special=True),
        act("no permission", b"secret", os.O_RDONLY, access="read", special=True),
        act("no permission to write", b"secret", os.O_WRONLY | os.O_TRUNC, access="modify", special=True),
        act("FIFO without waiting", b"fifo", os.O_RDONLY | os.O_NONBLOCK, access="read", special=True),
        act("FIFO without a reader", b"fifo", os.O_WRONLY | os.O_NONBLOCK, access="modify", special=True),
        act("FIFO both ways", b"fifo", os.O_RDWR, access="read", special=True),
        act("socket", b"socket", os.O_RDWR, access="read", special=True),
        act("a name like a deleted one", b"x (deleted)", os.O_RDWR, access="read", special=True),
        act("a name with a newline", b"a\nb", os.O_RDONLY, access="read", special=True),
        act("bytes that are no UTF-8", b"\xff\xfe", creating, 0o666, "read"),
        act("lowest descriptor", b"file", os.O_RDWR, access="read", before=_HOLES),
        act("no descriptor left", b"file", os.O_RDWR, access="read", before=_NO_ROOM),
        act("nothing made without a descriptor", b"new", creating, 0o666, "read", before=_NO_ROOM),
    ]


def _how(flags: int, mode: int, resolve: int = 0, rest: bytes = b"") -> str:
    return data(struct.pack("=QQQ", flags, mode, resolve) + rest)


_HOLES = (
    opened(b"/dev/null", os.O_RDONLY),
    opened(b"/dev/null", os.O_RDONLY),
    opened(b"/dev/null", os.O_RDONLY),
    do("close", number(4)),
)
_NO_ROOM = (do("prlimit64", number(0), number(7), data(struct.pack("=QQ", 3, 3)), NULL),)


def openat2_acts() -> list[Act]:
    """Acts of openat2: those of the others, and its own structure and limits."""
    beneath, in_root, no_links, no_magic, no_xdev, cached = 0x8, 0x10, 0x4, 0x2, 0x1, 0x20
    found = open_acts("D P {how} #24")

    def act(label: str, name: bytes, how: str, size: int = 24, access: str = "read") -> Act:
        return Act(label, name, f"D P {how} {number(size)}", access, after=("fd",))

    for label, resolve in (
        ("beneath", beneath),
        ("in root", in_root),
        ("no symlinks", no_links),
        ("no magic links", no_magic),
        ("one file system", no_xdev),
        ("both roots", beneath | in_root),
        ("unknown resolution", 1 << 40),
    ):
        creating = _how(os.O_CREAT | os.O_WRONLY, 0o640, resolve)
        often = resolve in (beneath, in_root, no_links)
        found += [
            Act(label, b"file", f"D P {_how(os.O_RDWR, 0, resolve)} #24", "", every=often, after=("fd",)),
            Act(
                f"create {label}", b"new", f"D P {creating} #24", "", every=resolve == beneath, after=("fd",)
            ),
        ]
    reading = os.O_RDONLY
    found += [
        act("cached", b"nothing", _how(reading, 0, cached), access=""),
        act("unknown flags", b"file", _how(reading | 1 << 31, 0), access=""),
        act("unknown high flags", b"file", _how(reading | 1 << 40, 0), access=""),
        act("mode without O_CREAT", b"file", _how(reading, 0o600), access=""),
        act("strange mode", b"new", _how(os.O_CREAT | os.O_WRONLY, 0o107777), access=""),
        act("O_PATH with others", b"file", _how(os.O_PATH | os.O_CREAT, 0o600), access=""),
        act("too small", b"file", _how(reading, 0), 23, ""),
        act("nothing", b"file", _how(reading, 0), 0, ""),
        act("longer", b"file", _how(reading, 0, 0, bytes(8)), 32),
        act("longer with news", b"file", _how(reading, 0, 0, b"\1" * 8), 32, ""),
        act("much too long", b"file", _how(reading, 0, 0, bytes(5000)), 5000, ""),
        act("bad pointer", b"file", BAD, access=""),
        act("bad pointer and no file", b"nothing", BAD, access=""),
    ]
    return found
