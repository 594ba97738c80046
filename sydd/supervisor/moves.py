"""Renames that the worker performs while the kernel lets others go on.

What a rename gains is judged by what is moved: a file by its name alone, a directory by everything that has
a name below. Where Landlock holds, the session's own renames in plain directories go on by themselves, and
one of them may exchange the judged file for a directory, before the worker has moved it. So a thread does
it that Landlock lets move no directory. What follows from that is another request, for the whole way.

That domain also hides from the thread what other processes have in /proc. No name there can be moved, so the
worker hears the kernel's reason by itself.

Without Landlock nobody but the worker moves directories in the session, one after the other.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from sydd.kernel.names import RENAME_EXCHANGE, renameat2
from sydd.kernel.paths import PROC_SUPER_MAGIC, filesystem_type
from sydd.supervisor.answer import DONE, Answer, error
from sydd.supervisor.apart import confine, in_thread
from sydd.supervisor.perform import Changed, perform
from sydd.supervisor.rights import MAKE_DIR, REFER, REMOVE_DIR
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.supervisor.found import Found
    from sydd.supervisor.request import Request
    from sydd.supervisor.target import Target


def moves_directory(request: Request, target: Target) -> bool:
    """Whether a rename is to be judged as one of directories: of an exchange either side counts for both."""
    old, new = target.demands
    exchange = request.flags & RENAME_EXCHANGE
    return bool((old.entry_rights | (new.entry_rights if exchange else 0)) & REMOVE_DIR)


def perform_among_others(request: Request, target: Target) -> Answer:
    """As `perform`, where renames of the session go on meanwhile.

    Raises:
        Changed, MayBlock: as there.
    """
    if request.row.operation is not Operation.RENAME or moves_directory(request, target):
        return perform(request, target)
    if any(_is_in_proc(demand.found) for demand in target.demands):
        return perform(request, target)
    return _move_file(request, target)


def perform_beside(request: Request, target: Target) -> Answer:
    """As `perform`, by another process than the worker where that renames one after the other.

    No directory is moved (EXDEV): the worker may just have judged that there is a file.

    Raises:
        Changed, MayBlock: as there.
    """
    if request.row.operation is Operation.RENAME and moves_directory(request, target):
        return error(errno.EXDEV)
    return perform_among_others(request, target)


def _move_file(request: Request, target: Target) -> Answer:
    """Rename what was judged to be no directory, and nothing else.

    Raises:
        Changed: there is a directory now.
    """
    old, new = target.demands[0].found, target.demands[1].found
    number = errno.EACCES

    def move() -> None:
        nonlocal number
        try:
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Without a word about REFER the kernel would refuse every move between directories.
                confine(MAKE_DIR | REMOVE_DIR | REFER, root, REFER)
            finally:
                os.close(root)
            renameat2(old.parent, old.last, new.parent, new.last, request.flags)
            number = 0
        except OSError as failure:
            number = failure.errno or errno.EIO

    in_thread(move)
    if number in (errno.EACCES, errno.EXDEV):
        if _is_directory(old) or (request.flags & RENAME_EXCHANGE and _is_directory(new)):
            raise Changed
        if _is_directory(new):
            return error(errno.EISDIR)
    return error(number) if number else DONE


def _is_in_proc(found: Found) -> bool:
    return found.parent >= 0 and filesystem_type(found.parent) == PROC_SUPER_MAGIC


def _is_directory(found: Found) -> bool:
    with suppress(OSError):
        return stat.S_ISDIR(os.stat(found.name, dir_fd=found.parent, follow_symlinks=False).st_mode)
    return False
