"""The table: every system call that names a file, changes one by descriptor, or opens a way to one.

Registers are those of the *system call*, which differ from the C library's functions of the same name in
a few places: ``fchmodat`` and ``faccessat`` have no flags (their successors ``fchmodat2`` and
``faccessat2`` have). Source: the ``SYSCALL_DEFINE`` lines in fs/{open,namei,stat,utimes,xattr,file_attr,
exec,readdir,fhandle,namespace,fsopen,statfs}.c, fs/quota/quota.c and fs/notify; they are equal on all 64-bit
architectures, and what differs on 32-bit ones is in ``abi.py``. Names that an ABI lacks (aarch64 has none
from before the ``at`` family) are passed over by ``table.rows_by_name``.

What a reader of a row has to know besides:

- *A path that is NULL* means the descriptor in ``dirfd`` for ``utimensat`` (that is ``futimens``),
  ``futimesat`` and ``fanotify_mark``; and, on newer kernels with ``AT_EMPTY_PATH``, for ``newfstatat`` and
  ``statx`` (6.11), the ``xattrat`` family (6.13) and ``file_getattr``, ``file_setattr`` (6.17). Elsewhere
  it is EFAULT.
- *An empty path* means the descriptor with ``AT_EMPTY_PATH``, and without any flag for ``readlinkat`` alone.
- ``symlink`` keeps its new name in ``path``; the target is only a string (``extra``).
- *Flags* of WATCH are the call's own: ``inotify_add_watch`` has its event mask there, in which
  ``IN_DONT_FOLLOW`` counts, ``fanotify_mark`` its ``FAN_MARK_*``, in which ``FAN_MARK_DONT_FOLLOW`` counts.
- ``socketpair`` is here for all but unix streams and seqpackets: an end of a pair of datagrams can be
  connected, and sent from, to any other address. Of the others ``connect`` and ``bind`` are, on a socket of
  a pair or an inherited one.
- ``connect`` of a socket for datagrams asks for SEND, too: what it then sends to its peer nobody looks at.
- ``listen`` binds a socket that is not bound yet; it is notified only where addresses are judged. So are
  messages with a destination; MSG_FASTOPEN of ``sendto``, ``sendmsg`` and ``sendmmsg`` connects.
- ``ioctl`` is here for the requests in FLAG_REQUESTS alone; others are no business of this table.

What a call asks for, where it is not obvious:

- *rename* replaces what has the new name: DELETE there, CREATE for the name, RENAME for the old one.
- *link* gives an object a second name, through which it can be written to: LINK and MODIFY of the old one.
- *watching* a directory tells the names in it, as LIST does; watching a file tells when it is touched, as
  its times in STAT do. So both, by what the object is: what is hidden must not be observed either.
- *O_PATH*, readlink, access, extended attributes, statfs and file handles tell what STAT tells. The handle
  is useless inside, since ``open_by_handle_at`` is refused.
- *truncate* writes no content: TRUNCATE alone. *mknod* of a regular file is CREATE, of others MKNOD.
"""

from __future__ import annotations

from errno import EPERM

from sydd.policy.access import Access
from sydd.syscalls.flags import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    O_CREAT,
    O_TRUNC,
    O_WRONLY,
)
from sydd.syscalls.lookup_rows import LOOKUP_ROWS
from sydd.syscalls.process_rows import PROCESS_ROWS
from sydd.syscalls.row import Operation, Row, Times
from sydd.syscalls.rows32 import ROWS_32

_AT = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH

FLAG_REQUESTS: dict[str, int] = {
    "FS_IOC_SETFLAGS": 0x4008_6602,
    "FS_IOC32_SETFLAGS": 0x4004_6602,
    "FS_IOC_FSSETXATTR": 0x401C_5820,
}
"""Requests of ioctl(2) that change inode flags (linux/fs.h). The kernel looks at the low 32 bits alone."""

_OPEN = Access.READ | Access.LIST | Access.STAT | Access.CREATE | Access.MODIFY | Access.TRUNCATE
_CREAT = Access.CREATE | Access.MODIFY | Access.TRUNCATE
_MKNOD = Access.MKNOD | Access.CREATE
_RENAME = Access.RENAME | Access.CREATE | Access.DELETE
_LINK = Access.LINK | Access.CREATE | Access.MODIFY
_CREATE, _DELETE, _ATTRIBUTES = Access.CREATE, Access.DELETE, Access.ATTRIBUTES
_STAT, _LIST, _CHDIR, _EXEC = Access.STAT, Access.LIST, Access.CHDIR, Access.EXEC

_SEND = Access.CONNECT | Access.SEND

_op = Operation

_CONTENT = (
    Row(name="open", operation=_op.OPEN, asks=_OPEN, path=0, flags=1, mode=2),
    Row(name="openat", operation=_op.OPEN, asks=_OPEN, dirfd=0, path=1, flags=2, mode=3),
    Row(name="openat2", operation=_op.OPEN, asks=_OPEN, dirfd=0, path=1, extra=(2, 3)),
    Row(
        name="creat",
        operation=_op.OPEN,
        asks=_CREAT,
        path=0,
        mode=1,
        fixed_flags=O_CREAT | O_WRONLY | O_TRUNC,
    ),
    Row(name="truncate", operation=_op.TRUNCATE, asks=Access.TRUNCATE, path=0, extra=(1,)),
)

