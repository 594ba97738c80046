"""Looking at held objects; the oracle is os, by path."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sydd.kernel import lookup

KINDS = ["file", "directory", "link", "fifo"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One object of each kind."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.fixture
def objects(directory: Path) -> Iterator[dict[str, int]]:
    """O_PATH descriptors of them."""
    found = {kind: os.open(directory / kind, os.O_PATH | os.O_NOFOLLOW) for kind in KINDS}
    yield found
    for fd in found.values():
        os.close(fd)


@pytest.mark.parametrize("kind", KINDS)
def test_stat(objects: dict[str, int], directory: Path, kind: str) -> None:
    """The inode is where struct stat has it, and the structure is as long as it is."""
    data = lookup.stat_object(objects[kind])
    assert len(data) == lookup.STAT_SIZE
    assert struct.unpack_from("=QQ", data)[1] == (directory / kind).lstat().st_ino


@pytest.mark.parametrize("kind", KINDS)
def test_statx(objects: dict[str, int], directory: Path, kind: str) -> None:
    """What was asked for is there."""
    data = lookup.statx_object(objects[kind], 0, 0x7FF)
    about = (directory / kind).lstat()
    mode, inode, size = struct.unpack_from("=28xH2xQQ", data)
    assert (mode, inode, size) == (about.st_mode, about.st_ino, about.st_size)


def test_statx_of_nonsense(objects: dict[str, int]) -> None:
    """The kernel's own checks stay."""
    with pytest.raises(OSError, match="statx") as caught:
        lookup.statx_object(objects["file"], 0x6000, 0x7FF)
    assert caught.value.errno == errno.EINVAL


def test_statfs(objects: dict[str, int], directory: Path) -> None:
    """The block size is behind the type."""
    data = lookup.statfs_object(objects["file"])
    assert struct.unpack_from("=8xq", data)[0] == os.statvfs(directory).f_bsize


@pytest.mark.parametrize("kind", KINDS)
def test_access(objects: dict[str, int], kind: str) -> None:
    """It is there; by either ids."""
    lookup.access_object(objects[kind], os.F_OK, 0)
    lookup.access_object(objects[kind], os.F_OK, lookup.AT_EACCESS)


def test_no_access(objects: dict[str, int], directory: Path) -> None:
    """Nobody executes what has no such bit."""
    (directory / "file").chmod(0o644)
    with pytest.raises(PermissionError, match="faccessat2"):
        lookup.access_object(objects["file"], os.X_OK, 0)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_attributes(objects: dict[str, int], directory: Path, kind: str) -> None:
    """With room, without, and with too little."""
    os.setxattr(directory / kind, "user.one", b"value")
    assert lookup.get_xattr(objects[kind], b"user.one", 5) == (5, b"value")
    assert lookup.get_xattr(objects[kind], b"user.one", 100) == (5, b"value")
    assert lookup.get_xattr(objects[kind], b"user.one", 0) == (5, b"")
    with pytest.raises(OSError, match="getxattr") as caught:
        lookup.get_xattr(objects[kind], b"user.one", 4)
    assert caught.value.errno == errno.ERANGE
    length, names = lookup.list_xattr(objects[kind], 1000)
    assert (length, b"user.one" in names.split(b"\0")) == (len(names), True)
    assert lookup.list_xattr(objects[kind], 0) == (length, b"")
    with pytest.raises(OSError, match="listxattr") as caught:
        lookup.list_xattr(objects[kind], 2)
    assert caught.value.errno == errno.ERANGE


def test_attributes_of_a_link(objects: dict[str, int], directory: Path) -> None:
    """The link is not followed to the file, which has the attribute."""
    os.setxattr(directory / "file", "user.one", b"value")
    with pytest.raises(OSError, match="getxattr") as caught:
        lookup.get_xattr(objects["link"], b"user.one", 100)
    assert caught.value.errno in (errno.ENODATA, errno.EOPNOTSUPP)


def test_handle(objects: dict[str, int]) -> None:
    """Too little room tells how much is needed; with that there is one, and another object has another."""
    number, head, _ = lookup.handle_object(objects["file"], 0, 0)
    needed = struct.unpack("=Ii", head)[0]
    assert (number, len(head)) == (errno.EOVERFLOW, 8)
    number, handle, mount = lookup.handle_object(objects["file"], needed, 0)
    assert (number, len(handle), len(mount)) == (0, 8 + needed, 8)
    assert lookup.handle_object(objects["link"], needed, 0)[1] != handle
