"""The launcher: confines itself, hands the listener over, and becomes the command.

Import budget: `_thread`, `array`, `errno`, `os`, `resource`, `signal`, `socket`, and four modules of
`sydd.kernel`, which need `ctypes`, `fcntl` and `struct` alone. No policy, no pydantic, no dataclasses, no
typing: forked from a running supervisor it costs a fork, and started as `python -I -S` little more than
Python. Policy arrives compiled, as a program and a ruleset descriptor.

The order matters. Namespaces come first, while nothing forbids them; they end with capabilities that are
given up with all others. Then what may fail in an ordinary way (directory, limits); then
no_new_privs, which the filter needs; then Landlock; the seccomp filter last, because it may refuse what
the steps before it do.

The filter is loaded on the main thread alone. A helper thread, which shares the descriptor table and has
no filter, sends the listener to the supervisor and waits for its word: a filtered sendmsg(2) would wait
for a supervisor that has no listener yet. When the main thread then executes the command, the helper
thread is gone, and the command is the launched process itself: its exit status, signals, terminal and job
control are native.
"""

from __future__ import annotations

import _thread
import array
import errno
import os
import resource
import signal
import socket

from sydd.kernel import capabilities, landlock_calls, prctl, seccomp
from sydd.kernel.reason import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Type checkers know this constant's name; importing typing would be over the budget.
    from collections.abc import Iterable, Mapping, Sequence
    from typing import NoReturn

EXIT_FAILED = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127

GO = b"g"
LISTENER = b"l"
NAMESPACE = b"n"
REFUSED = b"r"


class Launch:
    """What to become, and under what.

    Attributes:
        argv: the command and its arguments, at least one.
        environment: its whole environment.
        directory: its working directory; empty to stay.
        program: BPF instructions of the filter; empty for none.
        filter_flags: flags of seccomp(2) for it.
        ruleset: descriptor of a Landlock ruleset, or -1.
        channel: descriptor of a stream socket to the supervisor, or -1 when the filter has no notifications.
        keep: inherited descriptors above 2 that stay open.
        umask: file mode creation mask, or -1 to keep it.
        capabilities: those that may be kept, bit N for capability N; -1 for all.
        limits: (resource, soft, hard) as setrlimit(2) takes them.
        mark: by which its processes are known, see `sydd.daemon.mark`; 0 for none.
        namespaces: CLONE_NEW* of those that it gets, a network namespace among them; 0 for none.
        signals: signal mask for the command.
        ignored_signals: signals that the command finds ignored.
        default_signals: signals that the supervisor ignores but found at their default.
    """

    __slots__ = (
        "argv",
        "capabilities",
        "channel",
        "default_signals",
        "directory",
        "environment",
        "filter_flags",
        "ignored_signals",
        "keep",
        "limits",
        "mark",
        "namespaces",
        "program",
        "ruleset",
        "signals",
        "umask",
    )

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.argv = list(argv)
        self.environment = dict(environment)
        self.directory = ""
        self.program = b""
        self.filter_flags = 0
        self.ruleset = -1
        self.channel = -1
        self.keep: Sequence[int] = ()
        self.umask = -1
        self.capabilities = -1
        self.limits: Sequence[tuple[int, int, int]] = ()
        self.mark = 0
        self.namespaces = 0
        self.signals: Iterable[int] = ()
        self.default_signals: Sequence[int] = ()
        self.ignored_signals: Sequence[int] = ()


def become(launch: Launch) -> NoReturn:
    """Confine this process and execute the command. Exits with 125, 126 or 127 when it cannot."""
    try:
        files = candidates(launch)
        _close_others(launch)
        if launch.namespaces:
            _enter_namespaces(launch)
        _prepare(launch)
        _confine(launch)
    except _NobodySupervises:
        os._exit(EXIT_FAILED)  # who was to has said why, or who is above tells
    except OSError as error:
        if error.errno == errno.EBUSY:
            _fail(EXIT_FAILED, "this process is supervised already, and the kernel allows one supervisor")
        place = f": {os.fsdecode(error.filename)}" if error.filename else ""
        _fail(EXIT_FAILED, f"cannot set up the sandbox: {reason(error)}{place}")
    except BaseException as error:  # noqa: BLE001  # a forked child must never return into its parent's code
        _fail(EXIT_FAILED, f"cannot set up the sandbox: {error!r}")
    _execute(files, launch)


class _NobodySupervises(Exception):  # noqa: N818
    """The supervisor went away before it took the listener over."""


def _fail(status: int, message: str) -> NoReturn:
    """Say why in one line and end, without running anything of the process that forked this one."""
    try:
        os.write(2, f"sydctl: {message}\n".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(status)


def candidates(launch: Launch) -> list[str]:
    """Files to execute, in the order of the command's own PATH.

    Looked up before the filter is there: the search is the launcher's, not the command's.
    """
    command = launch.argv[0]
    if "/" in command:
        return [command]
    found = []
    for directory in launch.environment.get("PATH", os.defpath).split(":"):
        path = os.path.join(launch.directory, directory or ".", command)
        if os.path.exists(path) and not os.path.isdir(path):
            found.append(path)
    return found


def _close_others(launch: Launch) -> None:
    """Close every descriptor that the command shall not inherit; what is needed until then closes on exec.

    So does all that the process that forked this one has opened itself: what does not is inherited. A number
    that is to be kept may be that of a descriptor of sydd's own, where nothing was inherited by it.
    """
    for fd in launch.keep:
        if not _is_inherited(fd):
            _fail(EXIT_FAILED, f"descriptor {fd} is to be kept, but it is not open")
    open_ones = sorted({*launch.keep, launch.ruleset, launch.channel} - {-1, 0, 1, 2})
    low = 3
    for fd in open_ones:
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 2**31 - 1)  # close_range(2): as cheap as closing a few