# No last component is followed here: these calls are about the name, not about what it leads to.
_NAMES = (
    Row(name="mkdir", operation=_op.MKDIR, asks=_CREATE, path=0, mode=1, follow=False),
    Row(name="mkdirat", operation=_op.MKDIR, asks=_CREATE, dirfd=0, path=1, mode=2, follow=False),
    Row(name="mknod", operation=_op.MKNOD, asks=_MKNOD, path=0, mode=1, extra=(2,), follow=False),
    Row(name="mknodat", operation=_op.MKNOD, asks=_MKNOD, dirfd=0, path=1, mode=2, extra=(3,), follow=False),
    Row(name="rmdir", operation=_op.UNLINK, asks=_DELETE, path=0, fixed_flags=AT_REMOVEDIR, follow=False),
    Row(name="unlink", operation=_op.UNLINK, asks=_DELETE, path=0, follow=False),
    Row(
        name="unlinkat",
        operation=_op.UNLINK,
        asks=_DELETE,
        dirfd=0,
        path=1,
        flags=2,
        known_flags=AT_REMOVEDIR,
        follow=False,
    ),
    Row(name="rename", operation=_op.RENAME, asks=_RENAME, path=0, path2=1, follow=False),
    Row(
        name="renameat", operation=_op.RENAME, asks=_RENAME, dirfd=0, path=1, dirfd2=2, path2=3, follow=False
    ),
    Row(
        name="renameat2",
        operation=_op.RENAME,
        asks=_RENAME,
        dirfd=0,
        path=1,
        dirfd2=2,
        path2=3,
        flags=4,
        known_flags=0x7,
        follow=False,
    ),
    Row(name="link", operation=_op.LINK, asks=_LINK, path=0, path2=1, follow=False),
    Row(
        name="linkat",
        operation=_op.LINK,
        asks=_LINK,
        dirfd=0,
        path=1,
        dirfd2=2,
        path2=3,
        flags=4,
        known_flags=AT_SYMLINK_FOLLOW | AT_EMPTY_PATH,
        follow=False,
    ),
    Row(name="symlink", operation=_op.SYMLINK, asks=_CREATE, path=1, extra=(0,), follow=False),
    Row(name="symlinkat", operation=_op.SYMLINK, asks=_CREATE, dirfd=1, path=2, extra=(0,), follow=False),
)

_METADATA = (
    Row(name="chmod", operation=_op.CHMOD, asks=_ATTRIBUTES, path=0, mode=1),
    Row(name="fchmod", operation=_op.CHMOD, asks=_ATTRIBUTES, fd=0, mode=1),
    Row(name="fchmodat", operation=_op.CHMOD, asks=_ATTRIBUTES, dirfd=0, path=1, mode=2),
    Row(
        name="fchmodat2",
        operation=_op.CHMOD,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        mode=2,
        flags=3,
        known_flags=_AT,
    ),
    Row(name="chown", operation=_op.CHOWN, asks=_ATTRIBUTES, path=0, extra=(1, 2)),
    Row(
        name="lchown",
        operation=_op.CHOWN,
        asks=_ATTRIBUTES,
        path=0,
        extra=(1, 2),
        fixed_flags=AT_SYMLINK_NOFOLLOW,
        follow=False,
    ),
    Row(name="fchown", operation=_op.CHOWN, asks=_ATTRIBUTES, fd=0, extra=(1, 2)),
    Row(
        name="fchownat",
        operation=_op.CHOWN,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        extra=(2, 3),
        flags=4,
        known_flags=_AT,
    ),
    Row(name="utime", operation=_op.UTIME, asks=_ATTRIBUTES, path=0, extra=(1,), times=Times.UTIMBUF),
    Row(name="utimes", operation=_op.UTIME, asks=_ATTRIBUTES, path=0, extra=(1,), times=Times.TIMEVAL),
    Row(
        name="futimesat",
        operation=_op.UTIME,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        extra=(2,),
        times=Times.TIMEVAL,
    ),
    Row(
        name="utimensat",
        operation=_op.UTIME,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        extra=(2,),
        flags=3,
        known_flags=_AT,
        times=Times.TIMESPEC,
    ),
    Row(name="setxattr", operation=_op.SETXATTR, asks=_ATTRIBUTES, path=0, extra=(1, 2, 3, 4)),
    Row(
        name="lsetxattr",
        operation=_op.SETXATTR,
        asks=_ATTRIBUTES,
        path=0,
        extra=(1, 2, 3, 4),
        fixed_flags=AT_SYMLINK_NOFOLLOW,
        follow=False,
    ),
    Row(name="fsetxattr", operation=_op.SETXATTR, asks=_ATTRIBUTES, fd=0, extra=(1, 2, 3, 4)),
    Row(
        name="setxattrat",
        operation=_op.SETXATTR,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        flags=2,
        known_flags=_AT,
        extra=(3, 4, 5),
    ),
    Row(name="removexattr", operation=_op.REMOVEXATTR, asks=_ATTRIBUTES, path=0, extra=(1,)),
    Row(
        name="lremovexattr",
        operation=_op.REMOVEXATTR,
        asks=_ATTRIBUTES,
        path=0,
        extra=(1,),
        fixed_flags=AT_SYMLINK_NOFOLLOW,
        follow=False,
    ),
    Row(name="fremovexattr", operation=_op.REMOVEXATTR, asks=_ATTRIBUTES, fd=0, extra=(1,)),
    Row(
        name="removexattrat",
        operation=_op.REMOVEXATTR,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        flags=2,
        known_flags=_AT,
        extra=(3,),
    ),
    Row(
        name="file_setattr",
        operation=_op.SETFLAGS,
        asks=_ATTRIBUTES,
        dirfd=0,
        path=1,
        extra=(2, 3),
        flags=4,
        known_flags=_AT,
    ),
    Row(name="ioctl", operation=_op.SETFLAGS, asks=_ATTRIBUTES, fd=0, extra=(1, 2)),
)

