"""Compiling the C programs that tests run, for this machine's own ABI or for the 32-bit one beside it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache

import pytest

from sydd.syscalls.table import native

FLAGS = {"i386": ("-m32",)}
"""What the compiler needs to be told for an ABI that is not its own."""


def compile_for(abi: str, source: str, target: str, *more: str) -> str:
    """Compile *source* to the program *target*.

    The test is skipped where there is no compiler for the ABI, or the kernel does not run its programs.

    Args:
        abi: native(), or a key of FLAGS.
        source: a C program.
        target: where to put it.
        more: further arguments of the compiler.

    Returns:
        *target*.
    """
    needs(abi)
    flags = FLAGS.get(abi, ()) if abi != native() else ()
    subprocess.run(["cc", *flags, "-O1", "-Wall", "-o", target, source, *more], check=True)
    return target


def needs(abi: str) -> None:
    """Skip the test where programs for *abi* cannot be made or run here."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    if abi != native():
        problem = _problem(abi)
        if problem:
            pytest.skip(problem)


@cache
def _problem(abi: str) -> str:
    """Why programs for another ABI than the machine's own cannot be made or run; empty when they can."""
    if native() != "x86_64" or abi not in FLAGS:
        return f"needs a machine that runs {abi} programs"
    with tempfile.TemporaryDirectory() as directory:
        target = f"{directory}/nothing"
        made = subprocess.run(
            ["cc", *FLAGS[abi], "-x", "c", "-o", target, "-"],
            input=b"#include <stdio.h>\nint main(void) { return 0; }\n",
            capture_output=True,
            check=False,
        )
        if made.returncode:
            return "needs Debian's package gcc-multilib"
        try:
            subprocess.run([target], check=True)
        except OSError:
            return "needs a kernel with 32-bit emulation"
    return ""
