"""Running acts natively and in sessions, in equal fresh trees at one and the same place."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.unprivileged import Unprivileged, make_home, remove_home
from tests.transparency.acts import all_acts
from tests.transparency.tree import Node, snapshot

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PROFILE = """
name = "transparency"
description = "A build with a network, for programs that are no threat"
extends = "build"
rules = ["allow net any"]
"""
WITH_HOLES = """
name = "holes"
description = "The same, with rules that no ruleset of the kernel can express"
extends = "./transparency.toml"
rules = ["deny write ${cwd}/**/*.never", "deny connect,bind 203.0.113.0/24"]
"""

WAYS = {
    "hybrid": ("transparency.toml", "hybrid"),
    "holes": ("holes.toml", "hybrid"),
    "supervisor": ("transparency.toml", "supervisor"),
}
"""Profile and engine of each. With holes, the worker performs in hybrid what the kernel alone could hold."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one act.

    Attributes:
        status: exit status, or minus the signal; "no end" where it had to be ended.
        output: what it said, errors included.
        tree: what it left, seen from outside.
    """

    status: int | str
    output: str
    tree: dict[str, Node]


class Stage:
    """Where acts are performed.

    Args:
        user: who; None for root, in a directory of its own.
    """

    def __init__(self, user: Unprivileged | None) -> None:
        self._user = user
        self._home = os.path.realpath(user.home if user else tempfile.mkdtemp(prefix="stage-"))
        os.chmod(self._home, 0o755)
        self._work = os.path.join(self._home, "work")
        for name, text in (("transparency.toml", PROFILE), ("holes.toml", WITH_HOLES)):
            with open(os.path.join(self._home, name), "w", encoding="ascii") as file:
                file.write(text)

    @functools.cache  # noqa: B019  # as long as the session of tests, like what it is of
    def outcomes(self, module: str, way: str) -> dict[str, Outcome]:
        """Perform all acts of a module, natively or in a session.

        Args:
            module: its name.
            way: one of WAYS, or "natively".
        """
        names = list(all_acts((module,)))
        self._clean()
        for name in names:
            os.makedirs(os.path.join(self._work, name))
        if self._user:
            self._user.give(self._work)
        command = [sys.executable, "-m", "tests.transparency.inside", "results", *names]
        if way != "natively":
            profile, engine = WAYS[way]
            profile = os.path.join(self._home, profile)
            launch = [sys.executable, "-m", "sydctl", "launch", profile, "--engine", engine, "-q", "--"]
            command = launch + command
        self._run(command)
        with open(os.path.join(self._work, "results"), encoding="utf-8", errors="surrogateescape") as file:
            results: dict[str, dict[str, Any]] = json.load(file)
        found = {
            name: Outcome(result["status"], result["output"], snapshot(os.path.join(self._work, name)))
            for name, result in results.items()
        }
        self._clean()
        return found

    def _run(self, command: list[str]) -> None:
        environment = {
            "HOME": self._home,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": ROOT,
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            command,
            cwd=self._work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=280,
            start_new_session=True,
            **(self._user.identity() if self._user else {}),
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-3000:]

    def _clean(self) -> None:
        if os.path.isdir(self._work):
            # Too deep for shutil, whose names are whole paths; and no modes stand in rm's way here.
            subprocess.run(["chmod", "-R", "u+rwX", self._work], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["rm", "-rf", self._work], check=True)
        os.mkdir(self._work)
        if self._user:
            self._user.give(self._work)

    def close(self) -> None:
        """Remove everything."""
        self._clean()
        if self._user:
            remove_home(self._home)
        else:
            shutil.rmtree(self._home)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Of a user without privileges."""
    place = Stage(Unprivileged(make_home()))
    yield place
    place.close()


@pytest.fixture(scope="session")
def stage_of_root() -> Iterator[Stage]:
    """Of root."""
    place = Stage(None)
    yield place
    place.close()
