"""The plan of a session: who enforces what, and that it is a value."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.kernel.landlock import FsRight, rights_of_abi
from sydd.plan.filter import Disposition
from sydd.plan.plan import Enforcement, Engine, Plan, compile_plan, pick_engine
from sydd.plan.rights import REQUIRED
from sydd.policy.access import FILE_ACCESSES, Access, Action, bits
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.policy import Mode, Policy
from sydd.policy.rule import parse_rule
from sydd.syscalls.table import number
from tests.plan.faketree import DIRECTORY, FILE, FakeTree

TREE = {
    "/src/a.c": FILE,
    "/home/me/.ssh/id": FILE,
    "/home/me/notes": FILE,
    "/dev/null": FILE,
    "/tmp": DIRECTORY,
}
BUILD = ("deny read,write /home/me/.ssh/**", "allow write /src/**", "allow modify,truncate /dev/null")


def planned(*rules: str, engine: Engine = Engine.HYBRID, abi: int = 7, privileged: bool = False) -> Plan:
    """The plan of a policy with *rules*."""
    tree = FakeTree(TREE)
    parsed = tuple(parse_rule(text, Source("test")) for text in rules)
    mode = Mode.AUDIT if engine is Engine.AUDIT else Mode.ENFORCE
    return compile_plan(
        Policy("test", rules=parsed, mode=mode),
        Matcher(bind_rules(parsed, {}, {}, tree.realpath)),
        tree,
        engine=engine,
        rights=rights_of_abi(abi),
        scoped=0,
        arch="x86_64",
        privileged=privileged,
    )


def calls(plan: Plan) -> set[str]:
    """The names of the calls that the filter notifies in some form."""
    return {entry.name for entry in plan.filter.entries if entry.outcome.disposition.value == "notify"}


def test_a_plan_is_a_value() -> None:
    """The same policy in the same tree makes an equal plan with the same words; another one does not."""
    assert planned(*BUILD) == planned(*BUILD)
    assert hash(planned(*BUILD)) == hash(planned(*BUILD))
    assert planned(*BUILD) != planned(*BUILD, "allow write /tmp/**")
    assert planned(*BUILD).filter.describe() == planned(*BUILD).filter.describe()
    with pytest.raises(dataclasses.FrozenInstanceError):
        planned(*BUILD).engine = Engine.AUDIT  # type: ignore[misc]


@pytest.mark.parametrize("engine", list(Engine))
def test_every_access_has_one_entry(engine: Engine) -> None:
    """The plan is complete, whatever the engine, and each entry says why."""
    plan = planned(*BUILD, "allow attributes /**", engine=engine)
    assert [entry.access for entry in plan.accesses] == list(bits(FILE_ACCESSES | Access.NET))
    assert all(entry.why and entry.enforcement.meaning for entry in plan.accesses)


def test_what_nobody_restricts_is_free() -> None:
    """Of accesses that the policy allows everywhere no call is notified."""
    plan = planned("allow write /src/**")
    assert plan.enforcement(Access.READ) is Enforcement.FREE
    assert plan.enforcement(Access.STAT) is Enforcement.FREE
    assert not calls(plan) & {"newfstatat", "readlink", "execve", "getdents64", "chdir"}


def test_an_empty_policy_denies_what_is_denied_by_default() -> None:
    """Without a rule, writes are denied by all layers and reads are free."""
    plan = planned()
    assert plan.enforcement(Access.MODIFY) is Enforcement.BOTH
    assert plan.enforcement(Access.ATTRIBUTES) is Enforcement.SUPERVISOR
    assert plan.enforcement(Access.CONNECT) is Enforcement.FILTER
    assert plan.landlock is not None
    assert plan.landlock.rules == ()
    assert FsRight.WRITE_FILE in plan.landlock.handled


def test_a_policy_that_allows_everything_is_free() -> None:
    """Nothing is held and nothing notified but what is refused in every session."""
    plan = planned("allow write /**", "allow net any")
    assert {entry.enforcement for entry in plan.accesses} == {Enforcement.FREE}
    assert not calls(plan) & {"openat", "unlink", "renameat2", "fchmodat", "socket"}


def test_reads_that_nobody_wants_explained_are_the_kernels() -> None:
    """A `filter` hole with exact siblings costs no notification."""
    plan = planned("filter read /home/me/.ssh/**")
    assert plan.enforcement(Access.READ) is Enforcement.KERNEL
    assert plan.filter.decide(number("x86_64", "openat")).disposition is Disposition.ALLOW


@pytest.mark.parametrize("engine", [Engine.HYBRID, Engine.SUPERVISOR, Engine.LANDLOCK])
def test_a_hole_in_listing_has_every_open_for_reading_judged(engine: Engine) -> None:
    """What is above it cannot be granted without the hole, and opens without O_DIRECTORY, too."""
    plan = planned("filter read,list /home/me/.ssh/**", engine=engine)
    assert plan.enforcement(Access.LIST) is not Enforcement.KERNEL
    assert plan.enforcement(Access.READ) is not Enforcement.KERNEL
    assert plan.filter.decide(number("x86_64", "openat")).disposition is Disposition.NOTIFY


@pytest.mark.parametrize("action", ["warn", "hide", "kill", "ask"])
def test_what_the_kernel_cannot_do_is_notified(action: str) -> None:
    """It can refuse, but neither report, pretend, kill nor ask."""
    entry = next(e for e in planned(f"{action} exec /src/**").accesses if e.access is Access.EXEC)
    assert entry.enforcement is Enforcement.BOTH
    assert entry.why == f"a rule says {action}"


def test_renames_are_notified_where_names_matter() -> None:
    """Everything may be renamed, but not everything read: another name may allow more."""
    for engine in (Engine.HYBRID, Engine.SUPERVISOR, Engine.LANDLOCK):
        plan = planned("allow write /**", "deny read /home/me/.ssh/**", engine=engine)
        assert plan.enforcement(Access.RENAME) not in (Enforcement.FREE, Enforcement.KERNEL)
        assert plan.enforcement(Access.LINK) not in (Enforcement.FREE, Enforcement.KERNEL)
        assert {"rename", "renameat2", "link", "linkat"} <= calls(plan)


def test_an_access_that_the_ruleset_holds_is_notified_or_exact() -> None:
    """Nothing that the kernel may refuse although the policy allows it is passed by the supervisor."""
    plan = planned("allow write /**", "deny read /home/me/.ssh/**")
    assert plan.landlock is not None
    for right in plan.landlock.handled:
        for bit in bits(REQUIRED[right]):
            assert plan.enforcement(bit) is not Enforcement.FREE


def test_without_landlock_the_supervisor_performs() -> None:
    """What changes the caller itself cannot be performed, and the plan says that it is advisory."""
    rules = (*BUILD, "deny exec /tmp/**", "deny stat,chdir /home/me/.ssh/**")
    plan = planned(*rules, engine=Engine.SUPERVISOR)
    assert plan.landlock is None
    assert plan.enforcement(Access.READ) is Enforcement.SUPERVISOR
    assert plan.enforcement(Access.STAT) is Enforcement.SUPERVISOR
    assert plan.enforcement(Access.EXEC) is Enforcement.ADVISORY
    assert plan.enforcement(Access.CHDIR) is Enforcement.ADVISORY
    assert not plan.coverage().may_continue(int(FsRight.WRITE_FILE))


def test_audit_holds_nothing() -> None:
    """Everything that the policy restricts is recorded, and no layer refuses."""
    plan = planned(*BUILD, engine=Engine.AUDIT)
    assert {entry.enforcement for entry in plan.accesses} == {Enforcement.FREE, Enforcement.RECORDED}
    assert plan.landlock is None


def test_an_older_landlock() -> None:
    """A right that the ABI lacks is the supervisor's, not free."""
    plan = planned(*BUILD, abi=2)
    entry = next(entry for entry in plan.accesses if entry.access is Access.TRUNCATE)
    assert entry.enforcement is Enforcement.SUPERVISOR
    assert not plan.coverage().may_continue(int(FsRight.TRUNCATE))


