"""Doing an allowed operation for the caller, on the very objects that were judged.

Each function acts through the descriptors that resolution left: an existing object by its O_PATH
descriptor, a new or vanishing name by the descriptor of its directory and the one last component, never
following a link there. What another process does to the names in between therefore changes nothing about
what was judged.

The worker has the caller's credentials by then; the kernel's own permission checks, and their errnos, stay
in force.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING

from sydd.kernel import credentials, metadata, pidfd
from sydd.kernel.metadata import FS_IOC_SETFLAGS
from sydd.kernel.names import renameat2
from sydd.supervisor import limits, terminal
from sydd.supervisor.answer import DONE, Answer, Kind, error
from sydd.supervisor.openflags import O_ACCMODE, O_LARGEFILE, O_TMPFILE_BIT
from sydd.supervisor.refusal import natural_errno
from sydd.supervisor.request import AT_REMOVEDIR
from sydd.syscalls.row import Operation
from sydd.syscalls.rows import FLAG_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.supervisor.found import Found
    from sydd.supervisor.request import Request
    from sydd.supervisor.target import Target


class Changed(Exception):  # noqa: N818
    """A name is no longer what was judged: resolve and judge anew."""


class MayBlock(Exception):  # noqa: N818
    """The open may wait for another process.

    Args:
        path: what to open, good as long as the request's descriptors are.
        flags: flags for it.
    """

    def __init__(self, path: str, flags: int) -> None:
        super().__init__(path)
        self.path = path
        self.flags = flags


FS_IOC32_SETFLAGS = FLAG_REQUESTS["FS_IOC32_SETFLAGS"]
"""Of 32-bit programs; to others every file system says that it does not know it."""

LARGEST_NARROW = 0x7FFF_FFFF
"""Bytes of the largest file that a 32-bit program opens without O_LARGEFILE (MAX_NON_LFS, linux/fs.h)."""

CREATING = frozenset({Operation.OPEN, Operation.MKDIR, Operation.MKNOD})
"""Operations whose result depends on the caller's umask."""

PERFORMED = frozenset(
    {
        Operation.OPEN,
        Operation.MKDIR,
        Operation.MKNOD,
        Operation.UNLINK,
        Operation.RENAME,
        Operation.LINK,
        Operation.SYMLINK,
        Operation.TRUNCATE,
        Operation.CHMOD,
        Operation.CHOWN,
        Operation.UTIME,
        Operation.SETXATTR,
        Operation.REMOVEXATTR,
        Operation.SETFLAGS,
    }
)
"""What can be done for another process. Other operations answer into its memory, or change its own state."""


def perform(request: Request, target: Target) -> Answer:
    """Do what *request* asks for.

    Returns:
        The answer, an error included.

    Raises:
        Changed: the objects must be resolved again.
        MayBlock: the operation has to be done where it holds up nobody.
    """
    try:
        return _PERFORM[request.row.operation](request, target)
    except OSError as failure:
        return error(failure.errno or errno.EIO)


def object_path(found: Found) -> str:
    """A path that leads the worker, and nobody else, to the object."""
    return f"/proc/self/fd/{found.fd}"


def _open(request: Request, target: Target) -> Answer:
    found = target.demands[0].found
    flags = request.flags
    installed = flags & (os.O_CLOEXEC | O_ACCMODE)
    mode = request.mode & 0o7777
    if flags & os.O_PATH:
        # ADDFD takes no such descriptor. Of openat2 alone, whose flags another thread might change until the
        # kernel reads them, so that it may not go on. Its users have to do without on older kernels, too.
        return error(errno.ENOSYS)
    # An object that is opened through its descriptor has lost what the caller said of its kind.
    number = natural_errno(request, target)
    if number:
        return error(number)
    ours = (flags & ~(os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW)) | os.O_CLOEXEC | os.O_NOCTTY
    if (target.creates or flags & os.O_TRUNC) and limits.table_is_full(request.notification.tid):
        return error(errno.EMFILE)  # the kernel takes a number first, and leaves no trace without one
    if target.creates:
        if flags & O_TMPFILE_BIT and flags & os.O_DIRECTORY:
            fd = os.open(object_path(found), ours | (flags & os.O_EXCL), mode)
            return Answer(Kind.DESCRIPTOR, fd, installed)
        try:
            fd = os.open(found.name, ours | os.O_CREAT | os.O_EXCL, mode, dir_fd=found.parent)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            raise Changed from None
        return Answer(Kind.DESCRIPTOR, fd, installed)
    about = os.fstat(found.fd)
    if stat.S_ISFIFO(about.st_mode) and not flags & os.O_NONBLOCK:
        raise MayBlock(object_path(found), ours)
    if about.st_rdev == terminal.DEVICE and stat.S_ISCHR(about.st_mode):
        fd = terminal.open_controlling(request.notification.tid, ours)
        return Answer(Kind.DESCRIPTOR, fd, installed)
    if about.st_size > LARGEST_NARROW and stat.S_ISREG(about.st_mode) and _wants_small(request):
        os.close(os.open(object_path(found), ours & ~os.O_TRUNC))  # who may not open it is told that first
        return error(errno.EOVERFLOW)
    return Answer(Kind.DESCRIPTOR, os.open(object_path(found), ours), installed)


