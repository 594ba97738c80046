"""A served control socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fakedaemon import FakeDaemon


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    """A control socket before a backend that remembers."""
    with FakeDaemon() as served:
        yield served
