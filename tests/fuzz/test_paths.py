"""Random calls about random paths in random trees do the same in a session as without one."""

from __future__ import annotations

import errno
from collections.abc import Iterator

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


_OWN_DIRECTORY = (errno.ENOTDIR, errno.EISDIR, errno.EPERM, errno.EOPNOTSUPP, errno.ENODATA, errno.ENOTEMPTY)


def is_known(expected: str, got: str, scenery: str) -> bool:
    """Whether a difference of two answers is one that docs/security.md names.

    Args:
        expected: what the program told natively.
        got: what it told in the session.
        scenery: every path of the example, as call.c and the tree have them.
    """
    if not (expected.startswith("call -1 ") and got.startswith("call -1 ")):
        return False
    if b"/fd".hex() not in scenery and b"self".hex() not in scenery:
        return False
    # To itself, a process is the owner of /proc/self/fd, whatever its mode: it may remove nothing there, but
    # comes to hear why.
    if int(got.split()[2]) == errno.EACCES:
        return int(expected.split()[2]) in _OWN_DIRECTORY
    # openat2(2) with limits cannot be made to see another process's /proc/self.
    return int(got.split()[2]) == errno.ELOOP and "call openat2 " in scenery


def check(sessions: Arena, tree: list[Entry], script: list[str]) -> None:
    """Fail when anything differs."""
    for _ in range(3):
        expected, results = sessions.results(tree, script)
        # A rename anywhere on the machine makes the kernel give up on a limited look-up (openat2(2), EAGAIN).
        if not any(
            f"call -1 {errno.EAGAIN}" in line for got in (expected, *results.values()) for line in got.lines
        ):
            break
    scenery = " ".join((*script, *(entry.target.hex() for entry in tree)))
    found = [
        f"{name}: {line}"
        for name, got in results.items()
        for line in differences(expected, got, lambda native, ours: is_known(native, ours, scenery))
    ]
    assert not found, "\n".join(found)


_common = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
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
