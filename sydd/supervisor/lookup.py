"""Looking objects up for the caller: what stat, access, readlink and getxattr tell, written into its memory.

Each function asks about the O_PATH descriptor that was judged. So it does not matter what another thread
makes of the path meanwhile. The answer is written with the worker's own credentials, after a last look
whether the caller is still there.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sydd.kernel import credentials, lookup, metadata, seccomp
from sydd.kernel.memory import Writer
from sydd.supervisor.answer import DONE, Answer, Kind, error
from sydd.supervisor.extra import XATTR_SIZE_MAX
from sydd.supervisor.failure import CallerGone
from sydd.supervisor.idmap import own_ids
from sydd.supervisor.procfs import is_guarded, process_of
from sydd.syscalls.flags import HANDLE_FLAGS
from sydd.syscalls.layouts import (
    OWN_IDS,
    STATX_IDS,
    laid_out,
    stat_values,
    statfs_values,
)
from sydd.syscalls.row import Layout, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.kernel.credentials import Credentials
    from sydd.kernel.memory import Guard
    from sydd.supervisor.found import Found
    from sydd.supervisor.request import Request
    from sydd.supervisor.target import Target
    from sydd.syscalls.row import Row

    _Seen = Callable[[int, int], tuple[int, int]]

_ID = struct.Struct("=I")
_WORD = 4
_INT_MAX = 0x7FFF_FFFF
_UNIQUE_MOUNT = 0x1
"""AT_HANDLE_MNT_ID_UNIQUE: the mount's id has 64 bits."""

_OWN_DESCRIPTORS = re.compile(r"/proc/self/(task/[0-9]+/)?fd")


class Told(NamedTuple):
    """What a look-up comes to.

    Attributes:
        answer: the call's result.
        writes: addresses in the caller's memory, and what has to be there before it goes on.
    """

    answer: Answer
    writes: tuple[tuple[int, bytes], ...] = ()


class LookUps:
    """Performs look-ups for one session.

    Args:
        listener: the listener descriptor.
        own_namespaces: whether callers may be in user namespaces of their own, where ids are others.
    """

    def __init__(self, listener: int, *, own_namespaces: bool) -> None:
        self._listener = listener
        self._own_namespaces = own_namespaces
        self._writer = Writer()

    def heed(self, guard: Guard | None) -> None:
        """From now on *guard* is asked before a caller's memory is written to; None for nobody."""
        self._writer.guard = guard

    def answer(self, request: Request, target: Target, *, is_confined: Callable[[int], bool]) -> Answer:
        """Do what *request* asks for; the caller's memory is as it should be afterwards.

        Args:
            request: one of LOOK_UPS.
            target: what it is about.
            is_confined: whether a thread may be in a Landlock domain of its own: it sees less of others.

        Raises:
            CallerGone: there is nobody left to tell.
        """
        notification = request.notification
        found = target.demands[0].found
        try:
            if process_of(found.path) and is_guarded(found.path) and is_confined(notification.tid):
                return error(errno.EACCES)
            tell = self._stat if request.row.operation is Operation.STAT else _TELL[request.row.operation]
            told = tell(request, found)
        except OSError as failure:
            return error(failure.errno or errno.EIO)
        finally:
            credentials.restore()  # the caller's may not be enough to write where it can
        if not seccomp.id_valid(self._listener, notification.id):
            raise CallerGone
        try:
            for address, data in told.writes:
                self._writer.write(notification.tid, address, data)
        except OSError as failure:
            return error(failure.errno or errno.EIO)
        return told.answer

    def _stat(self, request: Request, found: Found) -> Told:
        layout = request.row.layout
        seen = partial(own_ids, request.notification.tid) if self._own_namespaces else None
        if layout is Layout.FILE_ATTR:
            address, size = request.extra
            data = metadata.file_getattr(found.fd).ljust(size, b"\0")
        elif layout is Layout.STATX:
            mask, address = request.extra
            data = lookup.statx_object(found.fd, request.flags, mask & 0xFFFFFFFF)
            if seen is not None:
                data = _in_own_ids(data, STATX_IDS, seen)
        else:
            address = request.extra[-1]
            data = _structure(layout, found.fd, seen)
        return Told(DONE, ((address, data),))


