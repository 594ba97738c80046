"""Running commands in turn, and the medians that come of it.

The ways are run A B C A B C …, never A A A B B B: what changes on the machine meanwhile then falls on all
of them alike.
"""

from __future__ import annotations

import os
import pwd
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NATIVE = "native"
"""The name of the way that all ratios refer to."""


class RunError(Exception):
    """A command that failed or took too long; the message is one line for the table."""


@dataclass(frozen=True, slots=True)
class Run:
    """One command that succeeded.

    Attributes:
        seconds: from before the fork until it was waited for.
        stdout: what it printed.
    """

    seconds: float
    stdout: str


@dataclass(frozen=True, slots=True)
class User:
    """Whom a command runs as.

    Attributes:
        name: of the user.
        uid: its number.
        gid: its group; it is in no other one.
        home: a directory that is its own.
    """

    name: str
    uid: int
    gid: int
    home: str

    @classmethod
    def named(cls, name: str | None, home: str) -> User:
        """Look a user up.

        Args:
            name: the user, or None for the one that runs the benchmarks.
            home: its directory here, which is given to it.

        Raises:
            KeyError: there is no such user.
        """
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
        user = cls(entry.pw_name, entry.pw_uid, entry.pw_gid, home)
        user.own(home)
        return user

    def identity(self) -> dict[str, Any]:
        """The arguments of subprocess.Popen that make a child this user."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def environment(self, work: str) -> dict[str, str]:
        """A small environment, the same for every way.

        Args:
            work: the work directory; its "tmp" is for temporary files, so that one directory is all that a
                sandbox has to allow.
        """
        return {
            "TMPDIR": os.path.join(work, "tmp"),
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "LC_ALL": "C.UTF-8",
        }

    def own(self, path: str) -> None:
        """Make a tree this user's, if it is another user's yet."""
        if self.uid != os.geteuid() or os.stat(path).st_uid != self.uid:
            subprocess.run(["chown", "-R", f"{self.uid}:{self.gid}", path], check=True)


def run(
    command: Sequence[str],
    user: User,
    cwd: str,
    seconds: float = 900,
    variables: Mapping[str, str] | None = None,
) -> Run:
    """Run a command and time it.

    Args:
        command: program and arguments.
        user: whom it runs as.
        cwd: where: a work directory.
        seconds: how long it may take; it is killed with its process group then.
        variables: further ones of its environment.

    Raises:
        RunError: it took longer, or its status was not 0.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=user.environment(cwd) | dict(variables or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
        **user.identity(),
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise RunError(f"took more than {seconds:.0f} s") from None
            raise
    took = time.perf_counter() - start
    if process.returncode != 0:
        last = (stderr.strip() or stdout.strip()).splitlines()[-1:]
        raise RunError(f"status {process.returncode}: {last[0][:100] if last else 'no output'}")
    return Run(took, stdout)


@dataclass(frozen=True, slots=True)
class Cell:
    """What was measured of one thing in one way.

    Attributes:
        samples: one value for each round.
        failure: why there are none.
    """

    samples: tuple[float, ...] = ()
    failure: str = ""

    @property
    def median(self) -> float:
        """The middle of the samples."""
        return statistics.median(self.samples)


@dataclass(slots=True)
class Grid:
    """A table of measurements: ways down, what was measured across.

    Attributes:
        title: what it shows.
        unit: of the samples: "s", "ms", "ns" or "MB".
        columns: what was measured, in order.
        cells: by way and column.
        absent: the ways that could not be measured at all, and why.
        digits: decimals of a ratio that are worth printing.
    """

    title: str
    unit: str
    columns: list[str]
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    digits: int = 2

    def ratio(self, way: str, column: str, to: str = NATIVE) -> float | None:
        """The median in one way divided by that in another one; None if one of them is missing."""
        mine, other = (self.cells.get(name, {}).get(column, Cell()) for name in (way, to))
        if not mine.samples or not other.samples or other.median == 0:
            return None
        return mine.median / other.median

    def paired(self, way: str, column: str, to: str = NATIVE) -> float | None:
        """The median of each round's ratio to another way: closer than `ratio` where others run."""
        mine, other = (self.cells.get(name, {}).get(column, Cell()) for name in (way, to))
        if not mine.samples or not other.samples:
            return None
        return statistics.median(a / b for a, b in zip(mine.samples, other.samples, strict=True))

    def over(self, way: str, column: str, to: str = NATIVE) -> float | None:
        """By how much the median in one way is more than that in another one; None if one is missing."""
        mine, other = (self.median(name, column) for name in (way, to))
        return None if mine is None or other is None else mine - other

    def median(self, way: str, column: str) -> float | None:
        """The median in one way, None if it was not measured."""
        cell = self.cells.get(way, {}).get(column, Cell())
        return cell.median if cell.samples else None


def in_turn(
    ways: Iterable[str],
    measure: Callable[[str], dict[str, float]],
    runs: int,
    progress: Callable[[str], None],
) -> dict[str, dict[str, Cell]]:
    """Measure every way once, then every way again, and so on.

    Args:
        ways: their names.
        measure: runs one way once and returns a value by column; RunError takes the way out.
        runs: how many rounds.
        progress: told each failure, and each round.

    Returns:
        The cells by way and column. A way that failed has one cell named "" that says why.
    """
    samples: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    failures: dict[str, str] = {}
    for turn in range(runs):
        for way, columns in samples.items():
            if way in failures:
                continue
            try:
                values = measure(way)
            except RunError as error:
                failures[way] = str(error)
                progress(f"{way}: {error}")
                continue
            for column, value in values.items():
                columns.setdefault(column, []).append(value)
        latest = ", ".join(f"{way} {values[-1]:.4g}" for way, c in samples.items() for values in c.values())
        # Of suites with many columns the numbers would be many lines.
        progress(f"round {turn + 1} of {runs}" + (f": {latest}" if len(latest) < 400 else ""))
    return {
        way: {"": Cell(failure=failures[way])}
        if way in failures
        else {column: Cell(tuple(values)) for column, values in columns.items()}
        for way, columns in samples.items()
    }
