"""Calls that wait, or that somebody else than the worker answers: who works on them dies, and others, too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sydd.kernel import seccomp
from sydd.kernel.fd import FileDescriptor
from sydd.kernel.pidfd import pidfd_open
from sydd.supervisor import notes, reply, stages, succession
from sydd.supervisor.addressjudge import AddressJudge
from sydd.supervisor.blocking import WaitingRoom
from sydd.supervisor.delivery import Delivery
from sydd.supervisor.descriptors import Descriptors
from sydd.supervisor.notes import Notes
from sydd.supervisor.slot import Slot
from tests.daemon.people import Person
from tests.daemon.test_succession import FIFO, PYTHON, SCRIPT, Once, commanded, once, work
from tests.daemon.test_worker import identity
from tests.support.fuse import mounted
from tests.support.workers import PATIENCE, Session

__all__ = ["once", "work"]  # fixtures


class Countdown(Once):
    """Dies when it has come by so many times."""

    def start(self, times: int) -> None:
        """From now on."""
        self._memory[0] = times

    def die(self) -> None:
        """Here, if it is time."""
        if self._memory[0]:
            self._memory[0] -= 1
            if not self._memory[0]:
                os.kill(os.getpid(), signal.SIGKILL)


class Together(Once):
    """A process that was forked dies, and the worker that has forked it before that."""

    def die(self) -> None:
        """Here."""
        if self._memory[0]:
            self._memory[0] = 0
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


class Reached(Once):
    """Nobody dies: it is known that a worker has come by."""

    def die(self) -> None:
        """Here it has."""
        self._memory[0] = 1

    def wait(self) -> None:
        """Until it has."""
        while not self._memory[0]:
            os.sched_yield()


@contextlib.contextmanager
def begun(
    person: Person, work: str, *argv: str, rules: tuple[str, ...] = ()
) -> Iterator[tuple[Session, int, int]]:
    """A session whose command is ready: with what it is told by, and says."""
    with (
        Session(identity(person), work, engine="supervisor", rules=rules) as session,
        commanded(session, *PYTHON, *argv) as (write, read),
    ):
        assert os.read(read, 100) == b"ready\n"
        yield session, write, read


def claimant(slot: int) -> int:
    """A process that has claimed a seat; 0 when there is none."""
    asked = struct.pack("@hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack("@hhqqi4x", fcntl.fcntl(slot, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else pid


def until_claimed(slot: int) -> int:
    """Wait until a process has claimed a seat: which."""
    while not (pid := claimant(slot)):
        os.sched_yield()
    return pid


def decide(session: Session, *, allow: bool) -> None:
    """Answer the question that was asked last."""
    session.until(lambda: session.has("ask"))
    assert "error" not in session.ask("decision", question=session.last("ask")["question"], allow=allow)


def test_what_was_asked_about_is_of_one_request(
    person: Person, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored of a call that somebody was asked about is not the answer to the next one."""
    deaths = Countdown()
    monkeypatch.setattr(stages.Stages, "answer", deaths.before(stages.Stages.answer))
    code = "os.mkdir('d') or os.open('/etc/passwd', os.O_WRONLY)"
    with begun(person, work, SCRIPT, code, rules=("ask create ${cwd}/d",)) as (session, write, read):
        deaths.start(3)  # the call is parked, goes on, and there is the next one
        os.write(write, b"\n")
        decide(session, allow=True)
        assert session.end() == 0
        assert session.replaced == 1
        assert os.read(read, 1000) == b"EACCES\n['d'] 0\n"


THREADS = """
import os, sys, threading
print("ready", flush=True)
sys.stdin.readline()
def call():
    try: os.mkdir("d")
    except PermissionError: pass
threads = [threading.Thread(target=call) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
call()
"""


def test_each_that_waits_is_counted(person: Person, work: str) -> None:
    """Calls that one answer denies are events each, and so is the next one that is like them."""
    with begun(person, work, THREADS, rules=("ask create ${cwd}/d",)) as (session, write, _):
        slot = Slot(session.child.slot.fileno())
        os.write(write, b"\n")
        session.until(lambda: session.has("ask"))
        while len(list(slot.seated())) < 3:
            os.sched_yield()
        decide(session, allow=False)
        decided = session.last("ask")["question"]
        session.until(lambda: session.last("ask")["question"] != decided)
        decide(session, allow=False)
        assert session.end() == 0
        assert session.last("ended")["events"] == {"kinds": 1, "total": 4, "dropped": 0}


