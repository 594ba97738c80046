"""A session that is to be as an earlier one was: planned by what that left, unless anything has changed."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sydd.client import BadProfile, Client
from sydd.daemon import rehearsal
from sydd.daemon.channel import document
from sydd.daemon.ending import remove_directory
from sydd.daemon.precedents import KEPT, MOST, USERS, Legacy, Precedents
from sydd.daemon.spec import Identity, SessionSpec
from sydd.kernel.fd import FileDescriptor
from tests.daemon.people import Person
from tests.support.daemon import Daemon, until

PROFILE = """
extends = "build"
rules = [{rules}]
"""

OPEN = """
rules = ["allow write /**"]
[environment]
set = {TMPDIR = "${tmp}"}
"""
"""Made of nothing of the file system that somebody else may change while a test runs."""


def said(client: Client, profile: str, script: str, place: Path, **variables: str) -> str:
    """What a shell says, run in a session.

    Args:
        client: of the daemon.
        profile: of the session.
        script: for the shell.
        place: working directory.
        variables: further ones of its environment.
    """
    reader, writer = map(FileDescriptor, os.pipe())
    with reader, writer, open(os.devnull, "rb") as nothing:
        descriptors = [nothing.fileno(), writer.fileno(), writer.fileno()]
        environment = {
            "PATH": os.defpath,
            "HOME": str(place),
            "TMPDIR": str(place / "tmp"),
            **variables,
        }
        with client.run(
            profile,
            ["sh", "-c", script],
            descriptors=descriptors,
            directory=str(place),
            environment=environment,
        ) as session:
            writer.close()
            with open(reader.steal(), encoding="utf-8") as file:
                text = file.read()
            assert session.wait()["failure"] == ""
    return text.strip()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory to work in, with one for temporary files."""
    with tempfile.TemporaryDirectory(prefix="precedents-") as name:
        top = Path(os.path.realpath(name))
        for below in ("tmp", "one", "two"):
            (top / below).mkdir()
        (top / "link").symlink_to("one")
        yield top


@pytest.fixture
def profile(place: Path) -> str:
    """The profile that is open; its name."""
    file = place / "open.toml"
    file.write_text(OPEN)
    return str(file)


def written(place: Path, *rules: str) -> str:
    """A profile with rules, as a file; its name."""
    file = place / "own.toml"
    file.write_text(PROFILE.format(rules=", ".join(f'"{rule}"' for rule in rules)))
    return str(file)


def private(client: Client, profile: str, place: Path) -> str:
    """Run a session that writes into its private directory; the name of that."""
    name = said(client, profile, 'ls -A "$TMPDIR"; echo x >"$TMPDIR/x"; echo "$TMPDIR"', place)
    assert not os.path.lexists(name)
    return name


def test_nothing_has_changed(daemon: Daemon, place: Path, profile: str) -> None:
    """The next session has the same name for its directory, in which nothing of the last one is."""
    with daemon.client() as client:
        first = private(client, profile, place)
        assert os.path.dirname(first) == str(place / "tmp")
        assert private(client, profile, place) == first
        assert private(client, profile, place) == first


def test_two_at_a_time(daemon: Daemon, place: Path, profile: str) -> None:
    """Each has its own."""
    with daemon.client() as client, daemon.client() as other:
        first = private(client, profile, place)
        reader, writer = map(FileDescriptor, os.pipe())
        with reader, writer:
            inner = f"{first}/ready"
            with client.run(
                profile,
                ["sh", "-c", 'echo >"$TMPDIR/ready"; read line'],
                descriptors=[reader.fileno(), 2, 2],
                directory=str(place),
                environment={"PATH": os.defpath, "HOME": str(place), "TMPDIR": str(place / "tmp")},
            ) as session:
                until(lambda: os.path.exists(inner), "it has the directory of the one before")
                assert private(other, profile, place) != first
                assert os.path.exists(inner)
                writer.close()
                assert session.wait()["failure"] == ""
        assert not os.path.lexists(first)


