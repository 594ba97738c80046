"""Rules that come at run time: what the kernel may still be left, and which rules a session can take."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.kernel.landlock import FsRight, rights_of_abi
from sydd.plan.landlock import LandlockPlan, LandlockRule, plan_landlock
from sydd.plan.lost import lost_rights
from sydd.plan.plan import Enforcement, Engine, Plan, compile_plan
from sydd.plan.rights import NONE
from sydd.plan.runtime import check_rule
from sydd.policy.access import FILE_ACCESSES, OF_AN_OBJECT, Access, bits
from sydd.policy.bind import BoundRule, bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.policy import Policy
from sydd.policy.refused import BeyondCeiling, NotSupervised
from sydd.policy.rule import parse_rule
from tests.plan.faketree import FILE, FakeTree, Kernel, parent_of
from tests.plan.test_landlock import _RULES, compiled, excess, gained, quick, trees

EVERY = rights_of_abi(7)
TREE = {"/work/a": FILE, "/home/me/.ssh/id": FILE, "/etc/passwd": FILE, "/tmp/x": FILE}


def bound(tree: FakeTree, *lines: str) -> tuple[BoundRule, ...]:
    """Rules bound to a tree."""
    return bind_rules([parse_rule(line, Source("test")) for line in lines], {}, {}, tree.realpath)


def with_added(before: Matcher, added: tuple[BoundRule, ...]) -> Matcher:
    """The policy with rules behind it."""
    count = len(before.rules)
    placed = [dataclasses.replace(rule, index=count + place) for place, rule in enumerate(added)]
    return Matcher((*before.rules, *placed))


def left(plan: LandlockPlan, lost: FsRight) -> LandlockPlan:
    """The plan by which only that goes on which the kernel is still left: other operations are judged."""
    rules = [LandlockRule(rule.path, rule.rights & ~lost, rule.directory) for rule in plan.rules]
    return dataclasses.replace(
        plan, handled=plan.handled | lost, free=plan.free & ~lost, rules=tuple(r for r in rules if r.rights)
    )


@settings(quick, max_examples=300)
@given(trees(), _RULES, _RULES, st.sampled_from([1, 3, 7]))
def test_what_is_left_to_the_kernel_is_allowed(
    tree: FakeTree, rules: list[str], more: list[str], abi: int
) -> None:
    """Whatever rules come: what goes on without being performed the policy with them allows."""
    before = compiled(tree, *rules)
    plan = plan_landlock(before, tree, rights_of_abi(abi))
    added = bound(tree, *more)
    after = with_added(before, added)
    kernel = Kernel(left(plan, lost_rights(plan, after, added)), tree)
    names = [path for path in tree.names() if path != "/"]
    assert excess(kernel, after, names) == []


@settings(quick, max_examples=200)
@given(trees(), _RULES, _RULES)
def test_no_name_gains_anything(tree: FakeTree, rules: list[str], more: list[str]) -> None:
    """Nor does any rename or link that still goes on by itself."""
    before = compiled(tree, *rules)
    plan = plan_landlock(before, tree, EVERY)
    added = bound(tree, *more)
    after = with_added(before, added)
    still = left(plan, lost_rights(plan, after, added))
    kernel = Kernel(still, tree)
    for old in [path for path in tree.objects if path != "/" and tree.kind(path) != "link"]:
        for new in [path for path in tree.names() if path != "/" and tree.kind(parent_of(path)) == "dir"]:
            if tree.kind(old) == "file" and kernel.permits_link(old, new):
                assert gained(after, old, new) == [], f"{old} is also called {new}"
            if new == old or new.startswith(old + "/") or not kernel.permits_rename(old, new):
                continue
            moved = [path for path in tree.names() if path == old or path.startswith(old + "/")]
            for was in moved:
                now = new + was[len(old) :]
                asked = FILE_ACCESSES if was != old else OF_AN_OBJECT
                assert gained(after, was, now, asked) == [], f"{was} is now called {now}"


@settings(quick, max_examples=200)
@given(trees(), _RULES)
def test_nothing_is_lost_without_need(tree: FakeTree, rules: list[str]) -> None:
    """By no rules, and by rules that say what is said already."""
    matcher = compiled(tree, *rules)
    plan = plan_landlock(matcher, tree, EVERY)
    assert lost_rights(plan, matcher, ()) == NONE
    assert lost_rights(plan, matcher, matcher.rules) == NONE


def test_a_rule_elsewhere_costs_nothing() -> None:
    """What is granted in the work directory stays the kernel's to decide; below it, it does not."""
    tree = FakeTree(TREE)
    before = compiled(tree, "allow write /work/**", "deny read /home/me/.ssh/**")
    plan = plan_landlock(before, tree, EVERY)

    def lost(line: str) -> FsRight:
        added = bound(tree, line)
        return lost_rights(plan, with_added(before, added), added)

    assert lost("deny write /etc/**") == NONE
    assert lost("allow write /home/me/.cache/**") == NONE
    assert lost("deny modify /work/out/**") & FsRight.WRITE_FILE
    assert not lost("deny modify /work/out/**") & (FsRight.READ_FILE | FsRight.EXECUTE)
    assert lost("deny read /etc/passwd") & FsRight.READ_FILE
    assert lost("deny read /work/a") & FsRight.REFER  # another name would make it readable


