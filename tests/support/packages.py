"""Real packages that tests build: fetched once into a directory that outlives the run."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from benchmarks.sources import DEBIAN_PACKAGE, SDIST, FetchError, debian_source, sdist

DIRECTORY_VARIABLE = "SYDD_TEST_SOURCES"
"""Names the directory; that of the benchmarks otherwise."""


def _fetched(fetch: Callable[[str, str], str], package: str) -> str:
    """The path of a package's source archive.

    Where the registries cannot be reached the test is skipped with their words; in CI that is a failure.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    cache = os.environ.get(DIRECTORY_VARIABLE) or os.path.join(root, ".bench")
    try:
        return fetch(package, os.path.join(cache, "sources"))
    except (FetchError, OSError) as error:
        if os.environ.get("CI"):
            pytest.fail(f"cannot fetch the source of {package}: {error}", pytrace=False)
        pytest.skip(f"needs the source of {package}: {error}")


def hello_source() -> str:
    """The archive of GNU hello, from Debian's source package: configure, make, make install."""
    return _fetched(debian_source, DEBIAN_PACKAGE)


def psutil_source() -> str:
    """The source distribution of psutil: a wheel with a C extension."""
    return _fetched(sdist, SDIST)
