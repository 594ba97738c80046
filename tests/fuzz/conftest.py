"""The program that makes the calls, and a place where trees can be made."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from tests.fuzz.arena import Arena
from tests.support.unprivileged import Unprivileged

SOURCE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "rows", "call.c")
LEVELS = 20
"""Directories above the trees that only root may change: `..` must not lead to where one may write."""


@pytest.fixture(scope="module")
def place() -> Iterator[Arena]:
    """A directory, in memory where that can be, and a user to whom the trees in it belong."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = os.path.realpath(tempfile.mkdtemp(prefix="fuzz-", dir=memory))
    try:
        os.chmod(directory, 0o755)
        program = f"{directory}/call"
        subprocess.run(["cc", "-O1", "-Wall", "-o", program, SOURCE, "-lpthread"], check=True)
        home = directory + "/d" * LEVELS
        os.makedirs(home)
        user = Unprivileged(home)
        os.chown(home, os.geteuid(), os.getegid())
        yield Arena(program, directory, home, user)
    finally:
        shutil.rmtree(directory)
