"""What this kernel, as it is configured and as far as this process may use it, has for sydd.

Each feature is found out by asking the kernel, with a call that changes nothing or that only a thread or
child made for it notices; by the release number only where there is nothing to ask. A container's filter
that hides a call shows as a feature that is missing, which it is.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from errno import EBUSY, EFAULT, EINVAL, ENOENT, ENOSYS, EPERM
from typing import TypeVar

from sydd.kernel import _gate, _numbers, landlock, memory, namespaces, prctl, seccomp
from sydd.kernel.namespace_probe import private_network_in_child, unshare_in_child, why_not

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a kernel has or lacks. It is true when it is there.

    Attributes:
        name: short, as in the field of `Features`.
        value: whether it is there, or its version, level or place.
        kernel: the Linux version that brought it; empty for what is a matter of configuration.
        gives: what sydd does with it.
        lost: what is lost without it.
        detail: more about the value; may be empty.
    """

    name: str
    value: bool | int | str
    kernel: str
    gives: str
    lost: str
    detail: str = ""

    def __bool__(self) -> bool:
        return bool(self.value)


@dataclass(frozen=True, slots=True)
class Features:
    """What a kernel has; iteration gives the features in order.

    Attributes:
        release: what uname(2) says.
        machine: x86_64 or aarch64.
        landlock_rights: the rights on files that Landlock knows here.
        landlock_scopes: the scopes likewise.
    """

    release: str
    machine: str
    landlock_rights: landlock.FsRight
    landlock_scopes: landlock.Scope
    user_notification: Feature
    wait_killable: Feature
    sync_wake_up: Feature
    addfd: Feature
    notif_recv_ends: Feature
    landlock_abi: Feature
    landlock_audit: Feature
    openat2: Feature
    pidfd_getfd: Feature
    process_vm_readv: Feature
    fchmodat2: Feature
    setxattrat: Feature
    file_setattr: Feature
    user_namespaces: Feature
    private_network: Feature
    yama_scope: Feature
    cgroup2: Feature

    def __iter__(self) -> Iterator[Feature]:
        return (value for field in fields(self) if isinstance(value := getattr(self, field.name), Feature))


def probe() -> Features:
    """Ask the kernel for everything; takes a few milliseconds and leaves nothing behind.

    Raises:
        Nothing: what cannot be found out counts as missing.
    """
    release = os.uname().release
    version = _version(release)
    abi = _or(landlock.abi, 0)
    listener = _or(_ask_listener, _Listener(None, None))
    rights, scopes = landlock.rights_of_abi(abi), landlock.scopes_of_abi(abi)
    names = ", ".join(str(right.name) for right in (*rights, *scopes))
    return Features(
        release=release,
        machine=_numbers.MACHINE,
        landlock_rights=rights,
        landlock_scopes=scopes,
        user_notification=Feature(
            "user_notification",
            _filter_flags_known(seccomp.FILTER_FLAG_NEW_LISTENER),
            "5.0",
            "the supervisor is asked about single system calls",
            "only what Landlock and the static filter decide: the landlock engine",
        ),
        wait_killable=Feature(
            "wait_killable",
            _filter_flags_known(seccomp.FILTER_FLAG_NEW_LISTENER | seccomp.FILTER_FLAG_WAIT_KILLABLE_RECV),
            "5.19",
            "a signal does not interrupt a call that the supervisor already performs",
            "sydd needs it: without, a signal could make a call happen twice",
        ),
        sync_wake_up=Feature(
            "sync_wake_up",
            listener.sync_wake_up if listener.sync_wake_up is not None else version >= (6, 6),
            "6.6",
            "caller and supervisor take turns on one CPU",
            "each supervised call takes four times as long",
            "" if listener.sync_wake_up is not None else "by release: a listener here allows no second",
        ),
        addfd=Feature(
            "addfd",
            listener.addfd if listener.addfd is not None else version >= (5, 9),
            "5.9",
            "what is opened for a caller is put into its table of descriptors",
            "sydd does not run: no open could be performed",
            "" if listener.addfd is not None else "by release: a listener here allows no second",
        ),
        notif_recv_ends=Feature(
            "notif_recv_ends",
            version >= (6, 11),
            "6.11",
            "waiting for a notification ends with the last supervised process",
            "the worker polls before each wait: 1 µs more per call",
            "by release: there is nothing to ask",
        ),
        landlock_abi=Feature(
            "landlock_abi",
            abi,
            "5.13",
            "the kernel itself enforces what the policy allows in whole subtrees",
            "every access is supervised and performed for the caller: the supervisor engine",
            names,
        ),
        landlock_audit=Feature(
            "landlock_audit",
            abi >= 7,
            "6.15",
            "the kernel's audit log, which sydd does not read, has denials by Landlock alone",
            "what Landlock alone denies, as with the landlock engine, is told nowhere",
        ),
        openat2=Feature(
            "openat2",
            _known(_numbers.OPENAT2, -1, 0, 0, 0),
            "5.6",
            "names are resolved by the kernel within a target's root",
            "sydd does not run",
        ),
        pidfd_getfd=Feature(
            "pidfd_getfd",
            _known(_numbers.PIDFD_GETFD, -1, -1, 0),
            "5.6",
            "calls on a target's sockets are performed for it",
            "connect and bind cannot be decided by address",
        ),
        process_vm_readv=Feature(
            "process_vm_readv",
            _or(_ask_memory, False),
            "3.2",
            "arguments are read from a target's memory",
            "sydd does not run",
        ),
        fchmodat2=Feature(
            "fchmodat2",
            _known(_numbers.FCHMODAT2, -1, 0, 0, 0),
            "6.6",
            "the mode of a checked object is changed in one call",
            "the same through /proc, a little slower; programs inside do not have the call",
        ),
        setxattrat=Feature(
            "setxattrat",
            _known(_numbers.SETXATTRAT, -1, 0, 0, 0, 0, 0),
            "6.13",
            "programs inside may use it",
            "they get ENOSYS and fall back to setxattr, as on any older kernel",
        ),
        file_setattr=Feature(
            "file_setattr",
            _known(_numbers.FILE_SETATTR, -1, 0, 0, 0, 0),
            "6.17",
            "programs inside may use it",
            "they get ENOSYS and fall back to ioctl, as on any older kernel",
        ),
        user_namespaces=_user_namespaces(),
        private_network=_private_network(),
        yama_scope=Feature(
            "yama_scope",
            yama_scope(),
            "",
            "0: none; 1: only ancestors may read a process's memory; 2: only root; 3: nobody",
            "nothing at 0 and 1; at 2 and 3 an embedded sydd without privileges cannot supervise",
        ),
        cgroup2=Feature(
            "cgroup2",
            _or(_find_cgroup2, ""),
            "4.5",
            "sessions can be accounted, limited and ended as a whole",
            "no limits on a session as a whole",
        ),
    )