def _is_inherited(fd: int) -> bool:
    """Whether a descriptor is open, and stays so on exec."""
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def _enter_namespaces(launch: Launch) -> None:
    """Make the command's namespaces, and wait until the supervisor has set them up.

    It is sent a socket by which a network namespace is configured: this process has all capabilities in a
    user namespace that it has just made, but not the modules. When something fails there, or here, the
    supervisor tells.
    """
    from sydd.kernel import namespaces  # few sessions need it

    with socket.socket(fileno=os.dup(launch.channel)) as channel:
        try:
            namespaces.unshare(launch.namespaces)
            with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_ROUTE) as route:
                socket.send_fds(channel, [NAMESPACE], [route.fileno()])
        except OSError as error:
            channel.sendall(REFUSED + bytes([(error.errno or 0) & 0xFF]))
            os._exit(EXIT_FAILED)
        if channel.recv(1) != GO:
            os._exit(EXIT_FAILED)


def _prepare(launch: Launch) -> None:
    if launch.directory:
        os.chdir(launch.directory)
    for which, soft, hard in launch.limits:
        resource.setrlimit(which, (soft, hard))
    if launch.mark:
        _, hard = resource.getrlimit(resource.RLIMIT_RSS)
        if hard == resource.RLIM_INFINITY or hard >= launch.mark:  # lowered by whoever is above: no mark
            resource.setrlimit(resource.RLIMIT_RSS, (launch.mark, hard))
    if launch.umask >= 0:
        os.umask(launch.umask)
    # A handler of the process that forked this one would run here, in that one's code, as soon as a signal
    # that came meanwhile is let in.
    for handled in signal.valid_signals():
        if callable(signal.getsignal(handled)):
            signal.signal(handled, signal.SIG_DFL)
    for number in launch.default_signals:
        signal.signal(number, signal.SIG_DFL)
    for number in launch.ignored_signals:
        signal.signal(number, signal.SIG_IGN)


def _confine(launch: Launch) -> None:
    prctl.set_no_new_privs()
    if launch.capabilities >= 0:
        capabilities.limit_bounding(launch.capabilities)  # first: it needs one of them
        capabilities.limit(launch.capabilities)
    if launch.ruleset >= 0:
        landlock_calls.restrict_self(launch.ruleset, 0)
        os.close(launch.ruleset)
    if not launch.program:
        return
    if launch.channel < 0:
        seccomp.set_mode_filter(launch.program, launch.filter_flags)
        return
    listener: list[int] = []
    loaded = _thread.allocate_lock()
    told = _thread.allocate_lock()
    failure: list[BaseException] = []
    loaded.acquire()
    told.acquire()

    def hand_over() -> None:
        try:
            loaded.acquire()
            with socket.socket(fileno=launch.channel) as channel:
                if listener:
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", listener))]
                    channel.sendmsg([LISTENER], rights)
                    os.close(listener[0])
                    if channel.recv(1) != GO:
                        failure.append(_NobodySupervises())
        except (BrokenPipeError, ConnectionResetError):
            failure.append(_NobodySupervises())
        except BaseException as error:  # noqa: BLE001  # the main thread waits for this one: it has to be told
            failure.append(error)
        finally:
            told.release()

    _thread.start_new_thread(hand_over, ())
    try:
        listener.append(seccomp.set_mode_filter(launch.program, launch.filter_flags))
    finally:
        loaded.release()
    told.acquire()
    if failure:
        raise failure[0]


def _execute(files: Sequence[str], launch: Launch) -> NoReturn:
    """Execute the first candidate that can be, as execvp(3) does; else exit as a shell would."""
    name = launch.argv[0]
    status, message = EXIT_NOT_FOUND, f"cannot execute {name!r}: command not found"
    signal.pthread_sigmask(signal.SIG_SETMASK, launch.signals)
    for path in files:
        try:
            os.execve(path, launch.argv, launch.environment)  # noqa: S606  # the command is the point
        except FileNotFoundError as error:
            why = error.strerror if not os.path.exists(path) else "its interpreter is missing"
            message = f"cannot execute {path!r}: {why}"
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                # execvp(3) has the shell read what is executable and has no format that the kernel knows.
                os.execve("/bin/sh", ["/bin/sh", path, *launch.argv[1:]], launch.environment)  # noqa: S606
            status, message = EXIT_NOT_EXECUTABLE, f"cannot execute {path!r}: {error.strerror}"
            if error.errno not in (errno.EACCES, errno.ENOTDIR):
                break
        except ValueError as error:
            status, message = EXIT_NOT_EXECUTABLE, f"cannot execute {path!r}: {error}"
    _fail(status, message)
