"""The rights of Landlock that an operation needs, as plain integers, which are quicker than flags."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sydd.kernel.landlock import FsRight
from sydd.supervisor.openflags import O_ACCMODE, O_TMPFILE_BIT
from sydd.supervisor.request import AT_EMPTY_PATH
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.plan.coverage import Coverage
    from sydd.supervisor.request import Request
    from sydd.supervisor.target import Target

READ_FILE, READ_DIR, WRITE_FILE = int(FsRight.READ_FILE), int(FsRight.READ_DIR), int(FsRight.WRITE_FILE)
MAKE_DIR, MAKE_REG, MAKE_SYM = int(FsRight.MAKE_DIR), int(FsRight.MAKE_REG), int(FsRight.MAKE_SYM)
REMOVE_DIR, REMOVE_FILE, REFER = int(FsRight.REMOVE_DIR), int(FsRight.REMOVE_FILE), int(FsRight.REFER)
TRUNCATE_RIGHT, EXECUTE = int(FsRight.TRUNCATE), int(FsRight.EXECUTE)
MAKE_SPECIAL = int(FsRight.MAKE_CHAR | FsRight.MAKE_BLOCK | FsRight.MAKE_FIFO | FsRight.MAKE_SOCK)
MAKE_BY_TYPE = {
    0: MAKE_REG,
    stat.S_IFREG: MAKE_REG,
    stat.S_IFCHR: int(FsRight.MAKE_CHAR),
    stat.S_IFBLK: int(FsRight.MAKE_BLOCK),
    stat.S_IFIFO: int(FsRight.MAKE_FIFO),
    stat.S_IFSOCK: int(FsRight.MAKE_SOCK),
}


READ_RIGHTS = READ_FILE | READ_DIR
_NEW_NAME = MAKE_REG | MAKE_SYM | MAKE_SPECIAL
_ANY_RIGHT = {
    Operation.OPEN: READ_RIGHTS | WRITE_FILE | TRUNCATE_RIGHT | MAKE_REG,
    Operation.MKDIR: MAKE_DIR,
    Operation.MKNOD: MAKE_REG | MAKE_SPECIAL,
    Operation.SYMLINK: MAKE_SYM,
    Operation.UNLINK: REMOVE_DIR | REMOVE_FILE,
    Operation.RENAME: REMOVE_DIR | REMOVE_FILE | REFER | _NEW_NAME | MAKE_DIR,
    Operation.LINK: REFER | _NEW_NAME,
    Operation.TRUNCATE: TRUNCATE_RIGHT,
}


def rights_at_most(request: Request) -> int | None:
    """Every right that the kernel may come to need, whatever another thread does to the paths meanwhile.

    Returns:
        None where Landlock does not know the operation, so that the kernel never holds it; and where the
        kernel asks who opened a descriptor, which may have been the worker (linkat(2), AT_EMPTY_PATH).
    """
    operation = request.row.operation
    if operation is Operation.LINK and request.flags & AT_EMPTY_PATH:
        return None
    if operation is Operation.OPEN and not request.row.extra:  # the flags of openat2 are in memory, too
        if request.flags & os.O_PATH:
            return 0
        if not request.flags & (O_ACCMODE | os.O_CREAT | os.O_TRUNC | O_TMPFILE_BIT):
            return READ_RIGHTS
    return _ANY_RIGHT.get(operation)


def granted(target: Target, coverage: Coverage) -> bool:
    """Whether the kernel grants every right that *target* needs where its objects are."""
    for demand in target.demands:
        rights = demand.rights | demand.entry_rights
        if not (coverage.grants_entry if demand.entry_rights else coverage.grants)(demand.found.path, rights):
            return False
    return True
