"""`sydctl explain` says what a launch does."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sydctl.conftest import Sydctl

PROFILE = """
extends = "build"
rules = [
    "deny read ${home}/secret",
    "hide read,stat ${home}/hidden/**",
    "deny write ${cwd}/keep/**",
    "filter create ${cwd}/*.pyc",
    "deny exec ${cwd}/tool",
    "deny list,chdir ${home}/shut",
    "warn read ${home}/watched",
]
"""

CONNECT = 'python3 -c "import socket; socket.socket().connect(('

# access, path from the work directory, and a command that makes that access and fails if it is refused
CASES = [
    ("read", "../secret", "read x <../secret"),
    ("read", "../other", "read x <../other"),
    ("read", "link", "read x <link"),
    ("read", "../watched", "read x <../watched"),
    ("read", "../hidden/a", "read x <../hidden/a"),
    ("stat", "../hidden/a", "stat ../hidden/a"),
    ("stat", "../secret", "stat ../secret"),
    ("list", "../shut", "ls ../shut"),
    ("list", "..", "ls .."),
    ("chdir", "../shut", "cd ../shut"),
    ("exec", "tool", "./tool"),
    ("create", "new", "mkdir new"),
    ("create", "keep/new", "mkdir keep/new"),
    ("create", "x.pyc", "mkdir x.pyc"),
    ("create", "../new", "mkdir ../new"),
    ("modify", "../other", ": >>../other"),
    ("modify", "keep/a", ": >>keep/a"),
    ("modify", "mine", ": >>mine"),
    ("delete", "mine", "rm mine"),
    ("delete", "keep/a", "rm -f keep/a"),
    ("rename", "keep/a", "mv keep/a b"),
    ("attributes", "mine", "chmod 600 mine"),
    ("attributes", "../other", "chmod 600 ../other"),
    ("mknod", "fifo", "mkfifo fifo"),
    ("mknod", "../fifo", "mkfifo ../fifo"),
    ("connect", "127.0.0.1!PORT", CONNECT + "'127.0.0.1', PORT))\""),
    ("connect", "0.0.0.0!PORT", CONNECT + "'0.0.0.0', PORT))\""),
    ("bind", "127.0.0.1!0", "python3 -c 'import socket; socket.socket().bind((\"127.0.0.1\", 0))'"),
    ("bind", "unix:new", "python3 -c 'import socket; socket.socket(1).bind(\"new\")'"),
    ("bind", "unix:../new", "python3 -c 'import socket; socket.socket(1).bind(\"../new\")'"),
]


@pytest.fixture
def place(sydctl: Sydctl) -> Sydctl:
    """A home with files that PROFILE speaks of."""
    sydctl.write("p.toml", PROFILE)
    for name in ("secret", "other", "watched", "hidden/a", "shut/a", "work/mine", "work/keep/a"):
        sydctl.write(name, "text\n")
    os.symlink("../secret", os.path.join(sydctl.work, "link"))
    os.chmod(sydctl.write("work/tool", "#!/bin/sh\n"), 0o755)
    sydctl.user.give(sydctl.home)
    return sydctl


def explain(sydctl: Sydctl, access: str, path: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the JSON."""
    result = sydctl("explain", "../p.toml", access, path, "--json", *options)
    assert result.stderr == ""
    return result.returncode, json.loads(result.stdout)


@pytest.fixture
def port() -> Iterator[str]:
    """A TCP port of this host on which somebody outside listens: else there is nothing to deny."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
@pytest.mark.parametrize(("access", "path", "command"), CASES, ids=[f"{a}-{p}" for a, p, _ in CASES])
def test_it_agrees(place: Sydctl, port: str, access: str, path: str, command: str, engine: str) -> None:
    """With a launch: the verdict, path, rule and allowing line of the event; what goes ahead and what not."""
    path, command = path.replace("PORT", port), command.replace("PORT", port)
    status, said = explain(place, access, path, "--engine", engine)
    (entry,) = said["accesses"]
    result = place.shell(command, "--engine", engine, "--events", "log", profile="../p.toml")
    assert entry["allowed"] == (result.returncode == 0), result.stderr
    assert status == (not entry["allowed"])
    with open(os.path.join(place.work, "log"), encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    same = [event for event in events if event["access"] == access and event["path"] == entry["path"]]
    reported = entry["action"] not in ("allow", "filter")
    assert bool(same) == reported, events
    for event in same:
        assert (event["action"], event["rule"], event["rule_source"]) == (
            entry["action"],
            entry["rule"],
            entry["rule_source"],
        )
        assert event["allow"] == entry["allow"] or entry["allowed"]


def test_text(place: Sydctl) -> None:
    """A symbolic link is followed; rule, place, layer and allowing line are named."""
    result = place("explain", "../p.toml", "read", "link")
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"deny read {place.home}/secret"
    assert "  as given:    link" in lines
    assert "  rule:        deny read ${home}/secret  (../p.toml:4:6)" in lines
    assert "  to allow it: allow read ${home}/secret" in lines


def test_groups_are_taken_apart(place: Sydctl) -> None:
    """`write` is eight accesses; those with one answer are told together; one denial decides the status."""
    status, said = explain(place, "write", "mine")
    assert (status, len(said["accesses"])) == (0, 8)
    status, said = explain(place, "read,modify", "../other")
    assert (status, [entry["allowed"] for entry in said["accesses"]]) == (1, [True, False])
    text = place("explain", "../p.toml", "write", "mine").stdout
    assert text.count("allow ${cwd}") <= text.count("rule:")


def test_missing(place: Sydctl) -> None:
    """Of what does not exist the directory is resolved, and the name judged."""
    os.symlink(place.home, os.path.join(place.work, "up"))
    _, said = explain(place, "create", "up/nothing")
    assert (said["accesses"][0]["path"], said["accesses"][0]["exists"]) == (f"{place.home}/nothing", False)


def test_audit(place: Sydctl) -> None:
    """Under audit it goes on, and the verdict is still told."""
    status, said = explain(place, "read", "../secret", "--mode", "audit")
    assert (status, said["accesses"][0]["action"], said["accesses"][0]["allowed"]) == (0, "deny", True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "raed", "/x"], "did you mean 'read'?"),
        (["build", "read,net", "/x"], "mixes"),
        (["build", "read", ""], "empty"),
        (["build", "read", "missing/below/x"], "No such file"),
        (["biuld", "read", "/x"], "did you mean 'build'?"),
        (["build", "read"], "PATH"),
        (["build", "read", "/x", "-C", "missing"], "does not exist"),
    ],
)
def test_bad_questions(sydctl: Sydctl, arguments: list[str], said: str) -> None:
    """125, so that it cannot be taken for an answer."""
    result = sydctl("explain", *arguments)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (125, "", 1)
    assert said in result.stderr
