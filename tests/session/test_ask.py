"""`ask` rules: who asks waits for an answer and holds up nobody; without one the access is denied."""

from __future__ import annotations

import os
import queue
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sydd.plan.plan import Engine
from sydd.policy.policy import Mode
from sydd.session.running import Running
from sydd.supervisor.event import Event
from tests.session.driven import Ended, Talk, drive
from tests.support.fuse import mounted

PATIENCE = 20
"""Seconds after which a question that was waited for will not come."""

PROFILE = """
name = "p"
rules = [
    "allow write ${cwd}/**", "ask read,write ${cwd}/asked/**", "ask rename ${cwd}/moved*",
    "allow bind,connect loopback", "ask connect loopback!1-1023", "deny write ${cwd}/closed/**",
]
[limits]
ask_timeout = SECONDS
runtime = ["allow read ${cwd}/**"]
"""


class Desk:
    """Who is asked: keeps questions for the driver.

    Attributes:
        questions: number and event of each.
        over: number and decision of each that is settled.
        there: whether anybody answers.
    """

    def __init__(self, *, there: bool = True) -> None:
        self.questions: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        self.over: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self.there = there

    def ask(self, question: int, event: Event, seconds: float) -> bool:
        """See `Clients.ask`."""
        assert seconds > 0
        self.questions.put((question, event))
        return self.there

    def settled(self, question: int, decision: str) -> None:
        """See `Clients.settled`."""
        self.over.put((question, decision))


@pytest.fixture
def cwd() -> Iterator[str]:
    """A work directory."""
    with tempfile.TemporaryDirectory() as directory:
        root = os.path.realpath(directory)
        for name in ("tmp", "home", "asked", "plain", "closed"):
            os.mkdir(f"{root}/{name}")
        for name in ("asked/one", "asked/two", "plain/file", "closed/file"):
            Path(root, name).write_text(name, encoding="ascii")
        yield root


@pytest.fixture(params=[Engine.HYBRID, Engine.SUPERVISOR])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each that explains."""
    found: Engine = request.param
    return found


def asked(
    code: str,
    driver: Callable[[Running, Talk, Desk], Any],
    cwd: str,
    engine: Engine | None = None,
    *,
    seconds: int = 60,
    there: bool = True,
    mode: Mode = Mode.ENFORCE,
) -> Ended:
    """Run code under PROFILE, with a driver that has the desk."""
    desk = Desk(there=there)
    return drive(
        PROFILE.replace("SECONDS", str(seconds)),
        code,
        lambda running, talk: driver(running, talk, desk),
        engine=engine,
        cwd=cwd,
        clients=lambda: desk,
        mode=mode,
    )


def decisions(ended: Ended) -> list[tuple[str, str, int]]:
    """What the events say: decision, errno, count."""
    assert not ended.troubles
    return [(event.decision, event.errno, event.count) for event in ended.events if event.action == "ask"]


def test_an_answer(engine: Engine, cwd: str) -> None:
    """Yes, then no: the access goes ahead, or is denied; the event says what was decided and by whom."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        number, event = desk.questions.get(timeout=PATIENCE)
        assert (event.path, event.access, event.syscall) == (f"{cwd}/asked/one", "read", "openat")
        assert running.decide(number, allow=True, by="root")
        assert not running.decide(number, allow=False)
        other, _ = desk.questions.get(timeout=PATIENCE)
        assert running.decide(other, allow=False)
        assert other != number
        return [talk.hear(), desk.over.get(timeout=PATIENCE), desk.over.get(timeout=PATIENCE)]

    ended = asked("tell(open('asked/one').read() + ' ' + read('asked/one'))", driver, cwd, engine)
    assert ended.value == ["asked/one EACCES", (1, "allowed by root"), (2, "denied")]
    assert decisions(ended) == [("allowed by root", "", 1), ("denied", "EACCES", 1)]


@pytest.mark.slow
@pytest.mark.root
def test_a_stand_in_asks(engine: Engine, cwd: str) -> None:
    """Of a file on a file system that may not answer; who is asked, and answers, sees no difference."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        number, event = desk.questions.get(timeout=PATIENCE)
        assert (event.path, event.access) == (f"{cwd}/asked/data", "read")
        assert running.decide(number, allow=True, by="root")
        other, _ = desk.questions.get(timeout=PATIENCE)
        assert running.decide(other, allow=False)
        return [talk.hear(), number, other]

    with mounted(f"{cwd}/asked", b"", b"there"):
        ended = asked("tell(open('asked/data').read() + ' ' + read('asked/data'))", driver, cwd, engine)
    assert ended.value == ["there EACCES", 1, 2]
    assert decisions(ended) == [("allowed by root", "", 1), ("denied", "EACCES", 1)]


def test_others_go_on(engine: Engine, cwd: str) -> None:
    """While one thread waits, another does what is allowed, and asks."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[str]:
        number, _ = desk.questions.get(timeout=PATIENCE)
        talk.tell()
        heard = [talk.hear()]
        other, _ = desk.questions.get(timeout=PATIENCE)
        running.decide(other, allow=True)
        heard.append(talk.hear())
        running.decide(number, allow=True)
        return [*heard, talk.hear()]

    code = """
import threading
waiting = threading.Thread(target=lambda: tell(read('asked/one')))
waiting.start(); hear()
tell(' '.join({write('plain/file') + read('plain/file') + write('closed/file') for _ in range(200)}))
tell('other ' + read('asked/two'))
waiting.join()
"""
    assert asked(code, driver, cwd, engine).value == ["donedoneEACCES", "other done", "done"]


