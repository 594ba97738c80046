"""A small real tree, random policies about it, and the calls that are made in it."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from sydd.policy.access import Access
from sydd.supervisor.notification import Notification
from sydd.syscalls.table import NUMBERS, native

AT_FDCWD = -100 & 0xFFFFFFFFFFFFFFFF
SCRIPT = "#!/bin/sh\nexit 0\n"


def make_tree(root: str) -> None:
    """Files, directories and links of every kind that resolution has to deal with."""
    for directory in ("a", "a/sub", "b"):
        os.makedirs(f"{root}/{directory}")
    for name in ("a/f", "a/g", "a/sub/f", "b/f"):
        with open(f"{root}/{name}", "w", encoding="ascii") as file:
            file.write(name)
    with open(f"{root}/x", "w", encoding="ascii") as file:
        file.write(SCRIPT)
    os.chmod(f"{root}/x", 0o755)
    for name, target in (
        ("to_file", "a/f"),
        ("to_dir", "a/sub"),
        ("b/over", "../a"),
        ("dangling", "b/later"),
        ("round", "round"),
    ):
        os.symlink(target, f"{root}/{name}")


OLD = (
    *("a", "a/f", "a/g", "a/sub", "a/sub/f", "b", "b/f", "x"),
    *("to_file", "to_dir", "to_dir/f", "b/over/f", "b/over/sub", "b/../a/f", "a/sub/../g", "./x"),
    *("dangling", "round", "missing", "a/missing", "to_dir/missing", "missing/f"),
)
"""Names that requests use, from the root of a tree."""

NEW = ("new", "a/new", "b/new", "to_dir/new", "b/over/new", "a/g", "b/f", "missing/new")

patterns = st.one_of(
    st.sampled_from(
        [
            "/**",
            "/**",
            "/a/**",
            "/a/**",
            "/a/sub/**",
            "/b/**",
            "/a/f",
            "/b/f",
            "/x",
            "/a",
            "/a/new",
            "/to_file",
        ]
    ),
    st.sampled_from(["/a/*", "/*/f", "/**/f", "/a/**/f", "/{a,b}/f", "/?/n*", "/b/[!f]*", "/to_dir/**"]),
)
_EVERYTHING = "read,list,stat,exec,chdir,write"
accesses = st.one_of(
    st.sampled_from([_EVERYTHING, _EVERYTHING, "write", "read", "read,list,stat", "create,delete,rename"]),
    st.sampled_from(["modify", "truncate", "attributes", "link", "mknod", "stat", "list", "exec,chdir"]),
)
actions = st.sampled_from(["allow", "allow", "allow", "deny", "deny", "warn", "hide", "filter", "ask"])
rules = st.lists(st.tuples(actions, accesses, patterns), min_size=2, max_size=6)


@dataclass(frozen=True, slots=True)
class Call:
    """One way to ask for something.

    Attributes:
        name: the system call.
        asks: the accesses that the policy is asked about, in order; the second tuple is about the new name.
        follow: whether the last component is followed, so that the object is what is judged.
        arguments: registers, from the addresses of both paths.
        perform: makes the call by itself, from both paths.
    """

    name: str
    asks: Callable[[str, str], tuple[tuple[Access, ...], tuple[Access, ...]]]
    follow: bool
    arguments: Callable[[int, int], tuple[int, ...]]
    perform: str


def _only(*asked: Access) -> Callable[[str, str], tuple[tuple[Access, ...], tuple[Access, ...]]]:
    return lambda _old, _new: (asked, ())


def _reading(old: str, _new: str) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    return ((Access.LIST if os.path.isdir(old) else Access.READ,), ())


def _creating(old: str, _new: str) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    return ((Access.MODIFY,) if os.path.exists(old) else (Access.CREATE, Access.MODIFY)), ()


def _renaming(_old: str, new: str) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    replaced = (Access.CREATE, Access.DELETE) if os.path.lexists(new) else (Access.CREATE,)
    return (Access.RENAME,), replaced


CALLS = {
    "open": Call(
        "openat",
        _reading,
        True,
        lambda p, _: (AT_FDCWD, p, os.O_RDONLY, 0),
        "os.close(os.open(p, os.O_RDONLY))",
    ),
    "open-write": Call(
        "openat",
        _only(Access.MODIFY),
        True,
        lambda p, _: (AT_FDCWD, p, os.O_WRONLY, 0),
        "os.close(os.open(p, os.O_WRONLY))",
    ),
    "open-create": Call(
        "openat",
        _creating,
        True,
        lambda p, _: (AT_FDCWD, p, os.O_WRONLY | os.O_CREAT, 0o644),
        "os.close(os.open(p, os.O_WRONLY | os.O_CREAT, 0o644))",
    ),
    "open-rewrite": Call(
        "openat",
        _only(Access.READ, Access.MODIFY, Access.TRUNCATE),
        True,
        lambda p, _: (AT_FDCWD, p, os.O_RDWR | os.O_TRUNC, 0),
        "os.close(os.open(p, os.O_RDWR | os.O_TRUNC))",
    ),
    "open-path": Call(
        "openat",
        _only(Access.STAT),
        True,
        lambda p, _: (AT_FDCWD, p, os.O_PATH, 0),
        "os.close(os.open(p, os.O_PATH))",
    ),
    "stat": Call("newfstatat", _only(Access.STAT), True, lambda p, _: (AT_FDCWD, p, 0, 0), "os.stat(p)"),
    "lstat": Call(
        "newfstatat", _only(Access.STAT), False, lambda p, _: (AT_FDCWD, p, 0, 0x100), "os.lstat(p)"
    ),
    "readlink": Call(
        "readlinkat", _only(Access.STAT), False, lambda p, _: (AT_FDCWD, p, 0, 0), "os.readlink(p)"
    ),
    "chdir": Call("chdir", _only(Access.CHDIR), True, lambda p, _: (p,), "os.chdir(p)"),
    "exec": Call(
        "execve",
        _only(Access.EXEC),
        True,
        lambda p, _: (p, 0, 0),
        "os.waitpid(os.posix_spawn(p, [p], {}), 0)",
    ),
    "mkdir": Call("mkdirat", _only(Access.CREATE), False, lambda p, _: (AT_FDCWD, p, 0o755), "os.mkdir(p)"),
    "fifo": Call(
        "mknodat",
        _only(Access.MKNOD),
        False,
        lambda p, _: (AT_FDCWD, p, stat.S_IFIFO | 0o600, 0),
        "os.mkfifo(p)",
    ),
    "unlink": Call("unlinkat", _only(Access.DELETE), False, lambda p, _: (AT_FDCWD, p, 0), "os.unlink(p)"),
    "rmdir": Call("unlinkat", _only(Access.DELETE), False, lambda p, _: (AT_FDCWD, p, 0x200), "os.rmdir(p)"),
    "symlink": Call(
        "symlinkat", _only(Access.CREATE), False, lambda p, _: (p, AT_FDCWD, p), "os.symlink('t', p)"
    ),
    "rename": Call(
        "renameat2", _renaming, False, lambda p, q: (AT_FDCWD, p, AT_FDCWD, q, 0), "os.rename(p, q)"
    ),
    "link": Call(
        "linkat",
        lambda _old, _new: ((Access.MODIFY, Access.LINK), (Access.CREATE,)),
        False,
        lambda p, q: (AT_FDCWD, p, AT_FDCWD, q, 0),
        "os.link(p, q, follow_symlinks=False)",
    ),
    "truncate": Call("truncate", _only(Access.TRUNCATE), True, lambda p, _: (p, 1), "os.truncate(p, 1)"),
    "chmod": Call(
        "fchmodat", _only(Access.ATTRIBUTES), True, lambda p, _: (AT_FDCWD, p, 0o700), "os.chmod(p, 0o700)"
    ),
    "utime": Call(
        "utimensat", _only(Access.ATTRIBUTES), True, lambda p, _: (AT_FDCWD, p, 0, 0), "os.utime(p)"
    ),
}

requests = st.tuples(st.sampled_from(sorted(CALLS)), st.sampled_from(OLD), st.sampled_from(NEW))


class Memory:
    """Strings in this process, for a notification whose registers point to them."""

    def __init__(self, *texts: str) -> None:
        self._buffers = [ctypes.create_string_buffer(os.fsencode(text)) for text in texts]

    def addresses(self) -> list[int]:
        """Where they are."""
        return [ctypes.addressof(buffer) for buffer in self._buffers]


def notification_of(call: Call, memory: Memory) -> Notification:
    """What the kernel would hand over if this process made *call*."""
    registers = call.arguments(*memory.addresses())
    number = NUMBERS[native()][call.name]
    return Notification(1, os.getpid(), number, 0, (*registers, *(0,) * (6 - len(registers))))