def test_the_profile_has_changed(daemon: Daemon, place: Path) -> None:
    """The new rules hold."""
    script = "echo x >one/file && echo written"
    with daemon.client() as client:
        assert said(client, written(place), script, place) == "written"
        assert "denied" in said(client, written(place, "deny write ${cwd}/one/**"), script, place)
        assert said(client, written(place), script, place) == "written"


def test_a_link_has_changed(daemon: Daemon, place: Path) -> None:
    """A rule is about what its link leads to now."""
    profile = written(place, "deny write ${cwd}/link/**")
    script = "for name in one two; do echo x >$name/file && echo $name; done 2>/dev/null"
    with daemon.client() as client:
        for leads_to, allowed in (("one", "two"), ("one", "two"), ("two", "one"), ("two", "one")):
            (place / "link").unlink()
            (place / "link").symlink_to(leads_to)
            assert said(client, profile, script, place) == allowed


def test_what_is_granted_one_by_one(daemon: Daemon, place: Path) -> None:
    """What was made since in a directory in which the kernel is told every entry, is one of them."""
    profile = written(place, "deny read ${cwd}/secret")
    (place / "secret").write_text("secret")
    (place / "file").write_text("first")
    with daemon.client() as client:
        assert said(client, profile, "cat file secret 2>/dev/null", place) == "first"
        (place / "later").write_text("second")
        assert said(client, profile, "cat later secret 2>/dev/null", place) == "second"
        (place / "secret").rename(place / "other")
        (place / "later").rename(place / "secret")
        assert said(client, profile, "cat secret other 2>/dev/null", place) == "secret"


def test_what_was_looked_up(daemon: Daemon, place: Path) -> None:
    """Each session looks up the addresses of hosts."""
    file = place / "looking.toml"
    file.write_text(OPEN.replace("[", '["allow connect localhost!1", ', 1))
    with daemon.client() as client:
        assert private(client, str(file), place) != private(client, str(file), place)


def test_somebody_else_has_taken_the_name(daemon: Daemon, place: Path, profile: str) -> None:
    """Then the session has another directory, and that one is nobody's to remove."""
    with daemon.client() as client:
        first = Path(private(client, profile, place))
        first.mkdir()
        (first / "kept").touch()
        assert private(client, profile, place) != str(first)
        assert [entry.name for entry in first.iterdir()] == ["kept"]
        (first / "kept").unlink()
        first.rmdir()
        first.symlink_to(place / "one")
        assert private(client, profile, place) != str(first)
        assert list((place / "one").iterdir()) == []