def test_no_answer(engine: Engine, cwd: str) -> None:
    """Denied when the time is over."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        began = time.monotonic()
        heard = talk.hear()
        assert time.monotonic() - began >= 0.9
        number, _ = desk.questions.get(timeout=PATIENCE)
        assert not running.decide(number, allow=True)
        return [heard, desk.over.get(timeout=PATIENCE)[1]]

    ended = asked("tell(read('asked/one'))", driver, cwd, engine, seconds=1)
    assert ended.value == ["EACCES", "nobody answered in time"]
    assert decisions(ended) == [("nobody answered in time", "EACCES", 1)]


@pytest.mark.parametrize("there", [False, None])
def test_nobody(engine: Engine, cwd: str, there: bool | None) -> None:
    """Denied at once where no client is there, and where there can be none."""
    code = "tell(' '.join([read('asked/one'), read('asked/one'), tried(os.mkdir, 'asked/d')]))"

    def driver(_running: Running, talk: Talk, _desk: Desk | None = None) -> str:
        return talk.hear()

    if there is None:
        profile = PROFILE.replace("SECONDS", "60")
        ended = drive(profile, code, driver, engine=engine, cwd=cwd)
    else:
        ended = asked(code, driver, cwd, engine, there=there)
    assert ended.value == "EACCES EACCES EACCES"
    assert decisions(ended) == [("nobody to ask", "EACCES", 2), ("nobody to ask", "EACCES", 1)]


def test_what_is_remembered(engine: Engine, cwd: str) -> None:
    """One answer for the session: for that object, and no other access."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[str]:
        for allow in (True, False, False):
            number, _ = desk.questions.get(timeout=PATIENCE)
            running.decide(number, allow=allow, remember=True)
        return [talk.hear()]

    code = """
tell(' '.join([read('asked/one'), read('asked/one'), read('asked/one'), read('asked/two'), read('asked/two'),
               write('asked/one')]))
"""
    ended = asked(code, driver, cwd, engine)
    assert ended.value == ["done done done EACCES EACCES EACCES"]
    assert decisions(ended)[:2] == [("allowed", "", 1), ("denied", "EACCES", 1)]


def test_several_objects(engine: Engine, cwd: str) -> None:
    """A rename asks about one name, then about the other; all have to be permitted."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        paths = []
        for _ in range(2):
            number, event = desk.questions.get(timeout=PATIENCE)
            paths.append(event.path)
            running.decide(number, allow=True)
        return [paths, talk.hear()]

    code = "write('moved'); tell(tried(os.rename, 'moved', 'asked/new'))"
    ended = asked(code, driver, cwd, engine)
    assert ended.value == [[f"{cwd}/moved", f"{cwd}/asked/new"], "done"]


def test_denied_without_asking(cwd: str) -> None:
    """Where something else about the call is denied, nobody is bothered."""

    def driver(_running: Running, talk: Talk, desk: Desk) -> list[Any]:
        return [talk.hear(), desk.questions.empty()]

    code = "write('moved'); tell(tried(os.rename, 'moved', 'closed/new'))"
    assert asked(code, driver, cwd).value == ["EACCES", True]


def test_addresses(engine: Engine, cwd: str) -> None:
    """A connect waits as well, and is done to the address that was asked about."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[str]:
        paths = []
        for allow in (True, False):
            number, event = desk.questions.get(timeout=PATIENCE)
            paths.append(event.path)
            running.decide(number, allow=allow)
        return [*paths, talk.hear()]

    code = """
def connects():
    with socket.socket() as client: return tried(client.connect, ('127.0.0.1', 1))
tell(connects() + ' ' + connects())
"""
    assert asked(code, driver, cwd, engine).value == ["127.0.0.1!1", "127.0.0.1!1", "ECONNREFUSED EACCES"]


def test_what_was_asked_is_what_is_done(engine: Engine, cwd: str) -> None:
    """The path in memory becomes another while the call waits: it is judged anew, and asked about anew."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        number, _ = desk.questions.get(timeout=PATIENCE)
        talk.tell()
        talk.hear()
        running.decide(number, allow=True)
        other, event = desk.questions.get(timeout=PATIENCE)
        running.decide(other, allow=False)
        return [event.path, talk.hear()]

    code = """
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
path = ctypes.create_string_buffer(b'asked/one')
def opens():
    fd = libc.open(path, os.O_RDONLY)
    tell(errno.errorcode[ctypes.get_errno()] if fd < 0 else os.read(fd, 99).decode())