def _or(ask: Callable[[], _T], otherwise: _T) -> _T:
    """What a question gives, or something else when it fails."""
    try:
        return ask()
    except (OSError, RuntimeError, ValueError):
        return otherwise


def _version(release: str) -> tuple[int, int]:
    """The first two numbers of a release such as 6.1.0-18-amd64."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


_raw = _gate.bind_syscall(*[ctypes.c_long] * 5)


def supervised() -> bool:
    """Whether this process is supervised by seccomp notifications, beside which there can be no others."""
    busy = False

    def ask() -> None:
        nonlocal busy
        try:
            prctl.set_no_new_privs()
            os.close(seccomp.set_mode_filter(_ALLOW, seccomp.FILTER_FLAG_NEW_LISTENER))
        except OSError as error:
            busy = error.errno == EBUSY

    thread = threading.Thread(target=ask, name="sydd-probe")
    thread.start()
    thread.join()
    return busy


def _known(number: int, *arguments: int) -> bool:
    """Whether a system call is there, seen from the errno for arguments that make no sense."""
    padded = (*arguments, 0, 0, 0, 0, 0)[:5]
    ctypes.set_errno(0)
    return _raw(number, *padded) >= 0 or ctypes.get_errno() not in (ENOSYS, EPERM)


def _filter_flags_known(flags: int) -> bool:
    """Whether seccomp(2) knows flags: it looks at them before it fails to read a program at NULL."""
    return _raw(_numbers.SECCOMP, 1, flags, 0, 0, 0) < 0 and ctypes.get_errno() == EFAULT


@dataclass(frozen=True, slots=True)
class _Listener:
    """What a listener said; None for what it could not be asked."""

    sync_wake_up: bool | None
    addfd: bool | None


def _ask_listener() -> _Listener:
    """Make a listener and ask it.

    Its filter allows everything and sits on a thread that ends at once; nothing of it reaches the process.
    """
    found = _Listener(None, None)

    def ask() -> None:
        nonlocal found
        try:
            prctl.set_no_new_privs()
            listener = seccomp.set_mode_filter(_ALLOW, seccomp.FILTER_FLAG_NEW_LISTENER)
        except OSError:
            # EBUSY: this process is supervised itself.
            return
        try:
            found = _Listener(_knows_sync(listener), _knows_addfd(listener))
        finally:
            os.close(listener)

    thread = threading.Thread(target=ask, name="sydd-probe")
    thread.start()
    thread.join()
    return found


_ALLOW = struct.pack("=HBBI", 0x06, 0, 0, seccomp.RET_ALLOW)
"""A filter of one instruction: BPF_RET | BPF_K."""


def _knows_sync(listener: int) -> bool:
    try:
        seccomp.set_flags(listener, seccomp.USER_NOTIF_FD_SYNC_WAKE_UP)
    except OSError:
        return False
    return True


def _knows_addfd(listener: int) -> bool:
    """A kernel that knows the operation finds that there is no such notification."""
    try:
        seccomp.add_fd(listener, 0, listener, 0)
    except OSError as error:
        return error.errno == ENOENT
    return True


def _ask_memory() -> bool:
    """Read a word of this process."""
    word = ctypes.create_string_buffer(b"sydd")
    return memory.Reader(8).read(os.getpid(), ctypes.addressof(word), 4) == b"sydd"


def _user_namespaces() -> Feature:
    """Try it in a child; the child's errno says why not.

    A mount namespace in it is asked for too: AppArmor lets users have the first and nothing in it.
    """
    error = _or(lambda: unshare_in_child(namespaces.CLONE_NEWUSER, namespaces.CLONE_NEWNS), EINVAL)
    return Feature(
        "user_namespaces",
        error == 0,
        "3.8",
        'private networks without root, and sessions with [restrict] user_namespaces = "allow"',
        "a session that asks for one of them does not start without root",
        f"unshare(2): {os.strerror(error)}" if error else "",
    )


def _private_network() -> Feature:
    error = _or(private_network_in_child, EINVAL)
    return Feature(
        "private_network",
        error == 0,
        "3.8",
        'a session may have a network of its own: [network] namespace = "private"',
        "profiles that ask for one do not start",
        f"unshare(2): {why_not(error)}" if error else "",
    )


def yama_scope() -> int:
    """The value of kernel.yama.ptrace_scope; 0 without Yama."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return 0


def _find_cgroup2() -> str:
    """Where the second version's hierarchy is mounted; empty when it is not."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            mount, _, filesystem = line.partition(" - ")
            if filesystem.startswith("cgroup2 "):
                return mount.split()[4]
    return ""
