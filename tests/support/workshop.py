"""A user with a work directory, in which programs run in sessions, and what they then have said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.unprivileged import Unprivileged

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def needs(*programs: str) -> None:
    """Skip the test where a program is missing, by its name."""
    for program in programs:
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"needs {program}")


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Done:
    """What a script came to.

    Attributes:
        status: its exit status.
        output: what it said, errors included.
        events: what was denied.
    """

    status: int
    output: str
    events: list[dict[str, Any]]


class Workshop:
    """Runs scripts in sessions.

    Attributes:
        user: who.
        home: the user's home, canonical.
        work: the work directory, below it.
    """

    def __init__(self, user: Unprivileged) -> None:
        self.user = user
        self.home = os.path.realpath(user.home)
        self.work = os.path.join(self.home, "work")
        os.mkdir(self.work)
        user.give(self.work)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """A file of the user's in the work directory."""
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        self.user.give(self.work)

    def run(
        self,
        script: str,
        *options: str,
        engine: str = "hybrid",
        seconds: float = 55,
        profile: str = "build",
    ) -> Done:
        """Run a script of bash under a profile.

        Args:
            script: it ends with the first command that fails.
            options: of `sydctl launch`.
            engine: the engine.
            seconds: how long it may take.
            profile: its name or path.
        """
        events = os.path.join(self.home, "events")
        launch = [
            sys.executable,
            "-m",
            "sydctl",
            "launch",
            profile,
            "--engine",
            engine,
            "--events",
            events,
            "-q",
        ]
        done = subprocess.run(
            [*launch, *options, "--", "bash", "-euc", script],
            cwd=self.work,
            env={
                "HOME": self.home,
                "PATH": PATH,
                "PYTHONPATH": ROOT,
                "LC_ALL": "C.UTF-8",
                "TERM": "dumb",
                "SHELL": "/bin/sh",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
            **self.user.identity(),
        )
        with open(events, encoding="utf-8") as file:
            told = [value for value in map(json.loads, file) if value["type"] == "event"]
        return Done(done.returncode, done.stdout, told)
