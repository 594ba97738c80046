"""The three system calls of landlock(7), with plain integers: for the launcher, without the cost of enum.

Everybody else imports `sydd.kernel.landlock`, which has these functions and the names of the rights.
"""

from __future__ import annotations

import ctypes
import struct
from errno import ENOSYS, EOPNOTSUPP, EPERM

from sydd.kernel import _gate, _numbers

EXECUTE = 1 << 0
"""LANDLOCK_ACCESS_FS_EXECUTE."""

_RULESET_ATTR = struct.Struct("<QQQ")
"""struct landlock_ruleset_attr: handled_access_fs, handled_access_net (ABI 4), scoped (ABI 6)."""
_PATH_BENEATH_ATTR = struct.Struct("<Qi")
"""struct landlock_path_beneath_attr, packed: allowed_access, parent_fd."""
_NET_PORT_ATTR = struct.Struct("<QQ")
"""struct landlock_net_port_attr: allowed_access, port."""

_CREATE_RULESET_VERSION = 1 << 0
_CREATE_RULESET_ERRATA = 1 << 1
_RULE_PATH_BENEATH = 1
_RULE_NET_PORT = 2

_create_ruleset = _gate.bind_syscall(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32)
_add_rule = _gate.bind_syscall(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_restrict_self = _gate.bind_syscall(ctypes.c_int, ctypes.c_uint32)


def abi() -> int:
    """The Landlock ABI version of this kernel; 0 without Landlock, also where a filter refuses it.

    Raises:
        OSError: another error than ENOSYS, EOPNOTSUPP and EPERM; there is none known.
    """
    return _version(_CREATE_RULESET_VERSION)


def errata() -> int:
    """The bits of Landlock's fixed errata, bit N-1 for erratum N; 0 before Linux 6.15, which cannot tell.

    Raises:
        OSError: as `abi`.
    """
    if abi() == 0:
        return 0
    result = _create_ruleset(_numbers.LANDLOCK_CREATE_RULESET, None, 0, _CREATE_RULESET_ERRATA)
    # EINVAL from kernels that do not know the flag.
    return max(result, 0)


def _version(flag: int) -> int:
    """Ask landlock_create_ruleset(2) about itself; 0 when there is no Landlock."""
    result = _create_ruleset(_numbers.LANDLOCK_CREATE_RULESET, None, 0, flag)
    # EPERM is what filters of containers say: systemd-nspawn's, for one.
    if result < 0 and ctypes.get_errno() in (ENOSYS, EOPNOTSUPP, EPERM):
        return 0
    return _gate.check(result, "landlock_create_ruleset")


def create_ruleset(handled_fs: int, handled_net: int = 0, scoped: int = 0) -> int:
    """Make a ruleset: landlock_create_ruleset(2).

    Args:
        handled_fs: the rights on files (FsRight) that are denied unless a rule allows them.
        handled_net: the rights on TCP ports (NetRight) likewise; ABI 4.
        scoped: what must not reach out of the domain (Scope); ABI 6.

    Returns:
        the ruleset's descriptor (close-on-exec), the caller's to close.

    Raises:
        OSError: EINVAL for a right that this kernel does not know, E2BIG for a whole group of them, ENOMSG
            when nothing is handled, ENOSYS or EOPNOTSUPP without Landlock.
    """
    # Older kernels take the longer structure as long as what they do not know is zero.
    attr = _RULESET_ATTR.pack(handled_fs, handled_net, scoped)
    result = _create_ruleset(_numbers.LANDLOCK_CREATE_RULESET, attr, len(attr), 0)
    return _gate.check(result, "landlock_create_ruleset")


def add_path_rule(ruleset: int, parent: int, rights: int) -> None:
    """Allow rights on a file, or on a directory and everything below it: landlock_add_rule(2).

    Args:
        ruleset: the descriptor from `create_ruleset`.
        parent: a descriptor of the file or directory; O_PATH is enough.
        rights: FsRight; for a file only those in FILE_RIGHTS.

    Raises:
        OSError: EINVAL for rights that the ruleset does not handle or that a file cannot have; ENOMSG for
            none; EBADFD when `parent` is of a file system without names, such as a pipe.
    """
    attr = _PATH_BENEATH_ATTR.pack(rights, parent)
    result = _add_rule(_numbers.LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, attr, 0)
    _gate.check(result, "landlock_add_rule")


def add_net_rule(ruleset: int, port: int, rights: int) -> None:
    """Allow rights on a TCP port, of any address: landlock_add_rule(2), ABI 4.

    Args:
        ruleset: the descriptor from `create_ruleset`.
        port: 0 to 65535, in host order.
        rights: NetRight.

    Raises:
        OSError: EINVAL for rights that the ruleset does not handle and for other ports; EAFNOSUPPORT without
            TCP.
    """
    attr = _NET_PORT_ATTR.pack(rights, port)
    _gate.check(_add_rule(_numbers.LANDLOCK_ADD_RULE, ruleset, _RULE_NET_PORT, attr, 0), "landlock_add_rule")


def restrict_self(ruleset: int, flags: int = 0) -> None:
    """Put the calling thread, and what it starts from now on, under a ruleset: landlock_restrict_self(2).

    Args:
        ruleset: the descriptor from `create_ruleset`; -1 with flags that only silence sub-domains.
        flags: RestrictFlag; ABI 7.

    Raises:
        OSError: EPERM without no_new_privs and CAP_SYS_ADMIN; E2BIG for a 17th domain; EINVAL for unknown
            flags.
    """
    result = _restrict_self(_numbers.LANDLOCK_RESTRICT_SELF, ruleset, flags)
    _gate.check(result, "landlock_restrict_self")
