"""Filters and notifications, each with a real child under a real filter."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sydd.kernel import _numbers, landlock, prctl, seccomp
from tests.support.forked import in_child

GETPPID = {"x86_64": 110, "aarch64": 173}[_numbers.MACHINE]
LOAD_NR = (0x20, 0, 0, 0)
LISTEN = seccomp.FILTER_FLAG_NEW_LISTENER | seccomp.FILTER_FLAG_WAIT_KILLABLE_RECV


def program(number: int, action: int) -> bytes:
    """A filter that does something about one system call and allows the rest."""
    code = [LOAD_NR, (0x15, 0, 1, number), (0x06, 0, 0, action), (0x06, 0, 0, seccomp.RET_ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in code)


@contextmanager
def trapped(child: Callable[[], int]) -> Iterator[tuple[int, int]]:
    """A child whose getppid is notified: listener and pid. It exits with what the function returns."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                prctl.set_no_new_privs()
                listener = seccomp.set_mode_filter(program(GETPPID, seccomp.RET_USER_NOTIF), LISTEN)
                socket.send_fds(theirs, [b"x"], [listener])
                os.close(listener)
                theirs.close()
                code = child()
            finally:
                os._exit(code)
        theirs.close()
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        try:
            yield listener, pid
        finally:
            os.close(listener)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def exit_code(pid: int) -> int:
    """How a child ended, which stays to be waited for."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert result is not None
    return result.si_status


def received(listener: int) -> tuple[int, ...]:
    """The next notification, unpacked."""
    # Not zero on purpose: receive has to clear it.
    buf = bytearray(b"\xff" * seccomp.NOTIF.size)
    seccomp.receive(listener, buf)
    return seccomp.NOTIF.unpack(buf)


def test_the_kernels_structures_have_our_sizes() -> None:
    """Our Structs are as long as the kernel says."""
    assert (seccomp.NOTIF.size, seccomp.RESP.size, 64) == seccomp.notif_sizes()


def test_known_actions() -> None:
    """The kernel knows USER_NOTIF and does not know what there is not."""
    assert seccomp.action_available(seccomp.RET_USER_NOTIF)
    assert not seccomp.action_available(0x12340000)


def test_a_value_is_returned() -> None:
    """The child sees the value of the answer; the notification names thread, call and architecture."""
    with trapped(lambda: os.getppid() == 4711) as (listener, pid):
        id_, tid, flags, nr, _arch, ip, *args = received(listener)
        assert (tid, flags, nr, len(args)) == (pid, 0, GETPPID, 6)
        assert ip
        assert seccomp.id_valid(listener, id_)
        seccomp.send(listener, seccomp.RESP.pack(id_, 4711, 0, 0))
        assert exit_code(pid) == 1
        assert not seccomp.id_valid(listener, id_)


def test_an_answer_may_be_a_bytearray() -> None:
    """Both kinds of buffers are sent; a second answer to the same call is refused."""
    with trapped(lambda: os.getppid() == 5) as (listener, pid):
        id_ = received(listener)[0]
        seccomp.send(listener, bytearray(seccomp.RESP.pack(id_, 5, 0, 0)))
        with pytest.raises(OSError, match=f"Errno ({errno.ENOENT}|{errno.EINPROGRESS})]"):
            seccomp.send(listener, seccomp.RESP.pack(id_, 5, 0, 0))
        assert exit_code(pid) == 1


def test_continue() -> None:
    """The kernel performs the call itself."""
    parent = os.getpid()
    with trapped(lambda: os.getppid() == parent) as (listener, pid):
        id_ = received(listener)[0]
        seccomp.send(listener, seccomp.RESP.pack(id_, 0, 0, seccomp.USER_NOTIF_FLAG_CONTINUE))
        assert exit_code(pid) == 1


def test_a_descriptor_is_installed_and_sent() -> None:
    """The call returns the new descriptor, which is ours, with the flags that were asked for."""
    reader, writer = os.pipe()

    def child() -> int:
        os.close(reader)
        os.close(writer)
        fd = os.getppid()
        os.write(fd, b"through")
        return 2 + os.get_inheritable(fd)

    try:
        with trapped(child) as (listener, pid):
            id_ = received(listener)[0]
            number = seccomp.add_fd(listener, id_, writer, seccomp.ADDFD_FLAG_SEND, newfd_flags=os.O_CLOEXEC)
            assert number >= 0
            assert exit_code(pid) == 2
            assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
        os.close(writer)


def test_a_descriptor_at_a_number() -> None:
    """SETFD puts it where it is told, and leaves the call to be answered."""

    def child() -> int:
        os.getppid()
        return os.fstat(77).st_mode & 0 or os.get_inheritable(77)

    with trapped(child) as (listener, pid):
        id_ = received(listener)[0]
        assert seccomp.add_fd(listener, id_, listener, seccomp.ADDFD_FLAG_SETFD, 77) == 77
        seccomp.send(listener, seccomp.RESP.pack(id_, 0, 0, 0))
        assert exit_code(pid) == 1


def test_the_sync_wake_up() -> None:
    """The flag is taken where the kernel has it, and an unknown one never."""
    with trapped(lambda: os.getppid() == 9) as (listener, pid):
        seccomp.set_flags(listener, seccomp.USER_NOTIF_FD_SYNC_WAKE_UP)
        with pytest.raises(OSError, match=f"Errno {errno.EINVAL}]"):
            seccomp.set_flags(listener, 1 << 20)
        id_ = received(listener)[0]
        seccomp.send(listener, seccomp.RESP.pack(id_, 9, 0, 0))
        assert exit_code(pid) == 1


def test_a_caller_that_died_is_not_valid() -> None:
    """A kill ends the wait for an answer; nothing can be done about that notification any more."""
    with trapped(os.getppid) as (listener, pid):
        id_ = received(listener)[0]
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert not seccomp.id_valid(listener, id_)
        with pytest.raises(FileNotFoundError):
            seccomp.send(listener, seccomp.RESP.pack(id_, 0, 0, 0))
        with pytest.raises(FileNotFoundError):
            seccomp.add_fd(listener, id_, 0, seccomp.ADDFD_FLAG_SEND)


def test_a_bad_listener() -> None:
    """Other errors than a missing notification come out."""
    with pytest.raises(OSError, match=f"Errno {errno.EBADF}]"):
        seccomp.id_valid(987654, 0)


def test_an_errno_filter() -> None:
    """A filter without a listener returns 0 and works: Landlock is hidden, and the wrapper says 0."""

    def child() -> tuple[int, int]:
        prctl.set_no_new_privs()
        hide = program(_numbers.LANDLOCK_CREATE_RULESET, seccomp.RET_ERRNO | errno.ENOSYS)
        return seccomp.set_mode_filter(hide, 0), landlock.abi()

    assert in_child(child) == (0, 0)


def test_enosys_says_what_it_means() -> None:
    """The message names the call instead of "Function not implemented"."""

    def child() -> None:
        prctl.set_no_new_privs()
        hide = program(_numbers.LANDLOCK_CREATE_RULESET, seccomp.RET_ERRNO | errno.ENOSYS)
        seccomp.set_mode_filter(hide, 0)
        landlock.create_ruleset(1)

    with pytest.raises(OSError, match="landlock_create_ruleset: this kernel has no such call"):
        in_child(child)


def test_a_second_listener_is_refused() -> None:
    """One listener per chain of filters: EBUSY."""

    def child() -> int:
        prctl.set_no_new_privs()
        allow = program(GETPPID, seccomp.RET_ALLOW)
        seccomp.set_mode_filter(allow, seccomp.FILTER_FLAG_NEW_LISTENER)
        try:
            seccomp.set_mode_filter(allow, seccomp.FILTER_FLAG_NEW_LISTENER)
        except OSError as error:
            return error.errno or 0
        return 0

    assert in_child(child) == errno.EBUSY


def test_a_thread_that_stands_in_the_way_of_tsync() -> None:
    """TSYNC without TSYNC_ESRCH returns a thread id: no listener, no success."""

    def child() -> int:
        prctl.set_no_new_privs()
        ready, done = threading.Event(), threading.Event()

        def other() -> None:
            seccomp.set_mode_filter(program(GETPPID, seccomp.RET_ALLOW), 0)
            ready.set()
            done.wait()

        thread = threading.Thread(target=other)
        thread.start()
        ready.wait()
        try:
            seccomp.set_mode_filter(program(GETPPID, seccomp.RET_ALLOW), seccomp.FILTER_FLAG_TSYNC)
        except ProcessLookupError as error:
            return str(thread.native_id) in str(error)
        finally:
            done.set()
            thread.join()
        return False

    assert in_child(child)


@pytest.mark.parametrize("code", [b"", b"1234567", b"\0" * 8 * 65536])
def test_what_is_no_program(code: bytes) -> None:
    """Lengths that struct sock_fprog cannot say are refused before the kernel is asked."""
    with pytest.raises(ValueError, match="not 1 to 65535 instructions"):
        seccomp.set_mode_filter(code, 0)


def test_the_launchers_imports_are_lean() -> None:
    """What the launcher imports of this package brings in neither typing nor enum."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from sydd.kernel import seccomp, landlock_calls, prctl; "
        "print(sorted({'typing', 'enum', 'inspect', 'dataclasses', 'threading', 're'} & sys.modules.keys()))"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, root], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
