"""What another task may do, and doing something with just that: for the calling thread alone.

`of_task` reads the credentials of a task. `assume` gives the calling thread the file-system ids, groups and
effective capabilities of such credentials, and `restore` its own. glibc's wrappers of setgroups and
setresuid change every thread of the process; these are raw system calls, which change one. Real, effective
and saved ids
stay: a thread with the target's real uid could be signalled and, if dumpable, traced by it. So permission
checks of the file system go by the target, while kill(2) and SO_PEERCRED see the supervisor.

Two effects reach further (commit_creds of the kernel): a change of a file-system id makes the process
non-dumpable, and clears the thread's parent-death signal. Both stay after `restore`.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from errno import EPERM, ESRCH
from typing import NamedTuple

from sydd.kernel import _gate, _numbers, capabilities


class Credentials(NamedTuple):
    """What /proc/<tid>/status says; ids as seen from the reader's user namespace.

    Attributes:
        ruid: real user id.
        euid: effective one.
        suid: saved one.
        fsuid: the one that file access goes by.
        rgid: real group id.
        egid: effective one.
        sgid: saved one.
        fsgid: the one that file access goes by.
        groups: supplementary groups.
        cap_effective: effective capabilities, bit N for capability N. They count in the task's own user
            namespace: for a task in another one they say nothing about ours, and must not be assumed.
        cap_permitted: permitted ones, likewise.
        umask: of the process, or of the thread after unshare(CLONE_FS).
        tgid: the process that the task is a thread of.
        ppid: its parent process; 0 when that is in another pid namespace.
        no_new_privs: whether exec gives no privileges.
    """

    ruid: int
    euid: int
    suid: int
    fsuid: int
    rgid: int
    egid: int
    sgid: int
    fsgid: int
    groups: tuple[int, ...]
    cap_effective: int
    cap_permitted: int
    umask: int
    tgid: int
    ppid: int
    no_new_privs: bool


_STATUS_SIZE = 16384
"""More than a status file has, but for a task with thousands of groups."""


def of_task(tid: int) -> Credentials:
    """Read the credentials of a task.

    Args:
        tid: a process or thread id.

    Raises:
        OSError: ESRCH when it is gone or has ended; EACCES or ENOENT where /proc hides it.
    """
    try:
        fd = os.open(f"/proc/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OSError(ESRCH, f"there is no task {tid}, or /proc hides it") from None
    try:
        data = os.read(fd, _STATUS_SIZE)
        if len(data) == _STATUS_SIZE:
            while more := os.read(fd, _STATUS_SIZE):
                data += more
    finally:
        os.close(fd)
    # The first line has the task's name, with newlines escaped: it cannot forge another line.
    start = data.find(b"\nUmask:\t")
    if start < 0:
        raise OSError(ESRCH, f"task {tid} has ended")
    ruid, euid, suid, fsuid = _field(data, b"\nUid:\t").split()
    rgid, egid, sgid, fsgid = _field(data, b"\nGid:\t").split()
    return Credentials(
        int(ruid),
        int(euid),
        int(suid),
        int(fsuid),
        int(rgid),
        int(egid),
        int(sgid),
        int(fsgid),
        tuple(map(int, _field(data, b"\nGroups:\t").split())),
        int(_field(data, b"\nCapEff:\t"), 16),
        int(_field(data, b"\nCapPrm:\t"), 16),
        int(_field(data, b"\nUmask:\t"), 8),
        int(_field(data, b"\nTgid:\t")),
        int(_field(data, b"\nPPid:\t")),
        _field(data, b"\nNoNewPrivs:\t") == b"1",
    )


def _field(data: bytes, label: bytes) -> bytes:
    """The rest of the line that begins with a label."""
    start = data.index(label) + len(label)
    return data[start : data.index(b"\n", start)]


def is_interrupted(tid: int) -> bool:
    """Whether a signal waits for a task alone to return to user space.

    One for the whole process counts for its first thread, which the kernel prefers; for others it may be that
    another thread takes it.

    Raises:
        OSError: ESRCH when it is gone or has ended.
    """
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise OSError(ESRCH, f"there is no task {tid}, or /proc hides it") from None
    if b"\nSigPnd:\t" not in data:
        raise OSError(ESRCH, f"task {tid} has ended")
    pending = int(_field(data, b"\nSigPnd:\t"), 16)
    if int(_field(data, b"\nTgid:\t")) == tid:
        pending |= int(_field(data, b"\nShdPnd:\t"), 16)
    return bool(pending & ~int(_field(data, b"\nSigBlk:\t"), 16))


def by_real_ids(credentials: Credentials) -> Credentials:
    """The credentials by which access(2) goes: the real ids, and capabilities only for user 0."""
    capabilities = 0 if credentials.ruid else credentials.cap_permitted
    return credentials._replace(fsuid=credentials.ruid, fsgid=credentials.rgid, cap_effective=capabilities)


def current() -> Credentials:
    """The credentials that the calling thread has now, assumed ones included."""
    return of_task(threading.get_native_id())


class Stuck(BaseException):
    """The calling thread could not get its own credentials back, and must not act for anybody any more.

    No Exception: nothing that goes on after mistakes may go on after this one.
    """


class _Own(NamedTuple):
    """What of a thread's credentials `assume` changes, and what capset(2) has to be told again."""

    fsuid: int
    fsgid: int
    groups: tuple[int, ...]
    effective: int
    permitted: int
    inheritable: int


