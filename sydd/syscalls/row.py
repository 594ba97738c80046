"""One row of the syscall table: where a call keeps its arguments and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from sydd.policy.access import Access


class Operation(IntEnum):
    """What a call does, apart from the form in which it takes its arguments.

    An integer, because the request path looks operations up in tables: hashing a plain Enum runs Python code.

    Behind each: the registers that ``Row.extra`` names, in order.
    """

    OPEN = auto()  # openat2: (how, size); others: ()
    MKDIR = auto()
    MKNOD = auto()  # (dev,)
    UNLINK = auto()  # also rmdir, by AT_REMOVEDIR
    RENAME = auto()
    LINK = auto()
    SYMLINK = auto()  # (target,): a string that is not resolved
    TRUNCATE = auto()  # (length,), or its two halves
    CHMOD = auto()
    CHOWN = auto()  # (uid, gid)
    UTIME = auto()  # (times,), whose layout is Row.times
    SETXATTR = auto()  # (name, value, size, xattr_flags); setxattrat: (name, args, size)
    REMOVEXATTR = auto()  # (name,)
    SETFLAGS = auto()  # file_setattr: (attr, size); ioctl: (request, argument)
    ACCESS = auto()
    STAT = auto()  # (buffer,); statx: (mask, buffer); statfs64: (size, buffer); file_getattr: (buffer, size)
    READLINK = auto()  # (buffer, size)
    GETXATTR = auto()  # (name, value, size); getxattrat: (name, args, size)
    LISTXATTR = auto()  # (list, size)
    LIST = auto()
    CHDIR = auto()
    EXEC = auto()
    WATCH = auto()  # inotify_add_watch, fanotify_mark
    HANDLE = auto()  # name_to_handle_at: (handle, mount_id)
    SOCKET = auto()  # (domain, type, protocol); connect and bind: (address, size); listen: (backlog,)
    SEND = auto()  # sendto: (buffer, size, address, size); sendmsg: (message,); sendmmsg: (messages, count)
    IDENTITY = auto()  # the caller's credentials: always allowed, and noted; (id, …), others: ()
    SIGNAL = auto()  # to a process by its number; what the arguments are, the supervisor knows by the name
    CONFINE = auto()  # the caller restricts itself with Landlock: always allowed, and noted
    PROCESS = auto()  # (pid,), or (which, who): a process, or a thread, that need not be the session's
    IPC_GET = auto()  # (key, size or number, flags); msgget: (key, flags)
    IPC_USE = auto()  # (id,); with a command: (id, command)
    MULTIPLEX = auto()  # stands for others, see rows32.py: (which, their arguments); (which,): in registers
    REFUSED = auto()  # never allowed inside a session: Row.errno


class Times(Enum):
    """The layout of the times that a call points to."""

    UTIMBUF = auto()  # utime(2): two time_t, seconds
    TIMEVAL = auto()  # utimes(2), futimesat(2): two struct timeval
    TIMESPEC = auto()  # utimensat(2): two struct timespec, with UTIME_NOW and UTIME_OMIT
    TIMESPEC_64 = auto()  # the same for 32-bit programs, with seconds of 64 bits


class Layout(IntEnum):
    """The layout of what a call tells about an object."""

    STAT = auto()  # struct stat of the machine's own programs
    STATX = auto()
    STATFS = auto()  # struct statfs likewise
    FILE_ATTR = auto()  # file_getattr(2): as many bytes as the caller wants
    OLD_STAT = auto()  # the others are of 32-bit programs, see layouts.py
    STAT_32 = auto()
    STAT64_I386 = auto()
    STAT64_ARM = auto()
    STATFS_32 = auto()
    STATFS64_32 = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One system call. Register numbers are 0 to 5; None says that the call has no such argument.

    Attributes:
        name: as the kernel's tables spell it.
        operation: what it does.
        asks: every access that some form of the call can ask for; a policy that allows all of these
            everywhere needs no notification for it.
        dirfd, path: the object, or the old name of a rename, link or symlink's new name.
        dirfd2, path2: the new name of rename and link.
        fd: the object itself is this descriptor (fchmod, ftruncate-like calls).
        flags: register with the call's own flags (``O_*`` of open, ``AT_*`` or ``RENAME_*`` of others).
        known_flags: others in `flags` make the call fail with EINVAL; None where the kernel passes over
            them, or says so itself because the call is never performed for the caller.
        fixed_flags: flags that the name implies, or-ed in: creat, rmdir, lchown, lstat …
        mode: register with the mode (open, mkdir, mknod, chmod; access: the mask that is asked).
        extra: further registers, in the order that Operation documents.
        times: layout of the times of UTIME.
        layout: layout of what STAT tells.
        follow: whether a symbolic link as the last component is followed when no flag speaks about it.
        errno: what REFUSED calls return, and those on what is not the session's.
        short_ids: whether ids have 16 bits (CHOWN, IDENTITY).
        narrow: whether pointers and longs have 32 bits; said by the ABI, not by the rows.
    """

    name: str
    operation: Operation
    asks: Access = Access(0)
    dirfd: int | None = None
    path: int | None = None
    dirfd2: int | None = None
    path2: int | None = None
    fd: int | None = None
    flags: int | None = None
    known_flags: int | None = None
    fixed_flags: int = 0
    mode: int | None = None
    extra: tuple[int, ...] = ()
    times: Times | None = None
    layout: Layout | None = None
    follow: bool = True
    errno: int = 0
    short_ids: bool = False
    narrow: bool = False
