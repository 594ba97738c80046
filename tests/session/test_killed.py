"""A supervisor that is killed: nothing gets through, nothing goes on, and somebody says so."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.session.conftest import PATIENCE, Session

ENGINES = ["hybrid", "supervisor"]
ROUNDS = 8
"""Moments at which a build loses its supervisor, for each engine."""

LOOP = """
import errno, os, sys
print("ready", os.getpid(), flush=True)
sys.stdin.readline()
found = set()
for call in (
    lambda: os.open("f", os.O_WRONLY | os.O_CREAT),
    lambda: os.mkdir("d"),
    lambda: os.rename("g", "h"),
    lambda: os.chmod("g", 0o777),
    lambda: os.open("/etc/passwd", os.O_WRONLY),
):
    try:
        call()
        found.add("done")
    except OSError as error:
        found.add(errno.errorcode[error.errno])
print("found", *found, flush=True)
sys.exit(0)
"""


def supervisor_of(keeper: int) -> int:
    """The process that supervises: the keeper's only child."""
    with open(f"/proc/{keeper}/task/{keeper}/children", encoding="ascii") as file:
        (pid,) = file.read().split()
    return int(pid)


def kill_and_see(pid: int) -> None:
    """SIGKILL a process and wait for its end."""
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        assert select.select([fd], [], [], PATIENCE)[0] == [fd]
    finally:
        os.close(fd)


def working_in(directory: str) -> Iterator[int]:
    """Processes that have their working directory there."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/cwd") == directory:
                yield int(name)
        except OSError:
            continue


@pytest.mark.parametrize("engine", ENGINES)
def test_nobody_left_to_answer(session: Session, engine: str) -> None:
    """With the keeper held up: every supervised call fails with ENOSYS, nothing hangs or gets through."""
    session.write("g", "")
    with session.start("python3", "-c", LOOP, options=("--engine", engine)) as process:
        assert process.stdout
        assert process.stdin
        command = os.pidfd_open(int(process.stdout.readline().split()[1]))
        try:
            supervisor = supervisor_of(process.pid)
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            kill_and_see(supervisor)
            print(file=process.stdin)
            assert process.stdout.readline() == "found ENOSYS\n"
            assert select.select([command], [], [], PATIENCE)[0] == [command]
        finally:
            os.close(command)
    assert sorted(name for name in os.listdir(session.work) if name != "p.toml") == ["g"]


OPENS = """
import errno, os, sys
os.mkfifo("f")
print("ready", os.getpid(), flush=True)
try: os.open("f", os.O_RDONLY)
except OSError as error: print(errno.errorcode[error.errno], flush=True)
"""


def test_who_waits_for_a_fifo_is_killed(session: Session) -> None:
    """Its caller does not wait for ever: the call is denied, and it is said why."""
    how = {"options": ("--engine", "supervisor"), "popen": {"stderr": subprocess.PIPE}}
    with session.start("python3", "-c", OPENS, **how) as process:
        assert process.stdout
        command = int(process.stdout.readline().split()[1])
        supervisor = supervisor_of(process.pid)
        os.kill(other_child_of(supervisor, command), signal.SIGKILL)
        assert process.stdout.readline() == "EACCES\n"
        _, err = process.communicate(timeout=PATIENCE)
    assert "openat was denied: the process that took it has ended" in err


def other_child_of(parent: int, known: int) -> int:
    """The other child of a process, once there is one."""
    while True:
        for task in os.listdir(f"/proc/{parent}/task"):  # the thread that supervises has forked it
            with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                others = {int(pid) for pid in file.read().split()} - {known}
            if others:
                return others.pop()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_keeper(session: Session, engine: str) -> None:
    """The supervisor is told, and ends the session as on SIGTERM."""
    with session.start("sleep", "1000", options=("--engine", engine)) as process:
        assert process.stdin
        supervisor = supervisor_once_there(process)
        fd = os.pidfd_open(supervisor)
        try:
            process.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL
            assert select.select([fd], [], [], PATIENCE)[0] == [fd]
        finally:
            os.close(fd)
    assert not list(working_in(session.work))


def supervisor_once_there(process: subprocess.Popen[str]) -> int:
    """The supervisor of a session whose command says nothing: it is there with its command."""
    while True:
        try:
            supervisor = supervisor_of(process.pid)
            supervisor_of(supervisor)
        except ValueError:
            assert process.poll() is None
            continue
        return supervisor


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_while_it_begins(session: Session, number: signal.Signals) -> None:
    """A signal that comes before the command is executed ends it; nothing of the supervisor runs in it."""
    for _ in range(4):
        with session.start("sleep", "1000") as process:
            supervisor_once_there(process)
            process.send_signal(number)
            assert process.wait(PATIENCE) == 128 + number
    assert [name for name in os.listdir(session.home) if name.startswith("sydd-")] == []


BUILD = """
import os, random, subprocess, sys
victim, secret = sys.argv[1:]
if os.fork() == 0:
    while True: pass
if os.fork() == 0:
    while True:
        try: os.close(os.open("busy", os.O_WRONLY | os.O_CREAT)); os.chmod("busy", 0o600)
        except OSError: pass
while True:
    for number in range(5):
        for attempt in (
            lambda: open("f%d" % number, "w").write("x"),
            lambda: os.rename("f%d" % number, "g"),
            lambda: os.chmod("g", 0o600),
            lambda: open(victim, "w").write("x"),
            lambda: os.chmod(victim, 0o777),
            lambda: os.rename("g", victim),
            lambda: os.write(1, open(secret).read().encode()),
        ):
            try: attempt()
            except OSError: pass
    print("round", flush=True)
    subprocess.run(["true"])
"""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_at_any_moment(session: Session, engine: str, seed: int) -> None:
    """Children that spin, that repeat what fails, that never look at errors: all are ended, and told."""
    victim, secret = f"{session.home}/victim", f"{session.home}/.ssh/id"
    os.mkdir(os.path.dirname(secret))
    for path in (victim, secret):
        with open(path, "w", encoding="ascii") as file:
            file.write("the-private-key")
        os.chmod(path, 0o644)
    session.user.give(session.home)
    for path in (os.path.dirname(secret), secret, victim):
        session.user.give(path)
    command = ("python3", "-c", BUILD, victim, secret)
    stderr = {"stderr": subprocess.PIPE}
    with session.start(*command, options=("--engine", engine), popen=stderr) as process:
        assert process.stdout
        assert process.stderr
        for _ in range(random.Random(seed).randrange(1, 12)):  # noqa: S311
            assert process.stdout.readline() == "round\n"
        kill_and_see(supervisor_of(process.pid))
        output = process.stdout.read()
        assert process.wait(PATIENCE) == 125
        # What programs say of ENOSYS comes first.
        said = process.stderr.read().splitlines()[-1]
        assert said == "sydctl: the supervisor was killed (SIGKILL); everything in its session was ended"
    assert set(output.split()) <= {"round"}
    assert not list(working_in(session.work))
    with open(victim, encoding="ascii") as file:
        assert file.read() == "the-private-key"
    assert os.stat(victim).st_mode == 0o100644
    assert [name for name in os.listdir(session.home) if name.startswith("sydd-")] == []
