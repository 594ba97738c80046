"""`sydctl doctor`, `completion`, `--version`, `--help`, and what is imported when."""

from __future__ import annotations

import importlib.util
import json
import subprocess

import pytest

import sydd
from tests.sydctl.conftest import Sydctl


def test_doctor(sydctl: Sydctl) -> None:
    """Every feature with what it gives; the engine at the end; the status says whether sydd can run."""
    told = sydctl("doctor")
    said = json.loads(sydctl("doctor", "--json").stdout)
    assert told.returncode == (1 if said["problems"] else 0)
    for feature in said["features"]:
        assert feature["name"] in told.stdout
        assert feature["gives"] in told.stdout
        if not feature["present"] and feature["name"] != "yama_scope":
            assert f"without it: {feature['lost']}" in told.stdout
    last = told.stdout.splitlines()[-1]
    assert said["problems"] or last == f"sydd runs here, with the {said['engine']} engine."


def test_the_doctor_is_right(sydctl: Sydctl) -> None:
    """The engine that it names is the one that a launch has."""
    said = json.loads(sydctl("doctor", "--json").stdout)
    result = sydctl("launch", "build", "-v", "--", "true")
    assert result.returncode == (125 if said["problems"] else 0)
    assert said["problems"] or f"engine {said['engine']}:" in result.stderr


def test_version(sydctl: Sydctl) -> None:
    """One line."""
    assert sydctl("--version").stdout == f"sydctl {sydd.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["launch"],
        ["profile"],
        ["profile", "list"],
        ["profile", "show"],
        ["profile", "check"],
        ["explain"],
        ["doctor"],
        ["ports"],
        ["completion"],
    ],
)
def test_help_has_examples(sydctl: Sydctl, words: list[str]) -> None:
    """Each --help shows how, with lines that are that command."""
    result = sydctl(*words, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    _, _, examples = result.stdout.partition("\nexamples:\n")
    assert examples
    assert all(line.startswith(" ".join(["  sydctl", *words])) for line in examples.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(sydctl: Sydctl, shell: str) -> None:
    """A script with shtab, one clear line without."""
    result = sydctl("completion", shell)
    if importlib.util.find_spec("shtab"):
        assert (result.returncode, result.stderr) == (0, "")
        assert "--strict" in result.stdout
    else:
        assert (result.returncode, result.stdout) == (1, "")
        assert "shtab" in result.stderr


def test_nothing_heavy_before_it_is_used(sydctl: Sydctl) -> None:
    """Bad arguments cost nothing; a launch what reads a profile and compiles a filter, and no more."""
    heavy = {"pydantic", "pyseccomp", "tomllib", "rich", "shtab", "asyncio", "structlog", "logging", "email"}

    def imported(*arguments: str) -> set[str]:
        command = sydctl.command(*arguments)
        command[1:1] = ["-X", "importtime"]
        result = subprocess.run(command, capture_output=True, check=False, timeout=50, **sydctl.options())
        names = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if "|" in line}
        return {name for name in names if name in heavy}

    assert imported("launch", "build") == set()
    assert imported("--version") == set()
    assert imported("launch", "build", "--", "true") - {"pydantic"} == {"tomllib"}
