"""Credentials of tasks, and taking them on in one thread."""

from __future__ import annotations

import errno
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sydd.kernel import credentials
from sydd.kernel.credentials import Credentials
from tests.support.forked import in_child

CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETUID, CAP_SYS_ADMIN = 0, 1, 7, 21
USER = 54321
GROUP = 54322


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that anybody can reach and write, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


def nobody(**changes: object) -> Credentials:
    """Credentials of a user without privileges."""
    return credentials.current()._replace(
        **{"fsuid": USER, "fsgid": GROUP, "groups": (GROUP, 54323), "cap_effective": 0, **changes}  # type: ignore[arg-type]
    )


def in_thread(function: Callable[[], object]) -> None:
    """Run a function in another thread, and raise here what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 (raised below)
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_the_own_ones() -> None:
    """As os tells them."""
    own = credentials.of_task(os.getpid())
    assert (own.ruid, own.euid, own.suid) == os.getresuid()
    assert (own.rgid, own.egid, own.sgid) == os.getresgid()
    assert (own.fsuid, own.fsgid) == (os.geteuid(), os.getegid())
    assert sorted(own.groups) == sorted(os.getgroups())
    assert (own.tgid, own.ppid) == (os.getpid(), os.getppid())
    mask = os.umask(0o022)
    os.umask(mask)
    assert own.umask == mask


def test_a_threads() -> None:
    """A thread that leads no process can be asked about, and names its process."""
    in_thread(lambda: check(credentials.of_task(threading.get_native_id()).tgid, os.getpid()))


def check(got: object, expected: object) -> None:
    """For lambdas."""
    assert got == expected


def test_a_task_that_ended() -> None:
    """ESRCH as a zombie and as nothing."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        credentials.of_task(pid)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        credentials.of_task(pid)


def test_a_name_forges_no_line() -> None:
    """A task may be called anything."""

    def run() -> int:
        with open("/proc/self/comm", "wb") as file:
            file.write(b"x\nUid:\t7\t7")
        return credentials.current().ruid

    assert in_child(run) == os.getuid()


def test_the_same_ones_cost_nothing() -> None:
    """A supervisor of its own user needs no privileges to be itself, and nothing is left to restore."""
    own = credentials.current()
    credentials.assume(own)
    assert credentials._thread.own is None
    credentials.restore()
    assert credentials.current() == own


@pytest.mark.skipif(os.geteuid() == 0, reason="about a user who is not root")
def test_others_are_refused_without_privileges() -> None:
    """EPERM, and nothing has changed."""
    own = credentials.current()
    for other in (own._replace(fsuid=0), own._replace(fsgid=0), own._replace(groups=(0,))):
        with pytest.raises(PermissionError):
            credentials.assume(other)
        assert credentials.current() == own


@pytest.mark.root
def test_a_file_gets_the_right_owner_and_other_threads_do_not_notice(shared: Path) -> None:
    """The thread acts as the user; the main thread stays root all the while."""
    own = credentials.current()

    def run() -> None:
        before = credentials.current()
        credentials.assume(nobody())
        try:
            (shared / "file").touch()
            now = credentials.current()
            assert (now.fsuid, now.fsgid, now.groups) == (USER, GROUP, (GROUP, 54323))
            assert (now.ruid, now.euid, now.suid, now.cap_effective) == (0, 0, 0, 0)
            assert now.cap_permitted == before.cap_permitted
            assert credentials.of_task(os.getpid()) == own
        finally:
            credentials.restore()
        assert credentials.current() == before

    in_thread(run)
    info = (shared / "file").stat()
    assert (info.st_uid, info.st_gid) == (USER, GROUP)
    assert credentials.current() == own


@pytest.mark.root
def test_permissions_are_the_users(shared: Path) -> None:
    """What the user may not open stays shut, by ids and by the lack of capabilities."""
    secret = shared / "secret"
    secret.touch(0o600)

    def run() -> None:
        credentials.assume(nobody())
        try:
            with pytest.raises(PermissionError):
                os.open(secret, os.O_RDONLY)
        finally:
            credentials.restore()
        os.close(os.open(secret, os.O_RDONLY))

    in_thread(run)