@pytest.mark.slow
def test_what_is_too_long_is_not_kept(daemon: Daemon, place: Path) -> None:
    """A directory with very many entries, all of which may be matched: the next session looks itself."""
    many = place / "many"
    many.mkdir()
    for number in range(MOST // 250):
        os.close(os.open(many / f"{number:0250}", os.O_CREAT | os.O_WRONLY))
    file = place / "many.toml"
    file.write_text(OPEN.replace("/**", f'{place}/tmp/**", "allow write {many}/*x', 1))
    with daemon.client() as client:
        assert private(client, str(file), place) != private(client, str(file), place)


@pytest.mark.root  # who may look into a worker
def test_it_is_of_who_prepares_alone(daemon: Daemon, person: Person) -> None:
    """A worker has what it needs from the state: it would hold the other one as long as the session lasts."""
    profile = f"{person.home}/open.toml"
    Path(profile).write_text(OPEN)
    words = ["launch", "--daemon", profile, "--", "sh", "-c", 'echo "$TMPDIR"; read line']
    names = []
    for _ in range(2):
        with person.sydctl(words, daemon.socket) as process, daemon.client() as client:
            assert process.stdout is not None
            names.append(process.stdout.readline())
            worker = client.list_sessions()[-1]["worker"]
            held = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
            process.communicate("\n", timeout=30)
    assert names[0] == names[1]
    assert [target for target in held if "precedent" in target or "state" in target] == []


def test_another_environment(daemon: Daemon, place: Path, profile: str) -> None:
    """It is passed on, and is no reason for another plan where no rule is about what has changed in it."""
    with daemon.client() as client:
        first = private(client, profile, place)
        assert said(client, profile, 'echo "$TMPDIR $MORE"', place, MORE="x") == f"{first} x"
        assert said(client, profile, 'echo "$TMPDIR $MORE"', place, MORE="y", LESS="") == f"{first} y"
        assert said(client, profile, 'echo "$TMPDIR $MORE"', place) == first


def test_a_variable_that_a_rule_is_about(daemon: Daemon, place: Path) -> None:
    """The rule is about its value in each session, however much else is the same."""
    script = "for i in one two; do echo x >$i/file && echo $i; done 2>/dev/null; true"
    profile = written(place, "deny write ${cwd}/${env:WHICH}/**")
    with daemon.client() as client:
        assert said(client, profile, script, place, WHICH="one") == "two"
        assert said(client, profile, script, place, WHICH="two") == "one"
        assert said(client, profile, script, place, WHICH="two", MORE="x") == "one"
        assert said(client, profile, script, place, WHICH="one") == "two"
        with pytest.raises(BadProfile, match="WHICH is not set"):
            said(client, profile, script, place)


def test_a_variable_by_which_another_is_set(daemon: Daemon, place: Path) -> None:
    """What a profile makes of a value is made of that of each session."""
    file = place / "own.toml"
    settings = 'set = {TMPDIR = "${tmp}", MADE = "${made}"}\n[variables]\nmade = "${env:WHICH}-made"\n'
    file.write_text(f'rules = ["allow write /**"]\n[environment]\n{settings}')
    with daemon.client() as client:
        assert said(client, str(file), 'echo "$MADE"', place, WHICH="one") == "one-made"
        assert said(client, str(file), 'echo "$MADE"', place, WHICH="two") == "two-made"
        assert said(client, str(file), 'echo "$MADE"', place, WHICH="two", MADE="no") == "two-made"


SPEC = replace(
    rehearsal.SPEC,
    id="one",
    identity=Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()), "me", "/"),
    directory="/",
)


def legacy(name: str) -> Legacy:
    """Something that a session leaves."""
    return Legacy(name, FileDescriptor(document("state", b"")), FileDescriptor(document("precedent", b"")))


def _of_user(uid: int, directory: str = "/") -> SessionSpec:
    return replace(SPEC, identity=Identity(uid, uid, (), "", "/"), directory=directory)


def test_what_is_kept() -> None:
    """Only for sessions that are to be the same, of the same user; so many of one, and in all."""
    asyncio.run(_keep())


async def _keep() -> None:
    kept = Precedents()
    try:
        kept.give(_of_user(1), legacy("a"))
        assert kept.take(_of_user(2)) is None
        assert kept.take(_of_user(1, "/tmp")) is None
        found = kept.take(_of_user(1))
        assert found is not None
        assert found.tmp == "a"
        assert kept.take(_of_user(1)) is None
        found.close()
        for number in range(USERS + 1):
            kept.give(_of_user(1, f"/{number}"), legacy(str(number)))
        assert kept.take(_of_user(1, "/0")) is None
        for uid in range(2, KEPT + 2):
            kept.give(_of_user(uid), legacy(str(uid)))
        assert kept.take(_of_user(1, f"/{USERS}")) is None
        assert kept.take(_of_user(1)) is None
    finally:
        kept.close()


@pytest.mark.parametrize(("content", "left"), [("", False), ("file", True)])
def test_who_was_to_make_the_directory_was_killed(place: Path, content: str, *, left: bool) -> None:
    """It is removed where it is empty, as a new one is; a full one is somebody else's."""
    hidden = place / "tmp" / "hidden"
    hidden.mkdir()
    if content:
        (hidden / content).touch()
    asyncio.run(remove_directory("", SPEC, str(hidden)))
    assert hidden.exists() is left
