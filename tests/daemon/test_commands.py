"""The commands about sessions, before a real daemon and real sessions."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sydd.client import Client, NoSuchSession
from tests.daemon.people import Person
from tests.support.daemon import Daemon, until

ROOT = Path(__file__).resolve().parents[2]

PROFILE = """
extends = "build"
rules = ["ask read ${home}/secret"]
[limits]
runtime = ["allow write ${home}/extra/**", "allow read ${home}/secret"]
"""


class Shell:
    """sydctl of one person at one daemon."""

    def __init__(self, person: Person, daemon: Daemon) -> None:
        self.person = person
        self.socket = daemon.socket

    def __call__(self, *words: str, status: int = 0) -> str:
        """Run it to its end, which has this exit status; what it printed."""
        process = self.person.sydctl(words, self.socket)
        out, err = process.communicate(timeout=50)
        assert process.returncode == status, (out, err)
        return out + err if status else out

    def json(self, *words: str, status: int = 0) -> Any:
        """What it prints as JSON."""
        return json.loads(self(*words, "--json", status=status))


@pytest.fixture
def shell(daemon: Daemon, person: Person) -> Shell:
    """Of somebody without privileges, who has a profile that asks and may be extended."""
    with open(f"{person.home}/p.toml", "w", encoding="utf-8") as file:
        file.write(PROFILE)
    Path(person.home, "secret").write_text("the secret\n", encoding="utf-8")
    for name in ("work", "extra"):
        os.mkdir(f"{person.home}/{name}")
        os.chmod(f"{person.home}/{name}", 0o777)
    return Shell(person, daemon)


@contextmanager
def session(shell: Shell, script: str) -> Iterator[str]:
    """A session with a shell script, until the end of the `with`."""
    name = shell(
        "run",
        "-C",
        f"{shell.person.home}/work",
        "./p.toml",
        "--label",
        "test",
        "--detach",
        "--",
        "sh",
        "-c",
        script,
    ).strip()
    yield name
    if name in [item["session"] for item in shell.json("ps")]:
        shell("kill", "-q", name)
    with Client(shell.socket) as client:
        client.wait(name)


def test_run(shell: Shell) -> None:
    """Streams, status, signals and the block at the end are those of `launch`."""
    out = shell("run", "build", "--", "sh", "-c", "id -u; echo err >&2; touch /etc/never; exit 3", status=3)
    assert out.startswith(f"{shell.person.uid}\nerr\n")
    assert "sydd: 1 access denied under profile build" in out
    assert "to allow it: allow create,modify /etc/never" in out
    assert shell("run", "-q", "build", "--", "sh", "-c", "kill -TERM $$", status=143) == ""
    assert "No such file" in shell("run", "build", "--", "/nowhere/command", status=127)
    assert "no profile 'nix'" in shell("run", "nix", "--", "true", status=125)
    script = "touch /etc/never 2>/dev/null || :"
    assert shell("run", "--strict", "-q", "build", "--", "sh", "-c", script, status=1) == ""


def test_the_umask_is_the_callers(shell: Shell) -> None:
    """Not the daemon's, nor that of whoever ran something before."""
    before = os.umask(0o27)
    try:
        told = shell("run", "-q", "build", "--", "sh", "-c", "umask")
    finally:
        os.umask(before)
    assert told == "0027\n"


def test_signals_are_passed_on(shell: Shell) -> None:
    """To every process of the session."""
    script = "trap 'echo got; exit 7' TERM; (echo ready; exec sleep 60) & wait"
    process = shell.person.sydctl(["run", "-q", "build", "--", "sh", "-c", script], shell.socket)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "got\n"
    assert process.returncode == 7


def test_a_signal_by_which_a_parent_ends(shell: Shell) -> None:
    """Its children get it all the same: who is in the session is settled before the first one gets it."""
    sleeping = "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i + 1)); done"
    script = f"trap 'exit 7' TERM; {sleeping}; echo ready; while :; do wait; done"
    process = shell.person.sydctl(["run", "-q", "build", "--", "sh", "-c", script], shell.socket)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)  # which ends with the last process of the session
    assert process.returncode == 7


