"""Landlock, for real: each domain in a child."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from sydd.kernel import landlock, prctl
from sydd.kernel.landlock import FsRight, NetRight, Scope
from tests.support.forked import in_child

ABI = landlock.abi()
pytestmark = pytest.mark.skipif(ABI == 0, reason="this kernel has no Landlock")


def errno_of(path: Path, flags: int) -> int:
    """0, or the errno of opening a file."""
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError as error:
        return error.errno or -1
    return 0


def restrict(handled: int, rules: dict[Path, int], scoped: int = 0) -> None:
    """Put this process into a domain."""
    ruleset = landlock.create_ruleset(handled, 0, scoped)
    for path, rights in rules.items():
        fd = os.open(path, os.O_PATH)
        landlock.add_path_rule(ruleset, fd, rights)
        os.close(fd)
    prctl.set_no_new_privs()
    landlock.restrict_self(ruleset)
    os.close(ruleset)


def test_only_the_subtree_can_be_written(tmp_path: Path) -> None:
    """Writing outside is EACCES, inside it works, reading is not handled."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    for directory in (inside, outside):
        directory.mkdir()
        (directory / "file").touch()

    def child() -> list[int]:
        restrict(FsRight.WRITE_FILE | FsRight.MAKE_REG, {inside: FsRight.WRITE_FILE | FsRight.MAKE_REG})
        return [
            errno_of(directory / name, flags)
            for directory in (inside, outside)
            for name, flags in (
                ("file", os.O_RDONLY),
                ("file", os.O_WRONLY),
                ("new", os.O_CREAT | os.O_WRONLY),
            )
        ]

    assert in_child(child) == [0, 0, 0, 0, errno.EACCES, errno.EACCES]


def test_a_rule_about_one_file(tmp_path: Path) -> None:
    """Its neighbour is not meant, and rights of directories are refused for it."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()

    def child() -> tuple[int, int]:
        restrict(FsRight.READ_FILE, {tmp_path / "a": FsRight.READ_FILE})
        return errno_of(tmp_path / "a", os.O_RDONLY), errno_of(tmp_path / "b", os.O_RDONLY)

    assert in_child(child) == (0, errno.EACCES)
    ruleset = landlock.create_ruleset(FsRight.READ_DIR | landlock.FILE_RIGHTS & landlock.rights_of_abi(ABI))
    fd = os.open(tmp_path / "a", os.O_PATH)
    try:
        landlock.add_path_rule(ruleset, fd, landlock.FILE_RIGHTS & landlock.rights_of_abi(ABI))
        with pytest.raises(OSError, match="landlock_add_rule") as caught:
            landlock.add_path_rule(ruleset, fd, FsRight.READ_DIR)
        assert caught.value.errno == errno.EINVAL
    finally:
        os.close(fd)
        os.close(ruleset)


@pytest.mark.skipif(ABI < 4, reason="needs Landlock ABI 4")
def test_a_port() -> None:
    """Only the named port can be connected to: refused by nobody listening, not by Landlock."""

    def child() -> list[int]:
        ruleset = landlock.create_ruleset(0, NetRight.CONNECT_TCP)
        landlock.add_net_rule(ruleset, 9, NetRight.CONNECT_TCP)
        prctl.set_no_new_privs()
        landlock.restrict_self(ruleset)
        os.close(ruleset)
        found = []
        for port in (9, 10):
            with socket.socket() as sock:
                found.append(sock.connect_ex(("127.0.0.1", port)))
        return found

    assert in_child(child) == [errno.ECONNREFUSED, errno.EACCES]


@pytest.mark.skipif(ABI < 6, reason="needs Landlock ABI 6")
def test_signals_stay_inside() -> None:
    """The parent, outside of the domain, cannot be signalled."""

    def child() -> int:
        restrict(0, {}, Scope.SIGNAL)
        try:
            os.kill(os.getppid(), 0)
        except PermissionError:
            return errno.EPERM
        return 0

    assert in_child(child) == errno.EPERM


def test_the_rights_of_this_kernel() -> None:
    """All rights that its ABI has are taken; what no kernel has is not."""
    os.close(
        landlock.create_ruleset(
            landlock.rights_of_abi(ABI), landlock.net_rights_of_abi(ABI), landlock.scopes_of_abi(ABI)
        )
    )
    with pytest.raises(OSError, match="landlock_create_ruleset") as caught:
        landlock.create_ruleset(1 << 60)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("abi", "fs", "net", "scopes", "flags"),
    [
        (0, 0, 0, 0, 0),
        (1, 0x1FFF, 0, 0, 0),
        (2, 0x3FFF, 0, 0, 0),
        (3, 0x7FFF, 0, 0, 0),
        (4, 0x7FFF, 3, 0, 0),
        (5, 0xFFFF, 3, 0, 0),
        (6, 0xFFFF, 3, 3, 0),
        (7, 0xFFFF, 3, 3, 7),
    ],
)
def test_the_rights_of_each_abi(abi: int, fs: int, net: int, scopes: int, flags: int) -> None:
    """As the table in the kernel's documentation has them."""
    assert (
        landlock.rights_of_abi(abi),
        landlock.net_rights_of_abi(abi),
        landlock.scopes_of_abi(abi),
        landlock.restrict_flags_of_abi(abi),
    ) == (fs, net, scopes, flags)


def test_errata_are_bits() -> None:
    """A number, whatever kernel this is."""
    assert landlock.errata() >= 0


def test_it_needs_no_new_privs() -> None:
    """An unprivileged thread cannot restrict itself while exec could raise its privileges."""

    def child() -> int:
        if os.geteuid() == 0:
            os.setuid(65534)
        if prctl.get_no_new_privs():
            return errno.EPERM
        try:
            landlock.restrict_self(landlock.create_ruleset(FsRight.EXECUTE))
        except OSError as error:
            return error.errno or -1
        return 0

    assert in_child(child) == errno.EPERM
