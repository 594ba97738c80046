"""The worker's view of the ruleset: may it go on, and would it succeed."""

from __future__ import annotations

from sydd.kernel.landlock import FsRight
from sydd.plan import coverage as module
from sydd.plan.coverage import NOTHING, Coverage
from sydd.plan.rights import NONE

READ, WRITE, MAKE = FsRight.READ_FILE, FsRight.WRITE_FILE, FsRight.MAKE_REG


def sample() -> Coverage:
    """Writing and creating in /src, writing to one file; reading is free."""
    return Coverage(WRITE | MAKE, READ, {"/src": WRITE | MAKE, "/": NONE}, {"/dev/null": WRITE})


def test_going_on_needs_rights_that_are_held() -> None:
    """A right that is neither handled nor free is nobody's but the supervisor's."""
    assert sample().may_continue(int(READ | WRITE | MAKE))
    assert not sample().may_continue(int(FsRight.TRUNCATE))
    assert not NOTHING.may_continue(int(READ))
    assert NOTHING.may_continue(0)


def test_a_subtree_and_its_look_alike() -> None:
    """A prefix that is no parent grants nothing."""
    assert sample().grants("/src/a/b", int(WRITE))
    assert sample().grants("/src", int(WRITE))
    assert not sample().grants("/srcery", int(WRITE))


def test_a_file_grants_only_itself() -> None:
    """Neither what would lie below it, nor its neighbours."""
    assert sample().grants("/dev/null", int(WRITE))
    assert not sample().grants("/dev/null/x", int(WRITE))
    assert not sample().grants("/dev/zero", int(WRITE))


def test_an_entry_is_its_directorys() -> None:
    """The right to make /src is one on /, that to make /src/x is one on /src."""
    assert sample().grants_entry("/src/x", int(MAKE))
    assert not sample().grants_entry("/src", int(MAKE))


def test_free_rights_are_granted_everywhere() -> None:
    """What the policy never restricts need not be in any rule."""
    assert sample().grants("/anything", int(READ))
    assert sample().grants_below("/", int(READ))
    assert not sample().grants_below("/", int(READ | WRITE))


def test_deeper_than_anyone_needs() -> None:
    """A path of a thousand components is looked up without recursion, with the same answer."""
    deep = "/src" + "/d" * 1000
    assert sample().grants(deep, int(WRITE))
    assert not sample().grants("/x" + "/d" * 1000, int(WRITE))


def test_what_was_moved_is_no_longer_trusted() -> None:
    """After a directory with a rule is renamed, its names grant nothing, while its parent's still do.

    Where the directory is from then on, nobody knows: any name may be its.
    """
    coverage = Coverage(WRITE, NONE, {"/a": WRITE, "/a/b/c": WRITE, "/z/b": WRITE}, {"/a/f": WRITE})
    assert coverage.grants("/z/b/x", int(WRITE))
    assert coverage.anchored_at_or_below("/z")
    assert not coverage.anchored_at_or_below("/y")
    coverage.forget("/z")
    assert not coverage.grants("/z/b/x", int(WRITE))
    coverage.forget("/a/b")
    assert coverage.grants("/a/b/c", int(WRITE))
    assert coverage.anchored_at_or_below("/y")


def test_the_memory_is_bounded() -> None:
    """A session that asks about ever new directories does not make the worker grow."""
    coverage = sample()
    for number in range(module.CACHE_LIMIT + 100):
        assert coverage.grants(f"/src/{number}/x", int(WRITE))
    assert len(coverage._directories) <= module.CACHE_LIMIT
