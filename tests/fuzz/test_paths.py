"""Random calls about random paths in random trees do the same in a session as without one."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from sydd.plan.plan import Engine
from tests.fuzz.arena import Arena, Setting, differences
from tests.fuzz.calls import scripts
from tests.fuzz.trees import Entry, trees

SETTINGS = {
    # Every call is judged and, where that is possible, made by the supervisor.
    "supervisor": Setting(
        ("allow write /**", "allow net any", "deny read,list,stat,exec,chdir,write ${home}/hidden/**"),
        Engine.SUPERVISOR,
    ),
    # The kernel holds what it can; the supervisor makes the others.
    "hybrid": Setting(
        ("allow write /**", "allow net any", "deny list,stat,chdir,write /**/never/**"), Engine.HYBRID
    ),
}
"""They allow everything to everybody, as it were: what differs is sydd's mistake."""


@pytest.fixture(scope="module")
def sessions(place: Arena) -> Iterator[Arena]:
    """The programs, one for each setting."""
    with place.open(SETTINGS) as arena:
        yield arena


def check(sessions: Arena, tree: list[Entry], script: list[str]) -> None:
    """Fail when anything differs."""
    for _ in range(3):
        expected, results = sessions.results(tree, script)
        # A rename anywhere on the machine makes the kernel give up on a limited look-up (openat2(2), EAGAIN).
        if not any(f"call -1 {errno.EAGAIN}" in line for got in (expected, *results.values()) for line in got.lines):
            break
    found = [f"{name}: {line}" for name, got in results.items() for line in differences(expected, got)]
    assert not found, "\n".join(found)


_common = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@settings(_common, max_examples=300, derandomize=True)
@given(tree=trees, script=scripts)
@pytest.mark.timeout(300)
def test_paths(sessions: Arena, tree: list[Entry], script: list[str]) -> None:
    """Always the same few examples."""
    check(sessions, tree, script)


@settings(_common, max_examples=20_000)
@given(tree=trees, script=scripts)
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_paths(sessions: Arena, tree: list[Entry], script: list[str]) -> None:
    """New examples each time."""
    check(sessions, tree, script)