def test_two_signals_at_once_are_passed_on(shell: Shell) -> None:
    """The second comes while the first is on its way."""
    script = "trap : TERM HUP; echo ready; while read line; do :; done; exit 7"
    process = shell.person.sydctl(["run", "-q", "build", "--", "sh", "-c", script], shell.socket)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
    process.communicate("", timeout=30)
    assert process.returncode == 7


def test_looking(shell: Shell) -> None:
    """ps, inspect, log and status tell one and the same."""
    with session(shell, "touch /etc/never; exec sleep 60") as name:
        until(lambda: shell.json("ps")[0]["denied"] == 1, "the denial is told")
        (entry,) = shell.json("ps")
        assert (entry["session"], entry["label"], entry["state"], entry["uid"]) == (
            name,
            "test",
            "running",
            shell.person.uid,
        )
        assert "test: sh -c" in shell("ps")
        about = shell.json("inspect", name)
        assert about["session"]["profile"] == "p"
        assert [process["argv"] for process in about["processes"]] == [["sleep", "60"]]
        assert any("secret" in rule for rule in about["rules"]["rules"])
        assert about["variables"]["home"] == shell.person.home
        assert sum(call["count"] for call in about["calls"]) > 0
        assert "CALL" in shell("inspect", name)

        def kinds() -> list[str]:
            return [json.loads(line)["kind"] for line in shell("log", name, "--json").splitlines()]

        # The command may be denied something before main has heard that it is there.
        until(lambda: sorted(kinds()) == ["access", "created", "started"], "all is told")
        assert kinds()[0] == "created"
        assert "deny create /etc/never" in shell("log", name, "--denied")
        assert "sessions:" in shell("status")
    assert shell.json("ps") == []
    (entry,) = [item for item in shell.json("ps", "--all") if item["session"] == name]
    assert (entry["state"], entry["status"]) == ("ended", 137)


def test_ports(shell: Shell) -> None:
    """Also of a session whose command is the daemon's child."""
    serve = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], file=open('port.new', 'w'), flush=True);"
        "import os; os.rename('port.new', 'port'); time.sleep(60)"
    )
    port = Path(shell.person.home, "work", "port")
    with session(shell, f'exec python3 -c "{serve}"') as name:
        until(port.exists, "it listens")
        pid = shell.json("inspect", name)["session"]["pid"]
        assert f"127.0.0.1!{port.read_text().strip()}" in shell("ports", str(pid))


def test_rules_lock_and_check(shell: Shell) -> None:
    """A rule that is added decides the next call; the ceiling holds; a lock is set from outside."""
    script = "while ! touch ../extra/x 2>/dev/null; do sleep 0.05; done; exec sleep 60"
    with session(shell, script) as name:
        target = f"{shell.person.home}/extra/x"
        assert [verdict["allowed"] for verdict in shell.json("check", name, "create", target, status=1)] == [
            False
        ]
        assert "permits more" in shell("rule", "add", name, "allow write /etc/**", status=1)
        assert "unknown access" in shell("rule", "add", name, "allow wriet /etc/**", status=1)
        rule = f"allow write {shell.person.home}/extra/**"
        assert [item["rule"] for item in shell.json("rule", "add", name, rule)["runtime"]] == [rule]
        until(lambda: os.path.exists(target), "the session made the file")
        assert [verdict["allowed"] for verdict in shell.json("check", name, "create", target)] == [True]
        assert rule in shell("rule", "list", name)
        assert shell.json("rule", "remove", name, rule)["runtime"] == []
        assert shell.json("lock", name, "on") == {"session": name, "lock": "on"}
        assert shell("lock", name) == "on\n"
    assert shell("rule", "add", name, rule, status=1) == f"sydctl: no session '{name}'\n"


