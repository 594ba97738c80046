"""A `sydctl launch` that a test has started, and ends."""

from __future__ import annotations

import os
import select
import subprocess
from contextlib import ExitStack
from typing import Any

from sydd.kernel.fd import FileDescriptor
from tests.support.daemon import children

PATIENCE = 30
"""Seconds after which a supervisor will not end."""


def end(process: subprocess.Popen[Any]) -> None:
    """Kill one, where it runs still, and wait for its supervisor, which ends the session in order then."""
    if process.poll() is not None:
        return
    with ExitStack() as stack:
        handles = [stack.enter_context(FileDescriptor(os.pidfd_open(pid))) for pid in children(process.pid)]
        process.kill()
        for handle in handles:
            assert select.select([handle], [], [], PATIENCE)[0], "the supervisor does not end"
