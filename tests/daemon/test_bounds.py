"""What a user may have, ending a session, and a machine that has nothing left: closed, and aloud."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter

import pytest

from sydd.daemon.access import hindrance
from sydd.daemon.ending import Members
from sydd.daemon.insiders import read_argv
from sydd.supervisor.procfs import memory_limit, parent_of
from tests.daemon.people import FIRST_UID, Person
from tests.support.daemon import Daemon, children, lasting, running, until, until_alone


def _marked(word: str) -> list[int]:
    """Processes that have *word* among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if word.encode() in file.read().split(b"\0"):
                        found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def test_kill_ends_every_process_also_who_lost_its_parent(daemon: Daemon, person: Person) -> None:
    """Processes in sessions and groups of their own, forked twice, that ignore all signals."""
    word = f"marked-{os.getpid()}"
    script = (
        "trap '' TERM HUP INT; "
        "setsid sh -c 'trap : TERM HUP; (sleep 1000; :) & (setsid sh -c \"sleep 1000; :\" $0 &) & wait' $0 & "
        "echo on; read line; wait"
    )
    process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", script, word], daemon.socket)
    with process, daemon.client() as client:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        until(lambda: len(_marked(word)) >= 5, "all are there")  # sydctl, its keeper, and three shells
        (session,) = client.list_sessions()
        assert client.kill_session(session["session"]) >= 3
        process.communicate(timeout=30)
        assert process.returncode == 137
        until(lambda: not client.list_sessions(), "the session has ended")
    assert _marked(word) == []


def test_a_launch_that_is_killed_takes_its_session_along(daemon: Daemon, person: Person) -> None:
    """Both of its processes at once: nobody is left who would end the command, but the daemon."""
    script = "echo on; while :; do touch here; sleep 0.1; done"
    process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", script], daemon.socket)
    with process, daemon.client() as client:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        (session,) = client.list_sessions()
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            children = [int(pid) for pid in file.read().split()]
        for pid in (process.pid, *children):
            os.kill(pid, 9)
        process.wait()
        until(lambda: not client.list_sessions(), "the session has ended")
        until(lambda: not os.path.exists(f"/proc/{session['pid']}"), "the command has ended")


LOST = "(setsid sleep $0 & setsid env -i sleep $0 &) ; echo on; exec sleep $0"
"""Leaves two processes without a parent, which make no call, one of them without an environment."""


def _sleeping(seconds: str) -> list[int]:
    """The processes that sleep so long."""
    return [pid for pid in _marked(seconds) if read_argv(pid) == ["sleep", seconds]]


def _kill_at_once(pids: list[int]) -> None:
    """Kill processes so that none sees another one's end, and does something about it."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        until(lambda pid=pid: _state_of(pid) == "T", "it has stopped")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _state_of(pid: int) -> str:
    """State of a process, as proc_pid_stat(5) has it."""
    with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_kill_ends_what_a_killed_launch_has_left(daemon: Daemon, person: Person) -> None:
    """Both of its processes killed at once: nobody is above its processes any more, and all are found."""
    seconds = str(100_000 + os.getpid())
    process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", LOST, seconds], daemon.socket)
    with process, daemon.client() as client:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        until(lambda: len(_sleeping(seconds)) == 3, "all are there")
        (session,) = client.list_sessions()
        _kill_at_once([process.pid, *children(process.pid)])
        process.wait()
        assert client.kill_session(session["session"]) == 3
        assert _sleeping(seconds) == []
        until(lambda: not client.list_sessions(), "the session has ended")


def test_who_has_lost_a_keeper_that_is_just_ending_is_found(daemon: Daemon, person: Person) -> None:
    """Before such a one has ended, its children are below it no more: they are found by their mark."""
    seconds = str(150_000 + os.getpid())
    process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", LOST, seconds], daemon.socket)
    with process, daemon.client() as client, subprocess.Popen(["sleep", "60"]) as nobody:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            until(lambda: len(_sleeping(seconds)) == 3, "all are there")
            (session,) = client.list_sessions()
            mark, there = memory_limit(session["pid"]), _sleeping(seconds)
            assert set(there) <= set(Members(nobody.pid, 0, person.uid, mark).find())
        finally:
            nobody.kill()
            for session in client.list_sessions():
                client.kill_session(session["session"])


def test_who_has_no_mark_ends_with_its_next_call(daemon: Daemon, person: Person) -> None:
    """It is not found: its mark is given up, its parents have ended. Its worker knows it when it calls."""
    word = f"unmarked-{os.getpid()}"
    script = (
        "ulimit -Sm unlimited; (setsid sh -c 'while sleep 0.05; do chmod 600 here; done' $0 &) ; "
        "touch here; echo on; exec sleep 1000"
    )
    process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", script, word], daemon.socket)
    with process, daemon.client() as client:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        (session,) = client.list_sessions()
        _kill_at_once([process.pid, *children(process.pid)])
        process.wait()
        until(lambda: len(_marked(word)) == 1, "the others have ended")
        client.kill_session(session["session"])
        until(lambda: not client.list_sessions(), "the session has ended")
    assert _marked(word) == []


def test_a_keeper_that_is_killed_takes_its_session_along(daemon: Daemon) -> None:
    """Its processes become the daemon's, which ends them, and says why the session ended."""
    seconds = str(200_000 + os.getpid())
    with daemon.client() as client, client.run("permissive", ["sh", "-c", LOST, seconds]) as run:
        until(lambda: len(_sleeping(seconds)) == 3, "all are there")
        (session,) = client.list_sessions()
        keeper = parent_of(session["pid"])
        assert keeper > 1
        os.kill(keeper, signal.SIGKILL)
        outcome = run.wait()
        assert outcome["failure"] == "the process that kept its command was killed"
        assert outcome["status"] != 0
        assert _sleeping(seconds) == []


