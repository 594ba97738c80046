"""Workers and the main process end in the middle of a build: it goes on, or fails aloud."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sydd.client import Client, NotRunningError
from sydd.daemon.supervised import BRIEF, RESTARTS
from sydd.supervisor.procfs import parent_of
from tests.control.raw import Raw
from tests.daemon.people import Person
from tests.support.daemon import Daemon, FakeManager, children, forks, kinds_of_descriptors, running, until

# Waits for lines of its caller's, so that a test can have something happen in between.
SCRIPT = """
touch /etc/first; echo one; read line
touch /etc/second; cat /etc/hostname > copy; echo two; read line
touch /etc/third; test -s copy && echo three
"""


def _worker(client: Client) -> int:
    (session,) = client.list_sessions()
    return session["worker"]


def _events(person: Person) -> list[dict[str, object]]:
    with open(f"{person.home}/events", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_a_worker_that_is_killed_is_replaced(daemon: Daemon, person: Person) -> None:
    """The build does not notice; each denial is told once, also those before; the replacement is told."""
    process = person.sydctl(
        ["launch", "--daemon", "--events", "events", "build", "--", "sh", "-c", SCRIPT], daemon.socket
    )
    with process, daemon.client() as client:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in ("one", "two"):
            assert process.stdout.readline() == word + "\n"
            (session,) = client.list_sessions()
            first = session["worker"]
            os.kill(first, signal.SIGKILL)
            until(lambda gone=first: _worker(client) not in (0, gone), "there is another worker")
            process.stdin.write("\n")
            process.stdin.flush()
        out, err = process.communicate(timeout=30)
        notices = list(client.subscribe(session["session"], position=0, follow=False))
    assert (process.returncode, out) == (0, "three\n"), err
    assert "3 accesses denied" in err
    assert [event["path"] for event in _events(person)] == ["/etc/first", "/etc/second", "/etc/third"]
    assert [notice["kind"] for notice in notices].count("restarted") == 2


CALLS = "while read line; do touch /etc/never; echo done; done"


@pytest.mark.slow
def test_who_asks_while_a_worker_is_replaced_is_answered(daemon: Daemon, person: Person) -> None:
    """By the next one, whenever it is asked: while the dead one ends, too."""
    process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", CALLS], daemon.socket)
    with process, daemon.client() as client:
        assert process.stdin is not None
        assert process.stdout is not None
        for count in range(12):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            (session,) = client.list_sessions()
            os.kill(session["worker"], signal.SIGKILL)
            client.add_rules(session["session"], [f"deny read /etc/{count}"])
        rules = client.list_rules(session["session"])["runtime"]
        process.communicate(timeout=30)
    assert [rule["rule"] for rule in rules] == [f"deny read /etc/{count}" for count in range(12)]


def test_workers_that_die_again_and_again_end_the_session(daemon: Daemon, person: Person) -> None:
    """Closed, aloud, and the daemon lives."""
    process = person.sydctl(
        ["launch", "--daemon", "build", "--", "sh", "-c", "echo on; while :; do :; done"], daemon.socket
    )
    with process, daemon.client() as client:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        before = 0
        while True:
            sessions = client.list_sessions()
            if not sessions:
                break
            worker = sessions[0]["worker"]
            if worker and worker != before:
                before = worker
                os.kill(worker, signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 125
        assert "the supervision failed: its worker died 6 times without having answered a call" in err
        ended = client.list_sessions(ended=True)[-1]
        assert (ended["state"], ended["status"] != 0, ended["restarts"] > 0) == ("ended", True, True)
        assert client.health()["sessions"] == 0


def test_workers_that_are_killed_while_nobody_calls(daemon: Daemon, person: Person) -> None:
    """However often, and though they answer nothing: each served, and the next one does."""
    process = person.sydctl(
        ["launch", "--daemon", "build", "--", "sh", "-c", "echo on; read x; echo >file"], daemon.socket
    )
    with process, daemon.client() as client:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        (name,) = (session["session"] for session in client.list_sessions())
        for number in range(RESTARTS + 2):
            end = time.monotonic() + 2 * BRIEF
            until(lambda end=end: client.check(name, "read", "/") and time.monotonic() > end, "it has served")
            os.kill(_worker(client), signal.SIGKILL)
            until(
                lambda number=number: client.list_sessions()[0]["restarts"] > number, "there is another one"
            )
        out, err = process.communicate("\n", timeout=30)
        assert (process.returncode, out) == (0, ""), err


def test_a_zygote_that_is_killed_is_replaced(daemon: Daemon, person: Person) -> None:
    """Sessions go on, and there is another one for the next."""
    with daemon.client() as client:
        process = person.sydctl(
            ["launch", "--daemon", "build", "--", "sh", "-c", "echo on; read x; cat x"], daemon.socket
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            (session,) = client.list_sessions()
            zygote = parent_of(session["worker"])
            assert parent_of(zygote) == daemon.pid
            os.kill(zygote, signal.SIGKILL)
            assert person.launch(["--daemon", "build", "--", "true"], daemon.socket).returncode == 0
            process.communicate("\n", timeout=30)
            assert process.returncode == 1
        with client.run("permissive", ["true"]) as run:
            assert run.wait()["status"] == 0


def test_a_zygote_collects_by_itself(daemon: Daemon) -> None:
    """The kernel would give the number of a process away before there is a pidfd of it."""
    with daemon.client() as client:
        with client.run("permissive", ["true"]) as run:
            assert run.wait()["status"] == 0
        # What the session's processes leave is main's to collect.
        until(lambda: len(children(daemon.pid)) == 1, "all but the zygote are gone")
        (zygote,) = children(daemon.pid)
        until(lambda: not forks(daemon), "whoever has ended is collected")
    status = Path(f"/proc/{zygote}/status").read_text("ascii").splitlines()
    (ignored,) = (int(line.split()[1], 16) for line in status if line.startswith("SigIgn:"))
    assert not ignored >> signal.SIGCHLD - 1 & 1


@pytest.mark.root
@pytest.mark.slow
def test_zygotes_that_are_killed_all_the_time(daemon: Daemon, person: Person) -> None:
    """Each command runs once, or nothing of it is there and that is said; nothing is left."""
    script = (
        "import os, sys\n"
        "from sydd.client import Client, Failed\n"
        "for number in range(40):\n"
        "    try:\n"
        "        with Client(sys.argv[1]) as client:\n"
        "            with client.run('build', ['sh', '-c', f'echo x >> {number}; exit 3']) as run:\n"
        "                outcome = run.wait()\n"
        "                print(number, outcome['status'], outcome['failure'], flush=True)\n"
        "    except Failed as error:\n"
        "        print(number, 'failed', error.reason, flush=True)\n"
    )
    process = person.start([sys.executable, "-c", script, daemon.socket], daemon.socket)
    with process:
        while process.poll() is None:
            for pid in children(daemon.pid):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if os.stat(f"/proc/{pid}").st_uid == 0:  # workers that have lost theirs are the person's
                        os.kill(pid, signal.SIGKILL)
            time.sleep(random.uniform(0, 0.05))  # noqa: S311
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    said = dict(line.split(" ", 1) for line in out.splitlines())
    assert len(said) == 40
    for number, what in said.items():
        path = f"{person.home}/{number}"
        text = Path(path).read_text("ascii") if os.path.exists(path) else ""
        assert text == ("x\n" if what == "3 " else ""), (number, what)
    with daemon.client() as client:
        until(lambda: client.health()["sessions"] == 0, "no session is left")


def test_a_daemon_that_is_killed_gets_its_sessions_back(manager: FakeManager, person: Person) -> None:
    """From the service manager: the build goes on and is told of what happened, each event once."""
    with running(manager=manager) as daemon:
        process = person.sydctl(
            ["launch", "--daemon", "--events", "events", "build", "--", "sh", "-c", SCRIPT], daemon.socket
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            for word in ("one", "two"):
                assert process.stdout.readline() == word + "\n"
                with daemon.client() as client:
                    before = client.list_sessions()[0]
                daemon.kill()
                if word == "one":
                    # The worker goes on without a daemon.
                    process.stdin.write("\n")
                    process.stdin.flush()
                    until(lambda: os.path.exists(f"{person.home}/copy"), "the build goes on meanwhile")
                daemon.start()
                with daemon.client() as client:
                    after = client.list_sessions()[0]
                assert (before["session"], before["pid"]) == (after["session"], after["pid"])
                assert after["worker"] == before["worker"]
            process.stdin.write("\n")
            process.stdin.flush()
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "three\n"), err
        assert "3 accesses denied" in err
        assert [event["path"] for event in _events(person)] == ["/etc/first", "/etc/second", "/etc/third"]
        with daemon.client() as client:
            until(lambda: not client.list_sessions(), "the session has ended")
        until(lambda: manager.names() == {"tape.0", "tape.1"}, "nothing of it is kept")


def test_a_daemon_and_a_worker_that_are_killed_at_once(manager: FakeManager, person: Person) -> None:
    """The next daemon finds that the worker has gone, and puts another one in its place."""
    with running(manager=manager) as daemon:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            with daemon.client() as client:
                worker = _worker(client)
            daemon.kill()
            os.kill(worker, signal.SIGKILL)
            process.stdin.write("\n\n")  # nobody answers the call that comes of it, for now
            process.stdin.flush()
            daemon.start()
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "two\nthree\n"), err
        assert "3 accesses denied" in err


def test_a_rule_that_the_daemon_died_over_was_not_added(manager: FakeManager, person: Person) -> None:
    """What nobody was told of is not in force; and the next daemon takes no answer that was not for it."""
    with running(manager=manager) as daemon:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process, daemon.client() as client, Raw(daemon.socket) as raw:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            (session,) = client.list_sessions()
            name = session["session"]
            os.kill(session["worker"], signal.SIGSTOP)
            raw.call("org.sydd.AddRules", {"session": name, "rules": ["deny read /etc/hostname"]})
            for _ in range(3):
                client.info()  # the second one begins after that one, whatever is cheaper
            daemon.kill()
            daemon.start()
            with ThreadPoolExecutor(1) as thread:
                asked = thread.submit(client.check, name, "read", "/etc/hostname")
                with daemon.client() as other:
                    for _ in range(3):
                        other.info()  # likewise
                os.kill(session["worker"], signal.SIGCONT)
                (verdict,) = asked.result()
            assert verdict["action"] == "allow"
            assert client.list_rules(name)["runtime"] == []
            out, err = process.communicate("\n\n", timeout=30)
        assert (process.returncode, out) == (0, "two\nthree\n"), err


READS = "echo on; while read line; do cat f 2>/dev/null || echo denied; done"


def test_a_change_whose_asker_hangs_up_does_not_count(daemon: Daemon, person: Person) -> None:
    """What nobody was told of is in no list, and not in force: rules that come or go, and the mode."""
    with open(f"{person.home}/f", "w", encoding="ascii") as file:
        file.write("data\n")
    os.chmod(f"{person.home}/f", 0o644)
    command = ["launch", "--daemon", "--engine", "supervisor", "build", "--", "sh", "-c", READS]
    rule = f"deny read {person.home}/f"
    with person.sydctl(command, daemon.socket) as process, daemon.client() as client:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        (session,) = client.list_sessions()
        name = session["session"]

        def hang_up(method: str, **values: object) -> None:
            os.kill(session["worker"], signal.SIGSTOP)
            with Raw(daemon.socket) as raw:
                raw.call(f"org.sydd.{method}", {"session": name, **values})
                for _ in range(3):
                    client.info()  # the second one begins after that one, whatever is cheaper
            for _ in range(3):
                client.info()  # likewise
            os.kill(session["worker"], signal.SIGCONT)
            client.check(name, "read", "/")  # after what it was asked before

        def reads() -> str:
            print(file=process.stdin, flush=True)
            return process.stdout.readline() if process.stdout is not None else ""

        hang_up("AddRules", rules=[rule])
        assert client.list_rules(name)["runtime"] == []
        assert reads() == "data\n"
        client.add_rules(name, [rule])
        hang_up("RemoveRules", rules=[rule])
        assert len(client.list_rules(name)["runtime"]) == 1
        assert reads() == "denied\n"
        hang_up("SetMode", mode="audit")
        assert client.list_sessions()[0]["mode"] == "enforce"
        assert reads() == "denied\n"
        process.communicate(timeout=30)


def test_an_orderly_stop_leaves_sessions_to_the_next_daemon(manager: FakeManager, person: Person) -> None:
    """As `systemctl restart` does."""
    with running(manager=manager) as daemon:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            assert daemon.stop() == 0
            daemon.start()
            out, err = process.communicate("\n\n", timeout=30)
        assert (process.returncode, out) == (0, "two\nthree\n"), err


def test_an_orderly_stop_ends_sessions_that_nobody_would_have(person: Person) -> None:
    """Without a service manager that keeps them."""
    with running() as daemon:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            assert daemon.stop() == 0
            _, err = process.communicate(timeout=60)
        assert process.returncode == 125
        assert "the supervision failed: the daemon was stopped" in err


def test_without_a_service_manager_workers_outlive_the_daemon(person: Person) -> None:
    """The build ends as it would; what was denied meanwhile is not known, and that is said."""
    with running() as daemon:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            daemon.kill()
            with pytest.raises(NotRunningError), daemon.client() as client:
                client.info()
            out, err = process.communicate("\n\n", timeout=60)
        assert (process.returncode, out) == (0, "two\nthree\n"), err
        assert "what was denied is not known: the daemon went away" in err
        assert not os.path.exists("/etc/third")


def test_a_daemon_started_anew_without_sessions_says_so(person: Person) -> None:
    """What the earlier one supervised is unknown to it."""
    with running() as daemon:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            daemon.kill()
            daemon.start()
            out, err = process.communicate("\n\n", timeout=60)
        assert (process.returncode, out) == (0, "two\nthree\n"), err
        assert "the daemon was started anew and does not know the session any more" in err
        assert kinds_of_descriptors(daemon.pid)["anon_inode:seccomp notify"] == 0


@pytest.mark.slow
def test_questions_outlive_the_daemon(manager: FakeManager, person: Person) -> None:
    """Who asked waits on; the next daemon knows the question by the same name, and its answer counts."""
    home = os.path.realpath(person.home)
    with open(f"{home}/p.toml", "w", encoding="utf-8") as file:
        file.write(f'extends = "build"\nrules = ["ask read {home}/secret"]\n')
    with open(f"{home}/secret", "w", encoding="utf-8") as file:
        file.write("the secret\n")
    with running(manager=manager) as daemon, daemon.client() as client:
        process = person.sydctl(["launch", "--daemon", "./p.toml", "--", "cat", "secret"], daemon.socket)
        with process:
            until(lambda: list(client.questions(follow=False)), "it asks")
            (before,) = client.questions(follow=False)
            daemon.kill()
            daemon.start()
            until(lambda: list(client.questions(follow=False)), "it asks again")
            (after,) = client.questions(follow=False)
            assert (after["question"], after["event"]) == (before["question"], before["event"])
            assert after["expires"] <= before["expires"] + 1
            client.decide(after["question"], allow=True)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "the secret\n"), err
        assert list(client.questions(follow=False)) == []


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_who_waits_for_a_command_of_the_daemons_waits_on(
    manager: FakeManager, person: Person, end: str
) -> None:
    """`sydctl run`, and a client that asks for the end."""
    with running(manager=manager) as daemon:
        process = person.sydctl(["run", "build", "--", "sh", "-c", f"{SCRIPT}exit 3"], daemon.socket)
        with process, daemon.client() as client:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            (session,) = client.list_sessions()
            outcomes: list[int] = []
            waiter = threading.Thread(
                target=lambda: outcomes.append(client.wait(session["session"])["status"])
            )
            waiter.start()
            getattr(daemon, end)()
            daemon.start()
            out, err = process.communicate("\n\n", timeout=30)
            waiter.join(30)
        assert (process.returncode, out, outcomes) == (3, "two\nthree\n", [3]), err
        assert "3 accesses denied" in err


@pytest.mark.slow
def test_a_daemon_that_is_killed_while_a_command_is_attached(manager: FakeManager, person: Person) -> None:
    """The next one says again what the worker may not have heard; who heard it twice serves once."""
    with running(manager=manager) as daemon:
        for _ in range(10):
            with _launch_whose_worker_is_stopped(daemon, person) as (process, worker):
                assert process.stdout is not None
                early, _, _ = select.select([process.stdout], [], [], 0)
                if early:
                    continue  # the command was attached before
                daemon.kill()
                daemon.start()
                os.kill(worker, signal.SIGCONT)
                out, err = process.communicate("\n\n", timeout=30)
                assert (process.returncode, out) == (0, "one\ntwo\nthree\n"), err
                assert "3 accesses denied" in err
                with daemon.client() as client:
                    until(lambda: not client.list_sessions(), "it has ended")
                    assert client.list_sessions(ended=True)[-1]["restarts"] == 0
                return
        pytest.fail("no worker could be stopped in time")


@contextlib.contextmanager
def _launch_whose_worker_is_stopped(
    daemon: Daemon, person: Person
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A launch whose listener main has, and the worker not yet; where that was too late, it has begun."""
    with daemon.client() as client:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        while not (found := [one for one in client.list_sessions() if one["worker"]]):
            assert process.poll() is None
        worker = found[0]["worker"]
        os.kill(worker, signal.SIGSTOP)
        try:
            until(lambda: client.list_sessions()[0]["state"] == "running", "it is attached")
            yield process, worker
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
            if process.poll() is None:
                process.communicate("\n\n", timeout=30)
        until(lambda: not client.list_sessions(), "it has ended")