def test_calls_that_change_credentials_are_noticed_where_they_can() -> None:
    """Only a session whose processes may come to other credentials pays for being told."""
    assert "setuid" in calls(planned(*BUILD, privileged=True))
    assert "setuid" not in calls(planned(*BUILD))


def test_the_engine_is_the_strongest() -> None:
    """Unless asked for another; audit is a mode, not a choice."""
    assert pick_engine(Mode.ENFORCE, None, landlock_available=True) is Engine.HYBRID
    assert pick_engine(Mode.ENFORCE, None, landlock_available=False) is Engine.SUPERVISOR
    assert pick_engine(Mode.ENFORCE, Engine.SUPERVISOR, landlock_available=True) is Engine.SUPERVISOR
    assert pick_engine(Mode.AUDIT, Engine.HYBRID, landlock_available=False) is Engine.AUDIT


@pytest.mark.parametrize("engine", [Engine.HYBRID, Engine.LANDLOCK])
def test_an_engine_that_the_kernel_lacks(engine: Engine) -> None:
    """Asked for by name it is an error that says what to do, never a weaker one silently."""
    with pytest.raises(ValueError, match="use --engine supervisor"):
        pick_engine(Mode.ENFORCE, engine, landlock_available=False)


_RULES = st.lists(
    st.builds(
        lambda action, access, path: f"{action} {access} {path}",
        st.sampled_from(["allow", "allow", "deny", "warn", "filter", "hide"]),
        st.sampled_from(
            ["write", "read", "read,list,stat,exec,chdir", "modify,truncate", "delete", "attributes", "ioctl"]
        ),
        st.sampled_from(
            ["/**", "/src/**", "/home/me/.ssh/**", "/dev/null", "/home/*/notes", "/src/*.c", "/tmp/x"]
        ),
    ),
    max_size=5,
)