thread = threading.Thread(target=opens); thread.start()
hear(); path.value = b'asked/two'; tell('swapped')
thread.join()
"""
    assert asked(code, driver, cwd, engine).value == [f"{cwd}/asked/two", "EACCES"]


def test_one_question_for_many(engine: Engine, cwd: str) -> None:
    """Calls about one access to one object wait for one answer, from whichever process they come."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        number, _ = desk.questions.get(timeout=PATIENCE)
        end = time.monotonic() + PATIENCE
        while len(running._worker._questions.open[number].parked) < 3:
            assert time.monotonic() < end
        running.decide(number, allow=True)
        return [[talk.hear() for _ in range(3)], desk.questions.empty()]

    code = """
children = []
for _ in range(3):
    child = os.fork()
    if not child: tell(read('asked/one')); os._exit(0)
    children.append(child)
for child in children: os.waitpid(child, 0)
"""
    ended = asked(code, driver, cwd, engine)
    assert ended.value == [["done", "done", "done"], True]
    assert decisions(ended) == [("allowed", "", 3)]


def test_a_caller_that_dies(engine: Engine, cwd: str) -> None:
    """Its question is withdrawn; the session goes on."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        number, event = desk.questions.get(timeout=PATIENCE)
        os.kill(event.process.pid, 9)
        over = desk.over.get(timeout=PATIENCE)
        return [over == (number, ""), running.decide(number, allow=True), talk.hear()]

    code = """
child = os.fork()
if not child: read('asked/one')
tell(str(os.waitpid(child, 0)[1]) + write('plain/file'))
"""
    ended = asked(code, driver, cwd, engine)
    assert ended.value == [True, False, "9done"]
    assert decisions(ended) == []


@pytest.mark.parametrize("restart", [False, True])
def test_a_signal(engine: Engine, cwd: str, restart: bool) -> None:
    """Its handler runs while the question is open; the call is interrupted, or waits on for the answer."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[Any]:
        number, event = desk.questions.get(timeout=PATIENCE)
        os.kill(event.process.pid, 10)
        heard = [talk.hear()]
        if restart:
            running.decide(number, allow=True)
        return [*heard, talk.hear(), desk.questions.empty()]

    code = HANDLED.replace("FLAGS", "0x10000000" if restart else "0")
    expected = ["handled", "done" if restart else "EINTR", True]
    assert asked(code, driver, cwd, engine).value == expected


HANDLED = """
import ctypes
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int)
told = CALLBACK(lambda _number: tell('handled'))
class Action(ctypes.Structure):
    _fields_ = [('handler', CALLBACK), ('mask', ctypes.c_ulong * 16), ('flags', ctypes.c_int),
                ('restorer', ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
libc.sigaction(10, ctypes.byref(Action(told, flags=FLAGS)), None)
fd = libc.open(b'asked/one', os.O_RDONLY)
tell(errno.errorcode[ctypes.get_errno()] if fd < 0 else 'done')
"""
"""A handler that runs at once, not when the interpreter comes to it."""


def test_rules_change_meanwhile(engine: Engine, cwd: str) -> None:
    """A parked call is judged by the rules that come: one that allows lets it go, one that denies ends it."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[str]:
        desk.questions.get(timeout=PATIENCE)
        running.add(["allow read ${cwd}/asked/**"])
        heard = [talk.hear()]
        running.replace([])
        talk.tell()
        desk.questions.get(timeout=PATIENCE)
        running.add(["deny read ${cwd}/asked/**"])
        return [*heard, talk.hear()]

    code = "tell(read('asked/one')); hear(); tell(read('asked/one'))"
    ended = asked(code, driver, cwd, engine)
    assert ended.value == ["done", "EACCES"]
    assert decisions(ended) == []


def test_the_end(engine: Engine, cwd: str) -> None:
    """The launched command ends while a child waits: the session lasts until that has its answer."""

    def driver(running: Running, talk: Talk, desk: Desk) -> list[str]:
        number, _ = desk.questions.get(timeout=PATIENCE)
        talk.tell()
        running.decide(number, allow=True)
        return [talk.hear()]

    code = """
if not os.fork():
    tell(read('asked/one')); os._exit(0)
hear()
"""
    assert asked(code, driver, cwd, engine).value == ["done"]


def test_audit(cwd: str) -> None:
    """Nobody is asked; it goes on, and the event says that somebody would be."""

    def driver(_running: Running, talk: Talk, desk: Desk) -> list[Any]:
        return [talk.hear(), desk.questions.empty()]

    ended = asked("tell(read('asked/one'))", driver, cwd, mode=Mode.AUDIT)
    assert ended.value == ["done", True]
    assert decisions(ended) == [("", "", 1)]
