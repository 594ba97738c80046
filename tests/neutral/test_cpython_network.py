"""The modules about sockets, where every address is judged: a profile for this machine alone.

python -m pytest -m slow tests/neutral/test_cpython_network.py
"""

from __future__ import annotations

import pytest

from tests.neutral.runner import SECONDS, Runner, check, needs_suite
from tests.support.unprivileged import Unprivileged

MODULES = ("test_socket", "test_ssl", "test_asyncio", "test_socketserver", "test_httplib")

PROFILE = """
name = "loopback"
description = "What CPython's own tests of sockets need: every form of address, of this machine"
extends = "build"
rules = [
    "allow net loopback",
    # to bind, these are every address of the machine
    "allow bind 0.0.0.0",
    "allow bind ::",
    "allow net unix:${cwd}/**",
    "allow net @*",
    "allow bind unix:unnamed",
    "allow net netlink:route",
]

[environment]
set = { TMPDIR = "${cwd}/tmp" }
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(8 * SECONDS)]


@pytest.mark.parametrize("module", MODULES)
def test_each_outcome_is_as_natively(unprivileged: Unprivileged, module: str) -> None:
    """What passes, fails or is skipped natively does so where connects, binds and sends are judged."""
    needs_suite()
    check(Runner(unprivileged, PROFILE), module)
