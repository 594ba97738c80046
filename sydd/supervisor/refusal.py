"""The errno of a denied call.

The kernel looks at many things before it looks at permissions, and programs rely on that order: `mkdir -p`
walks over directories that exist by EEXIST, and a shell finds out by ENOENT. What fails natively before
access is asked for fails in the same way here, and is no violation. Everything else is EACCES, which is
what Landlock says, so that both layers say the same; what a rule hides is ENOENT.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from sydd.kernel.names import RENAME_EXCHANGE, RENAME_NOREPLACE
from sydd.policy.access import Action
from sydd.supervisor.failure import NaturalFailure
from sydd.supervisor.openflags import O_ACCMODE
from sydd.supervisor.request import AT_REMOVEDIR
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.supervisor.found import Found
    from sydd.supervisor.request import Request
    from sydd.supervisor.target import Target


def natural_errno(request: Request, target: Target) -> int:
    """What the kernel would answer before it came to permissions; 0 when it would come to them.

    Raises:
        NaturalFailure: the caller may not even see whether the object is there.
    """
    check = _CHECKS.get(request.row.operation)
    return check(request, target) if check else 0


def refusal_errno(action: Action) -> int:
    """The errno of a denial."""
    return errno.ENOENT if action is Action.HIDE else errno.EACCES


def _mode(found: Found) -> int | None:
    """Mode of the object or entry; None when it does not exist."""
    try:
        if found.fd >= 0:
            return os.fstat(found.fd).st_mode
        if found.parent >= 0:
            return os.stat(found.name, dir_fd=found.parent, follow_symlinks=False).st_mode
        return os.lstat(found.path).st_mode
    except FileNotFoundError:
        return None
    except OSError as failure:  # its directory may not be searched: the kernel says so, too
        raise NaturalFailure(failure.errno or errno.EIO) from None


def _open(request: Request, target: Target) -> int:
    if target.creates:
        return 0
    flags = request.flags
    mode = _mode(target.demands[0].found)
    if mode is None:
        return errno.ENOENT
    if flags & os.O_CREAT and flags & os.O_EXCL:
        return errno.EEXIST
    if stat.S_ISLNK(mode) and not flags & os.O_PATH:
        return errno.ELOOP
    if stat.S_ISDIR(mode):
        return errno.EISDIR if flags & O_ACCMODE or flags & os.O_CREAT else 0
    return errno.ENOTDIR if flags & os.O_DIRECTORY or (request.path or b"").endswith(b"/") else 0


def _create(request: Request, target: Target) -> int:
    found = target.demands[-1].found
    if _mode(found) is not None:
        return errno.EEXIST
    if found.trailing_slash and request.row.operation is not Operation.MKDIR:
        return errno.ENOENT
    if request.row.operation is Operation.LINK:
        old = os.fstat(target.demands[0].found.fd)
        if old.st_dev != os.fstat(found.parent).st_dev:
            return errno.EXDEV
        if stat.S_ISDIR(old.st_mode):
            return errno.EPERM
    return 0


def _unlink(request: Request, target: Target) -> int:
    found = target.demands[0].found
    removing_directory = bool(request.flags & AT_REMOVEDIR)
    if found.name == b"/":
        return errno.EBUSY if removing_directory else errno.EISDIR
    if found.name == b".":
        return errno.EINVAL if removing_directory else errno.EISDIR
    if found.name == b"..":
        return errno.ENOTEMPTY if removing_directory else errno.EISDIR
    mode = _mode(found)
    if mode is None:
        return errno.ENOENT
    number = 0
    if removing_directory != stat.S_ISDIR(mode):
        number = errno.ENOTDIR if removing_directory else errno.EISDIR
    elif found.trailing_slash and not removing_directory:
        number = errno.ENOTDIR
    directory = f"/proc/self/fd/{found.parent}"
    if number and not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return errno.EACCES  # the directory is asked first
    return number


def _rename(request: Request, target: Target) -> int:
    old, new = target.demands[0].found, target.demands[1].found
    mode, replaced = _mode(old), _mode(new)
    if mode is None:
        return errno.ENOENT
    if request.flags & RENAME_NOREPLACE and replaced is not None:
        return errno.EEXIST
    exchange = request.flags & RENAME_EXCHANGE
    if exchange and replaced is None:
        return errno.ENOENT
    # Of something that is no directory, a slash behind the name says that it should be one.
    kept = mode if not exchange else replaced or 0
    wrong = (old.trailing_slash and not stat.S_ISDIR(mode)) or (new.trailing_slash and not stat.S_ISDIR(kept))
    return errno.ENOTDIR if wrong else 0


NO_NAMES = (b".", b"..", b"/")
"""What a path may end in without naming an entry of a directory."""


def _searched(found: Found) -> int:
    """The device of the directory that holds *found*. OSError: it may not be searched."""
    return os.stat(b".", dir_fd=found.parent).st_dev if found.parent >= 0 else os.stat("/").st_dev


def no_rename(request: Request, old: Found, new: Found | None, reason: int = errno.ENOENT) -> NaturalFailure:
    """Why nothing of the name *old* can be renamed to *new*, in the kernel's order.

    Args:
        request: the rename.
        old: the old name.
        new: the new name; None when its directory was not found.
        reason: what is left when nothing comes before it.
    """
    try:  # that a directory may be searched belongs to the way to its entries
        devices = {_searched(found) for found in (old, new) if found}
    except OSError as failure:
        return NaturalFailure(failure.errno or errno.EIO)
    if new is None:
        return NaturalFailure(reason)
    if len(devices) > 1:
        return NaturalFailure(errno.EXDEV)
    if old.name in NO_NAMES:
        return NaturalFailure(errno.EBUSY)
    if new.name in NO_NAMES:
        return NaturalFailure(errno.EEXIST if request.flags & RENAME_NOREPLACE else errno.EBUSY)
    return NaturalFailure(reason)


def _truncate(_request: Request, target: Target) -> int:
    mode = _mode(target.demands[0].found)
    if mode is None:
        return errno.ENOENT
    if stat.S_ISDIR(mode):
        return errno.EISDIR
    return 0 if stat.S_ISREG(mode) else errno.EINVAL


_CHECKS = {
    Operation.OPEN: _open,
    Operation.MKDIR: _create,
    Operation.MKNOD: _create,
    Operation.SYMLINK: _create,
    Operation.LINK: _create,
    Operation.UNLINK: _unlink,
    Operation.RENAME: _rename,
    Operation.TRUNCATE: _truncate,
}
