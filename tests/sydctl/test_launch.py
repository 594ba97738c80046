"""`sydctl launch`: arguments, the plan, events, and what is said at the end."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.sydctl.conftest import Sydctl


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "--", "echo", "-n", "x"],
        ["build", "echo", "-n", "x"],
        ["-p", "build", "echo", "-n", "x"],
        ["-p", "build", "--", "echo", "-n", "x"],
        ["--profile", "build", "-q", "echo", "-n", "x"],
        ["--strict", "build", "-q", "-C", "..", "--", "echo", "-n", "x"],
    ],
)
def test_profile_and_command(sydctl: Sydctl, arguments: list[str]) -> None:
    """Options of sydctl end where the command begins."""
    result = sydctl("launch", *arguments)
    assert (result.returncode, result.stdout, result.stderr) == (0, "x", "")


def test_a_second_double_dash_is_the_commands(sydctl: Sydctl) -> None:
    """Only the first one is sydctl's."""
    result = sydctl("launch", "build", "--", "printf", "%s ", "--", "-p")
    assert (result.returncode, result.stdout) == (0, "-- -p ")


def test_directory(sydctl: Sydctl) -> None:
    """-C is where the command runs, and what ${cwd} is."""
    os.mkdir(os.path.join(sydctl.work, "sub"))
    sydctl.user.give(sydctl.work)
    result = sydctl.shell("pwd; : >here; : >../there", "-C", "sub")
    assert result.stdout == f"{sydctl.work}/sub\n"
    assert os.listdir(f"{sydctl.work}/sub") == ["here"]
    assert os.listdir(sydctl.work) == ["sub"]


def test_rule_and_set(sydctl: Sydctl) -> None:
    """A further rule comes last; a variable of the profile is given a value."""
    sydctl.write("work/p.toml", 'extends = "build"\nrules = ["allow write ${out}/**"]\n')
    os.mkdir(f"{sydctl.home}/out")
    sydctl.user.give(sydctl.home)
    script = f"echo 1 >{sydctl.home}/out/a"
    assert sydctl.shell(script, profile="build").returncode == 2
    assert sydctl.shell(script, "--set", f"out={sydctl.home}/out", profile="./p.toml").returncode == 0
    assert sydctl.shell(script, "--rule", "allow write ${home}/out/**").returncode == 0
    refused = ["--set", f"out={sydctl.home}/out", "--rule", "deny write ${home}/out/a"]
    assert sydctl.shell(script, *refused, profile="./p.toml").returncode == 2


def test_a_host_that_does_not_resolve(sydctl: Sydctl) -> None:
    """Allowed, it is said and the command runs; forbidden, there is no session."""
    quick = {"RES_OPTIONS": "timeout:1 attempts:1"}
    allowed = sydctl("launch", "build", "--rule", "allow connect down.invalid!80", "--", "true", env=quick)
    message = "'down.invalid' does not resolve"
    assert (allowed.returncode, allowed.stderr.count(f"sydctl: --rule: warning: {message}")) == (0, 1)
    denied = sydctl("launch", "build", "--rule", "deny connect down.invalid", "--", "true", env=quick)
    assert (denied.returncode, denied.stderr.count(message)) == (125, 1)


def test_audit(sydctl: Sydctl) -> None:
    """--mode audit lets pass, and says that it did."""
    result = sydctl.shell("echo 1 >../x", "--mode", "audit")
    assert result.returncode == 0
    assert Path(sydctl.home, "x").read_text(encoding="ascii") == "1\n"
    assert "1 access recorded, none stopped (mode is audit) under profile build" in result.stderr
    assert f"would deny create {sydctl.home}/x" in result.stderr


@pytest.mark.parametrize("engine", ["auto", "hybrid", "supervisor", "landlock"])
def test_engines(sydctl: Sydctl, engine: str) -> None:
    """Each one stops what the profile denies, and lets pass what it allows."""
    result = sydctl.shell("echo >../no; echo >yes", "--engine", engine)
    assert result.returncode == 0
    assert (os.path.exists(f"{sydctl.home}/no"), os.path.exists(f"{sydctl.work}/yes")) == (False, True)


def test_the_temporary_directory(sydctl: Sydctl) -> None:
    """It is private, the command's TMPDIR, and gone afterwards with all that was in it."""
    result = sydctl.shell(
        'stat -c %a "$TMPDIR"; mkdir "$TMPDIR/d"; : >"$TMPDIR/d/f"; chmod 0 "$TMPDIR/d"; echo $TMPDIR'
    )
    mode, directory = result.stdout.split()
    assert (mode, result.stderr) == ("700", "")
    assert not os.path.exists(directory)


