"""The ways in which a command can be run: natively, under sydd, under what sydd is compared with."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure import NATIVE, RunError
from benchmarks.place import HERE, Place

Wrap = Callable[[Sequence[str], str], list[str]]
"""From a command and its work directory to the command that runs it there in some way."""

SYDD = "sydd"
"""sydd's own choice of engine."""
FLOOR = "C supervisor"
SANDLOCK = "sandlock"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a command.

    Attributes:
        name: in the tables.
        wrap: how.
    """

    name: str
    wrap: Wrap


class AbsentError(Exception):
    """A way that cannot be had here; the message says why."""


def _native(command: Sequence[str], work: str) -> list[str]:
    """The command as it is."""
    del work
    return list(command)


def _prefix(program: str, arguments: Sequence[str]) -> Wrap:
    """What runs a command by a program that takes its own arguments and then the command.

    Args:
        program: its path.
        arguments: its own, where "{work}" stands for the work directory.
    """

    def wrap(command: Sequence[str], work: str) -> list[str]:
        return [program, *(word.replace("{work}", work) for word in arguments), *command]

    return wrap


def _installed(name: str, *arguments: str) -> Wrap:
    """As `_prefix`, for a program from the PATH."""
    path = shutil.which(name)
    if path is None:
        raise AbsentError(f"{name} is not installed")
    return _prefix(path, arguments)


def _compiled(place: Place, name: str, *arguments: str) -> Wrap:
    """As `_prefix`, for one of this directory's C programs."""
    try:
        return _prefix(place.program(name), arguments)
    except RunError as error:
        raise AbsentError(str(error)) from error


def _bubblewrap() -> Wrap:
    """Mounts and namespaces only."""
    mounts = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--bind", "{work}", "{work}"]
    return _installed("bwrap", *mounts, "--unshare-pid", "--unshare-net", "--die-with-parent")


def _fakechroot() -> Wrap:
    """The two preloaded libraries together, as builds in a changed root use them."""
    _installed("fakeroot")
    return _installed("fakechroot", "fakeroot")


def sydctl() -> list[str]:
    """The command that runs sydctl.

    Raises:
        AbsentError: it is neither installed nor in this checkout.
    """
    script = os.path.join(os.path.dirname(sys.executable), "sydctl")
    if os.path.exists(script):
        return [script]
    if os.path.exists(os.path.join(os.path.dirname(HERE), "sydctl", "main.py")):
        # A checkout that is not installed; -P keeps the work directory off the path.
        start = f"import sys; sys.path.insert(0, {os.path.dirname(HERE)!r}); from sydctl.main import main; "
        return [sys.executable, "-P", "-c", start + "sys.exit(main())"]
    path = shutil.which("sydctl")
    if path is None:
        raise AbsentError("sydctl is not installed")
    return [path]


def _sydd(*options: str) -> Wrap:
    """Sydd with the `build` profile, which allows the working directory.

    Args:
        options: of ``sydctl launch``.
    """
    program, *rest = sydctl()
    return _prefix(program, [*rest, "launch", *options, "build", "--"])


def _sandlock(place: Place) -> Wrap:
    """Sandlock from an environment of its own, which `--fetch` makes."""
    python = os.path.join(place.cache, "sandlock", "bin", "python")
    if not os.path.exists(python):
        raise AbsentError("sandlock is not installed (--fetch)")
    return _prefix(python, ["-I", os.path.join(HERE, "sandlock_run.py"), "{work}"])


def every_way(place: Place) -> tuple[list[Way], dict[str, str]]:
    """All ways that can be had here, in the order of the tables, and the others with the reason.

    Args:
        place: the directories.
    """
    builders: dict[str, Callable[[], Wrap]] = {
        NATIVE: lambda: _native,
        "Landlock only": lambda: _compiled(place, "landlock", "{work}", "--"),
        SYDD: _sydd,
        f"{SYDD} landlock": lambda: _sydd("--engine", "landlock"),
        f"{SYDD} hybrid": lambda: _sydd("--engine", "hybrid"),
        f"{SYDD} supervisor": lambda: _sydd("--engine", "supervisor"),
        FLOOR: lambda: _compiled(place, "floor", "-d", os.path.dirname(place.refused)),
        "bubblewrap": _bubblewrap,
        SANDLOCK: lambda: _sandlock(place),
        "fakechroot+fakeroot": _fakechroot,
        "proot": lambda: _installed("proot"),
        "strace -f": lambda: _installed("strace", "-f", "-qq", "-o", "/dev/null"),
    }
    ways: list[Way] = []
    absent: dict[str, str] = {}
    for name, build in builders.items():
        try:
            ways.append(Way(name, build()))
        except AbsentError as error:
            absent[name] = str(error)
    return ways, absent
