"""Real sources, fetched through the system's own clients, and the places where they are built."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks import sources
from tests.support.unprivileged import Unprivileged

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE_VARIABLE = "SYDD_TEST_CACHE"
"""Names the directory that fetched sources are kept in; below the user's cache directory otherwise."""

UNREACHABLE = re.compile(
    r"is not installed|resolv|unreachable|timed? ?out|refused|failed to fetch|unable to connect"
    r"|no matching distribution|connection|no such file or directory",
    re.IGNORECASE,
)

EPOCH = "1700000000"
"""SOURCE_DATE_EPOCH: what tools that embed a time shall embed."""

SECRET = "PRIVATE KEY of nobody's\n"


def cache_directory() -> str:
    """Where sources are kept between runs."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return own
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "sydd-tests")


def fetched(fetch: Callable[[str, str], str], package: str, registry: str) -> str:
    """The archive of *package*; the test is skipped only when *registry* cannot be reached."""
    try:
        return fetch(package, cache_directory())
    except (sources.FetchError, OSError) as error:
        if isinstance(error, OSError) or UNREACHABLE.search(str(error)):
            pytest.skip(f"needs {registry}, which cannot be reached: {error}")
        raise


@pytest.fixture(scope="session")
def hello() -> str:
    """GNU hello's upstream archive, of Debian's source package."""
    return fetched(sources.debian_source, sources.DEBIAN_PACKAGE, "the Debian archive")


@pytest.fixture(scope="session")
def psutil() -> str:
    """The source distribution of psutil."""
    return fetched(sources.sdist, sources.SDIST, "PyPI")


@pytest.fixture(scope="session")
def backend() -> Iterator[str]:
    """A directory with a setuptools that can make wheels, readable for everybody, for PYTHONPATH.

    The one that the tests' environment has may be older, and need a package of its own for wheels.
    """

    def fetch(package: str, cache: str) -> str:
        return sources.wheels([package], os.path.join(cache, "backend"))[-1]

    archive = fetched(fetch, "setuptools>=70.1", "PyPI")
    directory = tempfile.mkdtemp(prefix="backend-")
    os.chmod(directory, 0o755)
    try:
        install = ["install", "-q", "--no-index", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "pip", *install, "--target", directory, archive], check=True)
        yield directory
    finally:
        shutil.rmtree(directory)


@dataclass(frozen=True, slots=True)
class Node:
    """What of a file counts when trees are compared."""

    kind: str
    mode: int
    owner: tuple[int, int]
    content: str


def snapshot(root: str, volatile: re.Pattern[str] | None = None) -> dict[str, Node]:
    """Every name below *root* with type, mode, owner, link target and content.

    Args:
        root: a directory.
        volatile: names whose content is not compared: it holds a time or the name of a temporary file.
    """
    found: dict[str, Node] = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            relative = os.path.relpath(path, root)
            content = ""
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode) and not (volatile and volatile.search(relative)):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            found[relative] = Node(
                stat.filemode(status.st_mode)[0],
                stat.S_IMODE(status.st_mode),
                (status.st_uid, status.st_gid),
                content,
            )
    return found


class Builder:
    """Builds in one directory below a home with things that are worth something in it.

    Attributes:
        user: who builds.
        home: the user's home, canonical.
        work: the directory that is built in, always the same, so that paths in the results are equal.
    """

    def __init__(self, user: Unprivileged) -> None:
        self.user = user
        self.home = os.path.realpath(user.home)
        self.work = os.path.join(self.home, "work")
        self._tmp = os.path.join(self.home, "tmp")
        os.mkdir(self._tmp)
        os.mkdir(os.path.join(self.home, ".ssh"))
        for name, text in ((".bashrc", "# mine\n"), (".ssh/id_ed25519", SECRET), ("x", "precious\n")):
            with open(os.path.join(self.home, name), "w", encoding="ascii") as file:
                file.write(text)
        user.give(self.home)

    def unpack(self, archive: str) -> None:
        """Start anew with the content of *archive*, without its top directory."""
        shutil.rmtree(self.work, ignore_errors=True)
        os.mkdir(self.work)
        options = ["--strip-components=1", "--no-same-owner", "-C", self.work]
        subprocess.run(["tar", "-xf", archive, *options], check=True)
        self.user.give(self.work)

    def natively(self, script: str) -> None:
        """Build without sydd."""
        done = self.user.run(["sh", "-ec", script], cwd=self.work, env=self._environment(), seconds=250)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def confined(self, script: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
        """Build under `build`; also returns the events."""
        events = os.path.join(self.home, "events")
        done = self.user.run(
            [
                sys.executable,
                "-m",
                "sydctl",
                "launch",
                "build",
                "--events",
                events,
                "--",
                "sh",
                "-ec",
                script,
            ],
            cwd=self.work,
            env={**self._environment(), "PYTHONPATH": ROOT},
            seconds=250,
        )
        with open(events, encoding="utf-8") as file:
            return done, [value for value in map(json.loads, file) if value["type"] == "event"]

    def _environment(self) -> dict[str, str]:
        # PATH of the one who runs the tests may lead to what the user cannot read.
        path = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        return {
            "HOME": self.home,
            "PATH": ":".join(path),
            "TMPDIR": self._tmp,
            "SOURCE_DATE_EPOCH": EPOCH,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def assert_untouched(self) -> None:
        """Nothing of the user's was changed, and the key is nowhere in what was built."""
        for name, text in ((".bashrc", "# mine\n"), (".ssh/id_ed25519", SECRET), ("x", "precious\n")):
            with open(os.path.join(self.home, name), encoding="ascii") as file:
                assert file.read() == text
        for directory, _, files in os.walk(self.work):
            for name in files:
                path = os.path.join(directory, name)
                if not os.path.islink(path):
                    with open(path, "rb") as found:
                        assert SECRET.encode() not in found.read(), path


@pytest.fixture
def builder(unprivileged: Unprivileged) -> Builder:
    """A user who builds."""
    return Builder(unprivileged)
