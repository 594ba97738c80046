"""The private temporary directory is removed whatever was left in it."""

from __future__ import annotations

import os

from sydd.session.temporary import private_directory, remove_tree
from tests.support.forked import in_child
from tests.support.unprivileged import Unprivileged

DEEPER_THAN_A_PATH = 3000


def test_it_is_private_and_canonical() -> None:
    """Mode 0700 from the beginning, by a name without links, and gone at the end."""
    with private_directory() as path:
        assert os.stat(path).st_mode & 0o777 == 0o700
        assert os.path.realpath(path) == path
    assert not os.path.lexists(path)


def test_it_goes_also_when_something_fails() -> None:
    """An exception does not leave it behind."""
    path = ""
    try:
        with private_directory() as path:
            os.mkdir(f"{path}/d")
            raise LookupError
    except LookupError:
        assert not os.path.lexists(path)


def test_links_are_not_followed() -> None:
    """What a link points to is neither removed nor given another mode."""
    with private_directory() as outside:
        os.mkdir(f"{outside}/kept", 0o500)
        with private_directory() as path:
            os.symlink(outside, f"{path}/link")
            os.mkdir(f"{path}/d")
            os.symlink(f"{outside}/kept", f"{path}/d/link")
        assert os.listdir(outside) == ["kept"]
        assert os.stat(f"{outside}/kept").st_mode & 0o777 == 0o500


def test_without_permissions(unprivileged: Unprivileged) -> None:
    """Directories that their owner cannot enter, list or write to, nested."""
    script = (
        "mkdir -p t/a/b/c t/d/e; touch t/a/b/c/f t/d/e/f; mkfifo t/p;"
        " chmod 0 t/a/b/c t/a/b t/a; chmod 555 t/d/e t/d; chmod 0 t"
    )
    assert unprivileged.run(["sh", "-c", script]).returncode == 0

    def remove() -> bool:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(unprivileged.gid, unprivileged.gid, unprivileged.gid)
            os.setresuid(unprivileged.uid, unprivileged.uid, unprivileged.uid)
        remove_tree(f"{unprivileged.home}/t")
        return os.path.lexists(f"{unprivileged.home}/t")

    assert not in_child(remove)


def test_deeper_than_recursion_and_longer_than_a_path() -> None:
    """A tree that no path names and no recursion reaches."""
    with private_directory() as path:
        here = os.open(path, os.O_RDONLY)
        for _ in range(DEEPER_THAN_A_PATH):
            os.mkdir("deep", dir_fd=here)
            below = os.open("deep", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
    assert not os.path.lexists(path)


def test_what_is_not_there() -> None:
    """Removing what somebody else removed is no error."""
    with private_directory() as path:
        os.rmdir(path)
