"""What a request is really about: its resolved objects, and what it asks of each.

One function per operation. It resolves (effects: descriptors of the resolver) and names the demands; it
neither judges nor acts.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from sydd.kernel.names import RENAME_EXCHANGE, RENAME_NOREPLACE
from sydd.kernel.paths import RESOLVE_BENEATH, RESOLVE_IN_ROOT
from sydd.policy.access import Access
from sydd.supervisor.failure import NaturalFailure
from sydd.supervisor.found import Found
from sydd.supervisor.openflags import O_ACCMODE, O_TMPFILE_BIT
from sydd.supervisor.refusal import NO_NAMES, no_rename
from sydd.supervisor.request import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    Request,
)
from sydd.supervisor.resolve import in_existing_place
from sydd.supervisor.rights import (
    EXECUTE,
    MAKE_BY_TYPE,
    MAKE_DIR,
    MAKE_REG,
    MAKE_SYM,
    READ_DIR,
    READ_FILE,
    REFER,
    REMOVE_DIR,
    REMOVE_FILE,
    TRUNCATE_RIGHT,
    WRITE_FILE,
)
from sydd.syscalls.row import Layout, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.supervisor.resolve import Resolver

# Plain integers: the operators of IntFlag cost a microsecond each, and these stand on the path of every call.
READ, LIST, STAT, EXEC, CHDIR = (
    int(bit) for bit in (Access.READ, Access.LIST, Access.STAT, Access.EXEC, Access.CHDIR)
)
CREATE, MODIFY, DELETE, RENAME = (
    int(bit) for bit in (Access.CREATE, Access.MODIFY, Access.DELETE, Access.RENAME)
)
LINK, TRUNCATE, ATTRIBUTES, MKNOD = (
    int(bit) for bit in (Access.LINK, Access.TRUNCATE, Access.ATTRIBUTES, Access.MKNOD)
)


class Demand(NamedTuple):
    """What is asked of one object.

    Attributes:
        access: bits of Access, as an integer.
        found: the object or entry.
        rights: rights of Landlock that the kernel will want on the object itself.
        entry_rights: those that it will want on the directory that holds the entry.
        second: whether it is about the call's second path.
    """

    access: int
    found: Found
    rights: int = 0
    entry_rights: int = 0
    second: bool = False


class Target(NamedTuple):
    """The demands of a request, in the order in which the kernel would look at them.

    Attributes:
        demands: one per object.
        creates: whether an open will create its file.
    """

    demands: tuple[Demand, ...]
    creates: bool = False


def locate(request: Request, resolver: Resolver) -> Target:
    """Resolve the objects of *request*.

    Raises:
        NaturalFailure: the call fails natively, whatever the policy says.
        CallerGone: the caller has ended.
    """
    return _LOCATE[request.row.operation](request, resolver)


def _open(request: Request, resolver: Resolver) -> Target:
    path = request.path
    if not path:
        raise NaturalFailure(errno.ENOENT)
    tid, flags, resolve = request.notification.tid, request.flags, request.resolve
    start = _start_of_open(request, resolver, path)
    if flags & os.O_PATH:
        found = resolver.object(tid, start, path, follow=not flags & os.O_NOFOLLOW, resolve=resolve)
        return Target((Demand(STAT, found),))
    creating = flags & os.O_CREAT
    mode = flags & O_ACCMODE
    access, rights = (0, 0) if mode == os.O_WRONLY else (READ, READ_FILE)
    if mode != os.O_RDONLY:
        access |= MODIFY
        rights |= WRITE_FILE
    follow = not (flags & os.O_NOFOLLOW or (creating and flags & os.O_EXCL))
    try:
        found = resolver.object(tid, start, path, follow=follow, resolve=resolve)
    except NaturalFailure as failure:
        if not creating:
            raise
        place = _place_of_open(request, resolver, start, failure, follow=follow)
        return Target((Demand(access | CREATE, place, rights, MAKE_REG),), creates=True)
    if found.anonymous:
        return Target((Demand(0, found),))
    if flags & O_TMPFILE_BIT and flags & os.O_DIRECTORY:
        return Target((Demand(access | CREATE, _unnamed(found), 0, rights | MAKE_REG),), creates=True)
    if flags & os.O_TRUNC:
        access |= TRUNCATE
        rights |= TRUNCATE_RIGHT
    if access == READ and stat.S_ISDIR(os.fstat(found.fd).st_mode):
        access, rights = LIST, READ_DIR
    return Target((Demand(access, found, rights),))


def _place_of_open(
    request: Request, resolver: Resolver, start: int, failure: NaturalFailure, *, follow: bool
) -> Found:
    """Where an open creates its file, as there is nothing; else *failure* is raised."""
    missing = failure.errno == errno.ENOENT
    if missing or failure.errno in (errno.ELOOP, errno.ENOTDIR):
        tid, path = request.notification.tid, request.path or b""
        try:
            place = resolver.place_to_create(tid, start, path, follow=follow, resolve=request.resolve)
        except NaturalFailure as other:
            # A link whose target ends with a slash: that is told before it is followed any further.
            if missing or other.errno == errno.EISDIR:
                raise
        else:
            if missing:
                return place
    raise failure


def _unnamed(directory: Found) -> Found:
    """The new file of O_TMPFILE in *directory*."""
    if not stat.S_ISDIR(os.fstat(directory.fd).st_mode):
        raise NaturalFailure(errno.ENOTDIR)
    return directory._replace(path=f"{directory.path.rstrip('/')}/#tmpfile", parent=directory.fd, name=b".")


def _start_of_open(request: Request, resolver: Resolver, path: bytes) -> int:
    """From where an open goes, when it can succeed at all."""
    tid = request.notification.tid
    resolve = request.resolve
    if resolve & RESOLVE_BENEATH and path[:1] == b"/":
        raise NaturalFailure(errno.EXDEV)
    if resolve & RESOLVE_IN_ROOT:
        start = resolver.descriptor(tid, request.dirfd)
    else:
        start = resolver.start(tid, request.dirfd, path)
    if request.flags & os.O_CREAT and path.endswith(b"/"):
        found = resolver.entry(tid, start, path, resolve=resolve)  # what is wrong on the way comes first
        if found.name not in NO_NAMES:
            raise NaturalFailure(errno.EISDIR)
    return start


_OF_OPEN_FILES = frozenset({Operation.SETXATTR, Operation.SETFLAGS, Operation.GETXATTR, Operation.LISTXATTR})
"""Operations that take a descriptor in place of a path only when it is no O_PATH one, as removexattrat(2)
does, which does not take AT_FDCWD either."""


def _object(request: Request, resolver: Resolver) -> Found:
    """The object of a call that takes a path, or a descriptor in its place."""
    tid = request.notification.tid
    path = request.path
    row = request.row
    operation = row.operation
    if path is None and operation is not Operation.STAT:  # of which fstat(2) takes one of O_PATH, too
        found = resolver.open_file(tid, request.dirfd)
        if request.failure2:
            raise NaturalFailure(request.failure2)
        return found
    if path is None or (not path and (request.flags & AT_EMPTY_PATH or operation is Operation.READLINK)):
        opened = operation in _OF_OPEN_FILES or row.layout is Layout.FILE_ATTR
        if operation is Operation.REMOVEXATTR or (request.dirfd >= 0 and opened):
            return resolver.open_file(tid, request.dirfd)
        return _held(resolver, resolver.descriptor(tid, request.dirfd), operation)
    if not path:
        raise NaturalFailure(errno.ENOENT)
    flags = request.flags
    follow = not flags & AT_SYMLINK_NOFOLLOW and (row.follow or bool(flags & AT_SYMLINK_FOLLOW))
    return resolver.object(tid, resolver.start(tid, request.dirfd, path), path, follow=follow)


def _entry(request: Request, resolver: Resolver, dirfd: int, path: bytes | None) -> Found:
    if not path:
        raise NaturalFailure(errno.ENOENT)
    tid = request.notification.tid
    return resolver.entry(tid, resolver.start(tid, dirfd, path), path)


def _second_entry(request: Request, resolver: Resolver) -> Found:
    """The new name of rename and link. What is wrong with its pointer counts only now."""
    if request.failure2:
        raise NaturalFailure(request.failure2)
    return _entry(request, resolver, request.dirfd2, request.path2)


def _new_entry(request: Request, resolver: Resolver) -> Found:
    return in_existing_place(_entry(request, resolver, request.dirfd, request.path))


def _mkdir(request: Request, resolver: Resolver) -> Target:
    place = _new_entry(request, resolver)
    return Target((Demand(CREATE, place, 0, MAKE_DIR),))


def _mknod(request: Request, resolver: Resolver) -> Target:
    right = MAKE_BY_TYPE[stat.S_IFMT(request.mode)]
    place = _new_entry(request, resolver)
    return Target((Demand(CREATE if right == MAKE_REG else MKNOD, place, 0, right),))


def _symlink(request: Request, resolver: Resolver) -> Target:
    place = _new_entry(request, resolver)
    return Target((Demand(CREATE, place, 0, MAKE_SYM),))


def _unlink(request: Request, resolver: Resolver) -> Target:
    place = _entry(request, resolver, request.dirfd, request.path)
    return Target((Demand(DELETE, place, 0, REMOVE_DIR if request.flags & AT_REMOVEDIR else REMOVE_FILE),))


def _kind_at(found: Found) -> int:
    """Mode bits of the entry's object; 0 when there is none."""
    if found.parent < 0:
        return 0
    try:
        return os.stat(found.name, dir_fd=found.parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0
    except OSError as failure:
        raise NaturalFailure(failure.errno or errno.EIO) from None


def _make_right(mode: int) -> int:
    if stat.S_ISDIR(mode):
        return MAKE_DIR
    if stat.S_ISLNK(mode):
        return MAKE_SYM
    return MAKE_BY_TYPE.get(stat.S_IFMT(mode), MAKE_REG)


def _rename(request: Request, resolver: Resolver) -> Target:
    old = _entry(request, resolver, request.dirfd, request.path)
    try:
        new = _second_entry(request, resolver)
    except NaturalFailure as failure:
        raise no_rename(request, old, None, failure.errno) from None
    try:
        mode = 0 if old.name in NO_NAMES or new.name in NO_NAMES else _kind_at(old)
    except NaturalFailure as failure:
        raise no_rename(request, old, new, failure.errno) from None
    if not mode or not new.named:
        raise no_rename(request, old, new)
    replaced = _kind_at(new)
    refer = 0 if old.path.rpartition("/")[0] == new.path.rpartition("/")[0] else REFER
    old_rights = refer | (REMOVE_DIR if stat.S_ISDIR(mode) else REMOVE_FILE)
    new_rights = refer | _make_right(mode)
    old_access, new_access = RENAME, CREATE
    if request.flags & RENAME_EXCHANGE:
        if not replaced:
            raise no_rename(request, old, new)
        old_access |= CREATE
        new_access |= RENAME
        old_rights |= _make_right(replaced)
        new_rights |= REMOVE_DIR if stat.S_ISDIR(replaced) else REMOVE_FILE
    elif replaced and not request.flags & RENAME_NOREPLACE:
        new_access |= DELETE
        new_rights |= REMOVE_DIR if stat.S_ISDIR(replaced) else REMOVE_FILE
    return Target(
        (Demand(old_access, old, 0, old_rights), Demand(new_access, new, 0, new_rights, second=True))
    )


def _link(request: Request, resolver: Resolver) -> Target:
    tid = request.notification.tid
    path = request.path
    if not path and request.flags & AT_EMPTY_PATH:
        old = resolver.describe(resolver.descriptor(tid, request.dirfd))
    elif not path:
        raise NaturalFailure(errno.ENOENT)
    else:
        start = resolver.start(tid, request.dirfd, path)
        old = resolver.object(tid, start, path, follow=bool(request.flags & AT_SYMLINK_FOLLOW))
    new = in_existing_place(_second_entry(request, resolver))
    mode = os.fstat(old.fd).st_mode
    # A second name gives whoever may write through it the content: the old name has to allow that as well.
    refer = 0 if old.path.rpartition("/")[0] == new.path.rpartition("/")[0] else REFER
    return Target(
        (Demand(LINK | MODIFY, old, 0, refer), Demand(CREATE, new, 0, refer | _make_right(mode), second=True))
    )


def _truncate(request: Request, resolver: Resolver) -> Target:
    found = _object(request, resolver)
    return Target((Demand(0 if found.anonymous else TRUNCATE, found, TRUNCATE_RIGHT),))


def _attributes(request: Request, resolver: Resolver) -> Target:
    found = _object(request, resolver)
    return Target((Demand(0 if found.anonymous else ATTRIBUTES, found),))


def _held(resolver: Resolver, fd: int, operation: Operation) -> Found:
    """The object of a descriptor. One whose name is too long to be told may still be looked at by it."""
    try:
        return resolver.describe(fd)
    except NaturalFailure as failure:
        if failure.errno != errno.ENAMETOOLONG or operation is not Operation.STAT:
            raise
        return Found("a name longer than PATH_MAX", fd, named=False)


def _look_up(request: Request, resolver: Resolver) -> Target:
    found = _object(request, resolver)
    return Target((Demand(0 if found.anonymous else STAT, found),))


def _list(request: Request, resolver: Resolver) -> Target:
    return Target((Demand(LIST, _object(request, resolver)),))


def _watch(request: Request, resolver: Resolver) -> Target:
    found = _object(request, resolver)
    return Target((Demand(LIST if stat.S_ISDIR(os.fstat(found.fd).st_mode) else STAT, found),))


def _chdir(request: Request, resolver: Resolver) -> Target:
    if request.row.fd is not None:  # one of O_PATH, too
        found = resolver.describe(resolver.descriptor(request.notification.tid, request.dirfd))
    else:
        found = _object(request, resolver)
    if not stat.S_ISDIR(os.fstat(found.fd).st_mode):
        raise NaturalFailure(errno.ENOTDIR)
    return Target((Demand(CHDIR, found),))


def _execute(request: Request, resolver: Resolver) -> Target:
    found = _object(request, resolver)
    if stat.S_ISLNK(os.fstat(found.fd).st_mode):
        raise NaturalFailure(errno.ELOOP)
    return Target((Demand(EXEC, found, EXECUTE),))


def _nothing(_request: Request, _resolver: Resolver) -> Target:
    return Target(())


_LOCATE: dict[Operation, Callable[[Request, Resolver], Target]] = {
    Operation.OPEN: _open,
    Operation.MKDIR: _mkdir,
    Operation.MKNOD: _mknod,
    Operation.UNLINK: _unlink,
    Operation.RENAME: _rename,
    Operation.LINK: _link,
    Operation.SYMLINK: _symlink,
    Operation.TRUNCATE: _truncate,
    Operation.CHMOD: _attributes,
    Operation.CHOWN: _attributes,
    Operation.UTIME: _attributes,
    Operation.SETXATTR: _attributes,
    Operation.REMOVEXATTR: _attributes,
    Operation.SETFLAGS: _attributes,
    Operation.ACCESS: _look_up,
    Operation.STAT: _look_up,
    Operation.READLINK: _look_up,
    Operation.GETXATTR: _look_up,
    Operation.LISTXATTR: _look_up,
    Operation.LIST: _list,
    Operation.CHDIR: _chdir,
    Operation.EXEC: _execute,
    Operation.WATCH: _watch,
    Operation.HANDLE: _look_up,
    Operation.SOCKET: _nothing,
    Operation.REFUSED: _nothing,
}
