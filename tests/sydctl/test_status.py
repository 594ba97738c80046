"""The exit status tells the command's from sydd's own, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.sydctl.conftest import Sydctl

SIGNALS = ["INT", "QUIT", "ILL", "ABRT", "FPE", "SEGV", "PIPE", "ALRM", "TERM"]


@pytest.mark.parametrize("status", [0, 1, 2, 77, 125, 126, 127, 255])
def test_the_commands_own_status(sydctl: Sydctl, status: int) -> None:
    """Whatever the command exits with, and nothing is said."""
    result = sydctl.shell(f"exit {status}")
    assert (result.returncode, result.stdout, result.stderr) == (status, "", "")


@pytest.mark.parametrize("name", SIGNALS)
def test_death_by_signal(sydctl: Sydctl, name: str) -> None:
    """128 + N, as the shell has it."""
    result = sydctl.shell(f"kill -{name} $$")
    assert (result.returncode, result.stderr) == (128 + signal.Signals[f"SIG{name}"], "")


def test_the_eldest_decides(sydctl: Sydctl) -> None:
    """A child that dies of a signal, or fails, changes nothing."""
    result = sydctl.shell("sh -c 'kill -SEGV $$' 2>/dev/null; (exit 9); exit 4")
    assert result.returncode == 4


def test_the_rest_of_the_session_is_waited_for(sydctl: Sydctl) -> None:
    """What the command leaves behind may go on, confined, and its output is still there."""
    result = sydctl.shell("mkfifo f; (read x <f; echo $x >late) & echo done >f; exit 6")
    assert result.returncode == 6
    with open(os.path.join(sydctl.work, "late"), encoding="ascii") as file:
        assert file.read() == "done\n"


def test_not_found(sydctl: Sydctl) -> None:
    """127, as env(1) says."""
    result = sydctl("launch", "build", "--", "no-such-command")
    assert (result.returncode, result.stdout) == (127, "")
    assert "no-such-command" in result.stderr
    assert "not found" in result.stderr


def test_not_executable(sydctl: Sydctl) -> None:
    """126 for what is there and cannot be executed."""
    sydctl.write("work/plain", "text\n")
    result = sydctl("launch", "build", "--", "./plain")
    assert (result.returncode, result.stdout) == (126, "")
    assert "./plain" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no profile"),
        (["--", "true"], "no profile"),
        (["build"], "no command"),
        (["build", "--"], "no command"),
        (["-p", "build"], "no command"),
        (["build", "-p", "readonly", "--", "true"], "two profiles"),
        (["--no-such-option"], "no-such-option"),
        (["build", "--mode", "maybe", "--", "true"], "maybe"),
        (["build", "--engine", "steam", "--", "true"], "steam"),
        (["build", "--set", "novalue", "--", "true"], "NAME=VALUE"),
        (["build", "--set", "nosuch=1", "--", "true"], "nosuch"),
        (["build", "--json", "--", "true"], "--plan"),
        (["biuld", "--", "true"], "did you mean 'build'?"),
        (["./missing.toml", "--", "true"], "./missing.toml"),
        (["build", "-C", "missing", "--", "true"], "does not exist"),
        (["build", "-C", "/dev/null", "--", "true"], "not a directory"),
        (["build", "--rule", "alow write /x", "--", "true"], "did you mean 'allow'?"),
        (["build", "--rule", "allow write ${nosuch}/x", "--", "true"], "nosuch"),
        (["build", "--events", ".", "--", "true"], "directory"),
        (["build", "--events", "missing/file", "--", "true"], "No such file"),
        (["build", "--events", "-", "--", "true"], "/dev/fd"),
        (["build", "--events", "/dev/fd/99", "--", "true"], "Bad file descriptor"),
    ],
)
def test_sydds_own_failure(sydctl: Sydctl, arguments: list[str], said: str) -> None:
    """125 and one line that says what is wrong; the command is not started."""
    result = sydctl("launch", *arguments)
    assert (result.returncode, result.stdout) == (125, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("sydctl")
    assert said in line


def test_a_bad_profile_has_a_place(sydctl: Sydctl) -> None:
    """File, line, column, the word, and what would be right."""
    sydctl.write("work/bad.toml", 'extends = "build"\nrules = [\n  "allow wriet /srv/**",\n]\n')
    result = sydctl("launch", "./bad.toml", "--", "true")
    assert (result.returncode, result.stdout) == (125, "")
    assert result.stderr == ("sydctl: bad.toml:3:10: unknown access 'wriet' (did you mean 'write'?)\n")


def test_strict(sydctl: Sydctl) -> None:
    """1 where something was denied and the command took no notice; its own failure stays its own."""
    denied = "echo >/etc/sydd-test 2>/dev/null; exit"
    assert sydctl.shell(f"{denied} 0").returncode == 0
    assert sydctl.shell(f"{denied} 0", "--strict").returncode == 1
    assert sydctl.shell(f"{denied} 5", "--strict").returncode == 5
    assert sydctl.shell("exit 0", "--strict").returncode == 0
    assert sydctl.shell(f"{denied} 0", "--strict", "--mode", "audit").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end(sydctl: Sydctl, number: signal.Signals) -> None:
    """A signal to sydctl alone ends the command, and is its status."""
    command = sydctl.command("launch", "build", "--", "sh", "-c", "echo ready; exec sleep 1000")
    with subprocess.Popen(command, stdout=subprocess.PIPE, **sydctl.options()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number


def test_nobody_reads(sydctl: Sydctl) -> None:
    """A closed pipe ends sydctl quietly, with the status of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    command = sydctl.command("profile", "show", "build")
    result = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=50, **sydctl.options()
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize(
    "arguments", [["profile"], ["profile", "shwo", "build"], ["doctor", "x"], ["lunch"], []]
)
def test_bad_arguments_elsewhere(sydctl: Sydctl, arguments: list[str]) -> None:
    """2, and one line."""
    result = sydctl(*arguments)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


def test_closed_streams(sydctl: Sydctl) -> None:
    """Without standard streams the command gets /dev/null, not some descriptor of sydd's."""
    shell = 'exec "$@" <&- >&- 2>&-'
    command = sydctl.command(
        "launch", "build", "--", "sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2 >links"
    )
    result = subprocess.run(
        ["sh", "-c", shell, "sh", *command], check=False, capture_output=True, timeout=50, **sydctl.options()
    )
    assert result.returncode == 0
    with open(os.path.join(sydctl.work, "links"), encoding="ascii") as file:
        assert file.read() == "/dev/null\n/dev/null\n"
