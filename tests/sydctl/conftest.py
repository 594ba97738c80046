"""The real command, for an unprivileged user with a home and a work directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.unprivileged import Unprivileged

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = ("NO_COLOR", "XDG_CONFIG_HOME", "PYTHONWARNINGS")


class Sydctl:
    """Runs sydctl for a user.

    Attributes:
        user: who.
        home: the user's home, canonical.
        work: the directory that commands run in, below it.
    """

    def __init__(self, user: Unprivileged) -> None:
        self.user = user
        self.home = os.path.realpath(user.home)
        self.work = os.path.join(self.home, "work")
        os.mkdir(self.work)
        user.give(self.work)

    def __call__(
        self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None, cwd: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=50,
            **self.options(env, cwd),
        )

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "sydctl", *arguments]

    def options(self, env: Mapping[str, str] | None = None, cwd: str = "") -> dict[str, Any]:
        """What subprocess needs to run it as the user, in the work directory."""
        variables = self.user.environment({"HOME": self.home, "PYTHONPATH": str(ROOT)})
        for name in LEFT_OUT:
            variables.pop(name, None)
        return {
            "cwd": cwd or self.work,
            "env": variables | dict(env or {}),
            "text": True,
            "errors": "surrogateescape",
            **self.user.identity(),
        }

    def shell(self, script: str, *options: str, profile: str = "build") -> subprocess.CompletedProcess[str]:
        """Run a shell script under a profile."""
        return self("launch", profile, *options, "--", "sh", "-c", script)

    def write(self, name: str, text: str) -> str:
        """Make a file of the user's, *name* below its home; returns its path."""
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
        self.user.give(self.home)
        return path


@pytest.fixture
def sydctl(unprivileged: Unprivileged) -> Sydctl:
    """The command."""
    return Sydctl(unprivileged)
