"""Random calls: every row of the table that names a file, with random paths and descriptors."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from functools import partial

from hypothesis import strategies as st

from sydd.syscalls.table import NUMBERS, native
from tests.fuzz.trees import TOP, paths
from tests.rows.script import NULL, call, data, number, string

AT_FDCWD = -100
AT_NOFOLLOW, AT_REMOVEDIR, AT_FOLLOW, AT_EMPTY = 0x100, 0x200, 0x400, 0x1000

HELD: tuple[tuple[bytes, int], ...] = (
    (b".", os.O_RDONLY),
    (b"a", os.O_PATH | os.O_NOFOLLOW),
    (b"b", os.O_RDONLY | os.O_NONBLOCK),
    (b"c", os.O_PATH),
    (b"/", os.O_PATH),
    (b"l", os.O_RDWR | os.O_NONBLOCK),
)
"""What is opened before the calls, as descriptors from 3 on. What cannot be opened leaves no gap."""

PREPARATIONS: tuple[tuple[str, ...], ...] = (
    (),
    (),
    (),
    (),
    (f"do mkdir {string(b'a/gone')} #0755",
     f"do chdir {string(b'a/gone')}",
     f"do rmdir {string(TOP + b'/a/gone')}"),
    (f"do mkdir {string(b'gone')} #0755",
     f"do openat #-100 {string(b'gone')} #0",
     f"do openat #-100 {string(b'gone')} #{os.O_PATH}",
     f"do rmdir {string(b'gone')}"),
    (f"do memfd_create {string(b'a')} #0",
     f"do openat #-100 {string(b'.')} #{os.O_TMPFILE | os.O_RDWR} #0600"),
    ("do pipe @8", "do socket #1 #1 #0", "do eventfd #0"),
    (f"do rename {string(b'a')} {string(b'moved')}",),
    (f"do unlink {string(b'l')}",),
    (f"do chdir {string(b'a')}",),
    (f"do chdir {string(b'/')}",),
)  # fmt: skip
"""Further things that happen before: working directories and descriptors of what is gone, or of no file."""

_some_paths = st.one_of(*[paths] * 15, st.just(b""))
_P = _some_paths.map(string)
_D = st.sampled_from((AT_FDCWD,) * 12 + (3,) * 6 + (4, 5, 6, 7, 8, 9, 10, 99, -1, -5)).map(number)
_HELD = st.sampled_from((3, 4, 5, 6, 7, 8, 9, 10, 99, -1)).map(number)


def _one(*values: int) -> st.SearchStrategy[str]:
    return st.sampled_from(values).map(number)


_MODE = _one(0o644, 0o600, 0o755, 0o7777, 0, 0o444)
_AT = _one(0, 0, 0, AT_NOFOLLOW, AT_EMPTY, AT_EMPTY | AT_NOFOLLOW, AT_FOLLOW, 1)
_ACCESS = st.sampled_from((0, 0, 1, 2, 2, 3))
_OPEN_BITS = (
    os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_EXCL, os.O_TRUNC, os.O_DIRECTORY, os.O_NOFOLLOW,
    os.O_CLOEXEC, os.O_APPEND, os.O_TMPFILE, os.O_NOATIME, os.O_SYNC, os.O_ASYNC, os.O_DIRECT,
)  # fmt: skip
_more = st.lists(st.sampled_from(_OPEN_BITS), max_size=3)


def _flags(access: int, bits: Sequence[int]) -> int:
    for bit in bits:
        access |= bit
    return access | os.O_NONBLOCK  # of a FIFO, too: nobody comes to its other end


_plain_flags = st.builds(_flags, _ACCESS, _more)
# An O_PATH descriptor cannot be given to another process: openat2(2) is asked for other ones.
_open_flags = st.one_of(
    _plain_flags,
    _plain_flags,
    _plain_flags,
    st.sampled_from((os.O_PATH, os.O_PATH | os.O_NOFOLLOW, os.O_PATH | os.O_DIRECTORY)),
)
_F = _open_flags.map(number)
# Without RESOLVE_CACHED, whose answer depends on what the kernel happens to remember.
_resolve = st.lists(st.sampled_from((0, 1, 2, 4, 8, 16)), max_size=2).map(lambda bits: _flags(0, bits) & 31)


def _how(flags: int, mode: int, resolve: int) -> str:
    creates = flags & (os.O_CREAT | (os.O_TMPFILE & ~os.O_DIRECTORY))
    return data(struct.pack("=QQQ", flags, mode if creates else 0, resolve))


_HOW = st.builds(_how, _plain_flags, st.sampled_from((0o644, 0o7777)), _resolve)
_TIMES = st.sampled_from((NULL, data(struct.pack("=qqqq", 1111111111, 5, 1222222222, 7))))
_OWNER = _one(-1, -1, os.getuid(), 65534)
_ATTRIBUTE = st.sampled_from((b"user.a", b"user.b", b"trusted.a", b"a")).map(string)
_VALUE = data(b"value")
_TEXT = paths.map(lambda path: string(path or b"a"))
_KIND = _one(stat.S_IFREG | 0o644, stat.S_IFIFO | 0o600, stat.S_IFSOCK | 0o700, 0o644, stat.S_IFDIR)


CALLS: dict[str, tuple[st.SearchStrategy[str] | str, ...]] = {
    "open": (_P, _F, _MODE),
    "openat": (_D, _P, _F, _MODE),
    "openat2": (_D, _P, _HOW, "#24"),
    "creat": (_P, _MODE),
    "truncate": (_P, _one(0, 3, 30, -1)),
    "mkdir": (_P, _MODE),
    "mkdirat": (_D, _P, _MODE),
    "mknod": (_P, _KIND, "#0"),
    "mknodat": (_D, _P, _KIND, "#0"),
    "rmdir": (_P,),
    "unlink": (_P,),
    "unlinkat": (_D, _P, _one(0, AT_REMOVEDIR, 1)),
    "rename": (_P, _P),
    "renameat": (_D, _P, _D, _P),
    "renameat2": (_D, _P, _D, _P, _one(0, 1, 2, 3, 8)),
    "link": (_P, _P),
    "linkat": (_D, _P, _D, _P, _one(0, 0, AT_FOLLOW, AT_EMPTY, AT_EMPTY | AT_FOLLOW, 1)),
    "symlink": (_TEXT, _P),
    "symlinkat": (_TEXT, _D, _P),
    "chmod": (_P, _MODE),
    "fchmod": (_HELD, _MODE),
    "fchmodat": (_D, _P, _MODE),
    "fchmodat2": (_D, _P, _MODE, _AT),
    "chown": (_P, _OWNER, _OWNER),
    "lchown": (_P, _OWNER, _OWNER),
    "fchown": (_HELD, _OWNER, _OWNER),
    "fchownat": (_D, _P, _OWNER, _OWNER, _AT),
    "utime": (_P, NULL),
    "utimes": (_P, _TIMES),
    "futimesat": (_D, _P, _TIMES),
    "utimensat": (_D, _P, _TIMES, _AT),
    "setxattr": (_P, _ATTRIBUTE, _VALUE, "#5", _one(0, 1, 2)),
    "lsetxattr": (_P, _ATTRIBUTE, _VALUE, "#5", _one(0, 1, 2)),
    "fsetxattr": (_HELD, _ATTRIBUTE, _VALUE, "#5", _one(0, 1, 2)),
    "setxattrat": (_D, _P, _AT, _ATTRIBUTE, "*76616c7565,0", "#16"),
    "removexattr": (_P, _ATTRIBUTE),
    "lremovexattr": (_P, _ATTRIBUTE),
    "fremovexattr": (_HELD, _ATTRIBUTE),
    "removexattrat": (_D, _P, _AT, _ATTRIBUTE),
    "access": (_P, _one(0, 1, 2, 4)),
    "faccessat": (_D, _P, _one(0, 1, 2, 4)),
    "faccessat2": (_D, _P, _one(0, 1, 2, 4), _one(0, AT_REMOVEDIR, AT_NOFOLLOW, AT_EMPTY)),
    "stat": (_P, "@512"),
    "lstat": (_P, "@512"),
    "fstat": (_HELD, "@512"),
    "newfstatat": (_D, _P, "@512", _AT),
    "statx": (_D, _P, _AT, "#0x7ff", "@512"),
    "statfs": (_P, "@512"),
    "fstatfs": (_HELD, "@512"),
    "readlink": (_P, "@4096", "#4096"),
    "readlinkat": (_D, _P, "@4096", "#4096"),
    "getxattr": (_P, _ATTRIBUTE, "@64", "#64"),
    "lgetxattr": (_P, _ATTRIBUTE, "@64", "#64"),
    "fgetxattr": (_HELD, _ATTRIBUTE, "@64", "#64"),
    "flistxattr": (_HELD, "@64", "#64"),
    "listxattr": (_P, "@64", "#64"),
    "name_to_handle_at": (_D, _P, "@64", "@8", _one(0, AT_FOLLOW, AT_EMPTY)),
    "chdir": (_P,),
    "fchdir": (_HELD,),
    "execve": (_P, NULL, NULL),
    "execveat": (_D, _P, NULL, NULL, _one(0, AT_NOFOLLOW, AT_EMPTY)),
    "file_setattr": (_D, _P, data(struct.pack("=QIIII", 0x80, 0, 0, 0, 0)), "#24", _AT),
    "file_getattr": (_D, _P, "@24", "#24", _AT),
}  # fmt: skip
"""By name, where the path is and what stands beside it."""

_OFTEN = ("open", "openat", "openat2", "rename", "renameat2", "linkat", "mkdir", "unlinkat", "chdir")
_AFTER = {
    **dict.fromkeys(("open", "openat", "openat2", "creat"), ("name", "fd")),
    **dict.fromkeys(("chdir", "fchdir"), ("cwd",)),
}


def _known(name: str) -> bool:
    return name in NUMBERS[native()]


def _script(name: str, *arguments: str) -> tuple[str, ...]:
    return (call(name, *arguments), *_AFTER.get(name, ()))


def _calls_of(name: str) -> st.SearchStrategy[tuple[str, ...]]:
    arguments = [st.just(word) if isinstance(word, str) else word for word in CALLS[name]]
    return st.builds(partial(_script, name), *arguments)


calls = st.sampled_from([name for name in (*CALLS, *_OFTEN * 3) if _known(name)]).flatmap(
    {name: _calls_of(name) for name in CALLS}.__getitem__
)


def _whole(before: int, umask: int, made: list[tuple[str, ...]]) -> list[str]:
    opened = [f"do openat #-100 {string(path)} {number(flags)}" for path, flags in HELD]
    lines = [*opened, *PREPARATIONS[before], f"do umask {number(umask)}"]
    return lines + [line for lines in made for line in lines]


scripts = st.builds(
    _whole,
    st.integers(0, len(PREPARATIONS) - 1),
    st.sampled_from((0o022, 0o022, 0, 0o077)),
    st.lists(calls, min_size=1, max_size=4),
)
"""What an example does, as call.c understands it."""
