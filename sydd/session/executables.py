"""The files that the kernel executes for one execve(2): program, interpreters of scripts, dynamic loader.

The launch itself is not judged by exec rules. Where Landlock restricts execution, it has to be granted for
these files; a later exec of one of them is still judged, by the supervisor.

Source: execve(2), "Interpreter scripts"; elf(5), PT_INTERP.
"""

from __future__ import annotations

import os
import struct

MAXIMUM_DEPTH = 5
"""Interpreters of interpreters that the kernel follows (BINPRM_MAX_RECURSION is 4)."""

_HEAD = 4096
_PT_INTERP = 3
_ELF64 = struct.Struct("<16xHHIQQQIHHH")
_SEGMENT64 = struct.Struct("<IIQQQQQQ")


def executed_files(path: str) -> tuple[str, ...]:
    """What is executed along with *path*, canonical; what cannot be read is left to the kernel."""
    found: list[str] = []
    for _ in range(MAXIMUM_DEPTH):
        real = os.path.realpath(path)
        if real in found or not os.path.isfile(real):
            break
        found.append(real)
        following = _interpreter(real)
        if not following:
            break
        path = following
    return tuple(found)


def _interpreter(path: str) -> str:
    """The interpreter that *path* names, of a script or of a dynamically linked program; empty for none."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            if head.startswith(b"#!"):
                words = head[2:].split(b"\n", 1)[0].split()
                return os.fsdecode(words[0]) if words else ""
            if head.startswith(b"\x7fELF\x02\x01"):
                return _loader(head)
    except OSError:
        pass
    return ""


def _loader(head: bytes) -> str:
    """PT_INTERP of a 64-bit little-endian ELF file; in practice it lies in the first page."""
    try:
        _, _, _, _, offset, _, _, _, size, count = _ELF64.unpack_from(head)
        for number in range(count):
            kind, _, start, _, _, length, _, _ = _SEGMENT64.unpack_from(head, offset + number * size)
            if kind == _PT_INTERP:
                return os.fsdecode(head[start : start + length].rstrip(b"\0"))
    except struct.error:
        pass
    return ""
