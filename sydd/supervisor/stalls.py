"""What may keep waiting who touches it: names and memory of file systems that may not answer.

A file system that a program serves (FUSE), or a host on the network, answers when it likes. Whoever looks a
name up there, or reads a page of a file of it, sleeps until then; and no signal ends that. So the worker asks
first: the mounts are known by name and number, and what lies on one is left to a process of its own
(`sydd.supervisor.standin`). As long as nothing of the kind is mounted, nothing is asked.

A session stands on the file systems of its root and of its work directory. When these do not answer nothing
in it goes on anyway, and they are not asked about.

Source: proc_pid_mountinfo(5), proc_pid_maps(5), openat2(2) for RESOLVE_CACHED.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import time
from typing import TYPE_CHECKING

from sydd.kernel import pages
from sydd.kernel.paths import (
    AT_FDCWD,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    probe_openat2,
)
from sydd.supervisor.context import nothing
from sydd.supervisor.failure import MayStall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOK_SECONDS = 1.0
"""How long a new mount may go unnoticed. A session cannot mount anything; others can, below what it sees."""

_ANSWERING = """
apfs bcachefs bdev befs binder binfmt_misc bpf btrfs cgroup cgroup2 configfs cramfs debugfs devpts devtmpfs
ecryptfs efivarfs efs erofs exfat ext2 ext3 ext4 f2fs fusectl hfs hfsplus hpfs hugetlbfs iso9660 jffs2 jfs
minix mqueue msdos nilfs2 nsfs ntfs3 overlay proc pstore qnx4 qnx6 ramfs reiserfs resctrl romfs rpc_pipefs
securityfs selinuxfs smackfs squashfs sysfs tmpfs tracefs ubifs udf ufs vfat xfs zfs zonefs
"""
ANSWERING = frozenset(_ANSWERING.split())
"""File systems that the kernel serves itself, from memory or disks. Any other may have to be waited for."""

MAXIMUM_LINKS = 40
_STEP = os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW


class Stalls:
    """Knows them for one session.

    Args:
        beside: the work directory.
        changed: called when there are others than before, or none any more.

    Attributes:
        some: whether there is any.
        next_look: when mounts are to be looked at again, by time.monotonic().
    """

    def __init__(self, beside: str, changed: Callable[[], None]) -> None:
        self._beside = beside
        self._changed: Callable[[], None] = nothing  # not before its owner has this
        self._roots: tuple[str, ...] = ()
        self._below: tuple[str, ...] = ()
        self._devices: frozenset[bytes] = frozenset()
        self._table = os.open("/proc/thread-self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._table, select.POLLPRI)
        self.some = False
        self.next_look = 0.0
        self._read()
        self._changed = changed

    def close(self) -> None:
        """Know nothing any more, and wait for everything: for a process that may."""
        if self._table >= 0:
            os.close(self._table)
            self._table = -1
        self.next_look = float("inf")
        self._take({})

    def look(self) -> None:
        """See whether something was mounted, or unmounted, since the last look."""
        if self._table < 0:
            return
        self.next_look = time.monotonic() + LOOK_SECONDS
        if self._poll.poll(0):
            self._read()

    def at(self, path: str) -> bool:
        """Whether the object with this canonical name is on such a file system, or reached through one."""
        return path.startswith(self._below) or path in self._roots

    @property
    def with_memory(self) -> bool:
        """Whether memory may be such a file's: one that is known by a device, as all but autofs are."""
        return bool(self._devices)

    def before_reading(self, tid: int, address: int, size: int) -> None:
        """Make sure that bytes of a task can be read without waiting: see `kernel.memory.Reader.guard`.

        Raises:
            MayStall: they are not there, and a file system that may not answer has them.
        """
        with contextlib.suppress(OSError):
            absent = pages.first_absent(tid, address, size)
            if absent is not None and self._is_mapped(tid, absent, address + size):
                raise MayStall

    def before_writing(self, tid: int, address: int, size: int) -> None:
        """The same for writing: such a file system hears of the first write to a page that it shares.

        Raises:
            MayStall: it may have to be waited for.
        """
        with contextlib.suppress(OSError):
            waits = pages.may_wait_to_be_written(tid, address, size)
            if waits and self._is_mapped(tid, address, address + size):
                raise MayStall

    def before_copying(self, tid: int, fd: int) -> None:
        """Make sure that a copy of a task's descriptor can be closed again, which its file system hears of.

        Raises:
            MayStall: it is one of its files.
        """
        with contextlib.suppress(OSError):
            if self.at(os.readlink(f"/proc/{tid}/fd/{fd}")):
                raise MayStall

    def probe(self, start: int, path: bytes, flags: int, resolve: int) -> int:
        """As `probe_openat2`, for what is found without waiting; EAGAIN for what may not be."""
        if not self.some:
            return probe_openat2(start, path, flags, resolve)
        fd = probe_openat2(start, path, flags, resolve | RESOLVE_CACHED)
        if fd != -errno.EAGAIN:
            return fd
        if self._passes(start, path, in_root=bool(resolve & RESOLVE_IN_ROOT)):
            return fd
        return probe_openat2(start, path, flags, resolve)

    def _passes(self, start: int, path: bytes, *, in_root: bool) -> bool:
        """Whether the way to *path* leads over such a file system, as far as it leads anywhere."""
        with contextlib.ExitStack() as opened:
            try:
                return self._leads_over(opened, start, path, in_root=in_root)
            except OSError:  # a name that is too long, or the way has changed: nothing that would wait
                return False

    def _leads_over(self, opened: contextlib.ExitStack, start: int, path: bytes, *, in_root: bool) -> bool:
        """The same; a name at a time, and whether one is a mount is known before it is looked up."""

        def step(directory: int, name: bytes) -> int:
            fd = probe_openat2(directory, name, _STEP, RESOLVE_NO_MAGICLINKS)
            if fd >= 0:
                opened.callback(os.close, fd)
            return fd

        here = step(AT_FDCWD, b"/") if path[:1] == b"/" and not in_root else start
        where = _name(here)
        pending = _names(path)
        links = 0
        while pending and links <= MAXIMUM_LINKS and not self.at(where):
            name = pending.pop()
            if name != b".." and self.at(os.path.join(where, os.fsdecode(name))):
                return True
            fd = step(here, name)
            if fd < 0:
                return False
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                here, where = fd, _name(fd)
                continue
            links += 1
            target = os.readlink(b"", dir_fd=fd)
            pending += _names(target)
            if target[:1] == b"/":
                here = start if in_root else step(AT_FDCWD, b"/")
                where = _name(here)
        return self.at(where)

    def _is_mapped(self, tid: int, start: int, end: int) -> bool:
        """Whether a file of such a file system is mapped there in a task."""
        with open(f"/proc/{tid}/maps", "rb") as file:
            for line in file:
                words = line.split(None, 4)
                low, _, high = words[0].partition(b"-")
                if int(low, 16) >= end:
                    return False
                if int(high, 16) > start and words[3] in self._devices:
                    return True
        return False

    def _read(self) -> None:
        """Read all mounts."""
        data = b""
        while block := os.pread(self._table, 1 << 16, len(data)):
            data += block
        self.next_look = time.monotonic() + LOOK_SECONDS
        mounts = dict(_mounts(data.decode(errors="surrogateescape")))
        own = max((point for point in mounts if _is_below(self._beside, point)), key=len, default="/")
        self._take(
            {
                point: device
                for point, (kind, device) in mounts.items()
                if kind not in ANSWERING and point not in (own, "/")
            }
        )

    def _take(self, found: dict[str, str]) -> None:
        roots = tuple(found)
        devices = frozenset(device.encode() for device in found.values() if device)
        if (roots, devices) == (self._roots, self._devices):
            return
        self._roots, self._devices = roots, devices
        self._below = tuple(point + "/" for point in roots)
        self.some = bool(roots)
        self._changed()


def _name(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


def _names(path: bytes) -> list[bytes]:
    """The names of a path, the first one last."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]


def _is_below(path: str, point: str) -> bool:
    return point in ("/", path) or path.startswith(point + "/")


def _mounts(table: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Mount point, type, and device as /proc/<pid>/maps writes it, of each line of mountinfo.

    What is mounted later at the same point hides the earlier one. Of autofs there are no files to map.
    """
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split(" ")
        kind = after.partition(" ")[0]
        major, _, minor = words[2].partition(":")
        device = "" if kind == "autofs" else f"{int(major):02x}:{int(minor):02x}"
        yield _unescaped(words[4]), (kind, device)


def _unescaped(text: str) -> str:
    """A field of mountinfo: space, tab, newline and backslash are written as octal numbers."""
    if "\\" not in text:
        return text
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
