"""What the quick way remembers of names is forgotten when the session changes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.session.conftest import Session

SECRET = "cannot be read"

# Each line: what makes the quick way know a name, what changes the name, and what is denied then.
CHANGES = {
    "a link is made anew": (
        "ln -s /etc/hostname a; cat a >/dev/null; cat a >/dev/null",
        "ln -sfn $SECRET a",
        "cat a",
    ),
    "a link is renamed over a file": (
        "echo x >a; ln -s $SECRET b; cat a >/dev/null; cat a >/dev/null",
        "mv -T b a",
        "cat a",
    ),
    "a file is removed and made a link": (
        "echo x >a; cat a >/dev/null; cat a >/dev/null",
        "rm a; ln -s $SECRET a",
        "cat a",
    ),
    "a directory becomes a link": (
        "mkdir d; echo x >d/id; cat d/id >/dev/null; cat d/id >/dev/null",
        "mv d e; ln -s ${SECRET%/*} d",
        "cat d/id",
    ),
    "a missing directory becomes a link": (
        "cat d/id 2>/dev/null; cat d/id 2>/dev/null",
        "ln -s ${SECRET%/*} d",
        "cat d/id",
    ),
    "a missing directory gets a link": (
        "cat d/e/id 2>/dev/null; cat d/e/id 2>/dev/null",
        "mkdir d; ln -s ${SECRET%/*} d/e",
        "cat d/e/id",
    ),
    "a link that led nowhere leads somewhere": (
        "ln -s up d; cat d/id 2>/dev/null; cat d/id 2>/dev/null",
        "ln -s ${SECRET%/*} up",
        "cat d/id",
    ),
    "a directory is exchanged": (
        "mkdir d; ln -s ${SECRET%/*} e; echo x >d/id; cat d/id >/dev/null",
        "mv -T d f; mv -T e d",
        "cat d/id",
    ),
}


def denied(session: Session, script: str) -> tuple[int, list[tuple[str, str, str]]]:
    """The script's status, and what the session was denied: access, path as given, object."""
    log = Path(session.home, "events")
    secret = f"SECRET={session.home}/.ssh/id"
    result = session.run("env", secret, "sh", "-c", script, options=("--events", str(log)))
    assert result.stdout == ""
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return result.returncode, [(event["access"], event["given"], event["path"]) for event in events]


@pytest.fixture
def secret(session: Session) -> str:
    """A file that `build` lets nobody read."""
    path = f"{session.home}/.ssh/id"
    os.mkdir(os.path.dirname(path))
    Path(path).write_text(SECRET, encoding="utf-8")
    session.user.give(session.home)
    return path


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_name_is_looked_at_again(session: Session, secret: str, name: str) -> None:
    """No content, and the one event, within the time for which a name is remembered."""
    known, change, attempt = CHANGES[name]
    status, events = denied(session, f"{known}\n{change}\nexec {attempt}")
    assert (status, events) == (1, [("read", attempt.split()[1], secret)])


def test_without_the_change_nothing_is_denied(session: Session, secret: str) -> None:
    """The counterpart: the same files, all readable."""
    assert os.path.exists(secret)
    for known, _, attempt in CHANGES.values():
        status, events = denied(session, f"rm -rf a b d e f up; {known}\n{attempt} >/dev/null 2>&1; :")
        assert (status, events) == (0, [])
