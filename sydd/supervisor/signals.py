"""Signals to another process by its number.

They come here where Landlock does not scope them: without Landlock, and before Linux 6.12. A call about
the caller's own process goes on: its number cannot come to mean another one while the caller waits. What is
about another process of the session the worker sends itself, by a pidfd that it took before it looked whose
the process is; so a number that is taken anew in between changes nothing. The receiver sees the worker as
the sender (``si_pid``), which no kernel lets anybody choose, unless the sender gave its own information
(sigqueue(3)). Of a process group only members of the session are reached. What is about others is EPERM, as
Landlock says it.

Source: kill(2), tgkill(2), rt_sigqueueinfo(2), pidfd_send_signal(2), fcntl(2).
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import struct
from typing import TYPE_CHECKING

from sydd.kernel import credentials, pidfd, seccomp
from sydd.supervisor.answer import CONTINUE, DONE, Answer, error
from sydd.supervisor.arguments import as_int
from sydd.supervisor.descriptors import Descriptors
from sydd.supervisor.failure import CallerGone, Stranger
from sydd.supervisor.procfs import in_session, members, process_of, processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.kernel.credentials import Credentials
    from sydd.kernel.memory import Reader
    from sydd.supervisor.notification import Notification
    from sydd.syscalls.row import Row

CAP_KILL = 5
SI_TKILL = -6
PIDFD_SIGNAL_PROCESS_GROUP = 4
SIGINFO_SIZE = 128
_SIGNO_CODE = struct.Struct("=iii")  # si_signo, si_errno, si_code: siginfo_t of x86-64 and aarch64

ROUNDS = 32
"""How often a group that is to be killed is looked through: what forks meanwhile is killed with the rest."""


class Signals:
    """Judges such calls for one worker, and sends.

    Args:
        listener: to make sure that a caller is still the one that asked.
        reader: of callers' memory.
    """

    def __init__(self, listener: int, reader: Reader) -> None:
        self._listener = listener
        self._reader = reader
        self._descriptors = Descriptors()
        self._caller = 0
        self._sender: Credentials | None = None
        self._cookie = 0

    def close(self) -> None:
        """Let go of what is kept between requests."""
        self._descriptors.close()

    def answer(self, notification: Notification, row: Row, *, one_identity: bool) -> Answer:
        """The answer to one call.

        Args:
            notification: the call.
            row: its row.
            one_identity: whether everybody in the session has the worker's user ids and capabilities.

        Raises:
            Stranger: it is about a process outside the session.
            CallerGone: the caller has ended.
        """
        about = credentials.of_task(notification.tid)
        self._caller, self._sender = about.tgid, None if one_identity else about
        self._cookie = notification.id
        if not seccomp.id_valid(self._listener, notification.id):
            raise CallerGone
        numbers = [as_int(register) for register in notification.registers]
        try:
            return self._signal(notification, row, numbers)
        except ProcessLookupError:
            return error(errno.ESRCH)
        except OSError as failure:
            return error(failure.errno or errno.EPERM)

    def _signal(self, notification: Notification, row: Row, numbers: list[int]) -> Answer:
        registers = notification.registers
        match row.name:
            case "kill":
                return self._kill(numbers[0], numbers[1])
            case "tkill":
                if numbers[0] <= 0 or numbers[0] == notification.tid:
                    return CONTINUE
                return self._thread(_process(numbers[0]), numbers[0], numbers[1], None)
            case "tgkill" | "rt_tgsigqueueinfo":
                if numbers[0] in (self._caller, 0) or min(numbers[:2]) <= 0:
                    return CONTINUE  # the kernel looks whether the thread is of that process
                info = None
                if row.name != "tgkill":
                    info = self._info(notification, row, registers[3], numbers[2])
                return self._thread(numbers[0], numbers[1], numbers[2], info)
            case "rt_sigqueueinfo":
                if numbers[0] == self._caller:
                    return CONTINUE
                info = self._info(notification, row, registers[2], numbers[1])
                return self._one(numbers[0], numbers[1], info)
            case "pidfd_send_signal":
                return self._by_descriptor(notification, row, numbers)
            case _:  # fcntl, of which only F_SETOWN is notified: whom the kernel is to send signals to
                if numbers[2] in (0, self._caller):
                    return CONTINUE
                raise Stranger(f"/proc/{abs(numbers[2])}")

    def _read_info(self, notification: Notification, row: Row, address: int) -> bytes:
        """The caller's siginfo_t, as the worker's ABI lays it out."""
        data = self._reader.read(notification.tid, address, SIGINFO_SIZE)
        if len(data) < SIGINFO_SIZE:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        if not row.narrow:
            return data
        # Of 32 bits: no gap behind si_code, and a sigval of four bytes (<linux/compat.h>, compat_siginfo).
        wide = data[:12] + bytes(4) + data[12:24]
        return wide + bytes(SIGINFO_SIZE - len(wide))

    def _info(self, notification: Notification, row: Row, address: int, number: int) -> bytes:
        """The same, as one may send it to others."""
        data = bytearray(self._read_info(notification, row, address))
        _, _, code = _SIGNO_CODE.unpack_from(data)
        if code >= 0 or code == SI_TKILL:  # the kernel's own, and kill(2)'s
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        struct.pack_into("=i", data, 0, number)
        return bytes(data)

    def _kill(self, target: int, number: int) -> Answer:
        if target == self._caller:
            return CONTINUE
        if target > 0:
            return self._one(target, number, None)
        if target == 0:
            return self._group(os.getpgid(self._caller), number)
        if target == -1:
            return self._every(number)
        return self._group(-target, number)

    def _one(self, target: int, number: int, info: bytes | None) -> Answer:
        """Signal one process."""
        if target <= 0:
            return error(errno.ESRCH)
        process = _process(target)  # kill(2) takes a thread's number, too
        handle = pidfd.pidfd_open(process)
        try:
            self._send(handle, process, number, info)
        finally:
            os.close(handle)
        return DONE

    def _thread(self, process: int, thread: int, number: int, info: bytes | None) -> Answer:
        """Signal one thread."""
        if _process(thread) != process:
            return error(errno.ESRCH)
        try:
            handle = pidfd.pidfd_open(thread, pidfd.PIDFD_THREAD)
        except OSError as failure:
            if failure.errno != errno.EINVAL:
                raise
            return self._thread_by_number(process, thread, number, info)
        try:
            self._send(handle, process, number, info)
        finally:
            os.close(handle)
        return DONE

    def _thread_by_number(self, process: int, thread: int, number: int, info: bytes | None) -> Answer:
        """Before Linux 6.9 a thread has no descriptor: only in the caller's process it stays what it is."""
        if process != self._caller or info is not None:
            return error(errno.EPERM)
        pidfd.tgkill(process, thread, number)
        return DONE

    def _by_descriptor(self, notification: Notification, row: Row, numbers: list[int]) -> Answer:
        copy = self._descriptors.copy(notification.tid, numbers[0])
        try:
            process = _process_of_descriptor(copy)
            if not process:
                return error(errno.EBADF)
            if numbers[3] & PIDFD_SIGNAL_PROCESS_GROUP:
                if numbers[3] != PIDFD_SIGNAL_PROCESS_GROUP:
                    return error(errno.EINVAL)
                return self._group(process, numbers[1])
            address = notification.registers[2]
            info = self._read_info(notification, row, address) if address else None
            self._send(copy, process, numbers[1], info, numbers[3])
        finally:
            os.close(copy)
        return DONE

    def _send(self, handle: int, process: int, number: int, info: bytes | None, flags: int = 0) -> None:
        """Signal what *handle* is, when it is of the session.

        Args:
            handle: pidfd of the process or of a thread of it.
            process: its number when the handle was taken.
            number: the signal.
            info: siginfo_t, or None for what kill(2) sends.
            flags: PIDFD_SIGNAL_*.
        """
        if not in_session(process):
            raise Stranger(f"/proc/{process}")
        if self._sender is not None and not _permitted(self._sender, self._caller, process, number):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        # All that was said of the number is true of the handle when that has not been collected by now.
        pidfd.pidfd_send_signal(handle, 0)
        if not seccomp.id_valid(self._listener, self._cookie):
            raise CallerGone
        pidfd.pidfd_send_signal(handle, number, info, flags)

    def _group(self, group: int, number: int) -> Answer:
        """Signal the members of a process group that are of the session, the caller's process last."""
        return self._all(lambda: list(members(group)), number, f"/proc/{group}")

    def _every(self, number: int) -> Answer:
        """Signal everything in the session but the caller's process."""
        return self._all(
            lambda: [pid for pid in processes() if pid != self._caller and in_session(pid)], number, ""
        )

    def _all(self, look: Callable[[], list[int]], number: int, name: str) -> Answer:
        seen: set[int] = set()
        sent = refused = outside = False
        for _ in range(ROUNDS):
            found = [pid for pid in look() if pid not in seen]
            for pid in sorted(found, key=lambda pid: pid == self._caller):
                seen.add(pid)
                try:
                    self._one(pid, number, None)
                    sent = True
                except Stranger:
                    outside = True
                except ProcessLookupError:
                    pass
                except PermissionError:
                    refused = True
            if not found or number not in (signal.SIGKILL, signal.SIGSTOP):
                break
        if sent:
            return DONE
        if outside and name:
            raise Stranger(name)
        return error(errno.EPERM if refused else errno.ESRCH)