def test_who_asks_dies_and_counts_once(
    person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event of a call that gets a seat is not counted again by the next worker."""
    monkeypatch.setattr(Slot, "take_seat", once.after(Slot.take_seat))
    with begun(person, work, WARNED, rules=("warn read ${cwd}/f",)) as (session, write, read):
        once.arm()
        os.write(write, b"\n")
        session.until(lambda: session.replaced == 1)
        fd = os.open(f"{work}/f", os.O_WRONLY)
        assert os.read(read, 100) == b"opened\n"
        os.close(fd)
        assert session.end() == 0
        assert session.last("ended")["events"] == {"kinds": 1, "total": 1, "dropped": 0}


WARNED = """
import os, sys
os.mkfifo("f")
print("ready", flush=True)
sys.stdin.readline()
os.open("f", os.O_RDONLY)
print("opened", flush=True)
"""


def test_two_events_of_one_call_are_counted_once(
    person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that causes two events, and whose worker dies after both, causes two."""
    monkeypatch.setattr(AddressJudge, "make_sure", once.before(AddressJudge.make_sure))
    code = "(socket := __import__('socket')).socket(type=socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
    rules = ("warn connect,send loopback!9",)
    with begun(person, work, SCRIPT, code, rules=rules) as (session, write, read):
        once.arm()
        os.write(write, b"\n")
        assert session.end() == 0
        assert session.replaced == 1
        assert os.read(read, 100).startswith(b"did 0\n")
        assert session.last("ended")["events"] == {"kinds": 2, "total": 2, "dropped": 0}


def test_a_waiting_open_that_both_die_over(
    person: Person, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for a FIFO dies when the caller has its descriptor, and so has the worker: there is one."""
    deaths = Together()
    monkeypatch.setattr(seccomp, "add_fd", deaths.after(seccomp.add_fd))
    os.mkfifo(f"{work}/f")
    os.chown(f"{work}/f", person.uid, -1)
    with begun(person, work, SCRIPT, "os.open('f', os.O_RDONLY)") as (session, write, read):
        deaths.arm()
        os.write(write, b"\n")
        fd = os.open(f"{work}/f", os.O_WRONLY)
        session.until(lambda: session.replaced == 1)
        assert session.end() == 0
        os.close(fd)
        assert os.read(read, 100) == b"did 3\n['f'] 1\n"


@pytest.mark.parametrize("adopted", [False, True])
def test_who_waits_dies_alone(
    person: Person, work: str, monkeypatch: pytest.MonkeyPatch, adopted: bool
) -> None:
    """Its worker, or the one that came after that, answers: the call is denied, and it is said why."""
    reached = Reached()
    monkeypatch.setattr(WaitingRoom, "adopt", reached.after(WaitingRoom.adopt))
    os.mkfifo(f"{work}/f")
    os.chown(f"{work}/f", person.uid, -1)
    with (
        begun(person, work, SCRIPT, "os.open('f', os.O_RDONLY)") as (session, write, read),
        FileDescriptor(os.dup(session.child.slot.fileno())) as kept,
    ):
        os.write(write, b"\n")
        waits = until_claimed(kept.fileno())
        if adopted:
            session.kill()
            session.until(lambda: session.replaced == 1)
            reached.wait()
        os.kill(waits, signal.SIGKILL)
        assert session.end() == 0
        assert os.read(read, 100) == b"EACCES\n['f'] 0\n"
        assert "openat was denied: the process that took it has ended" in session.last("trouble")["message"]


SENDS = """
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)  # Python itself calls again after EINTR
ours, theirs = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
theirs.bind("r")
name = struct.pack("=H108s", socket.AF_UNIX, b"r")
print("ready", flush=True)
sys.stdin.readline()
sent = libc.sendto(ours.fileno(), b"x", 1, 0, name, len(name)), ctypes.get_errno()
theirs.setblocking(False)
received = 0
try:
    while theirs.recv(1): received += 1
except BlockingIOError: pass
print(sent, received, flush=True)
"""


@pytest.mark.parametrize("deaths", [Once(), Together()], ids=["alone", "together"])
@pytest.mark.parametrize(("place", "said"), [("done", b"(-1, 4) 1\n"), ("stored", b"(1, 0) 1\n")])
def test_a_message_that_its_sender_dies_over(
    person: Person, work: str, monkeypatch: pytest.MonkeyPatch, place: str, said: bytes, deaths: Once
) -> None:
    """Who waits to send a message dies when it is sent, and so may the worker: it is not sent again."""
    send = Delivery.once

    def full_at_first(delivery: Delivery, flags: int = 0) -> int:
        return -11 if flags else send(delivery, flags)

    monkeypatch.setattr(Delivery, "once", full_at_first)
    if place == "done":
        monkeypatch.setattr(Delivery, "rest", deaths.after(Delivery.rest))
    else:
        monkeypatch.setattr(Slot, "performed", deaths.after(Slot.performed))
    with begun(person, work, SENDS, rules=("deny send 192.0.2.1",)) as (session, write, read):
        deaths.arm()
        os.write(write, b"\n")
        assert session.end() == 0
        assert deaths.died
        assert session.replaced == isinstance(deaths, Together)
        assert os.read(read, 100) == said


def test_a_seat_is_the_only_one_of_its_call(
    person: Person, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that waits is waited for once, also when a second worker dies as it has put it down again."""
    deaths = Once()
    start = WaitingRoom._start

    def started(room: WaitingRoom, *arguments: Any, **named: Any) -> None:
        start(room, *arguments, **named)
        if not deaths.died:
            assert room._slot is not None
            until_claimed(room._slot._fd)
            deaths.die()

    monkeypatch.setattr(WaitingRoom, "_start", started)
    with (
        Session(identity(person), work, engine="supervisor") as session,
        commanded(session, *PYTHON, FIFO) as (_, read),
        FileDescriptor(os.dup(session.child.slot.fileno())) as kept,
    ):
        assert os.read(read, 100) == b"ready\n"
        waits = until_claimed(kept.fileno())
        deaths.arm()
        session.kill()
        with FileDescriptor(pidfd_open(waits)) as handle:
            os.kill(waits, signal.SIGKILL)
            assert select.select([handle], [], [], PATIENCE)[0]
        session.until(lambda: session.replaced == 2)
        served = session.count("serving")
        session.until(lambda: session.count("serving") > served)
        assert len(list(Slot(kept.fileno()).seated())) == 1
        fd = os.open(f"{work}/f", os.O_WRONLY)
        os.write(fd, b"here")
        os.close(fd)
        assert os.read(read, 100) == b"opened b'here'\n"
        assert session.end() == 0


LEFT = """
import os, sys, time
os.mkfifo("f")
child = os.fork()
if not child:
    open(sys.argv[1]).read()
print("ready", flush=True)
sys.stdin.readline()
os.kill(child, 9)
os.waitpid(child, 0)
fd = os.open("f", os.O_RDONLY)
print("opened", os.read(fd, 10), flush=True)
"""


@pytest.mark.root
def test_a_seat_is_free_when_nobody_is_in_it(
    person: Person, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot be killed, as a file system keeps it, keeps no seat that another call is given."""
    monkeypatch.setattr("sydd.supervisor.stalls.LOOK_SECONDS", 0.0)
    remote = f"{person.home}/remote"
    os.mkdir(remote)
    with mounted(remote, b"", b"the data") as fuse:
        fuse.hold("LOOKUP")
        with begun(person, work, LEFT, f"{remote}/data") as (session, write, read):
            assert fuse.held() == "LOOKUP"
            os.write(write, b"\n")
            fd = os.open(f"{work}/f", os.O_WRONLY)
            os.write(fd, b"here")
            os.close(fd)
            assert os.read(read, 100) == b"opened b'here'\n"
            fuse.answer()
            assert session.end() == 0


@pytest.mark.root
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_stand_in_dies(
    person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """What a stand-in had done when it was killed is what the caller is told; what it had not, is denied."""
    monkeypatch.setattr("sydd.supervisor.stalls.LOOK_SECONDS", 0.0)
    monkeypatch.setattr(seccomp, "add_fd", getattr(once, place)(seccomp.add_fd))
    remote = f"{person.home}/remote"
    os.mkdir(remote)
    with (
        mounted(remote, b"", b"the data"),
        begun(person, work, SCRIPT, f"os.open('{remote}/data', os.O_RDONLY)") as (session, write, read),
    ):
        once.arm()
        os.write(write, b"\n")
        assert session.end() == 0
        assert session.replaced == 0
        wanted = b"EACCES\n[] 0\n" if place == "before" else b"did 3\n[] 1\n"
        assert os.read(read, 100) == wanted


FULL = """
import errno, os, resource, sys
os.mkfifo("f")
writer = os.open("f", os.O_RDWR)
print("ready", flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (writer + 1, writer + 1))
try: os.open("f", os.O_RDONLY)
except OSError as error: print(errno.errorcode[error.errno], flush=True)
"""


def test_a_full_table(person: Person, work: str) -> None:
    """Who waits for a FIFO and has no room for it is told."""
    with begun(person, work, FULL) as (session, write, read):
        os.write(write, b"\n")
        assert session.end() == 0
        assert os.read(read, 100) == b"EMFILE\n"


def test_the_launch_is_judged_by_nobody(person: Person, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies over the execution of the command leaves it what it is."""
    deaths = Countdown()
    write = notes.Notes.write

    def noted(self: Notes, kind: str, *values: Any) -> None:
        write(self, kind, *values)
        if kind == "launched":
            deaths.die()

    monkeypatch.setattr(notes.Notes, "write", noted)
    rules = (f"deny exec {os.path.realpath(sys.executable)}",)
    with Session(identity(person), work, engine="supervisor", rules=rules) as session:
        deaths.start(1)
        session.start(*PYTHON, "raise SystemExit(7)")
        assert session.end() == 7
        assert deaths.died


def test_main_dies_too(person: Person, work: str, once: Once, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker in the place of a dead one does nothing when main dies before it has it for the next main."""
    monkeypatch.setattr(stages.Stages, "answer", once.before(stages.Stages.answer))
    with begun(person, work, SCRIPT, "os.mkdir('d')") as (session, write, read):
        once.arm()
        os.write(write, b"\n")
        assert select.select([session.child.pidfd], [], [], PATIENCE)[0]
        first = session.forked()
        held = session.held()
        first.channel.close()
        assert select.select([first.pidfd], [], [], PATIENCE)[0]
        first.close()
        cookie = seccomp.NOTIF.unpack(Slot(held.slot).held())[0]
        assert seccomp.id_valid(held.listener, cookie)
        assert session.end() == 0
        assert os.read(read, 100) == b"did 0\n['d'] 0\n"


def test_two_threads_note() -> None:
    """What one notes is whole, and where the other has not written."""
    fd = notes.create()
    try:
        written = Notes(fd)

        def write(kind: str) -> None:
            for number in range(2000):
                written.write(kind, number)

        other = threading.Thread(target=write, args=("event",))
        other.start()
        write("rules")
        other.join()
        found = list(Notes(fd).read())
        for kind in ("event", "rules"):
            assert [values for name, values in found if name == kind] == [(n,) for n in range(2000)]
    finally:
        os.close(fd)


def test_a_mark_is_of_one_thread() -> None:
    """Of two descriptors that are on their way to two threads of a process each is found for its own."""
    begun, over = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        over.wait()

    other = threading.Thread(target=wait)
    other.start()
    begun.wait()
    fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    descriptors = Descriptors()
    tids = (other.native_id or 0, threading.get_native_id())
    try:
        for fd, tid in zip(fds, tids, strict=True):
            reply.mark(fd, tid)
        assert [succession._find_marked(descriptors, tid) for tid in tids] == fds
        for fd in fds:
            reply.unmark(fd)
        assert [succession._find_marked(descriptors, tid) for tid in tids] == [-1, -1]
    finally:
        descriptors.close()
        for fd in fds:
            os.close(fd)
        over.set()
        other.join()
