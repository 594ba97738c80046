"""What a process makes after its memory was laid out lies together, not in gaps between what it shares."""

from __future__ import annotations

import subprocess
import sys

PAGE = 4096

OBJECTS = 20

PROGRAM = f"""
import sys
from sydd.daemon import layout

def made():
    return len({{id(one) // {PAGE} for one in [bytes(167) for _ in range({OBJECTS})]}})

many = [bytes(167) for _ in range(4000)]
del many[::100]
before = made()
if "settle" in sys.argv:
    layout.settle()
print(before, made())
"""


def pages(*arguments: str) -> tuple[int, int]:
    """How many pages new objects were in, before and after that."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = result.stdout.split()
    return int(before), int(after)


def test_new_objects_lie_in_gaps() -> None:
    """Without it, each is in a page of its own."""
    before, after = pages()
    assert (before, after) == (OBJECTS, OBJECTS)


def test_new_objects_lie_together() -> None:
    """With it they are in as few pages as hold them."""
    before, after = pages("settle")
    assert before == OBJECTS
    assert after <= 2
