"""Programs in a session that confine themselves, and `sydctl launch` inside a session."""

from __future__ import annotations

import os
import sys

import pytest

from tests.session.conftest import Session

INNER = (sys.executable, "-m", "sydctl", "launch")
TO_OUTER = ("--rule", "allow attributes /**")

OWN_LANDLOCK = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
rules = libc.syscall(444, (0xffff & ~0x8000).to_bytes(8, "little"), ctypes.c_size_t(8), 0)
assert rules >= 0, ctypes.get_errno()
reading = 1 | 4 | 8
top = os.open("/", os.O_PATH)
assert libc.syscall(445, rules, 1, reading.to_bytes(8, "little") + top.to_bytes(4, "little"), 0) == 0
libc.prctl(38, 1, 0, 0, 0)
assert libc.syscall(446, rules, 0) == 0
open("/etc/passwd").close()
try:
    open("denied", "w")
except PermissionError:
    print("confined")
"""

OWN_FILTER = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
# getppid is EPERM, all else is allowed
words = [(0x20, 0, 0, 0), (0x15, 0, 1, 110), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)]
code = b"".join(a.to_bytes(2, "little") + bytes((b, c)) + d.to_bytes(4, "little") for a, b, c, d in words)
kept = ctypes.create_string_buffer(code)
fprog = (ctypes.c_uint64 * 2)(len(words), ctypes.addressof(kept))
assert libc.syscall(317, 1, 0, fprog) == 0, ctypes.get_errno()
assert libc.syscall(110) == -1 and ctypes.get_errno() == 1
open("made", "w").close()
os.chmod("made", 0o640)
try:
    open("/nowhere", "w")
except PermissionError:
    print("confined")
"""


@pytest.mark.parametrize("engine", ["hybrid", "landlock"])
@pytest.mark.parametrize("code", [OWN_LANDLOCK, OWN_FILTER], ids=["landlock", "seccomp"])
def test_a_program_that_confines_itself(session: Session, code: str, engine: str) -> None:
    """Its own domain or filter holds besides the session's."""
    done = session.run("python3", "-c", code, options=("-q", "--engine", engine))
    assert (done.stdout, done.stderr) == ("confined\n", "")


def test_a_filter_of_its_own_without_landlock(session: Session) -> None:
    """The same where the supervisor performs everything."""
    done = session.run("python3", "-c", OWN_FILTER, options=("-q", "--engine", "supervisor"))
    assert (done.stdout, done.stderr) == ("confined\n", "")


def test_no_landlock_without_landlock(session: Session) -> None:
    """Where the supervisor performs everything, a domain would hold nothing: there is none, and it shows."""
    code = "from ctypes import *; c = CDLL(None, use_errno=True); print(c.syscall(444, 0, 0, 1), get_errno())"
    assert session.run("python3", "-c", code, options=("--engine", "supervisor")).stdout == "-1 38\n"
    done = session.run(*INNER, "build", *TO_OUTER, "true", options=("-q", "--engine", "supervisor"))
    assert done.returncode == 125
    assert "inside a supervised session sydd needs Landlock" in done.stderr


DEPUTY = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def attempts(where):
    done = []
    for name, act in (
        ("open", lambda: open("gap/new-" + where, "x").close()),
        ("mkdir", lambda: os.mkdir("gap/dir-" + where)),
        ("rename", lambda: os.rename("gap/old", "gap/moved-" + where)),
        ("symlink", lambda: os.symlink("x", "gap/link-" + where)),
        ("unlink", lambda: os.unlink("gap/victim")),
        ("write", lambda: open("gap/kept", "r+").close()),
    ):
        try:
            act()
            done.append(name)
        except OSError:
            pass
    print(where, *done, flush=True)

os.mkdir("gap")
for name in ("old", "victim", "kept"):
    open("gap/" + name, "w").close()
r, w = os.pipe()
if not os.fork():
    rules = libc.syscall(444, (0x7fff).to_bytes(8, "little"), ctypes.c_size_t(8), 0)
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.syscall(446, rules, 0) == 0
    attempts("confined")
    if not os.fork():
        attempts("child")
        if not os.fork():
            while os.getppid() != int(sys.argv[1]):
                pass
            attempts("orphan")
        os._exit(0)
    os._exit(0)
os.close(w)
os.read(r, 1)
attempts("free")
"""


@pytest.mark.parametrize("engine", ["hybrid", "landlock"])
def test_nobody_performs_what_a_domain_forbids(session: Session, engine: str) -> None:
    """Where the supervisor carries the policy out, a program's own domain holds, and for who descends."""
    profile = session.profile('rules = ["allow write ${cwd}/**", "deny write ${cwd}/**/never"]\n')
    # $PPID is the worker, which adopts the orphan.
    done = session.run(
        "sh", "-c", 'exec python3 -c "$0" "$PPID"', DEPUTY, profile=profile, options=("--engine", engine)
    )
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == [
        "child",
        "confined",
        "free open mkdir rename symlink unlink write",
        "orphan",
    ]


