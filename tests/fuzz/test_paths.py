"""Random calls about random paths in random trees do the same in a session as without one."""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from sydd.plan.plan import Engine
from tests.fuzz.arena import Arena, Result, Setting, differences
from tests.fuzz.calls import scripts
from tests.fuzz.trees import Entry, trees
from tests.rows.script import call, data, number, string

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


_LIMITED = re.compile(r"call openat2 \S+ \S+ &[0-9a-f]{32}(?!0[02](00){7})")
"""openat2(2) whose third field, `resolve`, has more than RESOLVE_NO_MAGICLINKS."""

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
    if not _passes_own(scenery):
        return False
    # To itself, a process is the owner of /proc/self/fd, whatever its mode: it may remove nothing there, but
    # comes to hear why.
    return int(got.split()[2]) == errno.EACCES and int(expected.split()[2]) in _OWN_DIRECTORY


def is_limited(script: list[str], got: Result, scenery: str) -> bool:
    """Whether openat2(2) with limits was refused what may be in the caller's own /proc/self.

    Another process cannot see that under the same limits; docs/security.md says so.
    """
    refused = {f"call -1 {number}" for number in (errno.ELOOP, errno.EACCES)}
    return (
        _passes_own(scenery)
        and any(_LIMITED.match(line) for line in script)
        and not refused.isdisjoint(got.lines)
    )


def _passes_own(scenery: str) -> bool:
    return b"/fd".hex() in scenery or b"self".hex() in scenery


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
        if not is_limited(script, got, scenery)
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


FOUND: tuple[tuple[str, ...], ...] = (
    # An O_PATH that the kernel is left, and then an open of the same path, which it is not.
    (call("open", string(b"/"), number(os.O_PATH)), call("open", string(b"/"), number(os.O_NONBLOCK))),
    # A file is renamed by a thread that cannot look at what others have in /proc.
    (
        call("creat", string(b"a"), number(0o600)),
        call("rename", string(b"a"), string(b"/proc/self/fdinfo/a")),
        call("rename", string(b"/proc/self/fd/0"), string(b"b")),
    ),
    # What is the caller's own, without magic links.
    tuple(
        call("openat2", number(-100), string(path), data(struct.pack("=QQQ", 0, 0, 2)), number(24))
        for path in (b"/proc/self/status", b"/proc/self/fdinfo/3", b"/dev/fd/3/a", b"/dev/fd/99/a")
    ),
    # To itself, a process may write in its directory of descriptors.
    tuple(
        call("access", string(path), number(mode))
        for path in (b"/proc/self/fd/", b"/proc/thread-self/fd", b"/proc/self/fdinfo", b"/proc/self")
        for mode in (2, 7, 8)
    ),
    # What is to be made cannot be a directory, and the kernel sees that before it follows the next link.
    (
        *(
            call("symlink", string(target), string(name))
            for name, target in ((b"a", b"a/"), (b"b", b"c/"), (b"d", b"b"), (b"e", b"e"), (b"f", b"c/x/"))
        ),
        call("creat", string(b"c"), number(0o600)),
        *(
            call("open", string(name), number(os.O_CREAT), number(0o600))
            for name in (b"a", b"b", b"d", b"e", b"f")
        ),
        *(
            call("open", string(name), number(os.O_RDONLY), number(0o600))
            for name in (b"a", b"b", b"d", b"e", b"f")
        ),
    ),
)
"""What differed once."""


@pytest.mark.parametrize("script", FOUND)
def test_what_differed_once(sessions: Arena, script: tuple[str, ...]) -> None:
    """Found by `test_many_paths`."""
    check(sessions, [], [f"do openat #-100 {string(b'.')} #0", *script])


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
