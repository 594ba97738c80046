"""What a plan was made of: where that is so still, another one would be the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from sydd.kernel.landlock import rights_of_abi
from sydd.plan.landlock import LandlockPlan, plan_landlock
from sydd.plan.tree import Facts, HostTree
from sydd.policy.bind import BoundRule
from sydd.policy.errors import Source
from sydd.policy.policy import Policy
from sydd.policy.rule import parse_rule
from sydd.session.prepare import Place, bind
from tests.support.forked import in_child

NAMES = ("a", "b", "new")

ELSEWHERE = "deny read,list,exec,stat,chdir,ioctl,write /**"
"""What others do in other directories while a test runs does not matter."""

Change = Callable[[Path], object]

Value = TypeVar("Value")


def planned(top: Path, rules: list[str]) -> tuple[tuple[BoundRule, ...], LandlockPlan, Facts]:
    """Bound rules and ruleset of a session in a directory, and what they are made of.

    Args:
        top: the directory; `@` in the rules.
        rules: lines.
    """
    tree = HostTree()
    lines = [ELSEWHERE, *(rule.replace("@", str(top)) for rule in rules)]
    parsed = tuple(parse_rule(line, Source("test")) for line in lines)
    place = Place(f"{top}/cwd", f"{top}/home", f"{top}/tmp", "nobody")
    matcher = bind(Policy("test", rules=parsed), place, place.variables(), {}, tree)
    plan = plan_landlock(matcher, tree, rights_of_abi(7))
    return matcher.rules, plan, tree.facts()


@contextmanager
def place() -> Iterator[Path]:
    """A directory with a few objects."""
    top = Path(tempfile.mkdtemp(prefix="facts-"))
    try:
        for name in ("cwd", "home", "tmp", "a/b", "b"):
            (top / name).mkdir(parents=True)
        (top / "a" / "file").write_text("x")
        (top / "link").symlink_to("a")
        yield top
    finally:
        shutil.rmtree(top)


_paths = st.lists(st.sampled_from((*NAMES, "link", "file")), min_size=1, max_size=3).map("/".join)
_rules = st.builds(
    lambda action, access, path, end: f"{action} {access} @/{path}{end}",
    st.sampled_from(("allow", "deny", "hide")),
    st.sampled_from(("read", "write", "read,list", "exec", "create", "stat")),
    _paths,
    st.sampled_from(("", "/**", "/**", "/*", "/*/b", "/{a,new}")),
)


def _make(kind: str, path: str) -> Change:
    def change(top: Path) -> None:
        target = top / path
        if kind == "remove":
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                with suppress(FileNotFoundError, NotADirectoryError):
                    target.unlink()
            return
        if os.path.lexists(target) or not target.parent.is_dir():
            return  # there is something, or no place
        if kind == "directory":
            target.mkdir()
        elif kind == "file":
            target.write_text("x")
        else:
            target.symlink_to(kind.replace("@", str(top)))

    return change


_changes = st.lists(
    st.builds(_make, st.sampled_from(("remove", "directory", "file", "b", "a/../b", "@/b")), _paths),
    min_size=1,
    max_size=3,
)


def _check(rules: list[str], changes: list[Change]) -> None:
    with place() as top:
        bound, plan, facts = planned(top, rules)
        assert HostTree().has(facts)
        for change in changes:
            change(top)
        same = HostTree().has(facts)
        event("the facts hold" if same else "they do not")
        if same:
            assert planned(top, rules)[:2] == (bound, plan)


_common = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@settings(_common, max_examples=100, derandomize=True)
@given(rules=st.lists(_rules, min_size=1, max_size=6), changes=_changes)
def test_facts(rules: list[str], changes: list[Change]) -> None:
    """Whatever is changed: either that is seen, or it changes nothing of the plan."""
    _check(rules, changes)


@pytest.mark.slow
@settings(_common, max_examples=5000)
@given(rules=st.lists(_rules, min_size=1, max_size=6), changes=_changes)
@pytest.mark.timeout(600)
def test_many_facts(rules: list[str], changes: list[Change]) -> None:
    """The same with others each time."""
    _check(rules, changes)


@pytest.mark.parametrize(
    ("rules", "change", "matters"),
    [
        # An entry that no rule names counts where such are granted.
        (["allow read @/**", "deny read @/a/b/**"], _make("directory", "a/new"), True),
        (["allow read @/**", "deny read @/a/b/**"], _make("file", "a/new"), True),
        (["allow read @/a/b/**", "deny read @/**", "allow read @/a/b/**"], _make("file", "a/new"), False),
        (["allow read @/**", "deny read @/a/b/**"], _make("remove", "a/b"), True),
        # What is uniform is not looked into.
        (["allow write @/a/**"], _make("directory", "a/new"), False),
        (["allow write @/a/**"], _make("file", "b/new"), False),
        # A named one counts, there or not.
        (["allow write @/new/**"], _make("directory", "new"), True),
        (["allow write @/new/**"], _make("b", "new"), True),
        (["allow write @/link/**"], _make("remove", "link"), True),
        # What a pattern may match is looked at one by one.
        (["allow write @/a/*"], _make("file", "a/new"), True),
    ],
)
def test_what_matters(rules: list[str], change: Change, *, matters: bool) -> None:
    """Which changes are seen."""
    with place() as top:
        *_, facts = planned(top, rules)
        change(top)
        assert HostTree().has(facts) is not matters


def _by_nobody(work: Callable[[], Value]) -> Value:
    """What comes of it where not everything can be listed, as root can."""

    def child() -> Value:
        if os.geteuid() == 0:
            os.setgroups(())
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        return work()

    return in_child(child)


@pytest.mark.parametrize("modes", [(0o111, 0o755), (0o755, 0o111)])
def test_a_directory_that_cannot_be_listed(modes: tuple[int, int]) -> None:
    """Nothing in it is granted, not what a rule names either, which is there all the same."""
    rules = ["allow read @/a/b/**"]
    with place() as top:
        top.chmod(0o755)
        (top / "a").chmod(modes[0])
        _, plan, facts = _by_nobody(lambda: planned(top, rules))
        assert _by_nobody(lambda: HostTree().has(facts))
        (top / "a").chmod(modes[1])
        assert not _by_nobody(lambda: HostTree().has(facts))
        assert _by_nobody(lambda: planned(top, rules))[1] != plan
        (top / "a").chmod(0o755)