_PROCESS = (
    Row(name="chdir", operation=_op.CHDIR, asks=_CHDIR, path=0),
    Row(name="fchdir", operation=_op.CHDIR, asks=_CHDIR, fd=0),
    Row(name="execve", operation=_op.EXEC, asks=_EXEC, path=0),
    Row(name="execveat", operation=_op.EXEC, asks=_EXEC, dirfd=0, path=1, flags=4),
    Row(name="socket", operation=_op.SOCKET, asks=Access.NET, extra=(0, 1, 2)),
    Row(name="socketpair", operation=_op.SOCKET, asks=_SEND, extra=(0, 1, 2)),
    Row(name="connect", operation=_op.SOCKET, asks=_SEND, fd=0, extra=(1, 2)),
    Row(name="bind", operation=_op.SOCKET, asks=Access.BIND, fd=0, extra=(1, 2)),
    Row(name="listen", operation=_op.SOCKET, asks=Access.BIND, fd=0, extra=(1,)),
    Row(name="sendto", operation=_op.SEND, asks=_SEND, fd=0, flags=3, extra=(1, 2, 4, 5)),
    Row(name="sendmsg", operation=_op.SEND, asks=_SEND, fd=0, flags=2, extra=(1,)),
    Row(name="sendmmsg", operation=_op.SEND, asks=_SEND, fd=0, flags=3, extra=(1, 2)),
)

# Whatever the policy says: these change what paths mean for the session, or reach objects by no path at all.
# open_tree without OPEN_TREE_CLONE is a plain O_PATH open that no one else would judge. The kernel asks for
# capabilities, EPERM without, for all but harmless forms of open_tree and of the quota calls.
_REFUSED = (
    Row(name="open_by_handle_at", operation=_op.REFUSED, fd=0, flags=2, errno=EPERM),
    Row(name="mount", operation=_op.REFUSED, path=1, flags=3, errno=EPERM),
    Row(name="umount2", operation=_op.REFUSED, path=0, flags=1, errno=EPERM),
    Row(name="pivot_root", operation=_op.REFUSED, path=0, path2=1, errno=EPERM),
    Row(name="chroot", operation=_op.REFUSED, path=0, errno=EPERM),
    Row(name="swapon", operation=_op.REFUSED, path=0, flags=1, errno=EPERM),
    Row(name="swapoff", operation=_op.REFUSED, path=0, errno=EPERM),
    Row(name="acct", operation=_op.REFUSED, path=0, errno=EPERM),
    Row(name="quotactl", operation=_op.REFUSED, path=1, errno=EPERM),
    Row(name="quotactl_fd", operation=_op.REFUSED, fd=0, errno=EPERM),
    Row(name="open_tree", operation=_op.REFUSED, dirfd=0, path=1, flags=2, errno=EPERM),
    Row(name="open_tree_attr", operation=_op.REFUSED, dirfd=0, path=1, flags=2, errno=EPERM),
    Row(name="move_mount", operation=_op.REFUSED, dirfd=0, path=1, dirfd2=2, path2=3, flags=4, errno=EPERM),
    Row(name="fsopen", operation=_op.REFUSED, flags=1, errno=EPERM),
    Row(name="fsconfig", operation=_op.REFUSED, fd=0, errno=EPERM),
    Row(name="fsmount", operation=_op.REFUSED, fd=0, flags=1, errno=EPERM),
    Row(name="fspick", operation=_op.REFUSED, dirfd=0, path=1, flags=2, errno=EPERM),
    Row(name="mount_setattr", operation=_op.REFUSED, dirfd=0, path=1, flags=2, errno=EPERM),
)

ROWS: tuple[Row, ...] = (
    *_CONTENT,
    *_NAMES,
    *_METADATA,
    *LOOKUP_ROWS,
    *_PROCESS,
    *PROCESS_ROWS,
    *_REFUSED,
    *ROWS_32,
)
"""All rows; a name appears once."""