def _process(task: int) -> int:
    """The process of a task, also of one that has ended and was not collected; as kill(2) takes it.

    Raises:
        ProcessLookupError: there is none.
    """
    try:
        with open(f"/proc/{task}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Tgid:"):
                    return int(line[5:])
    except FileNotFoundError:
        pass
    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))


def _permitted(sender: Credentials, process: int, target: int, number: int) -> bool:
    """Whether kill(2) permits it: kill_ok_by_cred() and check_kill_permission() of the kernel."""
    if sender.cap_effective >> CAP_KILL & 1:
        return True
    other = credentials.of_task(target)
    if {sender.euid, sender.ruid} & {other.suid, other.ruid}:
        return True
    return number == signal.SIGCONT and os.getsid(process) == os.getsid(target)


def _process_of_descriptor(fd: int) -> int:
    """The process that a pidfd, or an open directory of /proc, is about; 0 when it is neither.

    Raises:
        ProcessLookupError: it has been collected.
    """
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        for line in file:
            if line.startswith(b"Pid:"):
                pid = int(line[4:])
                if pid <= 0:
                    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
                return _process(pid)
    path = os.readlink(f"/proc/self/fd/{fd}")
    return process_of(path) if path.count("/") == 2 and stat.S_ISDIR(os.fstat(fd).st_mode) else 0
