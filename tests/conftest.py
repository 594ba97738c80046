"""Fixtures for every test: nothing may be left behind; some need root, some a user without privileges."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.leaks import Snapshot, end_children
from tests.support.preloaded import Preloaded, preloaded
from tests.support.unprivileged import Unprivileged, make_home, remove_home

# Time limits are pytest's, which knows how slow a busy machine may be; examples are not kept in the checkout.
settings.register_profile("sydd", deadline=None, database=None)
settings.load_profile("sydd")

_TEMPORARY = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Races are lost or won by chance: how often to run each is the caller's to say."""
    parser.addoption(
        "--repetitions",
        type=int,
        default=1,
        metavar="N",
        help="run every test with the marker `race` N times, each from its beginning (default: %(default)s)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make each repetition a test of its own, with a number in its name."""
    repetitions = metafunc.config.getoption("repetitions")
    if repetitions > 1 and metafunc.definition.get_closest_marker("race"):
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(1, repetitions + 1), ids="repetition{}".format)


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a temporary directory of its own, so that what a test leaves there can be told.

    And signals as a terminal has them: what a shell starts in the background ignores SIGINT and SIGQUIT.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # pytest keeps the directories of the last runs for a look; they stay where they always are.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    directory = tempfile.mkdtemp(prefix="sydd-tests-")
    # An unprivileged user has to get at the directory that the fixture below makes for it.
    os.chmod(directory, 0o755)
    config.stash[_TEMPORARY] = directory
    os.environ["TMPDIR"] = directory
    tempfile.tempdir = None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's temporary directory."""
    shutil.rmtree(config.stash[_TEMPORARY], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root, by name, where there is none."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            # A mark, not a call: the summary then names the test's own line.
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(autouse=True)
def nothing_left(pytestconfig: pytest.Config) -> Iterator[None]:
    """Fail a test that leaves a descriptor, a child, a thread, a temporary file or another cwd.

    It is set up before any other fixture of a test and torn down after all of them, so a fixture of the
    test's own scope that does not clean up is found too.
    """
    directory = pytestconfig.stash[_TEMPORARY]
    before = Snapshot.take(directory)
    yield
    after = Snapshot.take(directory)
    leaks = before.leaks(after)
    if leaks:
        end_children(after.children.keys() - before.children)
        pytest.fail("the test left something behind:\n  " + "\n  ".join(leaks), pytrace=False)


@pytest.fixture(scope="session")
def sydctl() -> Iterator[Preloaded]:
    """`sydctl` for suites with many launches."""
    with preloaded() as ready:
        yield ready


@pytest.fixture
def unprivileged() -> Iterator[Unprivileged]:
    """A user without privileges, with an empty home: another user when root runs the tests, else the own."""
    home = make_home()
    try:
        yield Unprivileged(home)
    finally:
        remove_home(home)
