"""The project's own rules: typed, linted, layered, standard library only where promised."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sydd
from sydctl.manual.pages import SEE

ROOT = Path(__file__).resolve().parent.parent
STANDARD_ONLY = ["sydd/kernel", "sydd/launcher.py"]
"""Imported by the launcher, whose start-up every command pays: the standard library and sydd.kernel alone."""


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment that runs the tests, from the top of the project."""
    path = os.path.join(os.path.dirname(sys.executable), name)
    if not os.path.exists(path):
        path = os.path.join(sysconfig.get_path("scripts"), name)
    return subprocess.run(
        [path, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def sources(place: str) -> list[Path]:
    """The Python files of a package, or the one file; none if there is no such place yet."""
    path = ROOT / place
    return sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.exists() else []


def imports(path: Path) -> Iterator[str]:
    """The absolute names of all modules that a file imports, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module


def test_ruff(tmp_path: Path) -> None:
    """The linter has nothing to say."""
    result = tool("ruff", "check", "--quiet", "--cache-dir", str(tmp_path), "--output-format", "concise")
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


@pytest.mark.timeout(300)
def test_mypy(tmp_path: Path) -> None:
    """Everything is typed, tests and benchmarks too."""
    result = tool("mypy", "--no-error-summary", "--cache-dir", str(tmp_path))
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


def test_layers() -> None:
    """The import contracts of pyproject.toml are kept."""
    result = tool("lint-imports", "--no-cache", "--no-logo")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("place", STANDARD_ONLY)
def test_the_launcher_imports_the_standard_library_alone(place: str) -> None:
    """What the launcher imports comes from the standard library or sydd.kernel."""
    allowed = sys.stdlib_module_names
    foreign = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(place)
        for name in imports(path)
        if name.partition(".")[0] not in allowed and name != "sydd" and not name.startswith("sydd.kernel")
    ]
    assert foreign == []


def test_dependencies_are_imported() -> None:
    """Each declared dependency is used, and what is imported is declared."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    declared = {word.partition(">")[0].partition("=")[0].strip() for word in project["dependencies"]}
    used = {
        name.partition(".")[0]
        for place in ("sydd", "sydctl")
        for path in sources(place)
        for name in imports(path)
    }
    third_party = used - sys.stdlib_module_names - {"sydd", "sydctl"}
    assert third_party == declared


def test_the_wheel_has_everything(tmp_path: Path) -> None:
    """The built wheel holds every module, profile, unit and man page, and the version that sydd says."""
    result = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (wheel,) = tmp_path.iterdir()
    assert wheel.name == f"sydd-{sydd.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith(("sydd/", "sydctl/"))}
    expected = {
        str(path.relative_to(ROOT))
        for package in ("sydd", "sydctl")
        for pattern in ("*.py", "*.toml")
        for path in (ROOT / package).rglob(pattern)
    }
    expected |= {
        f"sydctl/share/{path.relative_to(ROOT)}" for path in (ROOT / "systemd").rglob("*") if path.is_file()
    }
    expected |= {f"sydctl/share/man/{name}" for name in SEE}
    assert shipped == expected


def test_modules_stay_small() -> None:
    """A module is one idea: at most 400 lines, but for tables of data."""
    data = {"sydd/syscalls/numbers.py", "sydd/syscalls/rows.py"}
    long = {
        str(path.relative_to(ROOT)): lines
        for place in ("sydd", "sydctl", "benchmarks")
        for path in sources(place)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert {name: lines for name, lines in long.items() if name not in data} == {}


def test_the_architecture_names_the_daemons_modules() -> None:
    """Whoever looks for one finds it in the table, and what is in the table is there."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("| module of `sydd/daemon/` |")[2].partition("\n\n")[0]
    modules = {path.name for path in (ROOT / "sydd" / "daemon").glob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", table)) == modules - {"__init__.py", "__main__.py"}
