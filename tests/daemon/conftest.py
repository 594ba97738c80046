"""Daemons for tests: one for each module, and people who use it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.daemon.people import FIRST_UID, Person
from tests.support.daemon import Daemon, FakeManager, running


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon without a service manager: root's where root runs the tests, else the user's own."""
    with running() as started:
        yield started


def _person(uid: int) -> Iterator[Person]:
    home = tempfile.mkdtemp(prefix="person-")
    os.chmod(home, 0o755)
    if os.geteuid() == 0:
        os.chown(home, uid, uid)
    try:
        yield Person(uid, home)
    finally:
        shutil.rmtree(home)


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody without privileges: a user of the test's own where root runs it, else the own one."""
    yield from _person(FIRST_UID)


@pytest.fixture
def other() -> Iterator[Person]:
    """Somebody else."""
    yield from _person(FIRST_UID + 1)


@pytest.fixture
def manager() -> Iterator[FakeManager]:
    """A service manager."""
    with tempfile.TemporaryDirectory(prefix="manager-") as directory:
        os.chmod(directory, 0o755)
        keeping = FakeManager(directory)
        try:
            yield keeping
        finally:
            keeping.close()