@pytest.mark.root
@pytest.mark.parametrize("fsuid", [0, USER])
def test_the_effective_set_is_the_targets(fsuid: int) -> None:
    """Whatever the kernel does to it at a change of the user: root without CAP_CHOWN, a user with it."""
    own = credentials.current()
    some = (1 << CAP_CHOWN | 1 << CAP_SYS_ADMIN) & own.cap_permitted

    def run() -> None:
        for wanted in (some, own.cap_effective & ~(1 << CAP_CHOWN), 0):
            credentials.assume(nobody(fsuid=fsuid, cap_effective=wanted))
            try:
                assert credentials.current().cap_effective == wanted
            finally:
                credentials.restore()
            assert credentials.current().cap_effective == own.cap_effective

    in_thread(run)


@pytest.mark.root
def test_more_than_permitted_is_not_gained() -> None:
    """A target with all capabilities gives the thread those that it has."""
    own = credentials.current()

    def run() -> None:
        credentials.assume(nobody(cap_effective=(1 << 64) - 1))
        try:
            assert credentials.current().cap_effective == own.cap_permitted
        finally:
            credentials.restore()

    in_thread(run)


@pytest.mark.root
def test_from_one_to_the_other() -> None:
    """A second call needs no restore in between, and restore goes all the way back."""
    own = credentials.current()

    def run() -> None:
        credentials.assume(nobody())
        credentials.assume(nobody())
        assert credentials.current().fsuid == USER
        credentials.assume(nobody(fsuid=1, groups=()))
        assert (credentials.current().fsuid, credentials.current().groups) == (1, ())
        credentials.assume(own)
        assert credentials.current()._replace(tgid=0) == own._replace(tgid=0)
        credentials.assume(nobody())
        credentials.restore()
        credentials.restore()
        assert credentials.current() == own

    in_thread(run)


@pytest.mark.root
def test_a_failure_half_way_leaves_the_own_ones() -> None:
    """The groups can be changed and the user cannot: neither is."""

    def run() -> tuple[int, bool]:
        own = credentials._read_own()
        credentials._set_effective(own, own.effective & ~(1 << CAP_SETUID))
        before = credentials.current()
        try:
            credentials.assume(nobody())
        except OSError as error:
            return error.errno or -1, credentials.current() == before
        return 0, False

    assert in_child(run) == (errno.EPERM, True)


@pytest.mark.root
def test_an_id_that_cannot_be() -> None:
    """The id that stands for none is refused, and the thread is itself."""
    own = credentials.current()

    def run() -> None:
        with pytest.raises(OSError, match="setgroups: "):
            credentials.assume(nobody(groups=(0xFFFFFFFF,)))
        assert credentials.current() == own

    in_thread(run)


@pytest.mark.root
def test_a_set_user_id_bit_is_cleared_by_the_users_write(shared: Path) -> None:
    """CAP_FSETID is not kept: what the kernel does for the user's own write it does for ours."""
    file = shared / "file"
    file.write_text("x")
    os.chown(file, USER, GROUP)
    file.chmod(0o4777)

    def run() -> None:
        credentials.assume(nobody())
        try:
            file.write_text("y")
        finally:
            credentials.restore()

    in_thread(run)
    assert stat.S_IMODE(file.stat().st_mode) == 0o777


@pytest.mark.root
def test_a_child_with_other_credentials() -> None:
    """What a task made of itself is what is read."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([5, 7, 6])
        os.setresgid(1, 2, 3)
        os.setresuid(4, 5, 6)
        os.umask(0o077)
        os.write(writer, b"x")
        signal.pause()
    try:
        os.read(reader, 1)
        got = credentials.of_task(pid)
        assert got[:9] == (4, 5, 6, 5, 1, 2, 3, 2, (5, 6, 7))
        assert (got.cap_effective, got.umask, got.ppid) == (0, 0o077, os.getpid())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)
