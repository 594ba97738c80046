"""Suite b: whole workloads of a build host."""

from __future__ import annotations

import glob
import io
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from benchmarks.measure import Cell, Grid, RunError, User, in_turn, run
from benchmarks.peers import Way
from benchmarks.place import HERE, Place
from benchmarks.sources import DEBIAN_PACKAGE

FILES = 10_000
PACKAGES = ("asyncio", "concurrent", "email", "http", "json", "logging", "multiprocessing", "unittest", "xml")
"""Of the standard library: what compileall gets."""


class Workload(ABC):
    """One workload: prepared once, laid out afresh before each run, and run.

    Args:
        place: the directories.
        user: whom it runs as.
    """

    title: str

    def __init__(self, place: Place, user: User) -> None:
        self.place = place
        self.user = user

    @abstractmethod
    def prepare(self) -> str:
        """Make what all runs share; the reason if that cannot be had here, else ""."""

    @abstractmethod
    def lay_out(self, work: str) -> None:
        """Put into a work directory what one run needs, untimed and natively.

        Args:
            work: the new directory; it is given to the user afterwards.
        """

    @abstractmethod
    def command(self, work: str) -> list[str]:
        """What is timed, run in the work directory.

        Args:
            work: the directory.
        """


class Untar(Workload):
    """Unpack 10,000 small files in 100 directories, and remove them again."""

    title = f"untar + rm -rf, {FILES:,} files"

    def prepare(self) -> str:
        """Make the archive, the same bytes every time."""
        path = os.path.join(self.place.base, "files.tar")
        if os.path.exists(path):
            return ""
        content = random.Random(0)  # noqa: S311 (only to be no run of one byte)
        when = int(time.time())
        with tarfile.open(path, "w") as archive:
            for i in range(FILES):
                if i % 100 == 0:
                    directory = tarfile.TarInfo(f"files/{i // 100}")
                    directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o755, when
                    archive.addfile(directory)
                file = tarfile.TarInfo(f"files/{i // 100}/{i}.c")
                # Owned by nobody who unpacks it: root's tar then changes the owner.
                file.size, file.mode, file.mtime = 1000, 0o644, when
                file.uid = file.gid = 1000
                archive.addfile(file, io.BytesIO(content.randbytes(1000)))
        return ""

    def lay_out(self, work: str) -> None:
        """The archive lies outside."""

    def command(self, work: str) -> list[str]:
        """Tar and rm."""
        del work
        archive = os.path.join(self.place.base, "files.tar")
        return ["sh", "-c", 'tar -xf "$1" && rm -rf files', "sh", archive]


class Example(Workload):
    """Configure, build and test the example that comes with sydd: a very small build."""

    title = "wordcount: configure, make, test"

    def prepare(self) -> str:
        """The example is in the checkout."""
        return ""

    def lay_out(self, work: str) -> None:
        """Copy the sources, but nothing that was built from them."""
        source = os.path.join(os.path.dirname(HERE), "examples", "wordcount")
        ignore = shutil.ignore_patterns("out", "config.mk", "wordcount")
        shutil.copytree(source, os.path.join(work, "source"), ignore=ignore)

    def command(self, work: str) -> list[str]:
        """The three steps."""
        del work
        return ["sh", "-c", "cd source && ./configure && make && make test"]


class Configure(Workload):
    """Configure and build GNU hello, from Debian's source package."""

    title = "hello: configure, make"

    def prepare(self) -> str:
        """Unpack the sources."""
        tree = os.path.join(self.place.base, "hello")
        if os.path.exists(tree):
            return ""
        archives = glob.glob(os.path.join(self.place.cache, "sources", f"{DEBIAN_PACKAGE}_*.orig.tar.*z"))
        if not archives:
            return "its source is not there (--fetch)"
        os.mkdir(tree)
        subprocess.run(
            ["tar", "-xf", archives[0], "-C", tree, "--strip-components=1", "--no-same-owner"], check=True
        )
        return ""

    def lay_out(self, work: str) -> None:
        """Copy the sources with their times, or make would try to make configure again."""
        source = os.path.join(self.place.base, "hello")
        subprocess.run(["cp", "-a", source, os.path.join(work, "source")], check=True)

    def command(self, work: str) -> list[str]:
        """The two steps."""
        del work
        return ["sh", "-c", "cd source && ./configure -q && make -s"]


