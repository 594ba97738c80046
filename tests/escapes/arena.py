"""A place for one attempt: a work directory, a home with a secret, a victim, and two ways to run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from tests.support.preloaded import Preloaded

SECRET = "the-private-key"
ORIGINAL = "untouched\n"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYDCTL = [sys.executable, "-P", "-m", "sydctl"]
SECONDS = 30
REPEATED = 0.2
"""Seconds that a race lasts under sydd when it is repeated: some thousand calls."""
NATIVELY = (0.2, 1.0, 5.0)
"""Seconds that a race is given to win without sydd, one after the other until it has."""


class Arena:
    """The directories of one attempt, made anew for each of its two runs.

    Attributes:
        work: the work directory, writable under `build`.
        home: the home directory; `.ssh/id` is secret.
        outside: a directory that no rule allows to write to; `victim` must stay as it is.
        program: where the compiled attempts are.
        output, errors, status: of the last run.
        seconds: how long a race lasts under sydd; without it wins at once.
    """

    _won: ClassVar[set[tuple[str, ...]]] = set()

    def __init__(self, engine: str, programs: str, sydctl: Preloaded) -> None:
        self.engine = engine
        self.programs = programs
        self.sydctl = sydctl
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="escape-"))
        self.work, self.home, self.outside = (f"{self.root}/{name}" for name in ("work", "home", "outside"))
        self.victim = f"{self.outside}/victim"
        self.secret = f"{self.home}/.ssh/id"
        self.output = ""
        self.errors = ""
        self.status = 0
        self.seconds = 0.35
        self.reset()

    def reset(self) -> None:
        """Everything as at the beginning."""
        for directory in (self.work, self.home, self.outside):
            shutil.rmtree(directory, ignore_errors=True)
            os.mkdir(directory)
        os.mkdir(os.path.dirname(self.secret))
        for path, text in ((self.victim, ORIGINAL), (self.secret, SECRET)):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        os.chmod(self.victim, 0o644)

    def remove(self) -> None:
        """Take it all away."""
        shutil.rmtree(self.root)

    def profile(self, text: str) -> str:
        """Make a profile that extends `build`; its path."""
        path = f"{self.root}/p.toml"
        with open(path, "w", encoding="ascii") as file:
            file.write(f'name = "p"\nextends = "build"\n{text}')
        return path

    def plant(self, name: str, text: str = SECRET) -> str:
        """Make a file in the work directory, with its directories; its path."""
        path = f"{self.work}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def native(self, argv: Sequence[str], seconds: float = NATIVELY[0]) -> None:
        """Run without sydd; a race lasts for *seconds*."""
        self._run(argv, seconds)

    def confined(
        self,
        argv: Sequence[str],
        rules: Sequence[str] = (),
        options: Sequence[str] = (),
        profile: str = "build",
    ) -> None:
        """Run under a profile, with further rules."""
        words = self.launch(argv, rules, options, profile)[len(SYDCTL) :]
        self._keep(self.sydctl.run(words, cwd=self.work, env=self.environment(self.seconds), timeout=SECONDS))

    def launch(
        self,
        argv: Sequence[str],
        rules: Sequence[str] = (),
        options: Sequence[str] = (),
        profile: str = "build",
    ) -> list[str]:
        """The command that runs *argv* under a profile, with further rules."""
        added = [word for rule in rules for word in ("--rule", rule)]
        return [*SYDCTL, "launch", profile, "--engine", self.engine, *added, *options, "--", *argv]

    def environment(self, seconds: float) -> dict[str, str]:
        """The environment of an attempt; a race lasts for *seconds*."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self.home,
            "PYTHONPATH": ROOT,
            "TMPDIR": self.root,
            "PYTHONDONTWRITEBYTECODE": "1",
            "RACE": str(seconds),
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def _run(self, argv: Sequence[str], seconds: float) -> None:
        done = subprocess.run(
            argv,
            cwd=self.work,
            env=self.environment(seconds),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=SECONDS,
            check=False,
        )
        self._keep(done)

    def _keep(self, done: subprocess.CompletedProcess[str]) -> None:
        self.output, self.errors, self.status = done.stdout, done.stderr, done.returncode

    def python(self, code: str, *arguments: str) -> list[str]:
        """The command that runs *code* in an interpreter."""
        return [sys.executable, "-I", "-S", "-c", _PRELUDE + code, *arguments]

    def program(self, name: str, *arguments: str) -> list[str]:
        """The command that runs a compiled attempt."""
        return [f"{self.programs}/{name}", *arguments]

    def attempt(
        self,
        argv: Sequence[str],
        worked: Callable[[], bool],
        *,
        rules: Sequence[str] = (),
        prepare: Callable[[], object] | None = None,
        profile: str = "build",
    ) -> None:
        """Run *argv* without sydd, where it has to work, and under sydd, where it must not.

        What is repeated is seen to work without sydd once.

        Args:
            argv: the attempt.
            worked: looks from outside whether the attempt had what it wanted.
            rules: further rules.
            prepare: makes what the attempt needs, before each of the two runs.
            profile: for the second.
        """
        attempt = (self.engine, *(word.replace(self.root, "") for word in argv))
        if attempt not in self._won:
            self._seen_to_work(argv, worked, prepare)
            self._won.add(attempt)
        if prepare:
            prepare()
        self.confined(argv, rules, profile=profile)
        assert self.status != 125, self.errors
        assert not worked(), f"out: {self.output}{self.errors}"

    def _seen_to_work(
        self, argv: Sequence[str], worked: Callable[[], bool], prepare: Callable[[], object] | None
    ) -> None:
        """Run *argv* without sydd until it has worked; everything is as at the beginning then."""
        for seconds in NATIVELY:
            if prepare:
                prepare()
            self.native(argv, seconds)
            won = worked()
            self.reset()
            if won:
                return
        pytest.fail(f"the attempt does not work without sydd either: {self.output}{self.errors}")

    def told(self) -> bool:
        """Whether the secret is in the output, or in a file of the work directory called loot."""
        try:
            with open(f"{self.work}/loot", encoding="utf-8", errors="replace") as file:
                loot = file.read()
        except OSError:
            loot = ""
        return SECRET in self.output or SECRET in loot

    def touched(self) -> bool:
        """Whether the victim has other content, another mode, other times, or is gone, or has company."""
        try:
            status = os.lstat(self.victim)
            with open(self.victim, encoding="ascii") as file:
                content = file.read()
        except OSError:
            return True
        return (
            content != ORIGINAL
            or status.st_mode != 0o100644
            or status.st_nlink != 1
            or status.st_mtime < 1_000_000_000
            or os.listdir(self.outside) != ["victim"]
            or bool(os.listxattr(self.victim))
        )


_PRELUDE = """
import ctypes, os, sys, errno
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    return libc.syscall(ctypes.c_long(number), *[
        ctypes.c_long(word) if isinstance(word, int) else word for word in arguments])
"""
