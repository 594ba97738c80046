"""Host names of rules, looked up by the C library."""

from __future__ import annotations

from sydd.session.hosts import addresses


def test_localhost() -> None:
    """The name that every machine has leads to loopback."""
    assert set(addresses("localhost")) & {"127.0.0.1", "::1"}


def test_a_name_that_does_not_resolve() -> None:
    """What is not found, or cannot be a name at all, has no addresses."""
    assert addresses("a" * 64 + ".example") == ()
