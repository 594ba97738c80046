"""Calls on processes, and on objects of System V IPC, that need not be the session's.

Both are named by a number in a register, so another thread cannot exchange what was judged: what is the
session's own goes on. That of a process may be given to a new one, once its owner has been reaped; whoever
wins that race reaches the scheduling of a process that has just begun. Objects of IPC are the session's
when the supervisor made them for it, which is why it makes them itself.

Source: setpriority(2), ioprio_set(2), sched(7), prlimit(2), setpgid(2), sysvipc(7).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sydd.kernel import credentials, sysvipc
from sydd.supervisor.answer import CONTINUE, Answer, Kind, error
from sydd.supervisor.procfs import above_all, in_session, members
from sydd.syscalls.process_rows import WHO_PROCESS
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.supervisor.notification import Notification
    from sydd.syscalls.row import Row

_WORD = 0xFFFF_FFFF
_IPC_64 = 0x100

# linux/ipc.h, linux/msg.h, linux/shm.h, linux/sem.h: commands that tell about tables, by index, as ipcs(1)
# does and /proc/sysvipc, and change nothing.
_TELLING = {
    "msgctl": frozenset({3, 11, 12, 13}),
    "shmctl": frozenset({3, 13, 14, 15}),
    "semctl": frozenset({3, 18, 19, 20}),
}
_PLAIN_FLAGS = 0o777 | sysvipc.IPC_CREAT | sysvipc.IPC_EXCL | sysvipc.SHM_NORESERVE


class Neighbours:
    """Tells the session's own processes and IPC objects from others.

    Args:
        note: writes down what a successor has to know.
        own_namespaces: whether processes of the session may be in namespaces that the worker is not in,
            where every number means something of the session.
    """

    def __init__(self, note: Callable[..., None], *, own_namespaces: bool) -> None:
        self._note = note
        self._own_namespaces = own_namespaces
        self._objects: set[tuple[str, int]] = set()

    def recall(self, kind: str, number: int, *, there: bool) -> None:
        """Take what another worker has noted about an IPC object."""
        (self._objects.add if there else self._objects.discard)((kind, number))

    def answer(self, notification: Notification, row: Row) -> Answer | None:
        """The answer to a call that is judged by registers; None when it is about a stranger's."""
        if self._own_namespaces and _elsewhere(notification.tid, _NAMESPACE[row.operation]):
            return CONTINUE
        values = [notification.registers[number] & _WORD for number in row.extra]
        if row.operation is Operation.PROCESS:
            return _about_process(notification.tid, row, values)
        if row.operation is Operation.IPC_USE:
            return self._use(row.name, values)
        return self._get(notification, row)

    def _use(self, name: str, values: list[int]) -> Answer | None:
        command = values[1] & ~_IPC_64 if len(values) > 1 else -1
        if command in _TELLING.get(name, ()):
            return CONTINUE
        known = (name[:3], values[0])
        if known not in self._objects:
            return _missing(*known)
        if command == sysvipc.IPC_RMID:
            # Its number may be another's soon.
            self._note("ipc", *known, False)
            self._objects.discard(known)
        return CONTINUE

    def _get(self, notification: Notification, row: Row) -> Answer | None:
        """Make an object for the caller, or see whose the one is that the key stands for."""
        kind = row.name[:3]
        registers = [notification.registers[number] for number in row.extra]
        key, flags = registers[0] & _WORD, registers[-1] & _WORD
        size = registers[1] if len(registers) > 2 else 0
        try:
            if key == sysvipc.IPC_PRIVATE or flags & sysvipc.IPC_CREAT:
                if flags & ~_PLAIN_FLAGS:
                    # Huge pages, which are the caller's right or not: the kernel says. It stays a stranger's.
                    return CONTINUE
                if credentials.of_task(notification.tid).euid != os.geteuid():
                    return CONTINUE  # made here it would belong to another user; made there nobody knows it
                try:
                    made = _make(kind, key, size, flags | sysvipc.IPC_CREAT | sysvipc.IPC_EXCL)
                except FileExistsError:
                    if flags & sysvipc.IPC_EXCL:
                        raise
                else:
                    self._note("ipc", kind, made, True)
                    self._objects.add((kind, made))
                    return Answer(Kind.VALUE, made)
            found = _make(kind, key, 0, 0)
        except OSError as failure:
            return error(failure.errno or errno.EIO)
        return CONTINUE if (kind, found) in self._objects else None


_NAMESPACE = {Operation.PROCESS: "pid", Operation.IPC_GET: "ipc", Operation.IPC_USE: "ipc"}


def _make(kind: str, key: int, size: int, flags: int) -> int:
    if kind == "msg":
        return sysvipc.msgget(key, flags)
    return (sysvipc.shmget if kind == "shm" else sysvipc.semget)(key, size, flags)


def _elsewhere(tid: int, namespace: str) -> bool:
    """Whether a thread is in another namespace than the worker."""
    theirs, ours = f"/proc/{tid}/ns/{namespace}", f"/proc/self/ns/{namespace}"
    return os.stat(theirs).st_ino != os.stat(ours).st_ino


def _missing(kind: str, number: int) -> Answer | None:
    """The kernel's answer about an object that does not exist; None for one that is there, a stranger's."""
    try:
        sysvipc.stat(kind, number)
    except OSError as failure:
        if failure.errno in (errno.EINVAL, errno.EIDRM):
            return error(failure.errno)
    return None


def _about_process(tid: int, row: Row, values: list[int]) -> Answer | None:
    """CONTINUE for a process or thread of the session."""
    pid = values[-1]
    if row.name == "setpgid":
        return CONTINUE if _may_join(tid, *values) else None
    if row.name in WHO_PROCESS:
        process = WHO_PROCESS[row.name]
        if values[0] == process + 1:
            # A group, to which sydctl may belong as well.
            group = pid or os.getpgid(tid)
            return CONTINUE if all(in_session(member) for member in members(group)) else None
        if values[0] == process + 2:
            return None  # all processes of a user
        if values[0] != process:
            return CONTINUE  # EINVAL
    if not os.path.exists(f"/proc/{pid}"):
        return error(errno.ESRCH)
    if row.name == "prlimit64":
        # With the processor time as its limit a process is ended: for this, no race is good enough.
        return CONTINUE if pid == credentials.of_task(tid).tgid else None
    return CONTINUE if pid == tid or in_session(pid) else None


def _may_join(tid: int, pid: int, group: int) -> bool:
    """Whether a process may become a member of a process group.

    Who is in a group can have all of it stopped, without a signal of its own: the kernel sends SIGTTOU and
    SIGTTIN to the whole group of who uses the terminal in the background (credentials(7)). So only the
    session's own groups may be joined, and the one that the launch was in.
    """
    if group == (pid or credentials.of_task(tid).tgid) or group == os.getpgid(above_all()):
        return True
    return in_session(group) or all(in_session(member) for member in members(group))
