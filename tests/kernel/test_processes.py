"""pidfd, prctl and namespaces: what is about processes and threads."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from sydd.kernel import namespaces, pidfd, prctl
from tests.support.forked import in_child

YAMA = os.path.exists("/proc/sys/kernel/yama")


@pytest.fixture
def child() -> Iterator[int]:
    """A child that waits for a signal."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_signal(child: int) -> None:
    """The descriptor becomes readable when the process ends, and then knows nobody."""
    fd = pidfd.pidfd_open(child)
    try:
        assert not os.get_inheritable(fd)
        pidfd.pidfd_send_signal(fd, 0)
        pidfd.pidfd_send_signal(fd, signal.SIGKILL)
        assert select.select([fd], [], [], 10)[0] == [fd]
        assert os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOWAIT).si_status == signal.SIGKILL  # type: ignore[union-attr]
    finally:
        os.close(fd)


def test_another_processs_descriptor(child: int) -> None:
    """The duplicate is the same open file, and close-on-exec."""
    reader, writer = os.pipe()
    fd = pidfd.pidfd_open(os.getpid())
    try:
        copy = pidfd.pidfd_getfd(fd, writer)
        os.write(copy, b"x")
        assert (os.read(reader, 1), os.get_inheritable(copy)) == (b"x", False)
        os.close(copy)
        with pytest.raises(OSError, match="pidfd_getfd") as caught:
            pidfd.pidfd_getfd(fd, 987654)
        assert caught.value.errno == errno.EBADF
    finally:
        for number in (reader, writer, fd):
            os.close(number)


def test_nobody() -> None:
    """ESRCH for a process that was reaped, EINVAL for a number that cannot be."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        pidfd.pidfd_open(pid)
    with pytest.raises(OSError, match="pidfd_open") as caught:
        pidfd.pidfd_open(-1)
    assert caught.value.errno == errno.EINVAL


def test_no_new_privs_is_the_threads_own() -> None:
    """A thread sets it for itself; the kernel's own file says so."""
    seen: list[tuple[bool, bool]] = []

    def run() -> None:
        prctl.set_no_new_privs()
        with open("/proc/thread-self/status", encoding="ascii") as file:
            seen.append((prctl.get_no_new_privs(), "NoNewPrivs:\t1\n" in file))

    before = prctl.get_no_new_privs()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(True, True)]
    assert prctl.get_no_new_privs() == before


def test_a_subreaper_inherits_orphans() -> None:
    """A grandchild becomes ours when its parent ends."""

    def subreaper() -> tuple[bool, bool, bool]:
        prctl.set_child_subreaper()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            grandchild = os.fork()
            if grandchild == 0:
                signal.pause()
                os._exit(0)
            os.write(writer, str(grandchild).encode())
            os._exit(0)
        orphan = int(os.read(reader, 20))
        os.waitpid(pid, 0)
        os.kill(orphan, signal.SIGKILL)
        ours = os.waitpid(orphan, 0)[0] == orphan
        on = prctl.get_child_subreaper()
        prctl.set_child_subreaper(False)
        return ours, on, prctl.get_child_subreaper()

    assert in_child(subreaper) == (True, True, False)


def test_dumpable() -> None:
    """Set and asked for."""

    def run() -> list[int]:
        found = []
        for on in (False, True):
            prctl.set_dumpable(on)
            found.append(prctl.get_dumpable())
        return found

    assert in_child(run) == [0, 1]


def test_a_ptracer() -> None:
    """Yama takes it; without Yama it is EINVAL."""

    def run() -> int:
        try:
            prctl.set_ptracer(prctl.PTRACER_ANY)
            prctl.set_ptracer(os.getppid())
            prctl.set_ptracer(0)
        except OSError as error:
            return error.errno or -1
        return 0

    assert in_child(run) == (0 if YAMA else errno.EINVAL)


def test_a_signal_when_the_parent_ends() -> None:
    """The kernel remembers it."""

    def run() -> int:
        prctl.set_parent_death_signal(signal.SIGUSR1)
        word = ctypes.c_int()
        ctypes.CDLL(None).prctl(2, ctypes.byref(word))
        return word.value

    assert in_child(run) == signal.SIGUSR1


def test_the_bounding_set() -> None:
    """As /proc tells it; a number that is no capability is EINVAL."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("CapBnd:"))
    mask = int(line.split()[1], 16)
    assert sum(prctl.bounding_capability(n) << n for n in range(mask.bit_length())) == mask
    with pytest.raises(OSError, match="prctl"):
        prctl.bounding_capability(1000)


def test_a_threads_own_umask() -> None:
    """After unshare(CLONE_FS) the other threads keep theirs: what a worker's thread needs."""
    before = os.umask(0o022)
    seen = []

    def run() -> None:
        namespaces.unshare(namespaces.CLONE_FS)
        os.umask(0o077)
        seen.append(os.umask(0o077))

    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert (seen, os.umask(0o022)) == ([0o077], 0o022)
    finally:
        os.umask(before)


@pytest.mark.root
def test_a_namespace_and_back() -> None:
    """The namespace's link changes, and setns brings the old one back."""

    def run() -> tuple[bool, bool]:
        old = os.readlink("/proc/self/ns/uts")
        fd = os.open("/proc/self/ns/uts", os.O_RDONLY)
        namespaces.unshare(namespaces.CLONE_NEWUTS)
        new = os.readlink("/proc/self/ns/uts")
        namespaces.setns(fd, namespaces.CLONE_NEWUTS)
        return old == new, old == os.readlink("/proc/self/ns/uts")

    assert in_child(run) == (False, True)


def test_bad_flags() -> None:
    """EINVAL comes out with the call's name."""
    with pytest.raises(OSError, match="unshare: ") as caught:
        namespaces.unshare(1)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="setns: "):
        namespaces.setns(-1)