def test_plan(sydctl: Sydctl) -> None:
    """--plan shows the layers and runs nothing."""
    result = sydctl("launch", "build", "--plan", "--", "touch", "x")
    assert (result.returncode, result.stderr, os.listdir(sydctl.work)) == (0, "", [])
    assert "profile build, mode enforce" in result.stdout
    assert "seccomp filter" in result.stdout
    without = sydctl("launch", "build", "--plan")
    assert without.returncode == 0


def test_plan_as_json(sydctl: Sydctl) -> None:
    """The same as data: every access once, with who enforces it and why."""
    result = sydctl("launch", "build", "--plan", "--json", "--engine", "supervisor")
    plan = json.loads(result.stdout)
    assert (plan["profile"], plan["engine"], plan["landlock"]) == ("build", "supervisor", None)
    by_access = {entry["access"]: entry for entry in plan["accesses"]}
    assert by_access["list"]["enforcement"] == "free"
    assert by_access["create"]["enforcement"] == "supervisor"
    assert all(entry["why"] and entry["meaning"] for entry in plan["accesses"])
    assert plan["place"]["cwd"] == sydctl.work


def test_events(sydctl: Sydctl) -> None:
    """One line of JSON for each new event, and one at the end for what came again."""
    sydctl.write(".bashrc", "mine\n")
    script = "for i in 1 2 3; do echo x >>../.bashrc; done; rm ../.bashrc"
    result = sydctl.shell(script, "--events", "log")
    assert result.returncode == 1
    lines = [json.loads(line) for line in Path(sydctl.work, "log").read_text(encoding="utf-8").splitlines()]
    assert [line["type"] for line in lines] == ["event", "event", "repeated"]
    modify, delete, repeated = lines
    assert (modify["sequence"], delete["sequence"]) == (1, 2)
    assert (repeated["sequence"], repeated["count"]) == (1, 3)
    assert {
        "action": "deny",
        "access": "modify",
        "path": f"{sydctl.home}/.bashrc",
        "given": "../.bashrc",
        "errno": "EACCES",
        "rule": "no rule: default",
        "rule_source": "",
        "allow": "allow modify ${home}/.bashrc",
        "profile": "build",
        "enforced": True,
    }.items() <= modify.items()
    assert modify["process"]["command"] == "sh"
    assert modify["process"]["argv"] == ["sh", "-c", script]
    assert modify["process"]["cwd"] == sydctl.work
    assert (delete["access"], delete["process"]["command"]) == ("delete", "rm")
    assert [parent["command"] for parent in delete["process"]["parents"]] == ["sh"]
    assert Path(sydctl.home, ".bashrc").read_text(encoding="ascii") == "mine\n"


def test_events_to_a_descriptor(sydctl: Sydctl) -> None:
    """/dev/fd/N is that open file, whatever it is; the command does not inherit it."""
    reader, writer = os.pipe()
    command = sydctl.command(
        "launch",
        "build",
        "--events",
        f"/dev/fd/{writer}",
        "--",
        "sh",
        "-c",
        f"echo >/etc/no; test -e /proc/self/fd/{writer}",
    )
    result = subprocess.run(
        command, pass_fds=[writer], capture_output=True, check=False, timeout=50, **sydctl.options()
    )
    os.close(writer)
    with open(reader, encoding="utf-8") as stream:
        (line,) = stream.read().splitlines()
    assert result.returncode == 1
    assert json.loads(line)["path"] == "/etc/no"


def test_events_on_a_full_disk(sydctl: Sydctl) -> None:
    """The command has its status, and the block at the end tells all; that the file does not is said."""
    result = sydctl.shell("echo 1 >../x; echo 2 >../y; exit 3", "--events", "/dev/full")
    assert result.returncode == 3
    said = result.stderr.splitlines()
    assert "sydctl: --events: not everything is in '/dev/full': No space left on device" in said
    assert "sydd: 2 accesses denied under profile build" in said
    assert "mistake" not in result.stderr


def test_events_without_any(sydctl: Sydctl) -> None:
    """The file is there, and empty, also where it was not before."""
    log = sydctl.write("work/log", "of the last run\n")
    assert sydctl.shell("true", "--events", "log").returncode == 0
    assert Path(log).read_text(encoding="ascii") == ""


