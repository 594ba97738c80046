"""Lists of acts for calls of one kind: what differs between them is the place of their arguments."""

from __future__ import annotations

import os
import stat
import struct
from typing import Any

from tests.rows.cases import Act
from tests.rows.forms import HERE
from tests.rows.script import BAD, NULL, data, number, string

UID, GID = (1234, 4321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
"""Owners that a chown may give a file to."""

AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = 0x100, 0x200, 0x400, 0x1000
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


def about(
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


def made(spell: str, *, follow: bool = False, mknod: bool = False) -> list[Act]:
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


def removed(spell: str, *, directories: bool) -> list[Act]:
    """Names that go: what can be removed, what is of the wrong kind, links, nothing."""
    names = (b"empty", b"file") if directories else (b"file", b"empty")
    others = (b"full", b"dangling", b"loop", b"nothing", b"to-empty", b"to-file")
    return [
        Act("good", names[0], spell, "delete", follow=False, every=True),
        Act("wrong kind", names[1], spell, "", follow=False, every=True),
        *(Act(os.fsdecode(name), name, spell, "", follow=False) for name in others),
    ]


def two_names(access: str, *flags: tuple[str, int], at: bool, flagged: bool) -> list[Act]:
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


def symlinks(spell: str) -> list[Act]:
    """New links: `spell` has a place for what they lead to."""
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


def modes(spell: str, flags: tuple[tuple[str, int], ...] = ()) -> list[Act]:
    """Modes: `spell` has a place for one, and one for flags where the call has any."""
    values = (
        ("plain", 0o604),
        ("set-user-id", 0o4755),
        ("set-group-id", 0o2755),
        ("none", 0),
        ("more bits", 0o177777),
    )
    found = about(b"file", "attributes", spell, *((label, (number(mode), "#0")) for label, mode in values))
    found.append(Act("a directory", b"empty", spell.format(number(0o1700), "#0"), "attributes"))
    found += [Act(label, b"to-file", spell.format("#0600", number(flag)), "") for label, flag in flags]
    return found


def owners(spell: str, *, follow: bool = True) -> list[Act]:
    """Owners: `spell` has places for user and group."""
    values = (("both", UID, GID), ("group", -1, GID), ("user", UID, -1), ("neither", -1, -1))
    found = about(
        b"file",
        "attributes",
        spell,
        *((label, (number(uid), number(gid))) for label, uid, gid in values),
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


def times(spell: str, layout: str, word: str = "q") -> list[Act]:
    """Times: `spell` has one place; *word* is how `struct` spells a number in them."""
    four = f"={4 * word}"
    if layout == "seconds":
        values = {"given": struct.pack(f"={2 * word}", 1111111111, 1222222222)}
        odd = {}
    elif layout == "micro":
        values = {"given": struct.pack(four, 1111111111, 500000, 1222222222, 999999)}
        odd = {
            "out of range": struct.pack(four, 1, 1000000, 2, 0),
            "negative": struct.pack(four, 1, -1, 2, 0),
        }
    else:
        values = {
            "given": struct.pack(four, 1111111111, 5, 1222222222, 999999999),
            "now": struct.pack(four, 0, UTIME_NOW, 0, UTIME_NOW),
            "one": struct.pack(four, 0, UTIME_OMIT, 1222222222, 0),
            "one now": struct.pack(four, 1, 0, 0, UTIME_NOW),
        }
        odd = {
            "neither": struct.pack(four, 0, UTIME_OMIT, 0, UTIME_OMIT),  # the file is not even looked for
            "out of range": struct.pack(four, 1, 1000000000, 2, 0),
            "negative": struct.pack(four, 1, -1, 2, 0),
        }
    found = about(
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


def xattrs(spell: str, *, follow: bool = True, at: bool = False) -> list[Act]:
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


def no_xattrs(spell: str, *, follow: bool = True) -> list[Act]:
    """Removing attributes: `spell` has a place for the name."""
    return [
        Act("good", b"file", spell.format(string(b"user.origin")), "attributes", follow, every=True),
        Act("what is not there", b"file", spell.format(string(b"user.other")), "", follow),
        Act("no name", b"file", spell.format(string(b"")), "", follow),
        Act("too long a name", b"file", spell.format(string(b"n" * 256)), "", follow),
        Act("bad name", b"file", spell.format(BAD), "", follow),
        Act("a link", b"to-file", spell.format(string(b"user.origin")), "", follow),
    ]


def looks(
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


def looked_at(spell: str) -> list[Act]:
    """A call that tells about a descriptor, which may be one of O_PATH."""
    return held(spell, "stat") + [
        Act(label, b"", spell, "stat", held=(path, os.O_PATH | flags))
        for label, path, flags in (("held", b"d/file", 0), ("a held link", b"d/to-file", os.O_NOFOLLOW))
    ]


def held(
    spell: str, access: str = "attributes", *, times: bool = False, after: tuple[str, ...] = ()
) -> list[Act]:
    """A call whose object is a descriptor."""
    return [
        Act("file", b"", spell, access, held=(b"d/file", os.O_RDONLY), every=True, times=times, after=after),
        Act("file for writing", b"", spell, access, held=(b"d/file", os.O_WRONLY), times=times, after=after),
        Act("directory", b"", spell, access, held=(b"d/empty", os.O_RDONLY), times=times, after=after),
    ]