@settings(database=None, deadline=None, max_examples=300)
@given(
    _RULES,
    st.sampled_from([Engine.HYBRID, Engine.SUPERVISOR, Engine.LANDLOCK]),
    st.sampled_from([1, 2, 3, 7]),
)
def test_free_is_allowed_and_held_is_asked(rules: list[str], engine: Engine, abi: int) -> None:
    """A free access is allowed for every name; one that some right restricts is never free."""
    tree = FakeTree(TREE)
    matcher = Matcher(bind_rules([parse_rule(text, Source("test")) for text in rules], {}, {}, tree.realpath))
    plan = planned(*rules, engine=engine, abi=abi)
    coverage = plan.coverage()
    for entry in plan.accesses:
        if entry.enforcement is Enforcement.FREE and entry.access in FILE_ACCESSES:
            for path in tree.names():
                assert matcher.decide(entry.access, path).action is Action.ALLOW
    for right, mask in REQUIRED.items():
        free = all(plan.enforcement(bit) is Enforcement.FREE for bit in bits(mask))
        if plan.landlock is not None and right in plan.landlock.handled and right is not FsRight.REFER:
            assert (
                not any(plan.enforcement(bit) is Enforcement.FREE for bit in bits(mask))
                or mask.bit_count() > 1
            )
        if free and abi >= 2:
            assert coverage.may_continue(int(right))


@settings(database=None, deadline=None, max_examples=200)
@given(_RULES, st.sampled_from([1, 3, 7]))
def test_what_the_kernel_refuses_is_notified(rules: list[str], abi: int) -> None:
    """Where no supervisor is asked, the kernel's answer is the policy's for everything that exists."""
    tree = FakeTree(TREE)
    matcher = Matcher(bind_rules([parse_rule(text, Source("test")) for text in rules], {}, {}, tree.realpath))
    plan = planned(*rules, abi=abi)
    coverage = plan.coverage()
    for right, mask in REQUIRED.items():
        if any(plan.enforcement(bit) not in (Enforcement.FREE, Enforcement.KERNEL) for bit in bits(mask)):
            continue
        for path in tree.objects:
            allowed = all(matcher.decide(bit, path).action is Action.ALLOW for bit in bits(mask))
            suits = (right is FsRight.READ_DIR) == (tree.objects[path] == DIRECTORY)
            if allowed and suits and right is not FsRight.IOCTL_DEV and right & _OF_OBJECTS:
                assert coverage.grants(path, int(right)), f"{right.name} on {path}"


_OF_OBJECTS = FsRight.EXECUTE | FsRight.READ_FILE | FsRight.READ_DIR | FsRight.WRITE_FILE | FsRight.TRUNCATE