def _wants_small(request: Request) -> bool:
    """Whether the caller cannot count the bytes of a large file; creat and openat2 imply O_LARGEFILE."""
    row = request.row
    return row.narrow and row.flags is not None and not request.flags & O_LARGEFILE


def _mkdir(request: Request, target: Target) -> Answer:
    found = target.demands[0].found
    os.mkdir(found.last, request.mode & 0o7777, dir_fd=found.parent)
    return DONE


def _mknod(request: Request, target: Target) -> Answer:
    found = target.demands[0].found
    (device,) = request.extra
    os.mknod(found.last, request.mode, device, dir_fd=found.parent)
    return DONE


def _symlink(request: Request, target: Target) -> Answer:
    found = target.demands[0].found
    (text,) = request.extra
    os.symlink(text, found.last, dir_fd=found.parent)
    return DONE


def _unlink(request: Request, target: Target) -> Answer:
    found = target.demands[0].found
    if request.flags & AT_REMOVEDIR:
        os.rmdir(found.last, dir_fd=found.parent)
    else:
        os.unlink(found.last, dir_fd=found.parent)
    return DONE


def _rename(request: Request, target: Target) -> Answer:
    old, new = target.demands[0].found, target.demands[1].found
    renameat2(old.parent, old.last, new.parent, new.last, request.flags)
    return DONE


def _link(_request: Request, target: Target) -> Answer:
    old, new = target.demands[0].found, target.demands[1].found
    os.link(object_path(old), new.last, dst_dir_fd=new.parent, follow_symlinks=True)
    return DONE


def _truncate(request: Request, target: Target) -> Answer:
    (length,) = request.extra
    found = target.demands[0].found
    tid = request.notification.tid
    if limits.exceeds_size(tid, os.fstat(found.fd).st_size, length):
        credentials.restore()  # another user's may not be enough to signal it
        pidfd.signal_thread(tid, signal.SIGXFSZ)
        return error(errno.EFBIG)
    os.truncate(object_path(found), length)
    return DONE


def _chmod(request: Request, target: Target) -> Answer:
    metadata.chmod_object(target.demands[0].found.fd, request.mode & 0o7777)
    return DONE


def _chown(request: Request, target: Target) -> Answer:
    uid, gid = request.extra
    metadata.chown_object(target.demands[0].found.fd, uid, gid)
    return DONE


def _utime(request: Request, target: Target) -> Answer:
    (times,) = request.extra
    metadata.utimens_object(target.demands[0].found.fd, times)
    return DONE


def _setxattr(request: Request, target: Target) -> Answer:
    name, value, flags = request.extra
    metadata.set_xattr(target.demands[0].found.fd, name, value, flags)
    return DONE


def _removexattr(request: Request, target: Target) -> Answer:
    (name,) = request.extra
    metadata.remove_xattr(target.demands[0].found.fd, name)
    return DONE


def _setflags(request: Request, target: Target) -> Answer:
    command, structure = request.extra
    fd = target.demands[0].found.fd
    if command is None:
        metadata.file_setattr(fd, structure)
        return DONE
    # These want an open file, which an O_PATH descriptor is not; of other kinds of file no one keeps flags.
    if stat.S_IFMT(os.fstat(fd).st_mode) not in (stat.S_IFREG, stat.S_IFDIR) or command == FS_IOC32_SETFLAGS:
        return error(errno.ENOTTY)
    opened = _open_somehow(fd)
    try:
        if command == FS_IOC_SETFLAGS:
            metadata.set_flags(opened, int.from_bytes(structure, sys.byteorder))
        else:
            metadata.set_fsxattr(opened, structure)
    finally:
        os.close(opened)
    return DONE


def _open_somehow(fd: int) -> int:
    """The file behind an O_PATH descriptor, open for reading, or for writing where only that is allowed."""
    path = f"/proc/self/fd/{fd}"
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)


_PERFORM: dict[Operation, Callable[[Request, Target], Answer]] = {
    Operation.OPEN: _open,
    Operation.MKDIR: _mkdir,
    Operation.MKNOD: _mknod,
    Operation.UNLINK: _unlink,
    Operation.RENAME: _rename,
    Operation.LINK: _link,
    Operation.SYMLINK: _symlink,
    Operation.TRUNCATE: _truncate,
    Operation.CHMOD: _chmod,
    Operation.CHOWN: _chown,
    Operation.UTIME: _utime,
    Operation.SETXATTR: _setxattr,
    Operation.REMOVEXATTR: _removexattr,
    Operation.SETFLAGS: _setflags,
}
