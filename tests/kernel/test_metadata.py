"""Metadata of held objects; the oracle is os, chattr(1) and lsattr(1), or a real fallback in a child."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sydd.kernel import _numbers, metadata, prctl, seccomp
from tests.support.forked import in_child

KINDS = ["file", "directory", "link", "fifo"]
NODUMP = 0x40
RELEASE = tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[dict[str, int]]:
    """O_PATH descriptors of one object of each kind."""
    (tmp_path / "file").touch(0o644)
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    found = {kind: os.open(tmp_path / kind, os.O_PATH | os.O_NOFOLLOW) for kind in KINDS}
    yield found
    for fd in found.values():
        os.close(fd)


def mode(fd: int) -> int:
    """The permission bits of a descriptor's object."""
    return stat.S_IMODE(os.fstat(fd).st_mode)


def hide_fchmodat2() -> None:
    """Make this child's kernel an older one."""
    prctl.set_no_new_privs()
    code = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, _numbers.FCHMODAT2),
        (0x06, 0, 0, seccomp.RET_ERRNO | errno.ENOSYS),
        (0x06, 0, 0, seccomp.RET_ALLOW),
    ]
    seccomp.set_mode_filter(b"".join(struct.pack("=HBBI", *line) for line in code), 0)


@pytest.mark.parametrize("old", [False, True], ids=["fchmodat2", "proc"])
@pytest.mark.parametrize("kind", KINDS)
def test_mode(objects: dict[str, int], kind: str, old: bool) -> None:
    """By the system call and, on an older kernel, by /proc: the same; a link has no mode to change."""

    def run() -> tuple[int, bool]:
        if old:
            hide_fchmodat2()
        try:
            metadata.chmod_object(objects[kind], 0o2741)
            metadata.chmod_object(objects[kind], 0o2741)
        except OSError as error:
            return error.errno or -1, metadata._lacks_fchmodat2
        return 0, metadata._lacks_fchmodat2

    before = mode(objects["file"])
    expected = errno.EOPNOTSUPP if kind == "link" else 0
    assert in_child(run) == (expected, old or RELEASE < (6, 6))
    if kind == "link":
        assert mode(objects["file"]) == before
    else:
        assert mode(objects[kind]) == 0o2741


@pytest.mark.parametrize("old", [False, True], ids=["fchmodat2", "proc"])
def test_mode_by_name(tmp_path: Path, objects: dict[str, int], old: bool) -> None:
    """Links are followed unless the flag says otherwise; an unknown flag is EINVAL."""

    def call(dirfd: int, path: bytes, bits: int, flags: int) -> int:
        try:
            metadata.fchmodat2(dirfd, path, bits, flags)
        except OSError as error:
            return error.errno or -1
        return 0

    def run() -> list[int]:
        if old:
            hide_fchmodat2()
        directory = os.open(tmp_path, os.O_PATH)
        os.chdir(tmp_path / "directory")
        return [
            call(directory, b"link", 0o600, 0),
            call(directory, b"link", 0o777, metadata.AT_SYMLINK_NOFOLLOW),
            call(directory, b"fifo", 0o611, metadata.AT_SYMLINK_NOFOLLOW),
            call(directory, b"missing", 0o600, 0),
            call(directory, b"", 0o600, 0),
            call(metadata.AT_FDCWD, b"", 0o701, metadata.AT_EMPTY_PATH),
            call(directory, b"file", 0o600, 1 << 5),
            call(987654, b"file", 0o600, 0),
        ]

    assert in_child(run) == [
        0,
        errno.EOPNOTSUPP,
        0,
        errno.ENOENT,
        errno.ENOENT,
        0,
        errno.EINVAL,
        errno.EBADF,
    ]
    assert [mode(objects[kind]) for kind in ("file", "fifo", "directory")] == [0o600, 0o611, 0o701]


@pytest.mark.parametrize("kind", KINDS)
def test_owner_that_stays(objects: dict[str, int], kind: str) -> None:
    """-1 leaves both; the own ids are always allowed."""
    metadata.chown_object(objects[kind], -1, -1)
    metadata.chown_object(objects[kind], os.getuid(), os.getgid())
    info = os.fstat(objects[kind])
    assert (info.st_uid, info.st_gid) == (os.getuid(), os.getgid())


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
def test_owner(objects: dict[str, int], kind: str) -> None:
    """The object itself changes, a link instead of what it leads to."""
    metadata.chown_object(objects[kind], 4321, -1)
    metadata.chown_object(objects[kind], -1, 4322)
    info = os.fstat(objects[kind])
    assert (info.st_uid, info.st_gid) == (4321, 4322)
    if kind == "link":
        assert os.fstat(objects["file"]).st_uid == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="about a user who is not root")
def test_owner_is_refused(objects: dict[str, int]) -> None:
    """EPERM comes out."""
    with pytest.raises(PermissionError):
        metadata.chown_object(objects["file"], 0, -1)


@pytest.mark.parametrize("kind", KINDS)
def test_times(objects: dict[str, int], kind: str) -> None:
    """Both are set to the nanosecond, of the object itself."""
    metadata.utimens_object(objects[kind], struct.pack("=4q", 1000, 1, 2000, 2))
    info = os.fstat(objects[kind])
    assert (info.st_atime_ns, info.st_mtime_ns) == (1000 * 10**9 + 1, 2000 * 10**9 + 2)
    if kind == "link":
        assert os.fstat(objects["file"]).st_mtime > 2000
    metadata.utimens_object(objects[kind], None)
    assert os.fstat(objects[kind]).st_mtime > 2000


