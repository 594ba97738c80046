"""A machine with the installed units, once for a module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.systemd.machine import Machine, booted, users

SYDCTL = os.path.join(sys.prefix, "bin", "sydctl")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Booted, with sydd installed and its socket enabled, and two users without privileges."""
    with booted() as found:
        found.run(SYDCTL, "install", "--enable")
        users(found, ["alice", "bob"])
        yield found
