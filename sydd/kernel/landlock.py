"""Landlock: rights, scopes and the calls that make a domain. See landlock(7), <linux/landlock.h>."""

from __future__ import annotations

from enum import IntFlag

from sydd.kernel.landlock_calls import (
    abi,
    add_net_rule,
    add_path_rule,
    create_ruleset,
    errata,
    restrict_self,
)

__all__ = [
    "FILE_RIGHTS",
    "FsRight",
    "NetRight",
    "RestrictFlag",
    "Scope",
    "abi",
    "add_net_rule",
    "add_path_rule",
    "create_ruleset",
    "errata",
    "net_rights_of_abi",
    "restrict_flags_of_abi",
    "restrict_self",
    "rights_of_abi",
    "scopes_of_abi",
]


class FsRight(IntFlag):
    """LANDLOCK_ACCESS_FS_*: `handled_access_fs` of a ruleset, `allowed_access` of a path rule."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


class NetRight(IntFlag):
    """LANDLOCK_ACCESS_NET_*: `handled_access_net` of a ruleset, `allowed_access` of a port rule."""

    BIND_TCP = 1 << 0
    CONNECT_TCP = 1 << 1


class Scope(IntFlag):
    """LANDLOCK_SCOPE_*: `scoped` of a ruleset."""

    ABSTRACT_UNIX_SOCKET = 1 << 0
    SIGNAL = 1 << 1


class RestrictFlag(IntFlag):
    """LANDLOCK_RESTRICT_SELF_*: `flags` of landlock_restrict_self(2)."""

    LOG_SAME_EXEC_OFF = 1 << 0
    LOG_NEW_EXEC_ON = 1 << 1
    LOG_SUBDOMAINS_OFF = 1 << 2


FILE_RIGHTS = FsRight.EXECUTE | FsRight.WRITE_FILE | FsRight.READ_FILE | FsRight.TRUNCATE | FsRight.IOCTL_DEV
"""The rights that a rule about a file may give; the others are about directories: EINVAL."""

_FS_RIGHTS_OF_ABI1 = FsRight(FsRight.REFER - 1)
_SINCE = ((2, FsRight.REFER), (3, FsRight.TRUNCATE), (5, FsRight.IOCTL_DEV))


def rights_of_abi(abi: int) -> FsRight:
    """The rights on files that a Landlock ABI version knows.

    Args:
        abi: what `abi()` says; 0 knows none.
    """
    rights = _FS_RIGHTS_OF_ABI1 if abi >= 1 else FsRight(0)
    for version, right in _SINCE:
        if abi >= version:
            rights |= right
    return rights


def net_rights_of_abi(abi: int) -> NetRight:
    """The rights on TCP ports that a Landlock ABI version knows."""
    return NetRight.BIND_TCP | NetRight.CONNECT_TCP if abi >= 4 else NetRight(0)


def scopes_of_abi(abi: int) -> Scope:
    """The scopes that a Landlock ABI version knows."""
    return Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL if abi >= 6 else Scope(0)


def restrict_flags_of_abi(abi: int) -> RestrictFlag:
    """The flags of `restrict_self` that a Landlock ABI version knows."""
    return RestrictFlag(7) if abi >= 7 else RestrictFlag(0)
