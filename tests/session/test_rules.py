"""Rules at run time: in force for the next call, held against Landlock's grants, within the ceiling."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sydd.kernel import landlock_calls
from sydd.plan.plan import Engine
from sydd.policy.lock import Asker, Lock
from sydd.policy.policy import Mode
from sydd.policy.refused import BeyondCeiling, Locked, ModeFixed, NoSuchRule, NotSupervised
from sydd.session.running import Running
from tests.session.driven import Driver, Ended, Talk, drive

PROFILE = """
name = "p"
rules = ["allow write ${cwd}/**", "deny write ${cwd}/closed/**", "deny stat ${cwd}/unseen/**"]
[limits]
runtime = [
    "allow read,list,write,stat ${cwd}/**",
    "allow connect,bind loopback!1024-65535",
]
"""


@pytest.fixture
def cwd() -> Iterator[str]:
    """A work directory."""
    with tempfile.TemporaryDirectory() as directory:
        root = os.path.realpath(directory)
        for name in ("tmp", "home", "closed", "open", "unseen"):
            os.mkdir(f"{root}/{name}")
        Path(root, "open", "file").write_text("x", encoding="ascii")
        Path(root, "closed", "file").write_text("x", encoding="ascii")
        Path(root, "unseen", "x").write_text("x", encoding="ascii")
        yield root


@pytest.fixture(params=[Engine.HYBRID, Engine.SUPERVISOR, Engine.LANDLOCK])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each that can take rules at run time."""
    found: Engine = request.param
    return found


def steps(lists: list[list[str]]) -> Driver:
    """A driver: puts one list of rules in force after the other, each before the command goes on."""

    def driver(running: Running, talk: Talk) -> list[str]:
        heard: list[str] = []
        for rules in lists:
            heard.append(talk.hear())
            running.replace(rules)
            talk.tell()
        heard.append(talk.hear())
        return heard

    return driver


def run(code: str, lists: list[list[str]], engine: Engine, cwd: str, profile: str = PROFILE) -> Ended:
    """Run code that says something before each list of rules, and at its end."""
    ended = drive(profile, code, steps(lists), engine=engine, cwd=cwd)
    assert ended.outcome.status == 0, ended
    assert not ended.troubles
    return ended


def test_a_rule_that_forbids(engine: Engine, cwd: str) -> None:
    """What Landlock granted is taken, for reading and for writing; without the rule it is there again."""
    code = """
for _ in range(3):
    tell(' '.join([read('open/file'), write('open/file'), write('open/new'),
                   tried(os.mkdir, 'open/d'), tried(os.rmdir, 'open/d'), tried(os.truncate, 'open/file', 0),
                   tried(os.unlink, 'open/new'), write('other'), tried(os.chmod, 'open/file', 0o600)]))
    hear()
tell('end')
"""
    ended = run(code, [["deny read,write ${cwd}/open/**"], [], []], engine, cwd)
    natural = "done done done done done done done done done"
    refused = "EACCES EACCES EACCES EACCES ENOENT EACCES ENOENT done EACCES"
    assert ended.value == [natural, refused, natural, "end"]
    rules = {event.rule for event in ended.events}
    assert rules == {"deny read,write ${cwd}/open/**"}
    assert [change.after for change in ended.changes] == [("deny read,write ${cwd}/open/**",), (), ()]


def test_a_rule_that_allows(engine: Engine, cwd: str) -> None:
    """What the profile denies is done within the ceiling, and no more without the rule."""
    code = """
for _ in range(3):
    tell(' '.join([write('closed/file'), write('closed/new'), tried(os.unlink, 'closed/new'),
                   tried(lambda: os.stat('unseen/x') and 0)]))
    hear()
tell('end')
"""
    allow = ["allow write ${cwd}/closed/**", "allow stat ${cwd}/unseen/**"]
    ended = run(code, [allow, [], []], engine, cwd)
    refused = "EACCES EACCES ENOENT EACCES"
    assert ended.value == [refused, "done done done done", refused, "end"]


def test_the_last_rule_decides(engine: Engine, cwd: str) -> None:
    """Rules that were added stand behind the profile's, in their order."""
    code = """
for _ in range(3):
    tell(write('closed/file')); hear()
tell('end')
"""
    allow, deny = "allow write ${cwd}/closed/**", "deny write ${cwd}/closed/file"
    ended = run(code, [[deny, allow], [allow, deny], []], engine, cwd)
    assert ended.value == ["EACCES", "done", "EACCES", "end"]


def test_what_was_quick(engine: Engine, cwd: str) -> None:
    """Names that took the quick way many times take it no longer."""
    code = """
for _ in range(2):
    seen = {read('open/file') + write('open/file') for _ in range(300)}
    tell(' '.join(sorted(seen))); hear()
tell('end')
"""
    ended = run(code, [["deny read,write ${cwd}/open/**"], []], engine, cwd)
    assert ended.value == ["donedone", "EACCESEACCES", "end"]