def test_from_inside(shell: Shell) -> None:
    """A process of the session changes its own rules until the lock forbids it."""
    sydctl = f"{sys.executable} -m sydctl"
    script = f"""
        {sydctl} rule add self "allow write {shell.person.home}/extra/**" && touch ../extra/inside
        {sydctl} lock self on; {sydctl} rule remove self "allow write {shell.person.home}/extra/**"
        echo "status $?"; {sydctl} kill self; {sydctl} lock self off
    """
    rules = ["--rule", f"allow connect unix:{shell.socket}"]
    process = shell.person.sydctl(
        ["run", "-q", "-C", f"{shell.person.home}/work", "./p.toml", *rules, "--", "sh", "-c", script],
        shell.socket,
        environment={"PYTHONPATH": str(ROOT)},
    )
    out, err = process.communicate(timeout=50)
    assert out == "status 1\n", err
    assert os.path.exists(f"{shell.person.home}/extra/inside")
    assert [line for line in err.splitlines() if "locked (on)" in line], err


def test_ask(shell: Shell) -> None:
    """The access waits for the answer, and has it."""
    for word, expected in (("--allow", "the secret\n"), ("--deny", "")):
        process = shell.person.sydctl(
            ["run", "-q", "-C", f"{shell.person.home}/work", "./p.toml", "--", "cat", "../secret"],
            shell.socket,
        )
        until(lambda: shell.json("ask"), "it asks")
        (question,) = shell.json("ask")
        assert question["event"]["path"] == f"{shell.person.home}/secret"
        shell("ask", word, question["question"])
        assert process.communicate(timeout=30)[0] == expected
        assert shell.json("ask") == []


def test_profiles_of_the_system_are_roots(shell: Shell) -> None:
    """Who is not root puts and removes none."""
    if shell.person.uid == 0:
        pytest.fail("a person is never root")
    assert "not permitted" in shell("profile", "put", f"{shell.person.home}/p.toml", status=1)
    assert "not permitted" in shell("profile", "remove", "build", status=1)
    refused = "sydctl: not permitted: profiles of the system are root's\n"
    assert shell("profile", "edit", "build", status=1) == refused  # before there is an editor


def test_a_profile_that_there_is_not(shell: Shell) -> None:
    """It is told which one may be meant."""
    said = "sydctl: no profile 'biuld' (did you mean 'build'?)\n"
    assert shell("run", "biuld", "--", "true", status=125) == said
    assert shell("launch", "--daemon", "biuld", "--", "true", status=125) == said


def test_the_example_builds_and_explains(daemon: Daemon, person: Person) -> None:
    """The tiny package manager: what it installs, and what it says of a package that misbehaves."""
    examples = ROOT / "examples" / "minipm"
    recipes = [str(examples / "recipes" / f"{name}.toml") for name in ("shout", "greeting")]
    command = [sys.executable, str(examples / "minipm.py")]
    process = person.start([*command, *recipes], daemon.socket, environment={"PYTHONPATH": str(ROOT)})
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, out + err
    assert Path(person.home, "root", "share", "shout").read_text(encoding="utf-8") == "HELLO\n"
    rude = str(examples / "recipes" / "rude.toml")
    process = person.start([*command, rude], daemon.socket, environment={"PYTHONPATH": str(ROOT)})
    out, err = process.communicate(timeout=50)
    assert process.returncode == 1, out + err
    assert "to allow it, add to rules: allow create,modify ${home}/.bashrc" in out
    process = person.start([*command, rude], "/nowhere", environment={"PYTHONPATH": str(ROOT)})
    _, err = process.communicate(timeout=50)
    assert err == "minipm: cannot reach sydd at /nowhere: No such file or directory\n"


def test_sessions_of_others_are_none(daemon: Daemon, shell: Shell) -> None:
    """A session that there is not and one that has another owner are told alike."""
    with Client(daemon.socket) as client, pytest.raises(NoSuchSession):
        client.inspect_session("nothing")