def test_times_of_another_size(objects: dict[str, int]) -> None:
    """The kernel would read behind the buffer."""
    with pytest.raises(ValueError, match="32 bytes"):
        metadata.utimens_object(objects["file"], b"\0" * 16)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_extended_attributes(tmp_path: Path, objects: dict[str, int], kind: str) -> None:
    """Set, guarded by the flags, and removed."""
    fd = objects[kind]
    try:
        metadata.set_xattr(fd, b"user.sydd", b"a\0b")
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            pytest.skip("the temporary directory's file system has no user attributes")
        raise
    assert os.getxattr(tmp_path / kind, "user.sydd") == b"a\0b"
    for flags, name, expected in (
        (metadata.XATTR_CREATE, b"user.sydd", errno.EEXIST),
        (metadata.XATTR_REPLACE, b"user.other", errno.ENODATA),
    ):
        with pytest.raises(OSError, match=f"Errno {expected}]"):
            metadata.set_xattr(fd, name, b"", flags)
    metadata.remove_xattr(fd, b"user.sydd")
    assert os.listxattr(tmp_path / kind) == []
    with pytest.raises(OSError, match=f"Errno {errno.ENODATA}]"):
        metadata.remove_xattr(fd, b"user.sydd")


def test_a_link_has_no_user_attributes(tmp_path: Path, objects: dict[str, int]) -> None:
    """EPERM, as lsetxattr says: what the link leads to is not touched."""
    with pytest.raises(PermissionError):
        metadata.set_xattr(objects["link"], b"user.sydd", b"x")
    assert "user.sydd" not in os.listxattr(tmp_path / "file")


@pytest.mark.root
def test_a_links_own_attribute(tmp_path: Path, objects: dict[str, int]) -> None:
    """One of the trusted namespace sits on the link itself."""
    metadata.set_xattr(objects["link"], b"trusted.sydd", b"x")
    assert os.listxattr(tmp_path / "link", follow_symlinks=False) == ["trusted.sydd"]
    assert os.listxattr(tmp_path / "file") == []
    metadata.remove_xattr(objects["link"], b"trusted.sydd")
    assert os.listxattr(tmp_path / "link", follow_symlinks=False) == []


def flagged(path: Path) -> str:
    """What lsattr(1) shows."""
    lsattr = shutil.which("lsattr", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if lsattr is None:
        pytest.skip("there is no lsattr")
    return subprocess.run([lsattr, "-d", path], capture_output=True, text=True, check=True).stdout.split()[0]


@pytest.fixture
def flag_file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file with inode flags, and a real descriptor of it."""
    path = tmp_path / "flags"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    try:
        try:
            metadata.get_flags(fd)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP):
                raise
            pytest.skip("the temporary directory's file system has no inode flags")
        yield path, fd
    finally:
        os.close(fd)


def test_inode_flags(flag_file: tuple[Path, int]) -> None:
    """What we set lsattr shows, and what chattr sets we see."""
    path, fd = flag_file
    metadata.set_flags(fd, metadata.get_flags(fd) | NODUMP)
    assert "d" in flagged(path)
    assert metadata.get_flags(fd) & NODUMP
    subprocess.run(["chattr", "-d", path], check=True)
    assert not metadata.get_flags(fd) & NODUMP


def test_fsxattr(flag_file: tuple[Path, int]) -> None:
    """The other ioctl speaks of the same flag, by another bit."""
    path, fd = flag_file
    xflags, *rest = metadata.FSXATTR.unpack(metadata.get_fsxattr(fd))
    metadata.set_fsxattr(fd, metadata.FSXATTR.pack(xflags | 0x80, *rest))
    assert "d" in flagged(path)
    with pytest.raises(ValueError, match="28 bytes"):
        metadata.set_fsxattr(fd, b"short")


@pytest.mark.skipif(RELEASE < (6, 17), reason="needs Linux 6.17")
def test_file_attributes(flag_file: tuple[Path, int]) -> None:
    """By an O_PATH descriptor, which the ioctls refuse."""
    path, fd = flag_file
    held = os.open(path, os.O_PATH)
    try:
        xflags, *rest = metadata.FILE_ATTR.unpack(metadata.file_getattr(held))
        metadata.file_setattr(held, metadata.FILE_ATTR.pack(xflags | 0x80, *rest))
        assert "d" in flagged(path)
        assert metadata.get_flags(fd) & NODUMP
        with pytest.raises(OSError, match=f"Errno {errno.EBADF}]"):
            metadata.get_flags(held)
        with pytest.raises(OSError, match="file_setattr") as caught:
            metadata.file_setattr(held, b"\xff" * 32)
        assert caught.value.errno == errno.E2BIG
    finally:
        os.close(held)


def test_a_bad_descriptor() -> None:
    """The caller's errno comes out of each."""
    calls: list[Callable[[], object]] = [
        lambda: metadata.chmod_object(-1, 0),
        lambda: metadata.chown_object(-1, 0, 0),
        lambda: metadata.utimens_object(-1, None),
        lambda: metadata.get_flags(987654),
    ]
    for call in calls:
        with pytest.raises(OSError, match=f"Errno {errno.EBADF}]"):
            call()
