"""Rows of the calls that tell something: about an object, its names, what happens to it.

What a reader has to know besides is in ``rows.py``.
"""

from __future__ import annotations

from sydd.policy.access import Access
from sydd.syscalls.flags import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    HANDLE_FLAGS,
    STAT_FLAGS,
)
from sydd.syscalls.row import Layout, Operation, Row

_AT = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH
_WATCH = Access.LIST | Access.STAT
_STAT, _LIST = Access.STAT, Access.LIST

_op = Operation

LOOKUP_ROWS: tuple[Row, ...] = (
    Row(name="access", operation=_op.ACCESS, asks=_STAT, path=0, mode=1),
    Row(name="faccessat", operation=_op.ACCESS, asks=_STAT, dirfd=0, path=1, mode=2),
    Row(
        name="faccessat2",
        operation=_op.ACCESS,
        asks=_STAT,
        dirfd=0,
        path=1,
        mode=2,
        flags=3,
        known_flags=_AT | AT_EACCESS,
    ),
    Row(name="stat", operation=_op.STAT, asks=_STAT, path=0, extra=(1,), layout=Layout.STAT),
    Row(
        name="lstat",
        operation=_op.STAT,
        asks=_STAT,
        path=0,
        extra=(1,),
        fixed_flags=AT_SYMLINK_NOFOLLOW,
        follow=False,
        layout=Layout.STAT,
    ),
    Row(name="fstat", operation=_op.STAT, asks=_STAT, fd=0, extra=(1,), layout=Layout.STAT),
    Row(
        name="newfstatat",
        operation=_op.STAT,
        asks=_STAT,
        dirfd=0,
        path=1,
        extra=(2,),
        flags=3,
        known_flags=STAT_FLAGS,
        layout=Layout.STAT,
    ),
    Row(
        name="statx",
        operation=_op.STAT,
        asks=_STAT,
        dirfd=0,
        path=1,
        flags=2,
        known_flags=STAT_FLAGS,
        extra=(3, 4),
        layout=Layout.STATX,
    ),
    Row(name="statfs", operation=_op.STAT, asks=_STAT, path=0, extra=(1,), layout=Layout.STATFS),
    Row(name="fstatfs", operation=_op.STAT, asks=_STAT, fd=0, extra=(1,), layout=Layout.STATFS),
    Row(
        name="file_getattr",
        operation=_op.STAT,
        asks=_STAT,
        dirfd=0,
        path=1,
        extra=(2, 3),
        flags=4,
        known_flags=_AT,
        layout=Layout.FILE_ATTR,
    ),
    Row(name="readlink", operation=_op.READLINK, asks=_STAT, path=0, extra=(1, 2), follow=False),
    Row(name="readlinkat", operation=_op.READLINK, asks=_STAT, dirfd=0, path=1, extra=(2, 3), follow=False),
    Row(name="getxattr", operation=_op.GETXATTR, asks=_STAT, path=0, extra=(1, 2, 3)),
    Row(
        name="lgetxattr",
        operation=_op.GETXATTR,
        asks=_STAT,
        path=0,
        extra=(1, 2, 3),
        fixed_flags=AT_SYMLINK_NOFOLLOW,
        follow=False,
    ),
    Row(name="fgetxattr", operation=_op.GETXATTR, asks=_STAT, fd=0, extra=(1, 2, 3)),
    Row(
        name="getxattrat",
        operation=_op.GETXATTR,
        asks=_STAT,
        dirfd=0,
        path=1,
        flags=2,
        known_flags=_AT,
        extra=(3, 4, 5),
    ),
    Row(name="listxattr", operation=_op.LISTXATTR, asks=_STAT, path=0, extra=(1, 2)),
    Row(
        name="llistxattr",
        operation=_op.LISTXATTR,
        asks=_STAT,
        path=0,
        extra=(1, 2),
        fixed_flags=AT_SYMLINK_NOFOLLOW,
        follow=False,
    ),
    Row(name="flistxattr", operation=_op.LISTXATTR, asks=_STAT, fd=0, extra=(1, 2)),
    Row(
        name="listxattrat",
        operation=_op.LISTXATTR,
        asks=_STAT,
        dirfd=0,
        path=1,
        flags=2,
        known_flags=_AT,
        extra=(3, 4),
    ),
    Row(
        name="name_to_handle_at",
        operation=_op.HANDLE,
        asks=_STAT,
        dirfd=0,
        path=1,
        extra=(2, 3),
        flags=4,
        known_flags=AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | HANDLE_FLAGS,
        follow=False,
    ),
    Row(name="getdents", operation=_op.LIST, asks=_LIST, fd=0),
    Row(name="getdents64", operation=_op.LIST, asks=_LIST, fd=0),
    Row(name="inotify_add_watch", operation=_op.WATCH, asks=_WATCH, path=1, flags=2),
    Row(name="fanotify_mark", operation=_op.WATCH, asks=_WATCH, dirfd=3, path=4, flags=1),
)
"""All of them; a part of ``rows.ROWS``."""
