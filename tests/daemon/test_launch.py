"""`sydctl launch` through the daemon: the same to whoever uses it as without one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.daemon.people import Person
from tests.support.daemon import Daemon, forks, lasting, running, until, until_alone

SCRIPT = "echo out; echo err >&2; touch /etc/never; cat /etc/hostname >/dev/null; touch /etc/never; exit 3"

AHEAD = Counter({"socket:[N]": 2})
"""What main has of a worker and a preparer that wait for the next launch."""


def test_it_runs_and_ends_as_embedded(daemon: Daemon, person: Person) -> None:
    """Output, exit status and the block at the end are the same, but for pids."""
    through = person.launch(["--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
    without = person.launch(["--embedded", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
    assert (through.returncode, through.stdout) == (without.returncode, without.stdout) == (3, "out\n")
    assert re.sub(r"\[\d+\]", "[N]", through.stderr) == re.sub(r"\[\d+\]", "[N]", without.stderr)
    assert "2 accesses denied under profile build" in through.stderr
    records = [json.loads(line) for line in daemon.text().splitlines()]
    told = {record["kind"]: record for record in records if "kind" in record}
    assert isinstance(told["started"]["pid"], int)  # numbers are numbers in the log
    assert told["ended"]["status"] == 3
    assert not [name for name in os.listdir(person.home) if name.startswith("sydd-")]


def test_verbose_says_which_it_was(daemon: Daemon, person: Person) -> None:
    """And without a daemon that, too."""
    through = person.launch(["-v", "build", "--", "true"], daemon.socket)
    assert f"of the daemon at {daemon.socket}" in through.stderr
    without = person.launch(["-v", "--embedded", "build", "--", "true"], daemon.socket)
    assert "daemon" not in without.stderr
    assert "engine hybrid" in through.stderr
    assert "engine hybrid" in without.stderr


def test_a_daemon_that_is_named_has_to_be_there(person: Person) -> None:
    """It is not done without in silence."""
    done = person.launch(["build", "--", "true"], "/nonexistent/sydd.sock")
    assert done.returncode == 125
    assert done.stderr == (
        "sydctl: cannot reach sydd at /nonexistent/sydd.sock: No such file or directory"
        " (root starts it by 'systemctl start sydd.socket', a user the own one by 'sydd')\n"
    )


def test_events_are_written_as_embedded(daemon: Daemon, person: Person) -> None:
    """Each event once, with the fields that there are without a daemon, and how often it came again."""
    done = person.launch(
        ["--daemon", "--events", "events.jsonl", "--strict", "build", "--", "sh", "-c", SCRIPT[:-1] + "0"],
        daemon.socket,
    )
    assert done.returncode == 1, done.stderr
    with open(f"{person.home}/events.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["type"] for line in lines] == ["event", "repeated"]
    assert (lines[0]["path"], lines[0]["errno"], lines[0]["sequence"]) == ("/etc/never", "EACCES", 1)
    assert (lines[1]["sequence"], lines[1]["count"]) == (1, 2)
    assert lines[0]["process"]["command"] == "touch"
    assert [parent["command"] for parent in lines[0]["process"]["parents"]] == ["sh"]


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_statuses(daemon: Daemon, person: Person, script: str, status: int) -> None:
    """The command's own, and 128 + N for signals."""
    assert person.launch(["--daemon", "build", "--", "sh", "-c", script], daemon.socket).returncode == status


def test_a_wrong_profile_is_one_line_with_its_place(daemon: Daemon, person: Person) -> None:
    """Read as the user: a profile that others must not read can be used."""
    path = f"{person.home}/own.toml"
    with open(path, "w", encoding="utf-8") as file:
        file.write('rules = ["alow read /**"]\n')
    os.chmod(path, 0o600)
    os.chown(path, person.uid, -1)
    done = person.launch(["--daemon", path, "--", "true"], daemon.socket)
    assert done.returncode == 125
    assert done.stderr.startswith(f"sydctl: {path}:1:11: unknown action 'alow'")
    assert done.stderr.count("\n") == 1


def test_a_profile_that_is_not_there(daemon: Daemon, person: Person) -> None:
    """One line, and nothing is left in the daemon."""
    done = person.launch(["--daemon", "biuld", "--", "true"], daemon.socket)
    assert done.returncode == 125
    assert "no profile 'biuld'" in done.stderr
    assert done.stderr.count("\n") == 1
    with daemon.client() as client:
        until(lambda: not client.list_sessions(), "no session is left")


def test_signals_reach_the_command(daemon: Daemon, person: Person) -> None:
    """Who is told to end passes it on, and ends with the command's status."""
    script = "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", script], daemon.socket)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (5, "got\n")


def test_nothing_of_a_session_stays_in_the_daemon(person: Person) -> None:
    """Descriptors, processes, the private directory."""
    with running() as daemon:
        until_alone(daemon)
        before = lasting(daemon)
        for _ in range(3):
            done = person.launch(["--daemon", "build", "--", "sh", "-c", "test -d $TMPDIR"], daemon.socket)
            assert done.returncode == 0
        with daemon.client() as client:
            until(lambda: not client.list_sessions(), "the sessions have ended")
        before += AHEAD
        until(lambda: lasting(daemon) == before, "the daemon has the descriptors it had")
        until(lambda: forks(daemon) == [], "no process is left but those that wait for the next session")
    assert not [name for name in os.listdir(person.home) if name.startswith("sydd-")]


def test_a_session_that_nobody_attaches_to_ends_with_its_creator(daemon: Daemon, person: Person) -> None:
    """Whoever asked for it has gone: nobody will attach."""
    answer = person.call(daemon.socket, ("create_session", ["build", ["true"]]))[0]
    assert len(answer["session"]) == 8
    with daemon.client() as client:
        until(lambda: not client.list_sessions(), "the session has ended")


def test_what_a_launch_imports() -> None:
    """Each start pays for it; with the daemon this process knows no policy."""
    code = (
        "import sys, sydctl.launch, sydctl.remote, sydctl.attended\n"
        "import sydd.session.keeper, sydd.supervisor.journal\n"
        "from sydctl.main import build_parser\n"
        "build_parser('launch')\n"
        "slow = {'dataclasses', 'inspect', 'shutil', 'pydantic', 'tempfile', 'asyncio', 'typing', 'locale'}\n"
        "slow |= {'sydd.policy.rule', 'sydd.session.privatenet', 'sydd.kernel.landlock'}\n"
        "print(*sorted(slow & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"
