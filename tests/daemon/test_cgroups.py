"""Control groups of sessions, in a group that the test makes in the machine's own hierarchy."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from sydd.daemon.cgroups import VARIABLE, Cgroups, NoCgroupsError, SessionCgroup
from sydd.kernel.cgroup import Cgroup, mount_points, of_process
from sydd.policy.sessionlimits import SessionLimits
from tests.support.daemon import running

pytestmark = pytest.mark.root

NESTS = """\
import os, sys
for _ in range(3):
    if os.fork():
        os.setsid() if os.getpid() != os.getpgid(0) else None
        break
os.write(1, b"%d\\n" % os.getpid())
os.close(1)
os.read(0, 1)
"""
"""Forks a chain whose members lose each other, each with a line; they end with the end of the input."""


@pytest.fixture
def part() -> Iterator[Cgroup]:
    """A group of the test's own."""
    mounts = mount_points()
    if not mounts:
        pytest.skip("no cgroup v2 here")
    group = Cgroup(f"{mounts[0]}/sydd-test-{os.getpid()}")
    group.create()
    yield group
    subprocess.run(["find", group.path, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=True)


@pytest.fixture
def cgroups(part: Cgroup) -> Cgroups:
    """The part of the tree as the daemon finds it."""
    return Cgroups.find({VARIABLE: part.path})


@pytest.fixture
def start() -> Iterator[Callable[[SessionCgroup, str], subprocess.Popen[str]]]:
    """Starts Python programs that wait for a line until they are in a group."""
    started: list[subprocess.Popen[str]] = []

    def begin(group: SessionCgroup, code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", f"input()\n{code}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        pidfd = os.pidfd_open(process.pid)
        group.enter(process.pid, pidfd)
        os.close(pidfd)
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def has(cgroups: Cgroups, controller: str) -> None:
    """Skip without a controller."""
    if controller not in cgroups.enabled:
        pytest.skip(f"cgroup v2 has no controller '{controller}' here (cgroup v1 has it)")


def test_the_unit_is_not_there() -> None:
    """Why there are no groups is said."""
    with pytest.raises(
        NoCgroupsError, match=r"no control group '/nowhere': is sydd-sessions\.service running\?"
    ):
        Cgroups.find({VARIABLE: "/nowhere"})


def test_a_group_is_made_and_removed(cgroups: Cgroups) -> None:
    """A session's group is listed, found again, and gone; twice is fine."""
    group = cgroups.create("s1", SessionLimits())
    assert cgroups.sessions() == ["s1"]
    assert not group.populated()
    again = cgroups.adopt("s1")
    assert again
    assert again.path == group.path
    with pytest.raises(FileExistsError):
        cgroups.create("s1", SessionLimits())
    assert group.remove()
    assert group.remove()
    assert cgroups.adopt("s1") is None
    assert not group.populated()
    group.kill()


def test_groups_that_nobody_removed(
    cgroups: Cgroups, start: Callable[[SessionCgroup, str], subprocess.Popen[str]]
) -> None:
    """Those of sessions that are gone are removed, those with processes or of living sessions are not."""
    for name in ("gone", "living"):
        cgroups.create(name, SessionLimits())
    orphaned = cgroups.create("orphaned", SessionLimits())
    start(orphaned, "import time; time.sleep(1000)")
    cgroups.sweep({"living"})
    assert cgroups.sessions() == ["living", "orphaned"]
    orphaned.kill()
    wait_until_empty(orphaned)


def test_the_units_own_process_is_out_of_the_way(part: Cgroup) -> None:
    """It is moved to a group below; so the part can have groups with controllers."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        part.enter(process.pid)
        Cgroups.find({VARIABLE: part.path})
        assert part.processes() == []
        assert part.child("keeper").processes() == [process.pid]


def test_kill_ends_all(
    cgroups: Cgroups, start: Callable[[SessionCgroup, str], subprocess.Popen[str]]
) -> None:
    """Also those that were forked twice and are in sessions of their own."""
    group = cgroups.create("s1", SessionLimits())
    process = start(group, NESTS)
    assert process.stdout
    pids = [int(process.stdout.readline()) for _ in range(4)]
    assert len(set(pids)) == 4
    pidfds = [os.pidfd_open(pid) for pid in pids]
    assert set(group.processes()) >= set(pids)
    assert of_process(pids[3]).endswith("/session-s1")
    assert not group.remove()
    group.kill()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 10)[0]
        os.close(pidfd)
    assert process.wait(10) == -signal.SIGKILL
    wait_until_empty(group)
    assert group.remove()


def wait_until_empty(group: SessionCgroup) -> None:
    """Wait as cgroup.events tells: by POLLPRI."""
    with open(f"{group.path}/cgroup.events", encoding="ascii") as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while group.populated():
            assert poll.poll(10_000)


def test_a_process_that_is_gone(cgroups: Cgroups) -> None:
    """It is not moved, and neither is another one that has got its number."""
    group = cgroups.create("s1", SessionLimits())
    with subprocess.Popen(["true"]) as process:
        pidfd = os.pidfd_open(process.pid)
    with pytest.raises(ProcessLookupError):
        group.enter(process.pid, pidfd)
    os.close(pidfd)
    assert group.processes() == []


def test_limits_without_their_controller(part: Cgroup) -> None:
    """They are named, so that the session can have others."""
    group = SessionCgroup(part.child("session-s1"), frozenset())
    group.create(SessionLimits(processes=5, time=3))
    assert group.unlimited == ("processes",)
    assert group.exceeded() == {}


def test_processes(cgroups: Cgroups, start: Callable[[SessionCgroup, str], subprocess.Popen[str]]) -> None:
    """A fork beyond the limit is EAGAIN, and counted."""
    has(cgroups, "pids")
    group = cgroups.create("s1", SessionLimits(processes=3))
    code = """\
import os
for number in range(9):
    try:
        if not os.fork():
            os.read(0, 1)
            os._exit(0)
    except BlockingIOError:
        print(number)
        break
"""
    process = start(group, code)
    assert process.stdout
    assert process.stdout.readline() == "2\n"
    assert group.exceeded() == {"processes": 1}
    group.kill()
    wait_until_empty(group)


def test_memory(cgroups: Cgroups, start: Callable[[SessionCgroup, str], subprocess.Popen[str]]) -> None:
    """What does not fit ends all processes of the session."""
    has(cgroups, "memory")
    group = cgroups.create("s1", SessionLimits(memory=64 << 20))
    code = """\
import os
if not os.fork():
    os.read(0, 1)
    os._exit(0)
held = [bytearray(os.urandom(1 << 20)) for _ in range(200)]
"""
    process = start(group, code)
    assert process.wait(60) == -signal.SIGKILL
    wait_until_empty(group)
    assert group.exceeded()["memory"] >= 1


@pytest.mark.slow
def test_a_command_begins_in_its_group(part: Cgroup) -> None:
    """It makes no call before it is there, so limits hold from the first one on."""
    with running(environment={VARIABLE: part.path}) as daemon, daemon.client() as client:
        for _ in range(5):
            reader, writer = os.pipe()
            null = os.open(os.devnull, os.O_RDWR)
            command = ["cat", "/proc/self/cgroup"]
            with client.run("permissive", command, descriptors=[null, writer, null]) as session:
                os.close(writer)
                with open(reader, encoding="ascii") as pipe:
                    (line,) = [line for line in pipe if line.startswith("0::")]
                assert session.wait()["status"] == 0
            os.close(null)
            assert line.endswith(f"/{os.path.basename(part.path)}/session-{session.session}\n")
