"""What the kernel makes of the flags of an open before it looks at the path (fs/open.c, build_open_flags)."""

from __future__ import annotations

import errno
import os

from sydd.kernel.paths import RESOLVE_BENEATH, RESOLVE_CACHED, RESOLVE_IN_ROOT
from sydd.supervisor.failure import NaturalFailure

O_ACCMODE = 3
O_TMPFILE_BIT = os.O_TMPFILE & ~os.O_DIRECTORY
O_LARGEFILE = 0o100000 if os.uname().machine == "x86_64" else 0o400000
_O_ASYNC = os.O_ASYNC
_O_PATH_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_PATH | os.O_CLOEXEC
_KNOWN = (
    O_ACCMODE
    | os.O_CREAT
    | os.O_EXCL
    | os.O_NOCTTY
    | os.O_TRUNC
    | os.O_APPEND
    | os.O_NONBLOCK
    | os.O_SYNC
    | _O_ASYNC
    | os.O_DIRECT
    | O_LARGEFILE
    | os.O_NOATIME
    | _O_PATH_FLAGS
    | os.O_TMPFILE
)
_RESOLVE_KNOWN = 0x3F
_MODE_BITS = 0o7777
_CREATING = os.O_CREAT | O_TMPFILE_BIT


def lenient(flags: int, mode: int) -> tuple[int, int]:
    """Flags and mode of open(2) and openat(2), which pass over what they do not know.

    Raises:
        NaturalFailure: EINVAL for a combination that cannot be.
    """
    flags &= _KNOWN
    if flags & os.O_PATH:
        flags &= _O_PATH_FLAGS
    mode = mode & _MODE_BITS if flags & _CREATING else 0
    check(flags, mode, 0)
    return flags, mode


def check(flags: int, mode: int, resolve: int) -> None:
    """Check the fields of `struct open_how` as openat2(2) does.

    Raises:
        NaturalFailure: EINVAL; EAGAIN for RESOLVE_CACHED with what needs more than the cache.
    """
    wrong = (
        flags & ~_KNOWN
        or resolve & ~_RESOLVE_KNOWN
        or (resolve & RESOLVE_BENEATH and resolve & RESOLVE_IN_ROOT)
        or (mode & ~_MODE_BITS if flags & _CREATING else mode)
        or _impossible(flags)
    )
    if wrong:
        raise NaturalFailure(errno.EINVAL)
    if resolve & RESOLVE_CACHED and flags & (_CREATING | os.O_TRUNC):
        raise NaturalFailure(errno.EAGAIN)


def _impossible(flags: int) -> bool:
    """Whether flags contradict each other."""
    if flags & O_TMPFILE_BIT:
        return flags & (os.O_TMPFILE | os.O_CREAT) != os.O_TMPFILE or not flags & O_ACCMODE
    if flags & os.O_PATH:
        return bool(flags & ~_O_PATH_FLAGS)
    return bool(flags & os.O_CREAT and flags & os.O_DIRECTORY)
