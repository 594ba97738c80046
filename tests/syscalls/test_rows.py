"""Every register of every row against the kernel's own parameter names."""

from __future__ import annotations

import pytest

from sydd.policy.access import Access
from sydd.syscalls.flags import AT_REMOVEDIR, AT_SYMLINK_NOFOLLOW
from sydd.syscalls.process_rows import JUDGED_BY_REGISTERS
from sydd.syscalls.row import Operation, Row, Times
from sydd.syscalls.rows import FLAG_REQUESTS, ROWS
from sydd.syscalls.table import rows_by_name, rows_by_number
from tests.syscalls.signatures import SIGNATURES

PATHS = (
    *("filename", "pathname", "path", "oldname", "newname", "from_pathname", "to_pathname", "dir_name"),
    *("special", "specialfile", "new_root", "put_old"),
)
DIRFDS = ("dfd", "olddfd", "newdfd", "from_dfd", "to_dfd")
DESCRIPTORS = ("fd", "fs_fd", "mountdirfd")
FLAGS = ("flags", "flag", "at_flags", "swap_flags", "mask")
EXTRA = {
    Operation.MKNOD: ("dev",),
    Operation.TRUNCATE: ("length", "offset_low", "offset_high"),
    Operation.MULTIPLEX: ("call", "args"),
    Operation.CHOWN: ("user", "group"),
    Operation.UTIME: ("times", "utimes"),
    Operation.SETXATTR: ("name", "value", "size", "flags", "uargs", "usize"),
    Operation.REMOVEXATTR: ("name",),
    Operation.STAT: ("mask", "sz", "statbuf", "buf", "buffer", "ufattr", "usize"),
    Operation.READLINK: ("buf", "bufsiz"),
    Operation.GETXATTR: ("name", "value", "size", "uargs", "usize"),
    Operation.LISTXATTR: ("list", "size"),
    Operation.HANDLE: ("handle", "mnt_id"),
    Operation.SETFLAGS: ("ufattr", "usize", "cmd", "arg"),
    Operation.SOCKET: ("family", "type", "protocol", "uservaddr", "umyaddr", "addrlen", "backlog"),
    Operation.SEND: ("buff", "len", "addr", "addr_len", "msg", "mmsg", "vlen"),
    Operation.SYMLINK: ("oldname",),
    Operation.PROCESS: ("which", "who", "pid", "pgid"),
    Operation.IPC_GET: ("key", "size", "nsems", "shmflg", "semflg", "msgflg"),
    Operation.IPC_USE: ("shmid", "semid", "msqid", "cmd"),
}
UNUSED = (
    *("argv", "envp", "buf", "size", "handle"),
    *(
        "dirent",
        "count",
        "uargs",
        "usize",
        "ufattr",
        "attr_flags",
        "uattr",
        "dev_name",
        "type",
        "data",
        "cmd",
    ),
    *("niceval", "ioprio", "param", "policy", "len", "user_mask_ptr", "uattr", "resource", "new_rlim"),
    *("old_rlim", "shmaddr", "shmflg", "tsops", "nsops", "timeout", "semnum", "arg", "msgp", "msgsz"),
    *("msgtyp", "msgflg", "first", "second", "third", "ptr", "fifth"),
    *("usockvec", "sz"),
    *("id", "addr", "_key", "_value", "aux", "_fs_name", "fanotify_fd", "mask", "fd", "flags", "name"),
)
"""Parameters that no stage looks at: buffers for results, sizes; the names where a call has them twice come
last, and only count for a call that uses the first meaning already."""


