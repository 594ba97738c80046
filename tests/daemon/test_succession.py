"""Workers that are killed: another one goes on, and what they held is done once, or told honestly."""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sydd.kernel import seccomp
from sydd.supervisor import reply, stages
from sydd.supervisor.perform import perform
from sydd.supervisor.slot import Slot
from tests.daemon.people import Person
from tests.daemon.test_worker import identity
from tests.support.fuse import mounted
from tests.support.workers import Session

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PERFORM = "sydd.supervisor.parts.perform"
PYTHON = (sys.executable, "-I", "-S", "-c")


class Once:
    """Lets a process die at one point, once; forked processes share it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def arm(self) -> None:
        """From now on."""
        self._memory[0] = 1

    def die(self) -> None:
        """Here."""
        if self._memory[0]:
            self._memory[0] = 0
            os.kill(os.getpid(), signal.SIGKILL)

    @property
    def died(self) -> bool:
        """Whether somebody did."""
        return self._memory[0] == 0

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """*function*, before which a process dies."""

        def dying(*arguments: Any, **named: Any) -> Any:
            self.die()
            return function(*arguments, **named)

        return dying

    def after(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """*function*, after which a process dies."""

        def dying(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            self.die()
            return result

        return dying


@pytest.fixture
def once() -> Once:
    """A death to come."""
    return Once()


@pytest.fixture
def work(person: Person) -> str:
    """A directory of the person's."""
    path = f"{person.home}/work"
    os.mkdir(path)
    if os.geteuid() == 0:
        os.chown(path, person.uid, person.uid)
    return path


SCRIPT = """
import errno, fcntl, os, sys
print("ready", flush=True)
sys.stdin.readline()
try:
    result = eval(sys.argv[1])
    print("did", 0 if result is None else result)
except OSError as error:
    print(errno.errorcode[error.errno])
print(sorted(os.listdir(".")), len(os.listdir("/proc/self/fd")) - 4)
for name in os.listdir("/proc/self/fd"):
    try: assert fcntl.fcntl(int(name), fcntl.F_GETSIG) == 0
    except OSError: pass
"""


@contextlib.contextmanager
def commanded(session: Session, *argv: str) -> Iterator[tuple[int, int]]:
    """Start a command with pipes: where to write to, where to read from."""
    inside, write = os.pipe()
    read, outside = os.pipe()
    try:
        session.start(*argv, descriptors=[inside, outside, 2])
    finally:
        os.close(inside)
        os.close(outside)
    try:
        yield write, read
    finally:
        with contextlib.suppress(OSError):
            os.close(write)
        os.close(read)


def call(person: Person, work: str, once: Once, code: str, engine: str = "supervisor") -> str:
    """What a call comes to, and what is there afterwards, when the worker dies over it."""
    with (
        Session(identity(person), work, engine=engine) as session,
        commanded(session, *PYTHON, SCRIPT, code) as (write, read),
    ):
        assert os.read(read, 100) == b"ready\n"
        once.arm()
        os.write(write, b"\n")
        session.until(lambda: session.status is not None)
        assert once.died
        assert session.replaced == 1
        assert session.status == 0
        return os.read(read, 1000).decode().strip().replace("\n", " ")


