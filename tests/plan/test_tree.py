"""The host's tree answers as the operating system does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sydd.plan.tree import HostTree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Directories, links to each other, a loop, and a dangling link."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    for name, target in (
        ("link", "a/b"),
        ("a/up", ".."),
        ("a/b/self", "."),
        ("loop", "loop"),
        ("one", "two"),
        ("two", "one"),
        ("dangling", "nowhere/at/all"),
        ("absolute", f"{tmp_path}/link/file"),
        ("chain", "link"),
    ):
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a/b/file",
        "link/file",
        "chain/file",
        "link/../up/a",
        "a/up/link/self/self/file",
        "a/./b//file",
        "a/b/",
        "loop",
        "loop/below",
        "one/below",
        "dangling",
        "dangling/below",
        "absolute",
        "absolute/below",
        "missing/deeper/still",
        "a/b/file/below",
    ],
)
def test_realpath(tree: Path, path: str) -> None:
    """Whatever was asked before, links are followed as far as the path exists."""
    host = HostTree()
    for _ in range(2):
        assert host.realpath(f"{tree}/{path}") == os.path.realpath(f"{tree}/{path}")
        host.realpath(f"{tree}/link")


@pytest.mark.parametrize("path", ["/", "/usr/lib", "/proc/self/cwd", "/bin", "/etc/../bin/sh"])
def test_realpath_of_the_host(path: str) -> None:
    """The same for what every host has."""
    assert HostTree().realpath(path) == os.path.realpath(path)
