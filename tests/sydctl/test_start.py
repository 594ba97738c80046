"""The programs while they begin."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """\
import signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)

sys.argv = {words!r}
from {start} import {main}
sys.meta_path.insert(0, Interrupting())
sys.exit({main}())
"""
"""A program that is interrupted when it imports a certain module."""


@pytest.mark.parametrize(
    ("start", "main", "module", "words"),
    [
        ("sydctl.start", "entry", "argparse", ["sydctl", "launch", "build", "--", "true"]),
        ("sydctl.start", "entry", "sydctl.launch", ["sydctl", "launch", "build", "--", "true"]),
        ("sydd.daemon.start", "main", "asyncio", ["sydd", "--help"]),
    ],
)
def test_an_interrupt_while_it_begins(start: str, main: str, module: str, words: list[str]) -> None:
    """It ends without a word, and with the status that a shell has for that."""
    program = PROGRAM.format(start=start, main=main, module=module, words=words)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, "", "")
