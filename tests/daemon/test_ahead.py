"""What `Run` takes is forked before it is asked for: what that is, and what becomes of it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from sydd.kernel.fd import FileDescriptor
from sydd.wire.errors import Failed
from tests.daemon.people import Person
from tests.support.daemon import Daemon, children, forks, is_blank, kinds_of_descriptors, running, until

NOTHING = {"/dev/null", "socket:[N]"}


def waiting(daemon: Daemon) -> list[int]:
    """Worker, keeper and preparer that wait for a session; none of them before all are there."""
    zygote = children(daemon.pid)[0]
    found = [pid for pid in children(zygote) if is_blank(pid)]
    for _ in range(2):
        found += [child for pid in found[-1:] for child in children(pid) if is_blank(child)]
    return found if len(found) == 3 else []


def waited_for(daemon: Daemon) -> list[int]:
    """The same, as soon as they are there."""
    found: list[int] = []

    def look() -> bool:
        found[:] = waiting(daemon)
        return bool(found)

    until(look, "processes wait for the next session")
    return found


def run(daemon: Daemon) -> int:
    """Run a command; the pid of its session's worker."""
    reader, writer = map(FileDescriptor, os.pipe())
    with (
        reader,
        writer,
        daemon.client() as client,
        client.run("permissive", ["cat"], descriptors=[reader.fileno()] * 3) as session,
    ):
        (found,) = client.list_sessions()
        writer.close()
        assert session.wait()["status"] == 0
    return int(found["worker"])


def status(pid: int, field: str) -> str:
    """A line of /proc/<pid>/status."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(line for line in lines if line.startswith(f"{field}:")).split(":")[1].strip()


@pytest.fixture
def ready(daemon: Daemon) -> list[int]:
    """Those that wait after a command was run: worker, keeper, preparer."""
    run(daemon)
    return waited_for(daemon)


def test_what_waits(daemon: Daemon, ready: list[int]) -> None:
    """It is nobody's yet, has nothing of main's, and is in no list; there is no more of it than for one."""
    for pid in ready:
        assert status(pid, "Uid").split() == status(daemon.pid, "Uid").split()
        until(lambda pid=pid: set(kinds_of_descriptors(pid)) == NOTHING, "it has rehearsed")
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
    with daemon.client() as client:
        assert client.list_sessions() == []
        assert client.health()["sessions"] == 0
    until(lambda: forks(daemon) == [], "the last session's processes have gone")
    (zygote,) = children(daemon.pid)
    assert children(zygote) == ready[:1]


def test_it_is_used_once(daemon: Daemon, ready: list[int]) -> None:
    """By the next session; then there are others."""
    assert run(daemon) == ready[0]
    until(lambda: bool(waiting(daemon)), "others wait")
    assert not set(ready).intersection(waiting(daemon))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_dies(daemon: Daemon, ready: list[int], place: int) -> None:
    """Takes the others with it, and the next session has its own."""
    os.kill(ready[place], signal.SIGKILL)
    until(lambda: not any(map(lives, ready)), "the others end")
    assert run(daemon) not in ready
    until(lambda: bool(waiting(daemon)), "others wait")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_keeper_that_is_stopped(daemon: Daemon, ready: list[int]) -> None:
    """As its owner may do before the command is there: it is ended with all that it has begun."""
    _, keeper, preparer = ready

    def stop() -> None:
        while status(preparer, "Seccomp") != "2":
            pass
        os.kill(keeper, signal.SIGSTOP)

    stopping = threading.Thread(target=stop)
    stopping.start()
    with daemon.client() as client:
        with pytest.raises(Failed, match="the command cannot be started"):
            client.run("permissive", ["true"])
        stopping.join()
        assert client.health()["sessions"] == 0
    assert not any(map(lives, ready))


def test_with_its_zygote(daemon: Daemon, ready: list[int]) -> None:
    """They do not outlive who forked them."""
    zygote, *_ = children(daemon.pid)
    os.kill(zygote, signal.SIGKILL)
    until(lambda: not any(map(lives, ready)), "they end")
    assert run(daemon)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_with_main(person: Person, number: signal.Signals) -> None:
    """Nor main, however that ends."""
    with running() as daemon:
        assert not waiting(daemon)  # nobody has asked for it
        run(daemon)
        ready = waited_for(daemon)
        os.kill(daemon.pid, number)
        until(lambda: not any(map(lives, ready)), "they end")


def lives(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return not status(pid, "State").startswith("Z")
    except (FileNotFoundError, ProcessLookupError):  # the latter where it ends while it is read
        return False
