"""The programs that make the calls, and a directory to make them in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from sydd.syscalls.table import native
from tests.rows.run import Runner
from tests.support.compiler import compile_for

SOURCE = os.path.join(os.path.dirname(__file__), "call.c")


@pytest.fixture(scope="session")
def compiled() -> Iterator[Callable[[str], str]]:
    """Compiles call.c, once for each ABI."""
    directory = tempfile.mkdtemp(prefix="rows-")
    os.chmod(directory, 0o755)
    try:
        yield cache(lambda abi: compile_for(abi, SOURCE, f"{directory}/call-{abi}", "-pthread"))
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def directory() -> Iterator[str]:
    """Where trees are made, in memory where that can be: there are many files."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made = tempfile.mkdtemp(prefix="rows-", dir=memory)
    os.chmod(made, 0o755)
    os.mkdir(f"{made}/hidden")
    try:
        yield os.path.realpath(made)
    finally:
        shutil.rmtree(made)


@pytest.fixture
def abi() -> str:
    """The ABI of the calls; tests of others say so by their parameters."""
    return native()


@pytest.fixture
def runner(abi: str, compiled: Callable[[str], str], directory: str) -> Runner:
    """Runs cases by calls of an ABI, below a directory of its own."""
    return Runner(compiled(abi), directory, abi)