def test_the_block(sydctl: Sydctl) -> None:
    """What, as given, who, by which rule, and what would allow it: nothing more."""
    sydctl.write(".bashrc", "mine\n")
    sydctl.write("p.toml", 'extends = "build"\nrules = ["deny delete ${cwd}/keep"]\n')
    sydctl.write("work/keep", "")
    result = sydctl.shell("echo x >>../.bashrc; rm keep; exit 0", profile="../p.toml")
    assert result.returncode == 0
    own = [line for line in result.stderr.splitlines() if not line.startswith(("sh:", "rm:"))]
    numbers = [word.partition("]")[0] for word in "\n".join(own).split("[")[1:]]
    shell, remover = numbers[0], numbers[1]
    assert own == [
        "sydd: 2 accesses denied under profile p",
        f"  deny modify {sydctl.home}/.bashrc  (openat: EACCES)",
        "    as given:    ../.bashrc",
        f"    process:     sh[{shell}]: sh -c 'echo x >>../.bashrc; rm keep; exit 0'",
        "    rule:        no rule: default",
        "    to allow it: allow modify ${home}/.bashrc",
        f"  deny delete {sydctl.work}/keep  (unlinkat: EACCES)",
        "    as given:    keep",
        f"    process:     rm[{remover}]: rm keep, from sh[{shell}]",
        "    rule:        deny delete ${cwd}/keep  (../p.toml:2:11)",
        "    to allow it: allow delete ${cwd}/keep",
    ]


def test_the_allowing_line_allows(sydctl: Sydctl) -> None:
    """What the block says to add is what makes it work."""
    sydctl.write(".bashrc", "mine\n")
    script = "echo x >>../.bashrc"
    result = sydctl.shell(script)
    (rule,) = [line.partition(": ")[2] for line in result.stderr.splitlines() if "to allow it:" in line]
    again = sydctl.shell(script, "--rule", rule.strip())
    assert (again.returncode, again.stderr) == (0, "")
    assert Path(sydctl.home, ".bashrc").read_text(encoding="ascii") == "mine\nx\n"


def test_quiet(sydctl: Sydctl) -> None:
    """-q leaves stderr to the command."""
    result = sydctl.shell(": >/etc/x", "-q")
    assert result.returncode == 2
    assert "sydd" not in result.stderr


def test_verbose(sydctl: Sydctl) -> None:
    """-v tells the engine first, and each event when it happens."""
    result = sydctl.shell("echo >/etc/x; echo after >&2", "-v", "--engine", "supervisor")
    lines = result.stderr.splitlines()
    assert lines[0] == "sydd: profile build, engine supervisor: seccomp filter + supervisor"
    live = next(line for line in lines if line.startswith("sydd: deny create /etc/x: sh["))
    assert lines.index(live) < lines.index("after") < len(lines) - 1


def test_no_control_characters(sydctl: Sydctl) -> None:
    """A name or an argument cannot drive the terminal that the block is shown on, live or at the end."""
    name = "\\033]0;title\\007\\302\\233red\\nsydd: forged"
    script = f'name=$(printf "{name}"); exec 2>/dev/null; echo >"../$name"; exit 0'
    result = sydctl("launch", "build", "-v", "--", "sh", "-c", script, "a\x1b[31m")
    assert result.returncode == 0
    told = [line for line in result.stderr.splitlines() if not line.startswith("sh:")]
    assert not any("\x1b" in line or "\x9b" in line or "\x07" in line for line in told)
    assert f"  deny create {sydctl.home}/\\x1b]0;title\\x07\\x9bred\\nsydd: forged  (openat: EACCES)" in told
    assert any("a\\x1b[31m" in line for line in told)
    assert "sydd: forged" not in told


def test_colour_for_a_terminal_alone(sydctl: Sydctl) -> None:
    """A terminal gets colours, but not with NO_COLOR."""

    def told(env: dict[str, str]) -> bytes:
        ours, theirs = os.openpty()
        command = sydctl.command("launch", "build", "--", "sh", "-c", ": >/etc/x")
        with subprocess.Popen(command, stderr=theirs, **sydctl.options({"TERM": "xterm", **env})) as process:
            os.close(theirs)
            text = b""
            try:
                while part := os.read(ours, 65536):
                    text += part
            except OSError:
                pass  # EIO: the other end has been closed
            process.wait(30)
        os.close(ours)
        return text

    assert b"\x1b[1msydd: 1 access denied" in told({})
    assert b"\x1b" not in told({"NO_COLOR": "1"})
    assert "\x1b" not in sydctl.shell(": >/etc/x").stderr