def test_a_user_has_only_so_many_sessions(person: Person) -> None:
    """The next one is refused with the number, until one has ended."""
    with running(settings="[limits]\nsessions = 1\n") as daemon:
        process = person.sydctl(
            ["launch", "--daemon", "build", "--", "sh", "-c", "echo on; read line"], daemon.socket
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            second = person.launch(["--daemon", "build", "--", "true"], daemon.socket)
            assert second.returncode == 125
            assert second.stderr == "sydctl: too many sessions: at most 1\n"
            process.communicate("\n", timeout=30)
        with daemon.client() as client:
            until(lambda: not client.list_sessions(), "the session has ended")
        assert person.launch(["--daemon", "build", "--", "true"], daemon.socket).returncode == 0


BOUNDED = """
import os, sys
held = bytearray(32 << 20)
try:
    bytearray(96 << 20)
except MemoryError:
    print("MemoryError")
reader, writer = os.pipe()
children = 0
try:
    for children in range(64):
        if not os.fork():
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
except BlockingIOError:
    print(children <= 20)
os.close(writer)
print(sum(os.wait()[1] for _ in range(children)), flush=True)
os.read(reader, 1)
print(len(bytearray(32 << 20)))
"""


@pytest.mark.root  # which has users of the test's own
@pytest.mark.parametrize("words", [["launch", "--daemon"], ["run"]])
def test_limits_of_a_session_without_a_control_group(
    daemon: Daemon, person: Person, words: list[str]
) -> None:
    """What is within goes on; memory beyond what one process may have, and a fork beyond, fail."""
    assert "sessions have no control groups" in daemon.text()
    with open(f"{person.home}/bounded.toml", "w", encoding="ascii") as file:
        file.write('extends = "build"\n[limits]\nmemory = "96M"\nprocesses = 20\n')
    process = person.sydctl([*words, "./bounded.toml", "--", sys.executable, "-c", BOUNDED], daemon.socket)
    out, err = process.communicate(timeout=50)
    assert out == f"MemoryError\nTrue\n0\n{32 << 20}\n", err
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("nofile", 16, "Too many open files"),
        pytest.param("nproc", 0, "Resource temporarily unavailable", marks=pytest.mark.root),
    ],
)
def test_a_machine_that_has_nothing_left(person: Person, limit: str, value: int, said: str) -> None:
    """No descriptors, no processes: a session is refused with the reason, and begins when there are some."""
    with running(identity=person.identity()) as daemon:

        def set_limit(number: int) -> None:
            for pid in (daemon.pid, *children(daemon.pid)):
                process = person.start(["prlimit", f"--pid={pid}", f"--{limit}={number}:"], daemon.socket)
                _, err = process.communicate(timeout=30)
                assert process.returncode == 0, err

        set_limit(value)
        done = person.launch(["--daemon", "build", "--", "true"], daemon.socket)
        assert done.returncode == 125
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        set_limit(1000)
        assert person.launch(["--daemon", "build", "--", "true"], daemon.socket).returncode == 0
        assert "Traceback" not in daemon.text()


RUN = """
import os, sys
from sydd.client import Client, ControlError, UnavailableError
null = os.open(os.devnull, os.O_RDWR)
with Client(sys.argv[1]) as client:
    try:
        with client.run("build", ["sh", "-c", sys.argv[2]], descriptors=[null] * 3) as session:
            outcome = session.wait()
    except (ControlError, UnavailableError) as error:
        sys.exit(f"refused: {error}")
sys.exit(f"refused: {outcome['failure']}" if outcome["failure"] else outcome["status"])
"""