def test_a_name_is_no_way_around(engine: Engine, cwd: str) -> None:
    """What must not be read is not read under another name."""
    code = """
for _ in range(2):
    tell(' '.join([tried(os.rename, 'open/file', 'moved'), tried(os.link, 'open/file', 'linked'),
                   tried(os.rename, 'open', 'else'), read('moved'), read('linked')]))
    hear()
    for name in ('moved', 'linked'):
        if os.path.exists(name): os.rename(name, 'open/file')
    if os.path.exists('else'): os.rename('else', 'open')
tell('end')
"""
    rules = ["deny read ${cwd}/open/**"]
    ended = drive(PROFILE, "hear()\n" + code, first(rules), engine=engine, cwd=cwd)
    assert ended.value[0] == "EXDEV EXDEV EXDEV ENOENT ENOENT"


def first(rules: list[str]) -> Driver:
    """A driver that puts rules in force before the command begins."""

    def driver(running: Running, talk: Talk) -> list[str]:
        running.replace(rules)
        talk.tell()
        heard: list[str] = []
        while True:
            word = talk.hear()
            if not word:
                return heard
            heard.append(word)
            talk.tell()

    return driver


def test_a_file_that_is_open(engine: Engine, cwd: str) -> None:
    """Stays open; the rule is about the next call."""
    code = """
fd = os.open('open/file', os.O_RDWR)
tell('open'); hear()
tell(f'{os.read(fd, 1)} {os.write(fd, b"y")} {read("open/file")}'); hear()
tell('end')
"""
    ended = run(code, [["deny read,write ${cwd}/open/**"], []], engine, cwd)
    assert ended.value == ["open", "b'x' 1 EACCES", "end"]


def test_addresses(engine: Engine, cwd: str) -> None:
    """Connect and bind follow; the socket can be made from the beginning."""
    code = """
def talks():
    with socket.socket() as server, socket.socket() as client:
        try: server.bind(('127.0.0.1', 0)); server.listen()
        except OSError as error: return 'bind ' + errno.errorcode[error.errno]
        return tried(client.connect, server.getsockname())
for _ in range(3):
    tell(talks()); hear()
tell('end')
"""
    profile = PROFILE.replace("rules = [", 'rules = ["allow bind loopback!0", ').replace("!1024-65535", "")
    ended = run(code, [["allow connect loopback"], ["deny bind loopback"], []], engine, cwd, profile)
    assert ended.value == ["EACCES", "done", "bind EACCES", "end"]


def test_what_is_performed_frees_no_device(cwd: str) -> None:
    """An open that the worker performs gives no device whose ioctl calls only the kernel refuses."""
    if landlock_calls.abi() < 5:
        pytest.skip("needs Landlock's right about ioctl (Linux 6.10)")
    code = """
import fcntl
def asks():
    fd = os.open('/dev/null', os.O_RDONLY)
    try: fcntl.ioctl(fd, 0x5401, bytes(64))  # TCGETS: ENOTTY of /dev/null where it is let through
    finally: os.close(fd)
for _ in range(2):
    tell(tried(asks) + ' ' + read('/dev/zero')); hear()
tell('end')
"""
    profile = PROFILE.replace("rules = [", 'rules = ["deny ioctl /dev/null", ')
    ended = run(code, [["deny read ${cwd}/open/**"], []], Engine.HYBRID, cwd, profile)
    assert ended.value == ["EACCES done", "EACCES done", "end"]


REFUSALS = [
    ("allow write /etc/**", BeyondCeiling),
    ("allow write /**", BeyondCeiling),
    ("ask write /etc/passwd", BeyondCeiling),
    ("warn read,write /**", BeyondCeiling),
    ("allow connect 192.0.2.1", BeyondCeiling),
    ("allow connect loopback", BeyondCeiling),
    ("allow exec ${cwd}/**", NotSupervised),
    ("deny exec /usr/bin/id", NotSupervised),
    ("deny ioctl /dev/**", NotSupervised),
    ("deny bind netlink:route", NotSupervised),
    ("deny connect family:vsock", NotSupervised),
]


@pytest.mark.parametrize(("rule", "error"), REFUSALS)
def test_what_is_refused(rule: str, error: type[Exception], cwd: str) -> None:
    """By name; and nothing is changed by a list with one such rule in it."""

    def driver(running: Running, talk: Talk) -> tuple[str, tuple[str, ...]]:
        running.add(["deny read ${cwd}/open/**"])
        try:
            running.add(["allow read ${cwd}/open/**", rule])
        except error as failure:
            talk.tell()
            return talk.hear(), (type(failure).__name__, *running.lines)
        raise AssertionError("it was taken")

    ended = drive(PROFILE, "hear(); tell(read('open/file'))", driver, cwd=cwd)
    assert ended.value == ("EACCES", (error.__name__, "deny read ${cwd}/open/**"))
    assert len(ended.changes) == 1


