"""Modes, owners, times, extended attributes, inode flags."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

from tests.transparency.acts.tell import attempt, raw, say, write

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
FCHMODAT2 = 452
AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = 0x100, 0x1000


def modes() -> None:
    """Every bit, by path and by descriptor, and through links."""
    write("file")
    os.mkdir("d")
    os.symlink("file", "link")
    os.symlink("nowhere", "dangling")
    for mode in (0, 0o111, 0o644, 0o1777, 0o2755, 0o4755, 0o7777, 0o170644):
        os.chmod("file", mode & 0o7777)
        os.chmod("d", mode & 0o7777 | 0o700)
        say(f"{os.stat('file').st_mode:o} {os.stat('d').st_mode:o}")
        raw(f"{mode:o}", "chmod", b"file", mode)
        say(f"{os.stat('file').st_mode:o}")
    os.chmod("file", 0o600)
    fd = os.open("file", os.O_RDONLY)
    path = os.open("file", os.O_PATH)
    attempt("fchmod", os.fchmod, fd, 0o4711)
    attempt("fchmod of O_PATH", os.fchmod, path, 0o700)
    attempt("by /proc", os.chmod, f"/proc/self/fd/{path}", 0o640)
    raw("nofollow", "syscall", FCHMODAT2, -100, b"link", 0o600, AT_SYMLINK_NOFOLLOW)
    raw("empty", "syscall", FCHMODAT2, path, b"", 0o604, AT_EMPTY_PATH)
    raw("unknown flag", "syscall", FCHMODAT2, -100, b"file", 0o600, 0x8)
    for name in ("link", "dangling", "missing", "file/", "d/", "", "d/missing"):
        attempt(f"chmod {name}", os.chmod, name, 0o740)
    say(f"{os.stat('file').st_mode:o}")


def bits_that_fall() -> None:
    """Writing and giving away take the set-user-id bit; chmod of the owner keeps it."""
    for name in ("written", "truncated", "given", "kept"):
        write(name)
        os.chmod(name, 0o6755)
    with open("written", "a", encoding="ascii") as file:
        file.write("more")
    os.truncate("truncated", 1)
    os.chown("given", -1, os.getgid())
    for name in ("written", "truncated", "given", "kept"):
        say(name, f"{os.stat(name).st_mode:o}")


def owners() -> None:
    """To oneself, to nobody in particular, to others, of links."""
    write("file")
    os.symlink("file", "link")
    os.symlink("nowhere", "dangling")
    uid, gid = os.getuid(), os.getgid()
    fd = os.open("file", os.O_RDONLY)
    for name in ("file", "link", "dangling", "missing", ""):
        for who in ((-1, -1), (uid, gid), (uid, -1), (-1, gid)):
            attempt(f"chown {name}", os.chown, name, *who)
            attempt(f"lchown {name}", os.lchown, name, *who)
    attempt("fchown", os.fchown, fd, uid, gid)
    if uid:
        attempt("to another", os.chown, "file", uid + 1, -1)
        attempt("to another group", os.chown, "file", -1, gid + 1)


def times() -> None:
    """Set, kept, of now, of links, by descriptor, before 1970, of nanoseconds."""
    write("file")
    write("kept")
    os.mkdir("d")
    os.symlink("file", "link")
    os.utime("kept", ns=(111_222_333_444, 555_666_777_888))
    os.utime("file", ns=(-5_000_000_001, 1))
    os.utime("d", (0, 0))
    os.utime("link", (7, 8), follow_symlinks=False)
    fd = os.open("file", os.O_RDONLY)
    attempt("futimens", os.utime, fd, (9, 10))
    for first, second in ((UTIME_OMIT, UTIME_OMIT), (UTIME_OMIT, 5), (6, UTIME_OMIT), (1_000_000_000, 0)):
        raw(f"{first} {second}", "utimensat", -100, b"kept", struct.pack("qqqq", 3, first, 4, second), 0)
        say(os.stat("kept").st_atime_ns, os.stat("kept").st_mtime_ns)
    raw("omit, missing", "utimensat", -100, b"nothing", struct.pack("qqqq", 3, UTIME_OMIT, 4, UTIME_OMIT), 0)
    raw("unknown flag", "utimensat", -100, b"kept", None, 0x8)
    raw("null and flag", "utimensat", fd, None, None, AT_SYMLINK_NOFOLLOW)
    raw("now", "utimensat", -100, b"file", struct.pack("qqqq", 0, UTIME_NOW, 4, UTIME_OMIT), 0)
    say(os.stat("file").st_mtime_ns, os.stat("file").st_atime > 1e9)
    raw("far", "utimensat", -100, b"d", struct.pack("qqqq", 1 << 40, 0, 1 << 33, 0), 0)
    say(os.stat("d").st_atime, os.stat("d").st_mtime)
    raw("utimes", "utimes", b"file", struct.pack("qqqq", 100, 5, 200, 6))
    raw("wrong", "utimes", b"file", struct.pack("qqqq", 100, 2_000_000, 200, 6))
    raw("futimes", "futimes", fd, struct.pack("qqqq", 101, 5, 201, 6))
    path = os.open("file", os.O_PATH)
    raw("O_PATH", "utimensat", path, None, None, 0)
    raw("O_PATH, empty", "utimensat", path, b"", struct.pack("qqqq", 11, 0, 12, 0), AT_EMPTY_PATH)


def attributes() -> None:
    """user.* by path, link and descriptor; flags, sizes, and names of other kinds."""
    write("file")
    os.mkdir("d")
    os.symlink("file", "link")
    os.mkfifo("fifo")
    fd = os.open("file", os.O_RDONLY)
    for target in ("file", "d", "link", "fifo", "missing", fd):
        what = "fd" if target == fd else target
        attempt(f"set {what}", os.setxattr, target, "user.one", b"1")
        attempt(f"create {what}", os.setxattr, target, "user.one", b"2", os.XATTR_CREATE)
        attempt(f"replace {what}", os.setxattr, target, "user.two", b"2", os.XATTR_REPLACE)
        attempt(f"both {what}", os.setxattr, target, "user.two", b"2", 3)
        attempt(f"empty {what}", os.setxattr, target, "user.empty", b"")
        attempt(f"get {what}", os.getxattr, target, "user.one")
        attempt(f"get missing {what}", os.getxattr, target, "user.none")
        attempt(f"remove {what}", os.removexattr, target, "user.empty")
        attempt(f"remove missing {what}", os.removexattr, target, "user.none")
        attempt(f"list {what}", lambda target=target: sorted(os.listxattr(target)))
    for name in ("user.", "user", "nothing.x", "system.x", "user." + "n" * 250, "user." + "n" * 251, ""):
        attempt(f"name {name[:12]} {len(name)}", os.setxattr, "file", name, b"x")
    attempt("of the link", os.setxattr, "link", "user.x", b"x", follow_symlinks=False)
    attempt("large", os.setxattr, "file", "user.large", b"x" * 3000)
    attempt("too large", os.setxattr, "file", "user.large", b"x" * 65537)
    if os.getuid():
        attempt("trusted", os.setxattr, "file", "trusted.x", b"x")
        attempt("security", os.setxattr, "file", "security.x", b"x")
    path = os.open("file", os.O_PATH)
    attempt("O_PATH", os.setxattr, path, "user.path", b"x")
    os.chmod("file", 0o400)
    attempt("read-only mode", os.setxattr, "file", "user.ro", b"x")


def access_lists() -> None:
    """An ACL changes the mode, and a mode changes the ACL's mask."""
    write("file")
    os.chmod("file", 0o640)
    entries = ((1, 6, 0xFFFFFFFF), (2, 7, 1), (4, 4, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    attempt("set", os.setxattr, "file", "system.posix_acl_access", acl)
    say(f"{os.stat('file').st_mode:o}")
    os.chmod("file", 0o600)
    attempt("get", os.getxattr, "file", "system.posix_acl_access")
    attempt("wrong", os.setxattr, "file", "system.posix_acl_access", b"nonsense")


def inode_flags() -> None:
    """What lsattr shows, set and asked for, as far as the file system has it."""
    write("file")
    os.mkfifo("fifo")
    get, put = 0x80086601, 0x40086602
    for name, flags in (("file", os.O_RDONLY), (".", os.O_RDONLY), ("fifo", os.O_RDWR)):
        fd = os.open(name, flags)
        buffer = bytearray(8)
        attempt(f"get {name}", fcntl.ioctl, fd, get, buffer)
        value = int.from_bytes(buffer[:4], "little")
        attempt(f"same {name}", fcntl.ioctl, fd, put, struct.pack("Q", value))
        attempt(f"nodump {name}", fcntl.ioctl, fd, put, struct.pack("Q", value | 0x40))
        attempt(f"get {name}", fcntl.ioctl, fd, get, buffer)
        say(int.from_bytes(buffer[:4], "little") == value | 0x40)
        attempt(
            f"immutable {name}", fcntl.ioctl, fd, put, struct.pack("Q", value | 0x10)
        ) if os.getuid() else None
        extended = bytearray(28)
        attempt(f"fsgetxattr {name}", fcntl.ioctl, fd, 0x801C581F, extended)
        attempt(f"fssetxattr {name}", fcntl.ioctl, fd, 0x401C5820, bytes(extended))
    raw("bad pointer", "ioctl", os.open("file", os.O_RDONLY), ctypes.c_ulong(put), ctypes.c_void_p(8))
    raw("closed", "ioctl", 77, ctypes.c_ulong(put), ctypes.c_void_p(8))