@pytest.mark.parametrize("engine", ["hybrid", "landlock"])
def test_launch_inside(session: Session, engine: str) -> None:
    """The inner policy narrows the outer one; status and descendants are as ever, and one line says so."""
    os.mkdir(f"{session.work}/sub")
    session.user.give(session.work)
    script = "touch in ../out; chmod 640 in; grep NoNewPrivs /proc/self/status; (touch z) & exit 3"
    inner = (*INNER, "build", "-C", "sub", *TO_OUTER, "--", "sh", "-c", script)
    done = session.run(*inner, options=("-q", "--engine", engine))
    assert done.returncode == 3, done.stderr
    assert "inside another session: profile build narrows it" in done.stderr
    assert sorted(os.listdir(f"{session.work}/sub")) == ["in", "z"]
    assert not os.path.exists(f"{session.work}/out")
    assert "cannot touch '../out': Permission denied" in done.stderr
    assert "NoNewPrivs:\t1" in done.stdout


@pytest.mark.parametrize("engine", ["hybrid", "landlock"])
def test_the_outer_policy_stays(session: Session, engine: str) -> None:
    """What the inner profile allows the outer one still denies: content, metadata, sockets."""
    profile = session.profile('rules = ["allow write /**", "allow net any"]\n')
    sending = "python3 -c 'import socket; socket.socket(socket.AF_PACKET)'"
    script = f"touch {session.home}/x; chmod 777 {session.home}; {sending}"
    inner = (*INNER, profile, "--", "sh", "-c", script)
    done = session.run(*inner, options=("-q", "--engine", engine))
    assert "narrows it" in done.stderr
    assert not os.path.exists(f"{session.home}/x")
    assert os.stat(session.home).st_mode & 0o777 != 0o777
    assert "PermissionError" in done.stderr


def test_launch_three_deep(session: Session) -> None:
    """Domains and filters stack."""
    once = (*INNER, "build", *TO_OUTER, "--")
    done = session.run(*once, *once, "sh", "-c", "echo in; touch /nowhere", options=("-q",))
    assert done.stdout == "in\n"
    assert done.stderr.count("narrows it") == 2


def test_the_inner_policy_takes_the_network(session: Session) -> None:
    """Without a supervisor of its own, the inner session's filter refuses sockets."""
    outer = session.profile('extends = "build"\nrules = ["allow net any"]\n')
    code = "import socket; socket.socketpair(); print('pair'); socket.socket()"
    done = session.run(*INNER, "build", *TO_OUTER, "--", "python3", "-c", code, profile=outer)
    assert done.stdout == "pair\n"
    assert "PermissionError" in done.stderr


def test_what_would_not_be_enforced(session: Session) -> None:
    """A profile that restricts metadata needs a supervisor: it does not run, and says how it would."""
    done = session.run(*INNER, "build", "--", "touch", "made", options=("-q",))
    assert done.returncode == 125
    assert "rules on attributes would not be enforced" in done.stderr
    assert "--rule 'allow attributes /**'" in done.stderr
    assert not os.path.exists(f"{session.work}/made")


def test_what_is_hidden_would_not_be(session: Session) -> None:
    """Looking up is not Landlock's."""
    rule = ("--rule", "hide stat ${home}/.profile")
    done = session.run(*INNER, "build", *TO_OUTER, *rule, "--", "true", options=("-q",))
    assert done.returncode == 125
    assert "rules on stat would not be enforced" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "hybrid"), "the hybrid engine needs a supervisor"),
        (("--engine", "supervisor"), "the supervisor engine needs a supervisor"),
        (("--mode", "audit"), "mode audit needs a supervisor"),
        (("--strict",), "--strict: denials inside a supervised session are not reported"),
        (("--events", "events"), "--events: denials inside a supervised session are not reported"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_what_needs_a_supervisor(session: Session, options: tuple[str, ...], said: str) -> None:
    """It is refused, not left out."""
    done = session.run(*INNER, "build", *TO_OUTER, *options, "--", "touch", "made", options=("-q",))
    assert done.returncode == 125
    assert said in done.stderr
    assert not os.path.exists(f"{session.work}/made")


def test_actions_without_a_supervisor(session: Session) -> None:
    """The kernel can only refuse, and what it refuses instead is named."""
    rules = ("--rule", "warn create ${cwd}/**", "--rule", "kill read /etc/hostname")
    script = "touch made; cat /etc/hostname; echo still"
    done = session.run(*INNER, "build", *TO_OUTER, *rules, "--", "sh", "-c", script, options=("-q",))
    assert "what rules say to kill or warn is denied" in done.stderr
    assert "/etc/hostname: Permission denied" in done.stderr
    assert done.stdout == "still\n"
    assert not os.path.exists(f"{session.work}/made")


def test_the_plan_inside(session: Session) -> None:
    """`--plan` tells which layers there are, with the engine's name."""
    done = session.run(*INNER, "build", *TO_OUTER, "--plan", options=("-q",))
    assert "mode enforce, engine nested" in done.stdout
    assert "layers: seccomp filter + Landlock" in done.stdout
    assert ": notify" not in done.stdout
