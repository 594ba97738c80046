"""Debian's libpython3.11-testsuite: each test has the outcome that it has natively, under both engines.

python -m pytest -m slow tests/neutral
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.support.unprivileged import Unprivileged

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = "/usr/bin/python3.11"
SUITE = "/usr/lib/python3.11/test/test_os.py"
SECONDS = 400
"""How long one module may take, once."""

MODULES = (
    "test_os",
    "test_posix",
    "test_posixpath",
    "test_genericpath",
    "test_shutil",
    "test_pathlib",
    "test_tarfile",
    "test_tempfile",
    "test_subprocess",
    "test_signal",
    "test_threadsignals",
    "test_threading",
    "test_socketserver",
    "test_socket",
    "test_glob",
    "test_stat",
    "test_zipfile",
    "test_fileio",
    "test_io",
    "test_mmap",
    "test_fcntl",
    "test_file",
    "test_largefile",
    "test_pty",
    "test_openpty",
    "test_ioctl",
    "test_popen",
    "test_fork1",
    "test_wait3",
    "test_wait4",
    "test_poll",
    "test_select",
    "test_selectors",
    "test_epoll",
    "test_resource",
    "test_fileinput",
    "test_filecmp",
    "test_file_eintr",
    "test_eintr",
    "test_mailbox",
    "test_gzip",
    "test_bz2",
    "test_lzma",
    "test_dbm_dumb",
    "test_shelve",
    "test_unicode_file",
    "test_unicode_file_functions",
    "test_univnewlines",
    "test_bufio",
    "test_compileall",
    "test_py_compile",
    "test_logging",
    "test_httpservers",
    "test_urllib2_localnet",
    "test_ftplib",
    "test_pipes",
)

PROFILE = """
name = "cpython"
description = "What CPython's own tests need: their directory, sockets of this machine, what a build has"
extends = "build"
rules = ["allow net any"]

[environment]
set = { TMPDIR = "${cwd}/tmp" }
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(8 * SECONDS)]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of one run: a word for each test, and the traceback of those that failed."""

    found: dict[str, str]
    why: dict[str, str]


class Runner:
    """Runs modules in a fresh directory, always at the same place."""

    def __init__(self, user: Unprivileged) -> None:
        self._user = user
        self._home = os.path.realpath(user.home)
        self._work = os.path.join(self._home, "work")
        self._profile = os.path.join(self._home, "cpython.toml")
        with open(self._profile, "w", encoding="ascii") as file:
            file.write(PROFILE)

    def run(self, module: str, engine: str | None) -> Outcomes:
        """The outcomes of a module, natively where there is no engine."""
        shutil.rmtree(self._work, ignore_errors=True)
        os.makedirs(os.path.join(self._work, "tmp"))
        self._user.give(self._work)
        command = [PYTHON, os.path.join(ROOT, "tests/neutral/outcomes.py"), "results", module]
        if engine:
            launch = [sys.executable, "-m", "sydctl", "launch", self._profile, "--engine", engine, "-q", "--"]
            command = launch + command
        environment = {
            "HOME": self._home,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "TMPDIR": os.path.join(self._work, "tmp"),
            **({"PYTHONPATH": ROOT} if engine else {}),
        }
        if engine:  # what the tests' own interpreter is not to see
            command[command.index("--") + 1 : command.index("--") + 1] = ["env", "-u", "PYTHONPATH"]
        with subprocess.Popen(
            command,
            cwd=self._work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **self._user.identity(),
        ) as process:
            try:
                _, errors = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return Outcomes({module: f"no end within {SECONDS} s"}, {})
        try:
            with open(os.path.join(self._work, "results"), encoding="utf-8") as file:
                return Outcomes(**json.load(file))
        except FileNotFoundError:
            return Outcomes(
                {module: f"status {process.returncode}"}, {module: errors.decode(errors="replace")}
            )


@pytest.fixture
def runner(unprivileged: Unprivileged) -> Runner:
    """For a user without privileges."""
    for path, package in ((PYTHON, "python3.11"), (SUITE, "libpython3.11-testsuite")):
        if not os.path.exists(path):
            pytest.skip(f"needs the package {package}")
    return Runner(unprivileged)


def differences(natively: Outcomes, confined: Outcomes) -> dict[str, tuple[str, str]]:
    """Tests whose words differ."""
    names = sorted(natively.found.keys() | confined.found.keys())
    both = {
        name: (natively.found.get(name, "not run"), confined.found.get(name, "not run")) for name in names
    }
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


@pytest.mark.parametrize("module", MODULES)
def test_each_outcome_is_as_natively(runner: Runner, module: str) -> None:
    """What differs twice differs."""
    natively = runner.run(module, None)
    assert natively.found
    for engine in ("hybrid", "supervisor"):
        confined = runner.run(module, engine)
        differing = differences(natively, confined)
        if differing:
            # Tests of time, and of load, fail now and then by themselves.
            again = differences(runner.run(module, None), runner.run(module, engine))
            differing = {name: pair for name, pair in differing.items() if name in again}
        told = "\n".join(f"{name}: {pair}\n{confined.why.get(name, '')}" for name, pair in differing.items())
        assert not differing, f"{engine}:\n{told}"
        print(f"{module} {engine}: {len(confined.found)} tests, none differs")  # noqa: T201