def test_received(person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was done: the successor does it."""
    monkeypatch.setattr(stages.Stages, "answer", once.before(stages.Stages.answer))
    assert call(person, work, once, "os.mkdir('d')") == "did 0 ['d'] 0"


ACTS = ["os.mkdir('d')", "os.symlink('x', 'd')", "os.mknod('d')", "os.open('d', os.O_CREAT | os.O_EXCL)"]

AGAIN = ACTS[2:]
"""Calls that Python begins again by itself after EINTR, as (os.open) C programs do, too."""


@pytest.mark.parametrize("act", ACTS)
def test_about_to_be_performed(
    person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Nobody can know: the caller is told that it was interrupted; it was not done."""
    monkeypatch.setattr(PERFORM, once.before(perform))
    wanted = "EINTR [] 0"
    if act in AGAIN:
        wanted = "did 3 ['d'] 1" if "open" in act else "did 0 ['d'] 0"
    assert call(person, work, once, act) == wanted


@pytest.mark.parametrize("act", ACTS)
def test_just_performed(
    person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Nobody can know: the caller is told that it was interrupted; it was done once."""
    monkeypatch.setattr(PERFORM, once.after(perform))
    assert call(person, work, once, act) == ("EEXIST" if act in AGAIN else "EINTR") + " ['d'] 0"


@pytest.mark.parametrize("act", ACTS[:3])
def test_performed(person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """The result was stored: it is what the caller gets."""
    monkeypatch.setattr(Slot, "performed", once.after(Slot.performed))
    assert call(person, work, once, act) == "did 0 ['d'] 0"


@pytest.mark.parametrize(
    "flags", ["os.O_CREAT | os.O_EXCL", "os.O_CREAT | os.O_EXCL | os.O_WRONLY", "os.O_CREAT | os.O_RDWR"]
)
@pytest.mark.parametrize("engine", ["supervisor"])
def test_opened(
    person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch, flags: str, engine: str
) -> None:
    """A new file whose descriptor died with the worker is opened again, and not made again."""
    monkeypatch.setattr(Slot, "opened", once.after(Slot.opened))
    if "O_EXCL" not in flags:
        monkeypatch.setattr(PERFORM, once.after(perform))
    assert call(person, work, once, f"os.open('d', {flags}, 0o644)", engine) == "did 3 ['d'] 1"


@pytest.mark.parametrize("place", ["before", "after", "stored"])
@pytest.mark.parametrize("access", ["os.O_CREAT | os.O_EXCL | os.O_WRONLY", "os.O_WRONLY", "os.O_RDONLY"])
def test_installed(
    person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch, place: str, access: str
) -> None:
    """A descriptor is in the caller's table exactly once, is what the call returns, and bears no mark."""
    if place == "stored":
        monkeypatch.setattr(reply, "unmark", once.before(reply.unmark))
    else:
        monkeypatch.setattr(seccomp, "add_fd", getattr(once, place)(seccomp.add_fd))
    if "O_CREAT" not in access:
        with open(f"{work}/d", "w", encoding="ascii"):
            os.chown(f"{work}/d", person.uid, -1)
    assert call(person, work, once, f"os.open('d', {access}, 0o644)") == "did 3 ['d'] 1"


FIFO = """
import os, sys
os.mkfifo("f")
print("ready", flush=True)
fd = os.open("f", os.O_RDONLY)
print("opened", os.read(fd, 10), flush=True)
"""


def test_a_waiting_open_survives(person: Person, work: str) -> None:
    """An open of a FIFO that waits when its worker dies is answered by the process that waits for it."""
    with (
        Session(identity(person), work, engine="supervisor") as session,
        commanded(session, *PYTHON, FIFO) as (_, read),
    ):
        assert os.read(read, 100) == b"ready\n"
        slot = Slot(session.child.slot.fileno())
        end = time.monotonic() + 20
        while not list(slot.seated()):
            assert time.monotonic() < end
        for _ in range(3):
            session.kill()
            replaced = session.replaced
            session.until(functools.partial(_went_on, session, replaced, 0))
            assert len(list(slot.seated())) == 1
        fd = os.open(f"{work}/f", os.O_WRONLY)
        os.write(fd, b"here")
        os.close(fd)
        assert os.read(read, 100) == b"opened b'here'\n"
        assert session.end() == 0


STALLED = """
import os, sys
print("ready", flush=True)
sys.stdin.readline()
print(open(sys.argv[1]).read().strip(), flush=True)
"""


@pytest.mark.root
def test_a_stand_in_survives(person: Person, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a file system in place of a worker answers also when that has died; nobody else waits."""
    monkeypatch.setattr("sydd.supervisor.stalls.LOOK_SECONDS", 0.0)  # it is mounted when the session runs
    remote = f"{person.home}/remote"
    os.mkdir(remote)
    with (
        Session(identity(person), work, engine="supervisor") as session,
        commanded(session, *PYTHON, STALLED, f"{remote}/data") as (write, read),
        mounted(remote, b"", b"the data") as fuse,
    ):
        assert os.read(read, 100) == b"ready\n"
        slot = Slot(session.child.slot.fileno())
        fuse.hold("LOOKUP")
        os.write(write, b"\n")
        assert fuse.held() == "LOOKUP"
        for _ in range(2):
            session.kill()
            session.until(functools.partial(_went_on, session, session.replaced, 0))
            assert len(list(slot.seated())) == 1
        fuse.answer()
        assert os.read(read, 100) == b"the data\n"
        assert session.end() == 0


LOOP = """
import errno, os, sys
os.chdir("t")
print("ready", flush=True)
interrupted = 0

def attempt(act, done):
    # At most once: who is interrupted looks whether it was done.
    global interrupted
    while True:
        try:
            result = act()
        except InterruptedError:
            interrupted += 1
            if done():
                return None
            continue
        return result

log = os.open("log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
number = 0
while number < int(sys.argv[1]):
    number += 1
    name = "n%d" % number
    here = lambda: os.path.lexists(name)
    attempt(lambda: os.mkdir(name), here)
    os.chmod(name, 0o700)
    attempt(lambda: os.rename(name, name + "r"), lambda: not here())
    attempt(lambda: os.rmdir(name + "r"), lambda: not os.path.lexists(name + "r"))
    def make():
        # Python begins an open that was interrupted again by itself: EEXIST then stands for EINTR.
        try:
            return os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            raise InterruptedError from None
    fd = attempt(make, here)
    if fd is None:
        fd = os.open(name, os.O_WRONLY)
    os.write(fd, b"x")
    os.close(fd)
    attempt(lambda: os.link(name, name + "l"), lambda: os.path.lexists(name + "l"))
    assert os.stat(name).st_nlink == 2
    assert open(name + "l").read() == "x"
    attempt(lambda: os.unlink(name + "l"), lambda: not os.path.lexists(name + "l"))
    append = os.open("log", os.O_WRONLY | os.O_APPEND)
    os.write(append, b"%d\\n" % number)
    os.close(append)
    assert len(os.listdir("/proc/self/fd")) == 5, os.listdir("/proc/self/fd")
print("interrupted", interrupted, flush=True)
"""


def _went_on(session: Session, before: int, served: int) -> bool:
    """Whether the command has ended, or a worker that was replaced serves."""
    if session.status is not None:
        return True
    return session.replaced > before and session.count("serving") >= served


def killed_at_random(session: Session, seed: int, kills: int, longest: float) -> None:
    """Kill the worker again and again until the command has ended, or often enough."""
    dice = random.Random(seed)  # noqa: S311
    while session.status is None and session.replaced < kills:
        before = session.replaced
        select.select([], [], [], dice.random() * longest)
        while session.status is None:
            channels = [session.child.channel] + ([session._keeper] if session._keeper else [])
            ready = select.select(channels, [], [], 0)[0]
            if not ready:
                break
            for channel in ready:
                session.hear(channel)
        if session.status is None and session.replaced == before:
            served = session.count("serving")
            session.kill()
            # One in a few is killed before it serves.
            enough = served + (dice.random() < 0.8)
            session.until(functools.partial(_went_on, session, before, enough))


@pytest.mark.parametrize(("engine", "kills"), [("hybrid", 12), ("supervisor", 12)])
def test_killed_at_random_moments(person: Person, work: str, engine: str, kills: int) -> None:
    """Programs come to what they come to natively."""
    _loop(person, work, engine, kills, 150)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("engine", "kills"), [("hybrid", 300), ("supervisor", 300)])
def test_killed_often(person: Person, work: str, engine: str, kills: int) -> None:
    """The same with hundreds of deaths."""
    _loop(person, work, engine, kills, 2000)


def _loop(person: Person, work: str, engine: str, kills: int, rounds: int) -> None:
    os.mkdir(f"{work}/t")
    os.chown(f"{work}/t", person.uid, -1)
    with (
        Session(identity(person), work, engine=engine) as session,
        commanded(session, *PYTHON, LOOP, str(rounds)) as (_, read),
    ):
        assert os.read(read, 100) == b"ready\n"
        killed_at_random(session, rounds, kills, 0.03)
        session.until(lambda: session.status is not None, 250)
        said = os.read(read, 100)
        assert session.status == 0
        assert said.startswith(b"interrupted ")
        if engine == "hybrid":
            assert said == b"interrupted 0\n"
        assert session.replaced >= kills // 2
        # What the kernel does may be in doubt for nobody; what the worker does, seldom.
        assert int(said.split()[1]) <= session.replaced
    wanted = {"log", *(f"n{number}" for number in range(1, rounds + 1))}
    assert set(os.listdir(f"{work}/t")) == wanted
    with open(f"{work}/t/log", encoding="ascii") as file:
        assert file.read() == "".join(f"{number}\n" for number in range(1, rounds + 1))


class Twice(Once):
    """Dies once where a request was answered, and its successor over the next one."""

    def arm(self) -> None:
        """From now on."""
        self._memory[0] = 2

    def die_at(self, left: int) -> None:
        """Here, if so many deaths are to come."""
        if self._memory[0] == left:
            self._memory[0] = left - 1
            os.kill(os.getpid(), signal.SIGKILL)


def test_what_is_stored_is_of_one_request(person: Person, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored of a request that was answered is not the answer to the next one."""
    deaths = Twice()
    send, answer = reply.Replies.send, stages.Stages.answer

    def sent(*arguments: Any) -> None:
        send(*arguments)
        deaths.die_at(2)

    def answered(*arguments: Any) -> Any:
        deaths.die_at(1)
        return answer(*arguments)

    monkeypatch.setattr(reply.Replies, "send", sent)
    monkeypatch.setattr(stages.Stages, "answer", answered)
    code = "os.mkdir('d') or os.open('/etc/passwd', os.O_WRONLY)"
    with (
        Session(identity(person), work, engine="supervisor") as session,
        commanded(session, *PYTHON, SCRIPT, code) as (write, read),
    ):
        assert os.read(read, 100) == b"ready\n"
        deaths.arm()
        os.write(write, b"\n")
        session.until(lambda: session.status is not None)
        assert session.replaced == 2
        assert os.read(read, 1000).decode().startswith("EACCES\n['d'] 0")


def test_who_finds_a_descriptor_dies_too(person: Person, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker has put into the table of the caller is not put there again by a third one."""
    deaths = Twice()
    add_fd, unmark = seccomp.add_fd, reply.unmark

    def added(*arguments: Any) -> int:
        number = add_fd(*arguments)
        deaths.die_at(2)
        return number

    def unmarked(fd: int) -> None:
        unmark(fd)
        deaths.die_at(1)

    monkeypatch.setattr(seccomp, "add_fd", added)
    monkeypatch.setattr("sydd.supervisor.succession.unmark", unmarked)
    with open(f"{work}/d", "w", encoding="ascii"):
        os.chown(f"{work}/d", person.uid, -1)
    with (
        Session(identity(person), work, engine="supervisor") as session,
        commanded(session, *PYTHON, SCRIPT, "os.open('d', os.O_WRONLY)") as (write, read),
    ):
        assert os.read(read, 100) == b"ready\n"
        deaths.arm()
        os.write(write, b"\n")
        session.until(lambda: session.status is not None)
        assert session.replaced == 2
        assert os.read(read, 1000) == b"did 3\n['d'] 1\n"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
def test_a_build(person: Person, work: str, seed: int) -> None:
    """A build whose workers are killed all the time comes to what it comes to natively."""
    source = (
        f"{os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))}/examples/wordcount"
    )
    build = "./configure >/dev/null && make -s -j2 && make -s test >/dev/null"
    native = f"{person.home}/native"
    for place in (f"{work}/b", native):
        shutil.copytree(source, place)
        subprocess.run(["chown", "-R", str(person.uid), place], check=True)
    subprocess.run(["sh", "-c", build], cwd=native, check=True, stdout=subprocess.DEVNULL)
    with (
        Session(identity(person), f"{work}/b") as session,
        commanded(session, "sh", "-c", build) as (_, read),
    ):
        killed_at_random(session, seed, 60, 0.02)
        session.until(lambda: session.status is not None, 200)
        assert session.status == 0, os.read(read, 10000)
        assert session.replaced > 3
    assert tree(f"{work}/b") == tree(native)


def tree(root: str) -> dict[str, bytes]:
    """Every file below a directory and what is in it; of what names the directory only that it is there."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                content = file.read()
            found[os.path.relpath(path, root)] = b"" if root.encode() in content else content
    return found