class _Thread(threading.local):
    """Of each thread: its own credentials while it has others, and the others, once they are complete."""

    own: _Own | None = None
    assumed: _Own | None = None


_thread = _Thread()

_KEEP = 0xFFFFFFFF
"""No user's id: setfsuid(2) refuses it and tells the one that is set."""
_LOW = 0xFFFFFFFF

_setfs = _gate.bind_syscall(ctypes.c_uint)
_setgroups = _gate.bind_syscall(ctypes.c_size_t, ctypes.c_char_p)
_SETFSUID = _gate.number(_numbers.SETFSUID)
_SETFSGID = _gate.number(_numbers.SETFSGID)


def assume(credentials: Credentials) -> None:
    """Give the calling thread the groups, file-system ids and effective capabilities of a task.

    Capabilities that the thread's permitted set lacks are not gained. Nothing is done when nothing differs,
    so this works without privileges for a task of the same user. A second call without `restore` goes from
    one to the other; `restore` always brings back the thread's own. The umask is not touched: it belongs to
    the process unless the thread called unshare(CLONE_FS).

    Args:
        credentials: of a task in the same user namespace.

    Raises:
        OSError: EPERM when the thread may not change to them; it then has its own again.
    """
    own = _thread.own
    if own is None:
        own = _read_own()
    wanted = _Own(
        credentials.fsuid,
        credentials.fsgid,
        credentials.groups,
        credentials.cap_effective & own.permitted,
        own.permitted,
        own.inheritable,
    )
    if _thread.own is not None:
        if _thread.assumed is not None and _same(_thread.assumed, wanted):
            return
        restore()
    if _same(own, wanted):
        return
    _thread.own = own
    try:
        _become(own, wanted)
    except BaseException:
        restore()
        raise
    _thread.assumed = wanted


def restore() -> None:
    """Give the calling thread its own credentials back, exactly; nothing is done when it has them.

    Raises:
        Stuck: the kernel refused.
    """
    own = _thread.own
    if own is None:
        return
    try:
        now = _thread.assumed or _read_own()
        _thread.assumed = None
        # First the capabilities to change the rest. Permitted ones are never given up, so this is allowed.
        _set_effective(own, own.effective)
        _become(now, own)
    except OSError as error:
        raise Stuck(f"cannot get back to credentials of its own: {error}") from error
    _thread.own = None


def has_others() -> bool:
    """Whether the calling thread has assumed other credentials than its own."""
    return _thread.own is not None


def become(credentials: Credentials) -> None:
    """Give the calling process all ids, groups and effective capabilities of a task, for good.

    For a process with one thread, whose peers are told who it is (SO_PEERCRED).

    Raises:
        OSError: EPERM when it may not change to them.
    """
    restore()
    if credentials.groups != tuple(os.getgroups()):
        os.setgroups(credentials.groups)
    os.setresgid(credentials.rgid, credentials.egid, credentials.sgid)
    os.setresuid(credentials.ruid, credentials.euid, credentials.suid)
    capabilities.limit(credentials.cap_effective)


def _same(one: _Own, other: _Own) -> bool:
    return (
        one.fsuid == other.fsuid
        and one.fsgid == other.fsgid
        and one.effective == other.effective
        and sorted(one.groups) == sorted(other.groups)
    )


def _become(now: _Own, wanted: _Own) -> None:
    """Change the calling thread: groups and group before the user, whose change may cost capabilities."""
    if sorted(now.groups) != sorted(wanted.groups):
        packed = struct.pack(f"={len(wanted.groups)}I", *wanted.groups)
        _gate.check(_setgroups(_numbers.SETGROUPS, len(wanted.groups), packed), "setgroups")
    if now.fsgid != wanted.fsgid:
        _set_fs_id(_SETFSGID, wanted.fsgid, "setfsgid")
    if now.fsuid != wanted.fsuid:
        _set_fs_id(_SETFSUID, wanted.fsuid, "setfsuid")
    # From and to user 0 the kernel itself changes the effective set: ask what it is now. Asking costs a third
    # of setting, since every change of credentials makes a new copy of them.
    if capabilities.read()[0] != wanted.effective:
        _set_effective(wanted, wanted.effective)


def _set_fs_id(number: ctypes.c_long, value: int, call: str) -> None:
    """setfsuid(2) or setfsgid(2), which never fail: they have to be asked whether they did it."""
    _setfs(number, value)
    if _setfs(number, _KEEP) & _LOW != value:
        _gate.fail(EPERM, call)


def _set_effective(own: _Own, effective: int) -> None:
    """capset(2) of the effective set; the other two sets stay."""
    capabilities.write(effective, own.permitted, own.inheritable)


def _read_own() -> _Own:
    """The calling thread's credentials by system calls: a fifth of what /proc costs."""
    fsuid = _setfs(_SETFSUID, _KEEP) & _LOW
    fsgid = _setfs(_SETFSGID, _KEEP) & _LOW
    return _Own(fsuid, fsgid, tuple(os.getgroups()), *capabilities.read())