def test_without_a_ceiling(cwd: str) -> None:
    """Nothing can be allowed; what is supervised can be forbidden, and what is not cannot."""
    profile = 'name = "p"\nrules = ["allow write ${cwd}/**", "deny write ${cwd}/closed/**"]'

    def driver(running: Running, talk: Talk) -> list[str]:
        found = []
        for rule in ("allow write ${cwd}/closed/**", "deny read ${cwd}/open/**", "deny write ${cwd}/open/**"):
            try:
                running.add([rule])
                found.append("taken")
            except (BeyondCeiling, NotSupervised) as failure:
                found.append(type(failure).__name__)
        talk.tell()
        return [*found, talk.hear()]

    ended = drive(profile, "hear(); tell(write('open/file'))", driver, cwd=cwd)
    assert ended.value == ["BeyondCeiling", "NotSupervised", "taken", "EACCES"]


def test_a_link_does_not_lead_a_rule_elsewhere(cwd: str) -> None:
    """One that the session has made is not followed for what a rule allows."""

    def driver(running: Running, talk: Talk) -> str:
        talk.hear()
        running.add(["allow write ${cwd}/link/**"])
        talk.tell()
        return talk.hear()

    code = "os.symlink('closed', 'link'); tell('made'); hear(); tell(write('link/file'))"
    assert drive(PROFILE, code, driver, cwd=cwd).value == "EACCES"


def test_locks(cwd: str) -> None:
    """From outside at any time; from inside as long as it may."""

    def driver(running: Running, talk: Talk) -> list[str]:
        found = []

        def note(act: object, *arguments: object) -> None:
            try:
                act(*arguments)  # type: ignore[operator]
                found.append("done")
            except (Locked, NoSuchRule) as failure:
                found.append(type(failure).__name__)

        rule = ["deny read ${cwd}/open/**"]
        note(running.add, rule, Asker.INSIDE)
        note(running.set_lock, Lock.EXEC, Asker.INSIDE)
        note(running.add, rule, Asker.INSIDE)
        note(running.remove, rule, Asker.ELDEST)
        note(running.remove, rule, Asker.ELDEST)
        note(running.set_lock, Lock.ON, Asker.ELDEST)
        note(running.add, rule, Asker.ELDEST)
        note(running.add, rule, Asker.OUTSIDE)
        note(running.set_lock, Lock.OFF, Asker.OUTSIDE)
        talk.tell()
        return found

    ended = drive(PROFILE, "hear()", driver, cwd=cwd)
    assert ended.value == ["done", "done", "Locked", "done", "NoSuchRule", "done", "Locked", "done", "done"]
    assert [(change.what, change.by, change.after) for change in ended.changes] == [
        ("rules", "inside", ("deny read ${cwd}/open/**",)),
        ("lock", "inside", ("exec",)),
        ("rules", "eldest", ()),
        ("lock", "eldest", ("on",)),
        ("rules", "outside", ("deny read ${cwd}/open/**",)),
        ("lock", "outside", ("off",)),
    ]
    assert [change.sequence for change in ended.changes] == [1, 2, 3, 4, 5, 6]


def test_mode_without_landlock(cwd: str) -> None:
    """Rules are recorded only, and enforced again; what no session may do stays refused."""

    def driver(running: Running, talk: Talk) -> list[str]:
        heard: list[str] = []
        for mode in (Mode.AUDIT, Mode.ENFORCE):
            heard.append(talk.hear())
            running.set_mode(mode)
            talk.tell()
        return [*heard, talk.hear()]

    code = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def mounts():
    return errno.errorcode[ctypes.get_errno()] if libc.mount(b'x', b'/', b'tmpfs', 0, 0) else 'done'
for _ in range(3):
    tell(f'{write("closed/file")} {mounts()}'); hear()
"""
    ended = drive(PROFILE, code, driver, engine=Engine.SUPERVISOR, cwd=cwd)
    assert ended.value == ["EACCES EPERM", "done EPERM", "EACCES EPERM"]
    assert {(event.path, event.enforced) for event in ended.events if event.access} == {
        (f"{cwd}/closed/file", True)
    }


@pytest.mark.parametrize(
    ("engine", "began", "wanted"),
    [(Engine.HYBRID, Mode.ENFORCE, Mode.AUDIT), (None, Mode.AUDIT, Mode.ENFORCE)],
)
def test_mode_is_fixed(engine: Engine | None, began: Mode, wanted: Mode, cwd: str) -> None:
    """Landlock cannot be put off, nor put on."""

    def driver(running: Running, talk: Talk) -> str:
        try:
            running.set_mode(wanted)
        except ModeFixed as failure:
            talk.tell()
            return failure.message
        raise AssertionError("it was changed")

    ended = drive(PROFILE, "hear()", driver, engine=engine, cwd=cwd, mode=began)
    assert "anew" in ended.value
    assert not ended.changes
