"""The program that makes the calls, and a directory to make them in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from tests.rows.run import Runner


@pytest.fixture(scope="session")
def program() -> Iterator[str]:
    """call.c, compiled."""
    directory = tempfile.mkdtemp(prefix="rows-")
    path = f"{directory}/call"
    source = os.path.join(os.path.dirname(__file__), "call.c")
    try:
        subprocess.run(["cc", "-O1", "-Wall", "-o", path, source, "-lpthread"], check=True)
        os.chmod(directory, 0o755)
        yield path
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def runner(program: str) -> Iterator[Runner]:
    """Runs cases below a directory of its own, in memory where that can be: there are many files."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="rows-", dir=memory)
    os.chmod(directory, 0o755)
    os.mkdir(f"{directory}/hidden")
    try:
        yield Runner(program, os.path.realpath(directory))
    finally:
        shutil.rmtree(directory)
