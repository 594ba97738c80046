"""An arena for each attempt, the attempts in C compiled once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.escapes.arena import SECRET, Arena
from tests.support.preloaded import Preloaded

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
def arena(request: pytest.FixtureRequest, programs: str, sydctl: Preloaded) -> Iterator[Arena]:
    """A fresh arena, for one engine."""
    made = Arena(request.param, programs, sydctl)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user outside the session: a secret in environment, memory and a pipe."""
    code = f"""
import os
kept = bytearray(b"{SECRET}")
reader, writer = os.pipe()
os.write(writer, kept)
os.dup2(reader, 20)
memory = os.memfd_create("kept")
os.write(memory, kept)
os.dup2(memory, 21)
print(flush=True)
os.read(0, 1)
"""
    environment = {"TOKEN": SECRET, "PATH": os.environ.get("PATH", os.defpath)}
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # only whoever has called setsid(2) since the boot has an autogroup, sched(7)
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()
