"""How the accesses of a policy and the rights of Landlock correspond.

A right of Landlock is usable for several accesses: whoever holds MAKE_REG on a directory can create a file
there, but also give an existing file a second name. So a right is granted only where the policy allows
*every* access that the right is good for; Landlock stays an under-approximation of the policy also where
the policy splits what the kernel joins.

Source: landlock(7), "Filesystem actions"; security/landlock/fs.c.
"""

from __future__ import annotations

from sydd.kernel.landlock import FsRight
from sydd.policy.access import Access

REQUIRED: dict[FsRight, Access] = {
    FsRight.EXECUTE: Access.EXEC,
    FsRight.WRITE_FILE: Access.MODIFY,
    FsRight.READ_FILE: Access.READ,
    FsRight.READ_DIR: Access.LIST,
    FsRight.REMOVE_DIR: Access.DELETE | Access.RENAME,
    FsRight.REMOVE_FILE: Access.DELETE | Access.RENAME,
    FsRight.MAKE_CHAR: Access.MKNOD | Access.LINK | Access.CREATE,
    FsRight.MAKE_DIR: Access.CREATE,
    FsRight.MAKE_REG: Access.CREATE | Access.LINK,
    FsRight.MAKE_SOCK: Access.MKNOD | Access.LINK | Access.CREATE,
    FsRight.MAKE_FIFO: Access.MKNOD | Access.LINK | Access.CREATE,
    FsRight.MAKE_BLOCK: Access.MKNOD | Access.LINK | Access.CREATE,
    FsRight.MAKE_SYM: Access.CREATE | Access.LINK,
    FsRight.REFER: Access.RENAME | Access.LINK | Access.CREATE,
    FsRight.TRUNCATE: Access.TRUNCATE,
    FsRight.IOCTL_DEV: Access.IOCTL,
}
"""The accesses that must be allowed where a right is granted."""

FILE_RIGHTS = FsRight.EXECUTE | FsRight.WRITE_FILE | FsRight.READ_FILE | FsRight.TRUNCATE | FsRight.IOCTL_DEV
"""Rights that a rule on something that is no directory may carry."""

REMOVE = FsRight.REMOVE_DIR | FsRight.REMOVE_FILE
"""Rights by which an entry can be renamed away."""

NAMING = (
    REMOVE
    | FsRight.REFER
    | FsRight.MAKE_REG
    | FsRight.MAKE_CHAR
    | FsRight.MAKE_BLOCK
    | FsRight.MAKE_FIFO
    | FsRight.MAKE_SOCK
)
"""Rights by which an existing object gets another name: renamed away, or linked."""

NONE = FsRight(0)