def address_space(pid: int) -> int:
    """Bytes that a process has mapped."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("limit", "numbers"),
    [
        ("nofile", range(12, 60, 4)),
        ("as", range(-64, 320, 32)),
        pytest.param("nproc", range(10), marks=pytest.mark.root),
    ],
)
def test_wherever_there_is_nothing_left(limit: str, numbers: range) -> None:
    """A session does what it is to do, or is refused in a line, however far it gets; nothing stays amiss.

    All of the daemon's processes have so many descriptors or processes, or so many KiB beyond what is mapped.
    """
    person = Person(FIRST_UID + 7, tempfile.mkdtemp(prefix="person-"))  # whose processes nobody else has
    os.chmod(person.home, 0o777)
    script = "touch /etc/never; echo here >here && test -s here && exit 7"
    with running(identity=person.identity()) as daemon:
        until_alone(daemon)
        before = lasting(daemon)

        def set_limit(value: str) -> None:
            for pid in (daemon.pid, *children(daemon.pid)):
                process = person.start(["prlimit", f"--pid={pid}", f"--{limit}={value}:"], daemon.socket)
                _, err = process.communicate(timeout=30)
                assert process.returncode == 0 or "No such process" in err, err

        size = address_space(daemon.pid)
        for number in numbers:
            set_limit(str(size + (number << 10) if limit == "as" else number))
            launched = person.launch(["--daemon", "build", "--", "sh", "-c", script], daemon.socket)
            assert launched.returncode in (7, 125), (number, launched.stderr)
            assert launched.returncode == 7 or "sydctl: " in launched.stderr.splitlines()[-1]
            assert "mistake" not in launched.stderr
            command = [sys.executable, "-c", RUN, daemon.socket, script]
            process = person.start(command, daemon.socket)
            _, err = process.communicate(timeout=50)
            assert process.returncode == 7 or err.startswith("refused: "), (number, err)
            assert "mistake" not in err
        set_limit("1000" if limit != "as" else "unlimited")
        assert person.launch(["--daemon", "build", "--", "sh", "-c", script], daemon.socket).returncode == 7
        with daemon.client() as client:
            until(lambda: client.list_sessions() == [], "no session is left")
        # What waits for the next launch; and for the next command, where it was not too little for that.
        waiting = [before + Counter({"socket:[N]": number}) for number in (2, 2 + 3)]
        until(lambda: lasting(daemon) in waiting, "no descriptor is left")
        before = lasting(daemon)
        assert person.launch(["--daemon", "build", "--", "sh", "-c", script], daemon.socket).returncode == 7
        until(lambda: lasting(daemon) == before, "no descriptor is left")
        assert before["anon_inode:seccomp notify"] == 0
        assert "Traceback" not in daemon.text()
    shutil.rmtree(person.home)


IN_FLIGHT = """
import os, resource, socket, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
file, pairs, count = os.open("/dev/null", os.O_RDONLY), [], 0
while count < int(sys.argv[1]):
    pairs.append(socket.socketpair())
    for _ in range(5):
        socket.send_fds(pairs[-1][0], [b"x"], [file] * 250)
        count += 250
print("on", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", [["launch", "--daemon"], ["launch", "--embedded"], ["run"]])
def test_descriptors_under_way_are_counted_by_user(daemon: Daemon, person: Person, words: list[str]) -> None:
    """With more of them than RLIMIT_NOFILE a user begins no sessions, and is told why; others do."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = ["prlimit", "--nofile=256:", sys.executable, "-m", "sydctl", *words, "build", "--", "true"]
    with person.start([sys.executable, "-c", IN_FLIGHT, "500"], daemon.socket) as flood:
        assert flood.stdout is not None
        assert flood.stdin is not None
        assert most > 1000
        assert flood.stdout.readline() == "on\n"
        process = person.start(here, daemon.socket)
        _, err = process.communicate(timeout=50)
        flood.stdin.close()
    assert process.returncode == 125
    assert "too many descriptors of this user are on their way through sockets (ETOOMANYREFS)" in err
    process = person.start(here, daemon.socket)
    assert process.communicate(timeout=50)[1] == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("uid", "origin", "scope", "says"),
    [
        (0, "launch", 2, ""),
        (1000, "launch", 0, ""),
        (1000, "run", 1, ""),
        (1000, "launch", 1, "itself"),
        (1000, "run", 2, "nothing"),
    ],
)
def test_what_yama_leaves_a_users_own_daemon(uid: int, origin: str, scope: int, says: str) -> None:
    """What it could not read it does not begin; Yama itself is on few test machines."""
    why = hindrance(uid, origin, scope)
    assert says in why
    assert (f"ptrace_scope is {scope}" in why) == bool(says)


def test_a_log_that_cannot_be_written_holds_up_nothing(person: Person) -> None:
    """A full disk below the log."""
    with running(log="/dev/full") as daemon:
        done = person.launch(
            ["--daemon", "build", "--", "sh", "-c", "touch /etc/never; exit 3"], daemon.socket
        )
        assert (done.returncode, "1 access denied" in done.stderr) == (3, True), done.stderr
        with daemon.client() as client:
            assert client.info()["pid"] == daemon.pid


def test_garbage_of_a_caller_is_its_own(daemon: Daemon, person: Person) -> None:
    """A listener that is none, a process that is somebody else's."""
    script = """
import os, sys
from sydd.client import BadArgument, Client, NoSuchSession
with Client(sys.argv[1]) as client:
    created = client.create_session("build", ["true"])
    os.close(created["launch"])
    for session, pid in ((created["session"], os.getpid()), ("00000000", os.getpid())):
        try:
            client.attach(session, 0, pid)
        except (BadArgument, NoSuchSession) as error:
            print(error)
"""
    process = person.start([sys.executable, "-c", script, daemon.socket], daemon.socket)
    out, err = process.communicate(timeout=50)
    assert out.splitlines() == ["listener: not a seccomp listener", "no session '00000000'"], err
