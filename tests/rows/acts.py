"""What each row of the table is called with: every row must have an entry."""

from __future__ import annotations

import os
import stat
import struct
from typing import Any

from sydd.syscalls.rows import FLAG_REQUESTS
from tests.rows.cases import Act
from tests.rows.forms import HERE
from tests.rows.opens import open_acts, openat2_acts
from tests.rows.script import BAD, NULL, call, data, do, number, opened, string

UID, GID = (1234, 4321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
"""Owners that a chown may give a file to."""

AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = 0x100, 0x200, 0x400, 0x1000
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


def _about(
    name: bytes,
    access: str,
    spell: str,
    *values: tuple[str, tuple[str, ...]],
    follow: bool = True,
    times: bool = False,
    after: tuple[str, ...] = (),
) -> list[Act]:
    """Acts that differ in their other arguments; the first comes in every form."""
    return [
        Act(
            label,
            name,
            spell.format(*words),
            access,
            follow,
            every=not place,
            times=times,
            after=after,
        )
        for place, (label, words) in enumerate(values)
    ]


def _made(spell: str, *, follow: bool = False, mknod: bool = False) -> list[Act]:
    """Directories and nodes: `spell` has places for mode and device."""

    def act(label: str, name: bytes, mode: int, access: str, device: int = 0, **more: Any) -> Act:
        return Act(label, name, spell.format(number(mode), number(device)), access, follow)._replace(**more)

    if not mknod:
        return [
            act("new", b"new", 0o777, "create", every=True),
            act("over a file", b"file", 0o777, "", every=True),
            act("over a directory", b"empty", 0o777, ""),
            act("umask 0", b"new", 0o7777, "create", umask=0),
            act("umask 027", b"new", 0o777, "create", umask=0o027),
            act("set-group-id directory", b"setgid/new", 0o777, "create", special=True),
            act("default ACL", b"acl/new", 0o777, "create", umask=0o077, special=True),
        ]
    return [
        act("regular", b"new", stat.S_IFREG | 0o666, "create", every=True),
        act("regular by 0", b"new", 0o666, "create"),
        act("FIFO", b"new", stat.S_IFIFO | 0o666, "mknod", every=True),
        act("over a file", b"file", stat.S_IFIFO | 0o666, ""),
        act("socket", b"new", stat.S_IFSOCK | 0o777, "mknod"),
        act("directory", b"new", stat.S_IFDIR | 0o777, ""),
        act("unknown type", b"new", 0o170000, ""),
        act("umask 027", b"new", stat.S_IFREG | 0o777, "create", umask=0o027),
        act("set-group-id directory", b"setgid/new", stat.S_IFREG | 0o666, "create", special=True),
        act("default ACL", b"acl/new", stat.S_IFREG | 0o666, "create", umask=0o077, special=True),
    ]


def _removed(spell: str, *, directories: bool) -> list[Act]:
    names = (b"empty", b"file") if directories else (b"file", b"empty")
    others = (b"full", b"dangling", b"loop", b"nothing", b"to-empty", b"to-file")
    return [
        Act("good", names[0], spell, "delete", follow=False, every=True),
        Act("wrong kind", names[1], spell, "", follow=False, every=True),
        *(Act(os.fsdecode(name), name, spell, "", follow=False) for name in others),
    ]


def _two_names(access: str, *flags: tuple[str, int], at: bool, flagged: bool) -> list[Act]:
    """Calls with two names: the old name in every form, then the new one.

    What has a fixed name is `exe`: a policy that denies the rest allows that to be renamed and linked.

    Args:
        access: asked first of the old name.
        flags: further flags, each with a label.
        at: whether names have directories.
        flagged: whether the call has flags.
    """
    one = "D P" if at else "P"

    def fixed(name: bytes) -> str:
        return f"{HERE} {string(name)}" if at else string(name)

    def act(label: str, name: bytes, arguments: str, flag: int, access: str, every: bool) -> Act:
        words = f"{arguments} {number(flag)}" if flagged else arguments
        return Act(label, name, words, access, follow=bool(flag & AT_SYMLINK_FOLLOW), every=every)

    found = []
    for label, flag in (("", 0), *flags):
        plain = not flag
        found += [
            act(f"old name{label}", b"file", f"{one} {fixed(b'd/second')}", flag, access, True),
            act(f"new name{label}", b"new", f"{fixed(b'd/exe')} {one}", flag, "create", plain),
            act(f"a name that is there{label}", b"file", f"{fixed(b'd/exe')} {one}", flag, "", plain),
            act(f"a link{label}", b"to-file", f"{one} {fixed(b'd/second')}", flag, access, False),
            act(f"a directory{label}", b"empty", f"{one} {fixed(b'd/second')}", flag, "", plain),
            act(f"over a directory{label}", b"empty", f"{fixed(b'd/exe')} {one}", flag, "", False),
            act(f"over a full one{label}", b"full", f"{fixed(b'd/empty')} {one}", flag, "", False),
            act(
                f"to another directory{label}",
                b"file",
                f"{one} {fixed(b'other/second')}",
                flag,
                access,
                False,
            ),
            act(f"into itself{label}", b"empty", f"{one} {fixed(b'd/empty/x')}", flag, "", False),
            act(f"onto itself{label}", b"file", f"{one} {fixed(b'd/file')}", flag, "", False),
        ]
    return found


def _symlinks(spell: str) -> list[Act]:
    long = b"t" * 4096
    return [
        Act("good", b"new", spell.format(string(b"some/where")), "create", follow=False, every=True),
        Act("over a file", b"file", spell.format(string(b"x")), "", follow=False, every=True),
        Act("empty target", b"new", spell.format(string(b"")), "", follow=False),
        Act("long target", b"new", spell.format(string(long[:-1])), "create", follow=False),
        Act("too long a target", b"new", spell.format(string(long)), "", follow=False),
        Act("bad target", b"new", spell.format(BAD), "", follow=False),
        Act("bad target over a file", b"file", spell.format(BAD), "", follow=False),
    ]


def _modes(spell: str, flags: tuple[tuple[str, int], ...] = ()) -> list[Act]:
    modes = (
        ("plain", 0o604),
        ("set-user-id", 0o4755),
        ("set-group-id", 0o2755),
        ("none", 0),
        ("more bits", 0o177777),
    )
    found = _about(b"file", "attributes", spell, *((label, (number(mode), "#0")) for label, mode in modes))
    found.append(Act("a directory", b"empty", spell.format(number(0o1700), "#0"), "attributes"))
    found += [Act(label, b"to-file", spell.format("#0600", number(flag)), "") for label, flag in flags]
    return found


def _owners(spell: str, *, follow: bool = True) -> list[Act]:
    owners = (("both", UID, GID), ("group", -1, GID), ("user", UID, -1), ("neither", -1, -1))
    found = _about(
        b"file",
        "attributes",
        spell,
        *((label, (number(uid), number(gid))) for label, uid, gid in owners),
        follow=follow,
    )
    found.append(
        Act(
            "set-user-id is lost",
            b"setuid",
            spell.format(*map(number, (UID, GID))),
            "attributes",
            special=True,
        )
    )
    found.append(Act("a link", b"to-file", spell.format(*map(number, (UID, GID))), "attributes", follow))
    found.append(Act("somebody else", b"file", spell.format(number(1), number(1)), ""))
    return found


def _times(spell: str, layout: str) -> list[Act]:
    """Times: `spell` has one place."""
    if layout == "seconds":
        values = {"given": struct.pack("=qq", 1111111111, 1222222222)}
        odd = {}
    elif layout == "micro":
        values = {"given": struct.pack("=qqqq", 1111111111, 500000, 1222222222, 999999)}
        odd = {
            "out of range": struct.pack("=qqqq", 1, 1000000, 2, 0),
            "negative": struct.pack("=qqqq", 1, -1, 2, 0),
        }
    else:
        values = {
            "given": struct.pack("=qqqq", 1111111111, 5, 1222222222, 999999999),
            "now": struct.pack("=qqqq", 0, UTIME_NOW, 0, UTIME_NOW),
            "one": struct.pack("=qqqq", 0, UTIME_OMIT, 1222222222, 0),
            "neither": struct.pack("=qqqq", 0, UTIME_OMIT, 0, UTIME_OMIT),
            "one now": struct.pack("=qqqq", 1, 0, 0, UTIME_NOW),
        }
        odd = {
            "out of range": struct.pack("=qqqq", 1, 1000000000, 2, 0),
            "negative": struct.pack("=qqqq", 1, -1, 2, 0),
        }
    found = _about(
        b"file",
        "attributes",
        spell,
        *((label, (data(value),)) for label, value in values.items()),
        ("no times", (NULL,)),
        times=True,
    )
    found += [Act(label, b"file", spell.format(data(value)), "", times=True) for label, value in odd.items()]
    found.append(Act("bad pointer", b"file", spell.format(BAD), "", times=True))
    found.append(Act("bad pointer and no file", b"nothing", spell.format(BAD), "", times=True))
    return found


def _xattrs(spell: str, *, follow: bool = True, at: bool = False) -> list[Act]:
    """Setting attributes: `spell` has one place for name, value, size and flags as the call takes them."""

    def words(name: bytes, value: bytes, flags: int = 0) -> str:
        if at:
            return f"{string(name)} *{value.hex()},{flags} #16"
        return f"{string(name)} {data(value)} {number(len(value))} {number(flags)}"

    def act(label: str, name: bytes, text: str, access: str = "attributes", every: bool = False) -> Act:
        return Act(label, name, spell.format(text), access, follow, every=every)

    found = [
        act("new", b"file", words(b"user.test", b"value"), every=True),
        act("create only", b"file", words(b"user.test", b"value", 1)),
        act("create only what is there", b"file", words(b"user.origin", b"value", 1), ""),
        act("replace", b"file", words(b"user.origin", b"value", 2)),
        act("replace nothing", b"file", words(b"user.test", b"value", 2), ""),
        act("empty", b"file", words(b"user.test", b"")),
        act("unknown flags", b"file", words(b"user.test", b"value", 64), ""),
        act("unknown namespace", b"file", words(b"nothing.test", b"value"), ""),
        act("no name", b"file", words(b"", b"value"), ""),
        act("long name", b"file", words(b"user." + b"n" * 250, b"value")),
        act("too long a name", b"file", words(b"user." + b"n" * 251, b"value"), ""),
        act("a link", b"to-file", words(b"user.test", b"value"), ""),
        act("a directory", b"empty", words(b"user.test", b"value")),
    ]
    if not at:
        found += [
            act("too large", b"file", f"{string(b'user.test')} {BAD} #65537 #0", ""),
            act("bad value", b"file", f"{string(b'user.test')} {BAD} #5 #0", ""),
            act("bad name", b"file", f"{BAD} {data(b'v')} #1 #0", ""),
        ]
    else:
        found += [
            act("too small a structure", b"file", f"{string(b'user.test')} *76,0 #15", ""),
            act("bad structure", b"file", f"{string(b'user.test')} {BAD} #16", ""),
        ]
    return found


def _no_xattrs(spell: str, *, follow: bool = True) -> list[Act]:
    return [
        Act("good", b"file", spell.format(string(b"user.origin")), "attributes", follow, every=True),
        Act("what is not there", b"file", spell.format(string(b"user.other")), "", follow),
        Act("no name", b"file", spell.format(string(b"")), "", follow),
        Act("too long a name", b"file", spell.format(string(b"n" * 256)), "", follow),
        Act("bad name", b"file", spell.format(BAD), "", follow),
        Act("a link", b"to-file", spell.format(string(b"user.origin")), "", follow),
    ]


def _looks(
    spell: str,
    *,
    follow: bool = True,
    after: tuple[str, ...] = (),
    empty: str = "",
    names: tuple[bytes, ...] = (),
) -> list[Act]:
    """Calls that tell about an object: the file in every form, then a link and a directory.

    Args:
        spell: all arguments.
        follow: whether the call follows a last link.
        after: further lines.
        empty: the same with AT_EMPTY_PATH, where the call has it.
        names: instead of the usual ones.
    """
    first, *others = names or (b"file", b"to-file", b"empty", b"nothing")
    found = [Act("good", first, spell, "stat", follow, every=True, after=after)]
    found += [Act(os.fsdecode(name), name, spell, "", follow, after=after) for name in others]
    if empty:
        found += [
            Act("descriptor", b"", empty, "stat", held=(b"d/file", os.O_RDONLY), every=True, after=after)
        ]
    return found


def _held(
    spell: str, access: str = "attributes", *, times: bool = False, after: tuple[str, ...] = ()
) -> list[Act]:
    """A call whose object is a descriptor."""
    return [
        Act("file", b"", spell, access, held=(b"d/file", os.O_RDONLY), every=True, times=times, after=after),
        Act("file for writing", b"", spell, access, held=(b"d/file", os.O_WRONLY), times=times, after=after),
        Act("directory", b"", spell, access, held=(b"d/empty", os.O_RDONLY), times=times, after=after),
    ]


_STAT = "@512"
_FSXATTR = struct.pack("=5I8x", 0x80, 0, 0, 0, 0)
_NODUMP = struct.pack("=I", 0x40)
_GETFLAGS = (call("ioctl", number(3), number(0x80086601), "@4"), "out")
_ATTR = data(struct.pack("=QIIII", 0x80, 0, 0, 0, 0))  # FS_XFLAG_NODUMP
_OUT = ("out",)
_ADDRESS = data(struct.pack("=H", 2) + struct.pack(">H", 0) + bytes([127, 0, 0, 1]) + bytes(8))
_CWD = ("cwd",)

ACTS: dict[str, list[Act]] = {
    "open": open_acts("P {flags} {mode}"),
    "openat": open_acts("D P {flags} {mode}"),
    "openat2": openat2_acts(),
    "creat": [
        Act("new", b"new", "P #0666", "create", every=True, after=("fd",)),
        Act("file", b"file", "P #0666", "modify", every=True, after=("fd",)),
        Act("umask 027", b"new", "P #0777", "create", after=("fd",), umask=0o027),
        Act("directory", b"empty", "P #0666", "", after=("fd",)),
    ],
    "truncate": [
        *_about(
            b"file",
            "truncate",
            "P {}",
            ("shorter", ("#3",)),
            ("longer", ("#30",)),
            ("negative", (number(-1),)),
        ),
        Act("directory", b"empty", "P #0"),
        Act("FIFO", b"fifo", "P #0", special=True),
        Act("no permission", b"secret", "P #0", special=True),
    ],
    "mkdir": _made("P {0}"),
    "mkdirat": _made("D P {0}"),
    "mknod": _made("P {} {}", mknod=True),
    "mknodat": _made("D P {} {}", mknod=True),
    "rmdir": _removed("P", directories=True),
    "unlink": _removed("P", directories=False),
    "unlinkat": [
        *_removed("D P #0", directories=False),
        *(act._replace(label=f"directory: {act.label}") for act in _removed("D P #0x200", directories=True)),
        Act("unknown flags", b"file", "D P #0x1000", follow=False),
    ],
    "rename": _two_names("rename", at=False, flagged=False),
    "renameat": _two_names("rename", at=True, flagged=False),
    "renameat2": _two_names(
        "rename", (" kept", 1), (" exchanged", 2), (" both", 3), (" unknown", 64), at=True, flagged=True
    ),
    "link": _two_names("modify", at=False, flagged=False),
    "linkat": [
        *_two_names("modify", (" followed", AT_SYMLINK_FOLLOW), (" unknown", 1), at=True, flagged=True),
        Act(
            "a nameless file",
            b"new",
            f"{HERE} {string(b'/proc/self/fd/3')} D P {number(AT_SYMLINK_FOLLOW)}",
            "",
            before=(opened(b"d", os.O_TMPFILE | os.O_RDWR),),
        ),
    ],
    "symlink": _symlinks("{} P"),
    "symlinkat": _symlinks("{} D P"),
    "chmod": _modes("P {}"),
    "fchmod": _held("D #0604"),
    "fchmodat": _modes("D P {}"),
    "fchmodat2": [
        *_modes("D P {} {}", (("a link itself", AT_SYMLINK_NOFOLLOW), ("unknown flags", 1))),
        *_held(f"D {string(b'')} #0604 {number(AT_EMPTY_PATH)}"),
    ],
    "chown": _owners("P {} {}"),
    "lchown": _owners("P {} {}", follow=False),
    "fchown": _held(f"D {number(UID)} {number(GID)}"),
    "fchownat": [
        *_owners("D P {} {} #0"),
        Act(
            "a link itself",
            b"to-file",
            f"D P {number(UID)} {number(GID)} #0x100",
            "attributes",
            follow=False,
            every=False,
        ),
        Act("unknown flags", b"file", f"D P {number(UID)} {number(GID)} #1"),
        *_held(f"D {string(b'')} {number(UID)} {number(GID)} #0x1000"),
    ],
    "utime": _times("P {}", "seconds"),
    "utimes": _times("P {}", "micro"),
    "futimesat": [*_times("D P {}", "micro"), *_held(f"D {NULL} {NULL}", times=True)],
    "utimensat": [
        *_times("D P {} #0", "nano"),
        Act(
            "a link itself",
            b"to-file",
            f"D P {data(struct.pack('=qqqq', 5, 6, 7, 8))} #0x100",
            "attributes",
            follow=False,
            times=True,
        ),
        Act("unknown flags", b"file", f"D P {NULL} #1", times=True),
        *_held(f"D {NULL} {data(struct.pack('=qqqq', 5, 6, 7, 8))} #0", times=True),
    ],
    "setxattr": _xattrs("P {}"),
    "lsetxattr": _xattrs("P {}", follow=False),
    "fsetxattr": _held(f"D {string(b'user.test')} {data(b'value')} #5 #0"),
    "setxattrat": _xattrs("D P #0 {}", at=True),
    "removexattr": _no_xattrs("P {}"),
    "lremovexattr": _no_xattrs("P {}", follow=False),
    "fremovexattr": _held(f"D {string(b'user.origin')}"),
    "removexattrat": _no_xattrs("D P #0 {}"),
    "file_setattr": [
        Act("good", b"file", f"D P {_ATTR} #24 #0", "attributes", every=True),
        Act("a link itself", b"to-file", f"D P {_ATTR} #24 #0x100", "", follow=False),
        Act("too small", b"file", f"D P {_ATTR} #8 #0"),
        Act("too large", b"file", f"D P {_ATTR} #5000 #0"),
        Act("bad pointer", b"file", f"D P {BAD} #24 #0"),
    ],
    "ioctl": [
        act._replace(label=f"{request}: {act.label}")
        for request, value in FLAG_REQUESTS.items()
        for act in _held(
            f"D {number(value)} {data(_NODUMP if 'SETFLAGS' in request else _FSXATTR)}",
            after=_GETFLAGS,
        )
    ]
    + [
        Act(
            "bad pointer",
            b"",
            f"D {number(FLAG_REQUESTS['FS_IOC_SETFLAGS'])} {BAD}",
            held=(b"d/file", os.O_RDONLY),
        )
    ],
    "access": _looks("P #4"),
    "faccessat": _looks("D P #6"),
    "faccessat2": _looks("D P #4 #0x200", empty=f"D {string(b'')} #4 #0x1000"),
    "stat": _looks(f"P {_STAT}"),
    "lstat": _looks(f"P {_STAT}", follow=False),
    "newfstatat": _looks(f"D P {_STAT} #0", empty=f"D {string(b'')} {_STAT} #0x1000"),
    "statx": _looks(f"D P #0 #0x7ff {_STAT}", empty=f"D {string(b'')} #0x1000 #0x7ff {_STAT}"),
    "statfs": _looks(f"P {_STAT}"),
    "file_getattr": _looks("D P @24 #24 #0", after=_OUT),
    "readlink": _looks(
        "P @200 #200", follow=False, after=_OUT, names=(b"to-file", b"file", b"nothing", b"far-file")
    ),
    "readlinkat": _looks(
        "D P @200 #200", follow=False, after=_OUT, names=(b"to-file", b"file", b"nothing", b"far-file")
    ),
    "getxattr": _looks(f"P {string(b'user.origin')} @64 #64", after=_OUT),
    "lgetxattr": _looks(f"P {string(b'user.origin')} @64 #64", follow=False, after=_OUT),
    "getxattrat": _looks(f"D P #0 {string(b'user.origin')} *0000000000,0 #16"),
    "listxattr": _looks("P @64 #64", after=_OUT),
    "llistxattr": _looks("P @64 #64", follow=False, after=_OUT),
    "listxattrat": _looks("D P #0 @64 #64", after=_OUT),
    "name_to_handle_at": _looks("D P @64 @8 #0", follow=False),
    "getdents": [Act("directory", b"", "D @1024 #1024", "list", held=(b"d/empty", os.O_RDONLY), every=True)],
    "getdents64": [
        Act("directory", b"", "D @1024 #1024", "list", held=(b"d/empty", os.O_RDONLY), every=True)
    ],
    "inotify_add_watch": [
        Act("a link", b"to-empty", "$ P #0x100", "", before=(do("inotify_init1", "#0"),)),
        Act("directory", b"empty", "$ P #0x100", "list", every=True, before=(do("inotify_init1", "#0"),)),
        Act("file", b"file", "$ P #2", "stat", before=(do("inotify_init1", "#0"),)),
        Act("not an instance", b"file", "#1 P #2", ""),
        Act("a link itself", b"to-file", "$ P #0x02000002", "", before=(do("inotify_init1", "#0"),)),
    ],
    "fanotify_mark": [Act("no group", b"file", "#99 #1 #2 D P", "")],
    "chdir": [
        Act("directory", b"empty", "P", "chdir", every=True, after=_CWD),
        Act("file", b"file", "P", "", after=_CWD),
    ],
    "fchdir": [
        Act("directory", b"", "D", "chdir", held=(b"d/empty", os.O_RDONLY), every=True, after=_CWD),
        Act("by O_PATH", b"", "D", "chdir", held=(b"d/empty", os.O_PATH), after=_CWD),
        Act("file", b"", "D", "", held=(b"d/file", os.O_RDONLY), after=_CWD),
    ],
    "execve": [
        Act("script", b"exe", f"P {NULL} {NULL}", "exec", every=True),
        Act("not executable", b"file", f"P {NULL} {NULL}", ""),
        Act("directory", b"empty", f"P {NULL} {NULL}", ""),
    ],
    "execveat": [
        Act("script", b"exe", f"D P {NULL} {NULL} #0", "exec", every=True),
        Act("a link itself", b"to-exe", f"D P {NULL} {NULL} #0x100", "", follow=False),
        Act(
            "descriptor", b"", f"D {string(b'')} {NULL} {NULL} #0x1000", "exec", held=(b"d/exe", os.O_RDONLY)
        ),
    ],
    "socket": [
        Act(label, b"", f"D {number(kind)} #0", "connect", held=(b"d/file", os.O_RDONLY))._replace(
            arguments=f"{number(family)} {number(kind)} #0", held=None, name=b"file", after=("fd",)
        )
        for label, family, kind in (
            ("internet", 2, 1),
            ("datagram", 2, 2),
            ("local", 1, 1),
            ("unknown", 99, 1),
        )
    ],
    "socketpair": [
        Act("stream", b"file", "#1 #1 #0 @8", "", after=_OUT),
        Act("datagram", b"file", "#1 #2 #0 @8", "connect", after=_OUT),
        Act("internet", b"file", "#2 #1 #0 @8", ""),
    ],
    "connect": [
        Act("no descriptor", b"file", f"#99 {_ADDRESS} #16", "connect"),
        Act("no socket", b"file", f"#1 {_ADDRESS} #16", "connect"),
        Act("nobody there", b"file", f"$ {_ADDRESS} #16", "", before=(do("socket", "#2", "#1", "#0"),)),
        Act("bad address", b"file", f"#3 {BAD} #16", "", before=(do("socket", "#2", "#1", "#0"),)),
    ],
    "bind": [
        Act("no descriptor", b"file", f"#99 {_ADDRESS} #16", "bind"),
        Act("any port", b"file", f"$ {_ADDRESS} #16", "bind", before=(do("socket", "#2", "#1", "#0"),)),
    ],
    "setuid": [Act("own", b"file", number(os.geteuid()))],
    "setgid": [Act("own", b"file", number(os.getegid()))],
    "setreuid": [Act("nothing", b"file", f"{number(-1)} {number(-1)}")],
    "setregid": [Act("nothing", b"file", f"{number(-1)} {number(-1)}")],
    "setresuid": [
        Act("nothing", b"file", f"{number(-1)} {number(-1)} {number(-1)}"),
        Act("nobody", b"file", f"{number(65534)} {number(65534)} {number(65534)}"),
    ],
    "setresgid": [
        Act("nothing", b"file", f"{number(-1)} {number(-1)} {number(-1)}"),
        Act("nobody", b"file", f"{number(65534)} {number(65534)} {number(65534)}"),
    ],
    "setfsuid": [Act("own", b"file", number(os.geteuid()))],
    "setfsgid": [Act("own", b"file", number(os.getegid()))],
    "setgroups": [Act("none", b"file", f"#0 {NULL}")],
    "capset": [
        Act("none", b"file", f"{data(struct.pack('=Ii', 0x20080522, 0))} {data(bytes(24))}"),
        Act("bad pointer", b"file", f"{BAD} {BAD}"),
    ],
    "prctl": [
        Act("drop an unknown capability", b"file", "#24 #999 #0 #0 #0"),
        Act("drop a capability", b"file", "#24 #1 #0 #0 #0"),
        Act("no secure bits", b"file", "#28 #0 #0 #0 #0"),
    ],
}
"""By row. A row without an entry fails the tests: write one with the row."""

REFUSED: dict[str, str] = {
    "open_by_handle_at": f"{HERE} {data(bytes(8))} #0",
    "mount": f"{string('none')} {string('d')} {string('tmpfs')} #0 {NULL}",
    "umount2": f"{string('d')} #0",
    "pivot_root": f"{string('d')} {string('d')}",
    "chroot": string("d"),
    "swapon": f"{string('d/file')} #0",
    "swapoff": string("d/file"),
    "acct": string("d/file"),
    "quotactl": f"#0 {string('d/file')} #0 {NULL}",
    "quotactl_fd": f"#0 #0 #0 {NULL}",
    "open_tree": f"{HERE} {string('d')} #0",
    "open_tree_attr": f"{HERE} {string('d')} #0 {NULL} #0",
    "move_mount": f"{HERE} {string('d')} {HERE} {string('other')} #0",
    "fsopen": f"{string('tmpfs')} #0",
    "fsconfig": f"#99 #0 {NULL} {NULL} #0",
    "fsmount": "#99 #0 #0",
    "fspick": f"{HERE} {string('d')} #0",
    "mount_setattr": f"{HERE} {string('d')} #0 {data(bytes(32))} #32",
}
"""Arguments of the calls that no session may make, by row."""