def looks_by(row: Row, registers: tuple[int, ...], caller: Credentials) -> Credentials:
    """With whose credentials a call looks names up: access(2) goes by the real ids, without AT_EACCESS."""
    if row.operation is not Operation.ACCESS:
        return caller
    if row.flags is not None and registers[row.flags] & lookup.AT_EACCESS:
        return caller
    return credentials.by_real_ids(caller)


def _value(number: int) -> Answer:
    return Answer(Kind.VALUE, number)


def _access(request: Request, found: Found) -> Told:
    flags = request.flags & lookup.AT_EACCESS
    try:
        # What was assumed are the ids that count already; the worker's real ones are always its own.
        lookup.access_object(found.fd, request.mode, lookup.AT_EACCESS if credentials.has_others() else flags)
    except PermissionError:
        # A process may do everything in its own, whatever its mode (proc_fd_permission() of the kernel).
        if not _OWN_DESCRIPTORS.fullmatch(found.path):
            raise
    return Told(DONE)


def _structure(layout: Layout | None, fd: int, seen: _Seen | None) -> bytes:
    """A struct stat or statfs, as the kernel lays it out for the caller."""
    if layout is Layout.STAT:
        data = lookup.stat_object(fd)
        return data if seen is None else _in_own_ids(data, OWN_IDS[os.uname().machine], seen)
    if layout is Layout.STATFS:
        return lookup.statfs_object(fd)
    if layout in (Layout.STATFS_32, Layout.STATFS64_32):
        return laid_out(layout, statfs_values(lookup.statfs_object(fd)))
    values = stat_values(os.fstat(fd))
    if seen is not None:
        values["uid"], values["gid"] = seen(values["uid"], values["gid"])
    return laid_out(layout, values)


def _in_own_ids(data: bytes, places: tuple[int, int], seen: _Seen) -> bytes:
    """A structure with the owner and the group that the caller's user namespace has for them."""
    changed = bytearray(data)
    first, second = places
    ids = seen(*(_ID.unpack_from(data, place)[0] for place in places))
    _ID.pack_into(changed, first, ids[0])
    _ID.pack_into(changed, second, ids[1])
    return bytes(changed)


def _readlink(request: Request, found: Found) -> Told:
    address, size = request.extra
    text = _text(request, found)[: size & _INT_MAX]
    return Told(_value(len(text)), ((address, text),))


def _text(request: Request, found: Found) -> bytes:
    """What a symbolic link says to the caller."""
    path = found.path
    if path in ("/proc/self", "/proc/thread-self") and stat.S_ISLNK(os.fstat(found.fd).st_mode):
        tid = request.notification.tid
        group = credentials.of_task(tid).tgid
        return b"%d" % group if path == "/proc/self" else b"%d/task/%d" % (group, tid)
    if path.startswith("/proc/self/"):
        # A process sees into itself even when it is not dumpable; the worker needs its own rights for that.
        credentials.restore()
    try:
        return os.readlink(b"", dir_fd=found.fd)
    except FileNotFoundError:  # so says an empty name about what is no link
        if not request.path or stat.S_ISLNK(os.fstat(found.fd).st_mode):
            raise
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from None


def _get_xattr(request: Request, found: Found) -> Told:
    name, address, size = request.extra
    length, data = lookup.get_xattr(found.fd, name, min(size, XATTR_SIZE_MAX))
    return Told(_value(length), ((address, data),))


def _list_xattr(request: Request, found: Found) -> Told:
    address, size = request.extra
    length, data = lookup.list_xattr(found.fd, min(size, XATTR_SIZE_MAX))
    return Told(_value(length), ((address, data),))


def _handle(request: Request, found: Found) -> Told:
    if request.failure2:
        return Told(error(request.failure2))
    room, address, mount_address = request.extra
    number, handle, mount = lookup.handle_object(found.fd, room, request.flags & HANDLE_FLAGS)
    wide = request.flags & _UNIQUE_MOUNT
    writes = ((mount_address, mount if wide else mount[:_WORD]), (address, handle))
    return Told(error(number) if number else DONE, writes)


_TELL: dict[Operation, Callable[[Request, Found], Told]] = {
    Operation.ACCESS: _access,
    Operation.READLINK: _readlink,
    Operation.GETXATTR: _get_xattr,
    Operation.LISTXATTR: _list_xattr,
    Operation.HANDLE: _handle,
}

LOOK_UPS = frozenset({Operation.STAT, *_TELL})
"""Operations that only tell about an object."""
