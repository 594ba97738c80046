"""A user with a work directory, in which tools are tried."""

from __future__ import annotations

import pytest

from tests.support.unprivileged import Unprivileged
from tests.support.workshop import Workshop


@pytest.fixture
def workshop(unprivileged: Unprivileged) -> Workshop:
    """Of a user without privileges."""
    return Workshop(unprivileged)
