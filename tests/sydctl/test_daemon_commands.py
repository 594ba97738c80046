"""The commands about the daemon, before a control socket that remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sydctl.main import COMMANDS, build_parser, main
from tests.support.fakebackend import EVENT, SESSION, notice
from tests.support.fakedaemon import FakeDaemon
from tests.sydctl.conftest import Sydctl


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """A control socket, which the environment names."""
    with FakeDaemon() as served:
        monkeypatch.setenv("SYDD_SOCKET", served.path)
        yield served


class Ran:
    """What a command did.

    Attributes:
        status: exit status.
        out: lines of stdout.
        err: lines of stderr.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str) -> None:
        self.status = main(words)
        captured = capsys.readouterr()
        self.out = captured.out.splitlines()
        self.err = captured.err.splitlines()
        self.text = captured.out


@pytest.mark.parametrize(
    "words",
    [
        ["ps"],
        ["inspect", "s1"],
        ["kill", "s1"],
        ["rule", "list", "s1"],
        ["rule", "add", "s1", "deny read /x"],
        ["lock", "s1"],
        ["log"],
        ["log", "--follow"],
        ["profile", "put", "/dev/null", "--name", "x"],
        ["profile", "remove", "x"],
        ["profile", "edit", "x"],
        ["run", "build", "true"],
        ["ask", "--json"],
        ["check", "s1", "read", "/"],
        ["status"],
    ],
    ids=" ".join,
)
def test_without_a_daemon(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says where nobody is, and 125."""
    monkeypatch.setenv("SYDD_SOCKET", str(tmp_path / "sydd.sock"))
    ran = Ran(capsys, *words)
    assert (ran.status, ran.out) == (125, [])
    [said] = ran.err
    assert said == (
        f"sydctl: cannot reach sydd at {tmp_path}/sydd.sock: No such file or directory"
        " (root starts it by 'systemctl start sydd.socket', a user the own one by 'sydd')"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "zz"],
        ["kill", "zz"],
        ["rule", "list", "zz"],
        ["rule", "add", "zz", "deny read /x"],
        ["lock", "zz", "on"],
    ],
    ids=" ".join,
)
def test_no_such_session(daemon: FakeDaemon, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and 1."""
    ran = Ran(capsys, *words)
    assert (ran.status, ran.out, ran.err) == (1, [], ["sydctl: no session 'zz'"])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself with examples."""
    ran = Ran(capsys, command, "--help")
    assert ran.status == 0
    assert "examples:" in ran.out
    assert any(line.startswith("exit status:") for line in ran.out)


def test_ps(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """A table with a line for each session, and the same as JSON."""
    ran = Ran(capsys, "ps", "--all")
    assert ran.status == 0
    assert ran.out[0].split() == ["SESSION", "USER", "STATE", "PROFILE", "PID", "AGE", "DENIED", "COMMAND"]
    assert ran.out[1].startswith("s1       builder  running  build    4711")
    assert ran.out[1].endswith("zlib-1.3: make -j2")
    assert json.loads(Ran(capsys, "ps", "--json").text) == [SESSION]


def test_ps_of_nothing(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No session is said, and is an empty list."""

    async def none(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(daemon.backend, "list_sessions", none)
    assert Ran(capsys, "ps").out == ["no sessions"]
    assert Ran(capsys, "ps", "--json").text == "[]\n"


def test_names_do_not_drive_the_terminal(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a session's user chose is escaped."""

    async def evil(*_: object, **__: object) -> list[Any]:
        return [{**SESSION, "label": "\x1b]0;x\x07", "command": ["\u202egnp.exe", "\udcff"]}]

    monkeypatch.setattr(daemon.backend, "list_sessions", evil)
    daemon.backend.notices = [{**notice(1), "message": "\x1b[2J"}]
    text = Ran(capsys, "ps").text + Ran(capsys, "log").text
    assert text.replace("\n", "").isprintable()
    assert "\\x1b" in text


def test_inspect(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Sections for people, everything as JSON."""
    ran = Ran(capsys, "inspect", "s1")
    assert ran.status == 0
    assert "session:    s1" in ran.out
    assert "  allow write ${cwd}/**" in ran.out
    assert "4711  1       make -j2" in ran.out
    assert "openat  allowed  12" in ran.out
    assert json.loads(Ran(capsys, "inspect", "s1", "--json").text)["session"] == SESSION


@pytest.mark.parametrize(
    ("words", "number"), [([], 9), (["-s", "TERM"], 15), (["-s", "sigint"], 2), (["-s", "10"], 10)]
)
def test_kill(daemon: FakeDaemon, words: list[str], number: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Signals by name and number; the fake has as many processes as the signal's number."""
    ran = Ran(capsys, "kill", *words, "s1")
    assert (ran.status, ran.out) == (0, [f"s1: {number} processes"])


@pytest.mark.parametrize("word", ["NONE", "0", "65", "-1", "²"])
def test_kill_by_no_signal(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad arguments are 2, before anybody is asked."""
    ran = Ran(capsys, "kill", f"--signal={word}", "s1")
    assert ran.status == 2
    assert "is no signal" in ran.err[0]


def test_rules(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Added, listed, removed; what is beyond the ceiling is refused with the ceiling."""
    assert Ran(capsys, "rule", "add", "s1", "deny read /x", "deny read /y").status == 0
    assert daemon.backend.rules == ["deny read /x", "deny read /y"]
    ran = Ran(capsys, "rule", "list", "s1")
    assert any(line.startswith("  deny read /x  # ") for line in ran.out)
    ran = Ran(capsys, "rule", "remove", "s1", "deny read /x", "--json")
    assert [rule["rule"] for rule in json.loads(ran.text)["runtime"]] == ["deny read /y"]
    ran = Ran(capsys, "rule", "add", "s1", "allow write /etc/**")
    assert (ran.status, len(ran.err)) == (1, 1)
    assert "allow read,write ${home}/.cache/**" in ran.err[0]
    assert Ran(capsys, "rule", "remove", "s1", "never added").status == 1


def test_lock(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Set, and shown."""
    assert Ran(capsys, "lock", "s1").out == ["off"]
    assert Ran(capsys, "lock", "s1", "exec").out == []
    assert json.loads(Ran(capsys, "lock", "s1", "--json").text) == {"session": "s1", "lock": "exec"}
    assert Ran(capsys, "lock", "s1", "tight").status == 2


def test_log(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """All, the last ones, one kind, the denied ones, and as lines of JSON."""
    daemon.backend.notices = [notice(1), notice(2, "started"), notice(3, "lost")]
    allowed = notice(4)
    allowed["event"] = {**EVENT, "errno": ""}
    daemon.backend.notices.append(allowed)

    def positions(*words: str) -> list[int]:
        return [json.loads(line)["position"] for line in Ran(capsys, "log", "--json", *words).out]

    assert positions() == [1, 2, 3, 4]
    assert positions("-n", "2") == [3, 4]
    assert positions("--kind", "started") == [2]
    assert positions("s1", "--denied") == [1]
    text = Ran(capsys, "log", "-n", "2").out
    assert [line.split()[2:4] for line in text] == [["s1", "lost"], ["s1", "access"]]
    assert Ran(capsys, "log", "-n", "x").status == 2


def test_log_follows(daemon: FakeDaemon, sydctl: Sydctl) -> None:
    """It tells what is remembered at once, goes on, and leaves at Ctrl-C without a word."""
    process = subprocess.Popen(
        sydctl.command("log", "--follow", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **sydctl.options({"SYDD_SOCKET": daemon.path}),
    )
    assert process.stdout is not None
    assert [json.loads(process.stdout.readline())["position"] for _ in range(2)] == [1, 2]
    daemon.until(lambda: daemon.backend.waiting == 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "")


def test_check(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """0 when it is allowed, 1 when not, with the rule that would allow it; 125 when it cannot be answered."""
    assert Ran(capsys, "check", "s1", "read", "/etc/motd").status == 0
    ran = Ran(capsys, "check", "s1", "write", "/etc/motd")
    assert (ran.status, ran.out) == (
        1,
        [
            "deny write /etc/motd",
            "  rule:         no rule: default",
            "  to allow it:  allow write /etc/motd",
        ],
    )
    assert json.loads(Ran(capsys, "check", "s1", "read", "/x", "--json").text)[0]["allowed"] is True
    ran = Ran(capsys, "check", "zz", "read", "/")
    assert (ran.status, ran.err) == (125, ["sydctl: no session 'zz'"])
    assert Ran(capsys, "check", "s1").status == 125


def test_status(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 when all is well, 1 with the problems when it is not."""
    ran = Ran(capsys, "status")
    assert ran.status == 0
    assert ran.out[0].startswith("daemon:")
    healthy = daemon.backend.health

    async def ill(peer: Any) -> Any:
        return {**await healthy(peer), "healthy": False, "problems": ["no control groups"]}

    monkeypatch.setattr(daemon.backend, "health", ill)
    ran = Ran(capsys, "status")
    assert ran.status == 1
    assert ran.out[-1] == "problem:      no control groups"
    assert json.loads(Ran(capsys, "status", "--json").text)["health"]["healthy"] is False


def test_profile_put(daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the file's name or another; what is wrong has its place; one that is there needs --replace."""
    good = tmp_path / "build.toml"
    good.write_text("rules = []\n")
    assert Ran(capsys, "profile", "put", str(good), "--name", "mine").status == 0
    ran = Ran(capsys, "profile", "put", str(good))
    assert (ran.status, ran.err) == (1, ["sydctl: name: there is a profile 'build'"])
    assert Ran(capsys, "profile", "put", str(good), "--replace").status == 0
    good.write_text("x")
    ran = Ran(capsys, "profile", "put", str(good))
    assert (ran.status, ran.err) == (1, ["sydctl: build:1:2: no rules (write some)"])
    ran = Ran(capsys, "profile", "put", str(tmp_path / "none.toml"))
    assert (ran.status, ran.err) == (
        1,
        [f"sydctl: cannot read '{tmp_path}/none.toml': No such file or directory"],
    )
    assert Ran(capsys, "profile", "remove", "mine").status == 0
    assert Ran(capsys, "profile", "remove", "other").status == 1


@pytest.mark.parametrize(
    ("editor", "status", "says"),
    [
        ("sed -i '$a# more'", 0, None),
        ("true", 0, "nothing was changed"),
        ("false", 1, "sydctl: the editor 'false' failed with status 1; nothing was written"),
        ("/nowhere/ed", 1, "sydctl: cannot run the editor '/nowhere/ed': No such file or directory"),
        ("sed -i d", 1, "sydctl: build:1:2: no rules (write some)"),
    ],
)
def test_profile_edit(
    daemon: FakeDaemon,
    editor: str,
    status: int,
    says: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An editor on the daemon's text; what it leaves is put in place, or is said to be wrong."""
    monkeypatch.setenv("VISUAL", editor)
    ran = Ran(capsys, "profile", "edit", "build")
    assert (ran.status, ran.err) == (status, [says] if says else [])


def test_run(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command's status; the block at the end tells what was denied, and the file has it."""
    daemon.backend.notices = [notice(1), notice(2, "ended")]
    daemon.finish()
    events = tmp_path / "events.jsonl"
    ran = Ran(
        capsys,
        "run",
        "build",
        "-C",
        str(tmp_path),
        "--label",
        "x",
        "--events",
        str(events),
        "--",
        "make",
        "-j2",
    )
    assert (ran.status, ran.out) == (3, [])
    assert ran.err[0] == "sydd: 1 access denied under profile build"
    assert [json.loads(line)["path"] for line in events.read_text().splitlines()] == ["/etc/motd"]
    (request,) = daemon.backend.requests
    assert (request.argv, request.directory, request.label) == (("make", "-j2"), str(tmp_path), "x")
    assert request.environment == dict(os.environ)
    assert Ran(capsys, "run", "build", "--detach", "true").out == ["s1"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["build", "missing"], "sydctl: cannot execute 'missing': No such file or directory"),
        (["build"], "sydctl run: no command"),
        ([], "sydctl run: no profile"),
        (["build", "--detach", "--strict", "true"], "sydctl run: --detach does not go with"),
        (["build", "-C", "/nowhere", "true"], "sydctl: -C: '/nowhere' does not exist"),
    ],
)
def test_run_in_vain(
    daemon: FakeDaemon, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What fails before or without the command is one line and 125."""
    ran = Ran(capsys, "run", *words)
    assert (ran.status, len(ran.err)) == (125, 1)
    assert ran.err[0].startswith(says)


def test_ask_for_scripts(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Questions as JSON, answers by options."""
    assert [item["question"] for item in json.loads(Ran(capsys, "ask", "--json").text)] == ["q1"]
    assert Ran(capsys, "ask", "--allow", "q1").status == 0
    assert Ran(capsys, "ask", "--deny", "q1").status == 0
    assert daemon.backend.decisions == [("q1", True), ("q1", False)]
    assert Ran(capsys, "ask", "--allow", "zz").err == ["sydctl: no open question 'zz'"]
    assert Ran(capsys, "ask", "--allow", "q1", "--deny", "q1").status == 2


def test_ask_needs_a_terminal(daemon: FakeDaemon, sydctl: Sydctl) -> None:
    """Without one it says what else there is."""
    ran = sydctl("ask", env={"SYDD_SOCKET": daemon.path})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "--json lists" in ran.stderr


class Terminal:
    """A terminal with sydctl in it.

    Args:
        sydctl: runs it.
        daemon: whose questions are to be answered.
    """

    def __init__(self, sydctl: Sydctl, daemon: FakeDaemon) -> None:
        self._own, other = pty.openpty()
        self._seen = ""
        options = sydctl.options({"SYDD_SOCKET": daemon.path})
        self.process = subprocess.Popen(
            sydctl.command("ask"), stdin=other, stdout=other, stderr=other, **options
        )
        os.close(other)

    def until(self, pattern: str) -> str:
        """Read on until something is there; what was seen."""
        end = time.monotonic() + 20
        while not re.search(pattern, self._seen):
            assert select.select([self._own], [], [], max(end - time.monotonic(), 0))[0], self._seen
            with contextlib.suppress(OSError):
                self._seen += os.read(self._own, 4096).decode()
        seen, self._seen = self._seen, ""
        return seen

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._own, text.encode() + b"\n")

    def end(self) -> int:
        """The exit status."""
        status = self.process.wait(20)
        os.close(self._own)
        return status


def test_ask_on_a_terminal(daemon: FakeDaemon, sydctl: Sydctl) -> None:
    """A question is shown with who asks and by which rule; y, n, a and q do what they say."""
    expected = {"y": [("q1", True)], "n": [("q1", False)], "a": [("q1", True)], "q": []}
    for key, decisions in expected.items():
        daemon.backend.decisions.clear()
        terminal = Terminal(sydctl, daemon)
        seen = terminal.until(r"allow\? ")
        assert "session s1 asks: modify /etc/motd" in seen
        assert "sh[12] < make[11]" in seen
        terminal.type("what")
        assert "y: allow it this once" in terminal.until(r"allow\? ")
        terminal.type(key)
        if key != "q":
            daemon.until(lambda wanted=decisions: daemon.backend.decisions == wanted)  # type: ignore[misc]
            terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == (0 if key == "q" else 130)
        assert daemon.backend.decisions == decisions
    assert daemon.backend.rules == ["allow modify /etc/motd"]


def test_completion_knows_them() -> None:
    """What a shell completes by has the options of every command."""
    parser = build_parser(complete=True)
    (action,) = [action for action in parser._actions if action.dest == "command"]
    assert isinstance(action.choices, dict)
    assert list(action.choices) == list(COMMANDS)
    assert [name for name, sub in action.choices.items() if not sub.description] == []
