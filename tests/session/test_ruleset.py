"""The Landlock ruleset of a launch, where a plan was made of something that is otherwise by then."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sydd.kernel import landlock, prctl
from sydd.kernel.landlock import FsRight
from sydd.session.launching import Grant, Ruleset, build_ruleset
from tests.support.forked import in_child

pytestmark = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")


def reads(grants: tuple[Grant, ...], *paths: Path) -> list[int]:
    """What a process that was granted so gets from opening files: 0, or an errno."""

    def child() -> list[int]:
        prctl.set_no_new_privs()
        landlock.restrict_self(build_ruleset(Ruleset(int(FsRight.READ_FILE), 0, grants)))
        results = []
        for path in paths:
            try:
                os.close(os.open(path, os.O_RDONLY))
            except OSError as error:
                results.append(error.errno or -1)
            else:
                results.append(0)
        return results

    return in_child(child)


def test_a_directory_where_a_file_was(tmp_path: Path) -> None:
    """Whose single file was granted is granted nothing below a directory; nor what a link leads to."""
    file, directory, link = tmp_path / "file", tmp_path / "directory", tmp_path / "link"
    file.touch()
    directory.mkdir()
    (directory / "file").touch()
    link.symlink_to(directory)
    inside = directory / "file"
    grants = tuple(
        Grant(str(path), int(FsRight.READ_FILE), directory=False) for path in (file, directory, link)
    )
    assert reads(grants, file, inside) == [0, errno.EACCES]
    assert reads((Grant(str(directory), int(FsRight.READ_FILE), directory=True),), inside) == [0]
    assert reads((Grant(str(file), int(FsRight.READ_FILE), directory=True),), file) == [errno.EACCES]
