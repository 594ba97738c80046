"""What workloads build, fetched through the system's own package clients into a directory.

``python -m benchmarks.sources DIRECTORY [KIND…]``; tests that build real packages use it too.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence

DEBIAN_PACKAGE = "hello"
"""Has the classic ./configure, and builds in seconds."""
SDIST = "psutil"
"""Has a C extension."""
WHEELS = ["rich", "setuptools", "hypothesis"]
"""Pure Python, with some hundreds of files each."""


class FetchError(Exception):
    """Something could not be fetched; the message says by what."""


def _run(command: list[str], cwd: str | None = None) -> None:
    """Run a client, quietly unless it fails."""
    try:
        result = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise FetchError(f"{command[0]} is not installed") from error
    if result.returncode != 0:
        raise FetchError(f"{command[0]} failed: {result.stderr.strip()[-500:]}")


def source_lists(text: str, deb822: bool) -> str:
    """The lines of an APT list that fetch sources from where the system fetches packages.

    Args:
        text: of a file in /etc/apt/sources.list.d, or of sources.list.
        deb822: whether it is in the newer format, of stanzas.
    """
    if deb822:
        return re.sub(r"(?mi)^Types:.*$", "Types: deb-src", text)
    return re.sub(r"(?m)^\s*deb\s", "deb-src ", text)


def debian_source(package: str, directory: str) -> str:
    """Download a Debian source package, without root and without touching the system's APT configuration.

    Args:
        package: its name.
        directory: where to put the files.

    Returns:
        The upstream archive (*.orig.tar.*).

    Raises:
        FetchError: APT says no.
    """
    pattern = os.path.join(directory, f"{package}_*.orig.tar.*z*")

    def found() -> list[str]:
        return [path for path in sorted(glob.glob(pattern)) if not path.endswith(".asc")]

    if found():
        return found()[-1]
    os.makedirs(directory, exist_ok=True)
    with tempfile.TemporaryDirectory() as private:
        parts = os.path.join(private, "sources.list.d")
        for name in (parts, os.path.join(private, "lists", "partial"), os.path.join(private, "cache")):
            os.makedirs(name)
        for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
            if path.endswith((".list", ".sources")) and os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    text = source_lists(file.read(), path.endswith(".sources"))
                with open(os.path.join(parts, os.path.basename(path)), "w", encoding="utf-8") as file:
                    file.write(text)
        options = [
            *("-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={parts}"),
            *("-o", f"Dir::State::lists={private}/lists", "-o", f"Dir::Cache={private}/cache"),
            # Everything is in a private directory, which APT's own unprivileged user cannot enter.
            *("-o", "APT::Sandbox::User=", "-q"),
        ]
        _run(["apt-get", *options, "update"])
        _run(["apt-get", *options, "source", "--download-only", package], cwd=directory)
    if not found():
        raise FetchError(f"the source package {package} has no upstream archive")
    return found()[-1]


def _pip_download(directory: str, pattern: str, arguments: list[str]) -> list[str]:
    """Download with pip unless it is there.

    Args:
        directory: where to.
        pattern: of the files' names.
        arguments: of ``pip download``.
    """
    os.makedirs(directory, exist_ok=True)
    if not glob.glob(os.path.join(directory, pattern)):
        _run([sys.executable, "-m", "pip", "download", "-q", "-d", directory, *arguments])
    return sorted(glob.glob(os.path.join(directory, pattern)))


def sdist(package: str, directory: str) -> str:
    """Download a package's source distribution.

    Args:
        package: its name.
        directory: where to.

    Raises:
        FetchError: pip says no.
    """
    command = ["--no-binary", package, "--no-deps", package]
    return _pip_download(directory, f"{package}-*.tar.gz", command)[-1]


def wheels(packages: list[str], directory: str) -> list[str]:
    """Download wheels, with what they depend on.

    Args:
        packages: their names.
        directory: where to.

    Raises:
        FetchError: pip says no.
    """
    return _pip_download(directory, "*.whl", ["--only-binary", ":all:", *packages])


def sandlock(directory: str) -> None:
    """Install sandlock, which sydd is measured against, into an environment of its own.

    Args:
        directory: of the environment.

    Raises:
        FetchError: pip says no.
    """
    if os.path.exists(os.path.join(directory, "bin", "python")):
        return
    venv.create(directory, with_pip=True)
    try:
        _run([os.path.join(directory, "bin", "python"), "-m", "pip", "install", "-q", "sandlock==0.9.*"])
    except FetchError:
        shutil.rmtree(directory)
        raise


def fetch(directory: str, wanted: Sequence[str] = ()) -> list[str]:
    """Fetch things; one failure does not stop the others.

    Args:
        directory: the cache; each kind has a directory of its own in it.
        wanted: keys of KINDS; everything if empty.

    Returns:
        What could not be fetched, a line each.
    """
    failures: list[str] = []
    for kind in wanted or KINDS:
        try:
            KINDS[kind](directory)
        except FetchError as error:
            failures.append(f"{kind}: {error}")
    return failures


KINDS: dict[str, Callable[[str], object]] = {
    "debian": lambda cache: debian_source(DEBIAN_PACKAGE, os.path.join(cache, "sources")),
    "sdist": lambda cache: sdist(SDIST, os.path.join(cache, "sources")),
    "wheels": lambda cache: wheels(WHEELS, os.path.join(cache, "wheels")),
    "sandlock": lambda cache: sandlock(os.path.join(cache, "sandlock")),
}
"""What can be fetched, each into its part of the cache."""


if __name__ == "__main__":
    problems = fetch(sys.argv[1], sys.argv[2:])
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(1 if problems else 0)