def expected(row: Row) -> dict[str, object]:
    """The registers as the kernel's names tell them."""
    names = SIGNATURES[row.name]
    taken: set[int] = set()

    def registers(*wanted: str) -> list[int]:
        found = [i for i, name in enumerate(names) if name in wanted and i not in taken]
        taken.update(found)
        return found

    def one(*wanted: str) -> int | None:
        found = registers(*wanted)
        assert len(found) < 2, (row.name, found)
        return found[0] if found else None

    extra: list[int] = []
    if row.operation in EXTRA:
        # setxattr's only flags are the attribute's own; fsetxattr and ioctl have their descriptor beside.
        extra = registers(*EXTRA[row.operation])
    if row.name == "openat2":
        extra = registers("how", "usize")
    paths = registers(*PATHS)
    if not paths and row.name in ("acct", "umount", "umount2", "name_to_handle_at"):
        paths = registers("name")
    dirfds = registers(*DIRFDS)
    if row.name == "execveat":
        dirfds = registers("fd")
    fd = None if paths else one(*DESCRIPTORS)
    if row.name == "fanotify_mark":
        flags = one("flags")  # its mask is of events
    elif row.name == "statx":
        flags = one("flags")  # its mask is of fields
    elif row.operation in JUDGED_BY_REGISTERS:
        flags = None  # whatever is done, whom it is done to is what counts
    else:
        flags = one(*FLAGS)
    mode = one("mode")
    left = [name for i, name in enumerate(names) if i not in taken and name not in UNUSED]
    assert left == [], f"{row.name}: nobody looks at {left}"
    return {
        "dirfd": dirfds[0] if dirfds else None,
        "path": paths[0] if paths else None,
        "dirfd2": dirfds[1] if len(dirfds) > 1 else None,
        "path2": paths[1] if len(paths) > 1 else None,
        "fd": fd,
        "flags": flags,
        "mode": mode,
        "extra": tuple(extra),
    }


ABOUT_PROCESSES = (Operation.IDENTITY, Operation.CONFINE, Operation.SIGNAL)
OBJECT_ROWS = [row for row in ROWS if row.operation not in ABOUT_PROCESSES]
"""Rows about files; those about processes are known by their names."""


@pytest.mark.parametrize("row", OBJECT_ROWS, ids=lambda row: row.name)
def test_registers(row: Row) -> None:
    """All registers of the row, and none that it passes over."""
    fields = ("dirfd", "path", "dirfd2", "path2", "fd", "flags", "mode", "extra")
    assert expected(row) == {field: getattr(row, field) for field in fields}


def test_the_subtle_ones() -> None:
    """By hand, from the manual pages: (dirfd, path, dirfd2, path2, flags)."""
    by_name = {row.name: row for row in ROWS}
    subtle = {
        "fchmodat": (0, 1, None, None, None),
        "faccessat": (0, 1, None, None, None),
        "faccessat2": (0, 1, None, None, 3),
        "newfstatat": (0, 1, None, None, 3),
        "statx": (0, 1, None, None, 2),
        "fchownat": (0, 1, None, None, 4),
        "symlink": (None, 1, None, None, None),
        "symlinkat": (1, 2, None, None, None),
        "linkat": (0, 1, 2, 3, 4),
        "renameat2": (0, 1, 2, 3, 4),
        "unlinkat": (0, 1, None, None, 2),
        "utimensat": (0, 1, None, None, 3),
        "setxattrat": (0, 1, None, None, 2),
        "file_setattr": (0, 1, None, None, 4),
        "execveat": (0, 1, None, None, 4),
        "name_to_handle_at": (0, 1, None, None, 4),
        "fanotify_mark": (3, 4, None, None, 1),
        "inotify_add_watch": (None, 1, None, None, 2),
    }
    found = {name: by_name[name] for name in subtle}
    assert subtle == {n: (r.dirfd, r.path, r.dirfd2, r.path2, r.flags) for n, r in found.items()}


