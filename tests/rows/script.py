"""Words for the program in call.c: calls by name, arguments by kind.

The program takes numbers; ``numbered`` puts those of an ABI in place of the names.
"""

from __future__ import annotations

import os

from sydd.syscalls.table import NUMBERS, native

AT_FDCWD = -100
BAD = "~"
NULL = "#0"
PREPARED = "$"
"""The result of the last call that prepared something."""

KNOWN = NUMBERS[native()]
CALLING = ("do", "call", "fork do")
"""Words that a name of a call follows."""


def number(value: int) -> str:
    """An integer."""
    return f"#{value & 0xFFFF_FFFF_FFFF_FFFF:#x}"


def string(text: bytes | str) -> str:
    """A pointer to a string."""
    return "=" + os.fsencode(text).hex()


def data(content: bytes) -> str:
    """A pointer to bytes."""
    return "&" + content.hex()


def do(name: str, *arguments: str) -> str:
    """A call that prepares."""
    return f"do {name} {' '.join(arguments)}"


def call(name: str, *arguments: str) -> str:
    """A call whose result is told."""
    return f"call {name} {' '.join(arguments)}"


def opened(path: bytes, flags: int) -> str:
    """Prepare a descriptor of *path*."""
    return do("openat", number(AT_FDCWD), string(path), number(flags))


def chdir(path: bytes) -> str:
    """Change the working directory."""
    return do("chdir", string(path))


def numbered(line: str, abi: str) -> str:
    """The same line with the number that the call has in *abi*."""
    for word in CALLING:
        if line.startswith(word + " "):
            name, space, arguments = line[len(word) + 1 :].partition(" ")
            return f"{word} {NUMBERS[abi][name]}{space}{arguments}"
    return line
