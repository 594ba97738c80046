"""Who may see and change what: users among themselves, root, and processes inside a session."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sydd.client import NoSuchSession
from sydd.kernel.namespace_probe import private_network_in_child
from tests.daemon.people import CALLS, Person
from tests.support.daemon import Daemon, until

root = pytest.mark.root


@contextmanager
def _session(daemon: Daemon, person: Person) -> Iterator[str]:
    """A session of somebody's, for the time of the block; its name."""
    process = person.sydctl(
        ["launch", "--daemon", "build", "--", "sh", "-c", "echo on; read line"], daemon.socket
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        with daemon.client() as client:
            name = client.list_sessions()[-1]["session"]
        yield name
        process.communicate("\n", timeout=30)


@root
def test_a_user_sees_and_changes_the_own_sessions_alone(
    daemon: Daemon, person: Person, other: Person
) -> None:
    """To others it is as if there were none; to root all are there."""
    with _session(daemon, person) as name:
        own = person.call(
            daemon.socket, ("list_sessions", []), ("list_rules", [name]), ("lock", [name, "on"])
        )
        assert [one["session"] for one in own[0]] == [name]
        assert own[1]["lock"] == "off"
        assert own[2] == "on"
        foreign = other.call(
            daemon.socket,
            ("list_sessions", []),
            ("inspect_session", [name]),
            ("kill_session", [name]),
            ("list_rules", [name]),
            ("add_rules", [name, ["deny read /etc/passwd"]]),
            ("remove_rules", [name, ["deny read /etc/passwd"]]),
            ("lock", [name, "off"]),
            ("set_mode", [name, "audit"]),
            ("check", [name, "read", "/"]),
        )
        assert foreign == [[], *["NoSuchSession"] * 8]
        with daemon.client() as client:
            assert [one["session"] for one in client.list_sessions()] == [name]
            assert client.lock(name, "off") == "off"
    assert person.call(daemon.socket, ("list_sessions", [])) == [[]]


@root
def test_nobody_is_told_of_anothers_events(daemon: Daemon, person: Person, other: Person) -> None:
    """Neither by name nor among all."""
    script = """
import json, sys
from sydd.client import Client, NoSuchSession
with Client(sys.argv[1]) as client:
    told = [notice["session"] for notice in client.subscribe(position=0, follow=False)]
    try:
        next(client.subscribe(sys.argv[2], position=0, follow=False))
        named = "told"
    except NoSuchSession:
        named = "NoSuchSession"
print(json.dumps([told.count(sys.argv[2]), named]))
"""
    with _session(daemon, person) as name:
        for somebody, expected in ((person, '[2, "told"]\n'), (other, '[0, "NoSuchSession"]\n')):
            process = somebody.start([sys.executable, "-c", script, daemon.socket, name], daemon.socket)
            out, err = process.communicate(timeout=30)
            assert out == expected, err


@root
def test_two_users_build_at_once(daemon: Daemon, person: Person, other: Person) -> None:
    """Each with its own identity and home; what one may write the other may not."""
    script = "id -u; touch own; echo $HOME; touch $1/foreign"
    started = [
        somebody.sydctl(
            ["launch", "--daemon", "build", "--", "sh", "-c", script, "-", foe.home], daemon.socket
        )
        for somebody, foe in ((person, other), (other, person))
    ]
    for process, somebody in zip(started, (person, other), strict=True):
        out, err = process.communicate(timeout=50)
        assert out == f"{somebody.uid}\n{somebody.home}\n"
        assert "1 access denied" in err


def test_inside_a_session_there_is_that_one_alone(daemon: Daemon, person: Person) -> None:
    """Its processes ask about it by name or as `self`; they begin, end and decide nothing about others."""
    profile = f"{person.home}/talk.toml"
    with open(profile, "w", encoding="utf-8") as file:
        file.write(f'extends = "build"\nrules = ["allow connect unix:{daemon.socket}"]\n')
    with _session(daemon, person) as another:
        calls: list[tuple[str, list[object]]] = [
            ("list_sessions", []),
            ("list_rules", ["self"]),
            ("list_rules", [another]),
            ("kill_session", ["self"]),
            ("create_session", ["build", ["true"]]),
            ("validate_profile", ["rules = []"]),
            ("put_profile", ["mine", "rules = []"]),
            ("set_mode", ["self", "audit"]),
            ("lock", ["self", "on"]),
            ("lock", ["self", "off"]),
            ("add_rules", ["self", ["deny read /etc/hostname"]]),
        ]
        process = person.sydctl(
            ["launch", "--daemon", profile, "--", sys.executable, "-c", CALLS, daemon.socket], daemon.socket
        )
        out, err = process.communicate(json.dumps(calls), timeout=50)
    assert process.returncode == 0, err
    sessions, own, foreign, *refused = json.loads(out)
    assert len(sessions) == 1
    assert sessions[0]["session"] != another
    assert own["lock"] == "off"
    assert foreign == "NoSuchSession"
    assert refused == [
        *["PermissionDenied"] * 5,
        "on",
        "Locked",
        "Locked",
    ]


def test_a_session_that_has_ended_is_remembered_by_its_figures(daemon: Daemon, person: Person) -> None:
    """How it ended, and what was denied; it is nobody's to change any more."""
    person.launch(["--daemon", "build", "--", "sh", "-c", "touch /etc/never; exit 4"], daemon.socket)
    with daemon.client() as client:
        until(lambda: not client.list_sessions(), "it has ended")
        ended = client.list_sessions(ended=True)[-1]
        assert (ended["state"], ended["status"], ended["denied"], ended["events"]) == ("ended", 4, 1, 1)
        assert client.wait(ended["session"])["status"] == 4
        with pytest.raises(NoSuchSession):
            client.add_rules(ended["session"], ["deny read /etc/passwd"])


def test_run_starts_the_command_with_the_callers_descriptors(daemon: Daemon, person: Person) -> None:
    """As the caller's user, without an interpreter's start."""
    script = """
import os, sys
from sydd.client import Client
reader, writer = os.pipe()
with Client(sys.argv[1]) as client:
    null = os.open("/dev/null", os.O_RDWR)
    with client.run("build", ["sh", "-c", "id -u; pwd; touch /etc/never; exit 6"],
                    descriptors=[null, writer, null]) as session:
        os.close(writer)
        outcome = session.wait()
print(repr(os.read(reader, 100).decode()), outcome["status"], outcome["denied"], outcome["failure"])
"""
    process = person.start([sys.executable, "-c", script, daemon.socket], daemon.socket)
    out, err = process.communicate(timeout=50)
    assert out == f"'{person.uid}\\n{person.home}\\n' 6 1 \n", err


def test_a_users_own_daemon_is_nobody_elses(person: Person) -> None:
    """Root may look, but what it starts there would be the user's."""
    from tests.support.daemon import running

    with running(identity=person.identity()) as daemon:
        assert person.launch(["--daemon", "build", "--", "true"], daemon.socket).returncode == 0
        with daemon.client() as client:
            assert client.info()["uid"] == person.uid
        if person.identity():
            done = subprocess.run(
                [sys.executable, "-m", "sydctl", "launch", "--daemon", "build", "--", "true"],
                env=person.environment(daemon.socket),
                cwd=person.home,
                capture_output=True,
                text=True,
                timeout=50,
                check=False,
            )
            assert done.returncode == 125
            assert f"not permitted: this daemon is that of user {person.uid}" in done.stderr


PRIVATE = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    with socket.create_connection(server.getsockname()) as connection:
        print(connection.getpeername()[0])
with open("/proc/self/net/dev") as devices, open("/proc/self/uid_map") as map:
    print([line.split(":")[0].strip() for line in devices if ":" in line], map.read().split())
"""


@pytest.mark.skipif(private_network_in_child() != 0, reason="needs network namespaces")
@pytest.mark.parametrize("words", [["launch", "--daemon"], ["run"]])
def test_a_network_of_its_own(daemon: Daemon, person: Person, words: list[str]) -> None:
    """Loopback alone, which is up, with what the session listens on; the ids are the user's own."""
    with open(f"{person.home}/p.toml", "w", encoding="utf-8") as file:
        file.write('extends = "build"\n[network]\nnamespace = "private"\n')
    process = person.sydctl([*words, "./p.toml", "--", sys.executable, "-c", PRIVATE], daemon.socket)
    out, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines() == ["127.0.0.1", f"['lo'] {[str(person.uid), str(person.uid), '1']}"]
