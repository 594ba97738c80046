"""openat2 and its quiet sibling."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sydd.kernel import paths

PATH = os.O_PATH | os.O_CLOEXEC


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a directory with a file, a link to it, and links that lead out."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("text")
    (tmp_path / "link").symlink_to("sub/file")
    (tmp_path / "absolute").symlink_to("/sub/file")
    (tmp_path / "up").symlink_to("../..")
    (tmp_path / "loop").symlink_to("loop")
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_it_opens(tree: int) -> None:
    """A descriptor comes out, with the flags that were asked for and no others."""
    fd = paths.openat2(tree, b"sub/file", os.O_RDONLY)
    try:
        assert os.read(fd, 9) == b"text"
        assert os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_it_creates(tree: int, tmp_path: Path) -> None:
    """The mode is passed on."""
    os.close(paths.openat2(tree, b"new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o600


CASES = [
    (b"missing", PATH, 0, errno.ENOENT),
    (b"sub/file/x", PATH, 0, errno.ENOTDIR),
    (b"loop", PATH, 0, errno.ELOOP),
    (b"link", PATH, paths.RESOLVE_NO_SYMLINKS, errno.ELOOP),
    (b"up", PATH, paths.RESOLVE_BENEATH, errno.EXDEV),
    (b"absolute", PATH, paths.RESOLVE_BENEATH, errno.EXDEV),
    (b"absolute", PATH, 0, errno.ENOENT),
    (b"/proc/self/exe", PATH, paths.RESOLVE_NO_MAGICLINKS, errno.ELOOP),
    (b"/proc/self", PATH, paths.RESOLVE_NO_XDEV, errno.EXDEV),
    (b"x" * 5000, PATH, 0, errno.ENAMETOOLONG),
    (b"sub", os.O_PATH | os.O_WRONLY | os.O_CREAT, 0, errno.EINVAL),
    (b"sub", PATH, 1 << 40, errno.EINVAL),
]


@pytest.mark.parametrize(("path", "flags", "resolve", "expected"), CASES)
def test_errors_of_both(tree: int, path: bytes, flags: int, resolve: int, expected: int) -> None:
    """One raises the errno that the other returns."""
    assert paths.probe_openat2(tree, path, flags, resolve) == -expected
    with pytest.raises(OSError, match="openat2: ") as caught:
        paths.openat2(tree, path, flags, 0, resolve)
    assert (caught.value.errno, caught.value.filename) == (expected, os.fsdecode(path))


@pytest.mark.parametrize("path", [b"link", b"absolute", b"up/sub/file", b"/../sub/file"])
def test_a_directory_as_root(tree: int, path: bytes) -> None:
    """RESOLVE_IN_ROOT: nothing leads out, and the name is found inside."""
    fd = paths.probe_openat2(tree, path, PATH, paths.RESOLVE_IN_ROOT)
    try:
        assert os.path.samestat(os.fstat(fd), os.stat("sub/file", dir_fd=tree))
    finally:
        os.close(fd)


def test_a_bad_directory() -> None:
    """EBADF only for a relative name."""
    assert paths.probe_openat2(-5, b"x", PATH, 0) == -errno.EBADF
    fd = paths.probe_openat2(-5, b"/", PATH, 0)
    assert fd >= 0
    os.close(fd)


def test_a_nul_inside() -> None:
    """The kernel would open what stands before it."""
    with pytest.raises(ValueError, match="NUL"):
        paths.openat2(paths.AT_FDCWD, b"/etc\0x", PATH)


def test_threads_get_their_own_errno(tree: int) -> None:
    """Two threads that fail differently never see each other's error."""
    wrong: list[int] = []

    def run(path: bytes, expected: int) -> None:
        wrong.extend(
            got for _ in range(3000) if (got := paths.probe_openat2(tree, path, PATH, 0)) != expected
        )

    threads = [
        threading.Thread(target=run, args=(b"missing", -errno.ENOENT)),
        threading.Thread(target=run, args=(b"loop", -errno.ELOOP)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_cache_does_not_grow_without_bounds(tree: int) -> None:
    """Flags come from the supervised program."""
    for extra in range(5000):
        paths.probe_openat2(tree, b"missing", PATH, extra << 8)
    assert len(paths._hows) <= paths._HOWS_LIMIT
