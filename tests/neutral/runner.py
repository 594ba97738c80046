"""Runs a module of CPython's own tests natively and in sessions, and compares the outcomes."""

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

KNOWN = {
    ("supervisor", "test.test_signal.StressTest.test_stress_delivery_simultaneous"): "InterruptedError: ",
}
"""What differs, and is said so in docs/security.md: the error with which a test fails under an engine.

That one calls kill(2) five thousand times, each while a timer ends within ten microseconds.
"""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of one run: a word for each test, and the traceback of those that failed."""

    found: dict[str, str]
    why: dict[str, str]


class Runner:
    """Runs modules in a fresh directory, always at the same place.

    Args:
        user: who runs them.
        profile: the text of the profile.
    """

    def __init__(self, user: Unprivileged, profile: str) -> None:
        self._user = user
        self._home = os.path.realpath(user.home)
        self._work = os.path.join(self._home, "work")
        self._profile = os.path.join(self._home, "cpython.toml")
        with open(self._profile, "w", encoding="ascii") as file:
            file.write(profile)

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


def needs_suite() -> None:
    """Skip where Debian's packages are missing, by their names."""
    for path, package in ((PYTHON, "python3.11"), (SUITE, "libpython3.11-testsuite")):
        if not os.path.exists(path):
            pytest.skip(f"needs the package {package}")


def differences(natively: Outcomes, confined: Outcomes) -> dict[str, tuple[str, str]]:
    """Tests whose outcomes differ; why one is skipped is no part of it."""
    names = sorted(natively.found.keys() | confined.found.keys())
    both = {
        name: (natively.found.get(name, "not run"), confined.found.get(name, "not run")) for name in names
    }
    return {
        name: (ours, theirs) for name, (ours, theirs) in both.items() if _outcome(ours) != _outcome(theirs)
    }


def _outcome(word: str) -> str:
    return word.partition(":")[0]


def is_known(engine: str, name: str, confined: Outcomes) -> bool:
    """Whether a test differs as KNOWN says."""
    error = KNOWN.get((engine, name))
    last = confined.why.get(name, "").rstrip().rpartition("\n")[2]
    return error is not None and last.startswith(error)


def check(runner: Runner, module: str) -> None:
    """Fail where an outcome under either engine is not the native one; what differs twice differs."""
    natively = runner.run(module, None)
    assert natively.found
    for engine in ("hybrid", "supervisor"):
        confined = runner.run(module, engine)
        differing = differences(natively, confined)
        known = {name for name in differing if is_known(engine, name, confined)}
        differing = {name: pair for name, pair in differing.items() if name not in known}
        if differing:
            # Tests of time, and of load, fail now and then by themselves.
            again = differences(runner.run(module, None), runner.run(module, engine))
            differing = {name: pair for name, pair in differing.items() if name in again}
        told = "\n".join(f"{name}: {pair}\n{confined.why.get(name, '')}" for name, pair in differing.items())
        assert not differing, f"{engine}:\n{told}"
        told = f", but {', '.join(sorted(known))}, as is known" if known else ""
        print(f"{module} {engine}: {len(confined.found)} tests, none differs{told}")  # noqa: T201