class PipInstall(Workload):
    """Install a few real wheels into a fresh virtual environment."""

    title = "pip install"

    def prepare(self) -> str:
        """Look for the wheels; pip has to be readable for the user too."""
        if not glob.glob(os.path.join(self.place.cache, "wheels", "*.whl")):
            return "its wheels are not there (--fetch)"
        pip = run([sys.executable, "-m", "pip", "--version"], self.user, self.place.work(self.user))
        return "" if pip.stdout else "no pip"

    def lay_out(self, work: str) -> None:
        """Make the environment and copy the wheels."""
        venv = [sys.executable, "-m", "venv", "--without-pip", os.path.join(work, "venv")]
        subprocess.run(venv, check=True)
        shutil.copytree(os.path.join(self.place.cache, "wheels"), os.path.join(work, "wheels"))

    def command(self, work: str) -> list[str]:
        """Pip of this interpreter, for the new environment."""
        target = os.path.join(work, "venv", "bin", "python")
        wheels = sorted(glob.glob(os.path.join(work, "wheels", "*.whl")))
        options = ["--isolated", "install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check"]
        return [sys.executable, "-m", "pip", "--python", target, *options, "--no-cache-dir", *wheels]


class CompileAll(Workload):
    """Compile a part of the standard library."""

    title = "compileall"

    def prepare(self) -> str:
        """The standard library is there."""
        return ""

    def lay_out(self, work: str) -> None:
        """Copy the sources without what was compiled from them."""
        library = sysconfig.get_path("stdlib")
        for package in PACKAGES:
            shutil.copytree(
                os.path.join(library, package),
                os.path.join(work, "library", package),
                ignore=shutil.ignore_patterns("__pycache__"),
            )

    def command(self, work: str) -> list[str]:
        """One process, everything anew."""
        del work
        return [sys.executable, "-m", "compileall", "-q", "-f", "library"]


def _workloads(place: Place) -> dict[str, Workload]:
    """By the heading of their column; as root too, where this is run as root for another user."""
    everyone: list[type[Workload]] = [Untar, Example, Configure, PipInstall, CompileAll]
    found: dict[str, Workload] = {kind.title: kind(place, place.user) for kind in everyone}
    if place.root is not None and place.user.uid != place.root.uid:
        found[f"{Untar.title}, as root"] = Untar(place, place.root)
    return found


def measure(
    ways: Sequence[Way], place: Place, runs: int, wanted: Sequence[str], progress: Callable[[str], None]
) -> Grid:
    """Seconds for each workload in each way.

    Args:
        ways: those that can be had here.
        place: the directories.
        runs: rounds.
        wanted: words of the titles of the workloads to run; all if empty.
        progress: told what happens.
    """
    grid = Grid("Workloads", "s", [])
    by_name = {way.name: way for way in ways}
    for title, workload in _workloads(place).items():
        if wanted and not any(word in title for word in wanted):
            continue
        try:
            reason = workload.prepare()
        except RunError as error:
            reason = str(error)
        if reason:
            grid.absent[title] = reason
            continue
        progress(title)
        grid.columns.append(title)
        for name, columns in in_turn(by_name, _once(workload, by_name, title), runs, progress).items():
            cells = grid.cells.setdefault(name, {})
            if "" in columns:
                # The way failed at this workload only.
                cells[title] = Cell(failure=columns[""].failure)
            cells.update({column: cell for column, cell in columns.items() if column})
    return grid


def _once(workload: Workload, ways: dict[str, Way], title: str) -> Callable[[str], dict[str, float]]:
    """What runs one workload once in the way named."""

    def once(name: str) -> dict[str, float]:
        wrap = ways[name].wrap
        work = workload.place.work(workload.user)
        try:
            workload.lay_out(work)
            workload.user.own(work)
            # What was written so far is not to be written back while this is timed.
            os.sync()
            return {title: run(wrap(workload.command(work), work), workload.user, work).seconds}
        finally:
            shutil.rmtree(work)

    return once
