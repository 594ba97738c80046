"""An arena for each attempt, the attempts in C compiled once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from tests.escapes.arena import Arena

SOURCES = os.path.join(os.path.dirname(__file__), "c")
ENGINES = ("hybrid", "supervisor")


@pytest.fixture(scope="session")
def programs() -> Iterator[str]:
    """A directory with every program of c/, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    directory = tempfile.mkdtemp(prefix="escapes-")
    try:
        for name in sorted(os.listdir(SOURCES)):
            if name.endswith(".c"):
                target = f"{directory}/{name[:-2]}"
                source = f"{SOURCES}/{name}"
                subprocess.run(["cc", "-O1", "-Wall", "-pthread", "-o", target, source], check=True)
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture(params=ENGINES)
def arena(request: pytest.FixtureRequest, programs: str) -> Iterator[Arena]:
    """A fresh arena, for one engine."""
    made = Arena(request.param, programs)
    try:
        yield made
    finally:
        made.remove()