def test_names_are_unique() -> None:
    """One row for each call, and a signature for each row."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {row.name for row in OBJECT_ROWS} == set(SIGNATURES)


def test_links_as_last_component() -> None:
    """Calls about a name do not follow, nor do the l-calls, readlink and name_to_handle_at."""
    unfollowed = {row.name for row in ROWS if not row.follow}
    assert unfollowed == {
        *(
            "mkdir",
            "mkdirat",
            "mknod",
            "mknodat",
            "rmdir",
            "unlink",
            "unlinkat",
            "rename",
            "renameat",
            "renameat2",
        ),
        *(
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "lchown",
            "lsetxattr",
            "lremovexattr",
            "lstat",
            "readlink",
        ),
        *("readlinkat", "lgetxattr", "llistxattr", "name_to_handle_at"),
        *("lchown32", "lstat64", "oldlstat"),
    }
    l_calls = {"lchown", "lsetxattr", "lremovexattr", "lstat", "lgetxattr", "llistxattr"}
    l_calls |= {"lchown32", "lstat64", "oldlstat"}
    assert {row.name for row in ROWS if row.fixed_flags & AT_SYMLINK_NOFOLLOW} == l_calls
    assert {row.name for row in ROWS if row.fixed_flags == AT_REMOVEDIR} == {"rmdir"}


def test_what_is_asked() -> None:
    """Every call asks for something or is refused with an errno; the lists are those of the rule language."""
    for row in ROWS:
        refusing = row.operation in JUDGED_BY_REGISTERS | {Operation.REFUSED, Operation.SIGNAL}
        asking = not refusing and row.operation not in ABOUT_PROCESSES and row.name != "ipc"
        assert bool(row.asks) == asking, row.name
        assert bool(row.errno) == refusing, row.name
        assert (row.times is not None) == (row.operation is Operation.UTIME), row.name
        assert (row.layout is not None) == (row.operation is Operation.STAT), row.name
    times = {row.name: row.times for row in ROWS if row.times}
    assert times == {
        "utime": Times.UTIMBUF,
        "utimes": Times.TIMEVAL,
        "futimesat": Times.TIMEVAL,
        "utimensat": Times.TIMESPEC,
        "utimensat_time64": Times.TIMESPEC_64,
    }


@pytest.mark.parametrize(
    ("access", "names"),
    [
        (Access.READ, {"open", "openat", "openat2"}),
        (
            Access.LIST,
            {"open", "openat", "openat2", "getdents", "getdents64", "inotify_add_watch", "fanotify_mark"},
        ),
        (Access.EXEC, {"execve", "execveat"}),
        (Access.CHDIR, {"chdir", "fchdir"}),
        (Access.MODIFY, {"open", "openat", "openat2", "creat", "link", "linkat"}),
        (Access.TRUNCATE, {"open", "openat", "openat2", "creat", "truncate"}),
        (Access.DELETE, {"rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2"}),
        (Access.RENAME, {"rename", "renameat", "renameat2"}),
        (Access.LINK, {"link", "linkat"}),
        (Access.MKNOD, {"mknod", "mknodat"}),
        (
            Access.NET,
            {"socket", "socketpair", "connect", "bind", "listen", "sendto", "sendmsg", "sendmmsg"},
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, Access) else "",
)
def test_who_asks(access: Access, names: set[str]) -> None:
    """The calls that have to be notified for one access."""
    assert {row.name for row in rows_by_number("x86_64").values() if row.asks & access} == names


def test_what_differs_by_abi() -> None:
    """By hand, from the kernel's code for 32-bit programs: split arguments and short ids."""
    fanotify = {"fanotify_mark": (4, 5)}
    for arch, fields in {"i386": {"truncate64": (1, 2)}, "arm": {"truncate64": (2, 3)}}.items():
        rows = rows_by_name(arch)
        assert {name: rows[name].extra for name in fields} == fields
        assert {name: (rows[name].dirfd, rows[name].path) for name in fanotify} == fanotify
        assert {row.name for row in rows.values() if row.short_ids} == {
            *("chown", "lchown", "fchown", "setuid", "setreuid", "setresuid", "setfsuid"),
            *("setgid", "setregid", "setresgid", "setfsgid"),
        }
        assert all(row.narrow for row in rows.values())
    for arch in ("x86_64", "aarch64"):
        assert not [row.name for row in rows_by_name(arch).values() if row.narrow or row.short_ids]


def test_ioctl_requests() -> None:
    """The encoding of linux/ioctl.h: _IOW(type, number, size)."""

    def iow(kind: str, number: int, size: int) -> int:
        return 1 << 30 | size << 16 | ord(kind) << 8 | number

    assert {
        "FS_IOC_SETFLAGS": iow("f", 2, 8),
        "FS_IOC32_SETFLAGS": iow("f", 2, 4),
        "FS_IOC_FSSETXATTR": iow("X", 32, 28),
    } == FLAG_REQUESTS