def test_coverage_forgets_what_moved() -> None:
    """Rights that went along with a directory are never again the kernel's, once rules have changed."""
    tree = FakeTree(TREE)
    coverage = plan_landlock(compiled(tree, "allow write /work/**"), tree, EVERY).coverage()
    write = int(FsRight.WRITE_FILE)
    coverage.forget("/work")
    assert coverage.may_continue(write)
    coverage.narrow(0)
    assert not coverage.may_continue(write)
    other = plan_landlock(compiled(tree, "allow write /work/**"), tree, EVERY).coverage()
    other.narrow(write)
    assert not other.may_continue(write)
    other.narrow(0)
    assert other.may_continue(write)
    other.forget("/work")
    assert not other.may_continue(write)
    other.narrow(0)
    assert not other.may_continue(write)


def planned(rules: tuple[str, ...], ceiling: tuple[str, ...], engine: Engine = Engine.HYBRID) -> Plan:
    """The plan of a session with a ceiling."""
    tree = FakeTree(TREE)
    return compile_plan(
        Policy("test"),
        compiled(tree, *rules),
        tree,
        engine=engine,
        rights=EVERY,
        scoped=0,
        arch="x86_64",
        ceiling=bound(tree, *ceiling),
    )


SEEN = {Enforcement.BOTH, Enforcement.SUPERVISOR}


@pytest.mark.parametrize("engine", [Engine.HYBRID, Engine.LANDLOCK, Engine.SUPERVISOR])
@pytest.mark.parametrize("rules", [(), ("allow write,net,stat /**".replace(",net", ""), "allow net any")])
def test_what_a_ceiling_names_is_supervised(engine: Engine, rules: tuple[str, ...]) -> None:
    """Whatever the rules say now; and the plan says why. What gives another name goes with files."""
    plan = planned(
        rules, ("allow read,list,modify,attributes /work/**", "allow connect,send loopback"), engine
    )
    named = Access.READ | Access.LIST | Access.MODIFY | Access.ATTRIBUTES | Access.CONNECT | Access.SEND
    for access in bits(named | Access.RENAME | Access.LINK):
        assert plan.enforcement(access) in SEEN, access
    for entry in plan.accesses:
        assert ("[limits] runtime names it" in entry.why) == (entry.access in named), entry
    assert plan.sockets is not None
    assert not plan.sockets.unjudged


def test_a_ceiling_changes_nothing_else() -> None:
    """Accesses that it does not name stay as they are."""
    rules = ("deny read /home/me/.ssh/**", "allow write /**")
    without, with_it = (
        planned(rules, (), Engine.LANDLOCK),
        planned(rules, ("allow stat /x",), Engine.LANDLOCK),
    )
    changed = {
        entry.access
        for entry in with_it.accesses
        if entry.enforcement is not without.enforcement(entry.access)
    }
    assert changed == {Access.STAT}


@pytest.mark.parametrize(
    ("line", "engine", "error"),
    [
        ("deny write /work/**", Engine.HYBRID, None),
        ("deny write /work/**", Engine.LANDLOCK, NotSupervised),
        ("deny create,delete /work/**", Engine.LANDLOCK, None),
        ("deny read /etc/passwd", Engine.HYBRID, None),
        ("deny read /etc/passwd", Engine.LANDLOCK, NotSupervised),
        ("deny stat /etc/passwd", Engine.HYBRID, NotSupervised),
        ("deny chdir /etc", Engine.HYBRID, NotSupervised),
        ("hide exec /bin/sh", Engine.HYBRID, NotSupervised),
        ("deny connect 10.0.0.1", Engine.HYBRID, NotSupervised),
        ("allow read /etc/passwd", Engine.HYBRID, BeyondCeiling),
        ("ask write /etc/passwd", Engine.HYBRID, BeyondCeiling),
    ],
)
def test_without_a_ceiling(line: str, engine: Engine, error: type[Exception] | None) -> None:
    """What the session sees can be forbidden, and nothing allowed."""
    plan = planned(("allow write /work/**", "deny read /home/me/.ssh/**"), (), engine)
    (rule,) = bound(FakeTree(TREE), line)
    if error is None:
        check_rule(plan, (), rule)
    else:
        with pytest.raises(error):
            check_rule(plan, (), rule)


def test_where_nobody_looks_at_names() -> None:
    """A rule about reading is refused where the file could be renamed out of it unseen."""
    plan = planned(("warn read /**", "allow write /**"), ())
    assert plan.enforcement(Access.READ) is Enforcement.BOTH
    (rule,) = bound(FakeTree(TREE), "deny read /work/**")
    with pytest.raises(NotSupervised, match="rename"):
        check_rule(plan, (), rule)


def test_inside_a_session() -> None:
    """There is no supervisor of its own, and so no rule at run time, whatever the ceiling says."""
    rules = ("allow attributes /**", "allow write /work/**")
    plan = planned(rules, ("allow stat,write /work/**",), Engine.NESTED)
    assert plan == planned(rules, (), Engine.NESTED)
    (rule,) = bound(FakeTree(TREE), "deny write /work/**")
    with pytest.raises(NotSupervised, match="another session"):
        check_rule(plan, (rule,), rule)
