"""The Landlock ruleset of a policy: what it grants, and that this is never more than the policy allows."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sydd.kernel.landlock import FsRight, rights_of_abi
from sydd.plan import landlock
from sydd.plan.landlock import LandlockPlan, plan_landlock
from sydd.plan.rights import FILE_RIGHTS, NONE, REMOVE, REQUIRED
from sydd.policy.access import FILE_ACCESSES, OF_AN_OBJECT, UNPERFORMED, Access, Action, bits
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.rule import parse_rule
from tests.plan.faketree import DIRECTORY, FILE, FakeTree, Kernel, join, parent_of

EVERY = rights_of_abi(7)
READING = FsRight.READ_FILE | FsRight.READ_DIR
OF_OBJECTS = FILE_RIGHTS | FsRight.READ_DIR
"""Rights that are about an object itself; all others are about an entry of a directory."""

HOST = {
    "/etc/passwd": FILE,
    "/home/me/.ssh/id": FILE,
    "/home/me/src/a.c": FILE,
    "/home/me/notes": FILE,
    "/home/you": DIRECTORY,
    "/usr/bin/cc": FILE,
    "/bin": "-> usr/bin",
}

quick = settings(database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def compiled(tree: FakeTree, *rules: str) -> Matcher:
    """The matcher of *rules*, as a session in *tree* would have it."""
    parsed = [parse_rule(text, Source("test")) for text in rules]
    return Matcher(bind_rules(parsed, {}, {}, tree.realpath))


def planned(
    *rules: str, objects: Mapping[str, str] | None = None, available: FsRight = EVERY
) -> LandlockPlan:
    """The plan for *rules* in a tree with *objects*."""
    tree = FakeTree(HOST if objects is None else objects)
    return plan_landlock(compiled(tree, *rules), tree, available)


def granted(plan: LandlockPlan, right: FsRight) -> list[str]:
    """Where *right* is granted: directories with a slash at the end."""
    return [
        join(rule.path, "") if rule.directory else rule.path for rule in plan.rules if right in rule.rights
    ]


def test_a_subtree_becomes_a_rule() -> None:
    """What is allowed as a whole is one anchor, and everything else is refused by being handled."""
    plan = planned("allow write /home/me/src/**")
    assert granted(plan, FsRight.WRITE_FILE) == ["/home/me/src/"]
    assert granted(plan, FsRight.REMOVE_FILE) == ["/home/me/src/"]
    assert FsRight.WRITE_FILE in plan.handled
    assert plan.free & READING == READING
    assert not plan.gaps


def test_a_file_becomes_a_rule_of_its_own() -> None:
    """An exact pattern of a file grants what a file can have, and nothing about its entry."""
    plan = planned("allow write /etc/passwd")
    assert granted(plan, FsRight.WRITE_FILE) == ["/etc/passwd"]
    assert granted(plan, FsRight.TRUNCATE) == ["/etc/passwd"]
    assert granted(plan, FsRight.REMOVE_FILE) == []
    assert dict(plan.gaps)[Access.DELETE] == "a single file's entry cannot be granted"


def test_what_is_warned_of() -> None:
    """It is granted where nobody but the kernel can do it, as is what is allowed around it; else not."""
    plan = planned("warn exec,read /usr/bin/**", "deny exec /home/me/src/**", "warn exec /home/me/src/a.c")
    assert "/usr/" in granted(plan, FsRight.EXECUTE)
    assert "/home/me/src/a.c" in granted(plan, FsRight.EXECUTE)
    assert "/home/me/src/" not in granted(plan, FsRight.EXECUTE)
    assert "/home/" in granted(plan, FsRight.READ_FILE)
    assert not {"/usr/", "/usr/bin/", "/usr/bin/cc"} & {*granted(plan, FsRight.READ_FILE)}


def test_processes_are_no_rules() -> None:
    """By no name in a process's directory anything is made or removed."""
    objects = {"/proc/1/stat": FILE, "/proc/22/stat": FILE, "/proc/sys/a": FILE, "/proc/stat": FILE, **HOST}
    plan = planned("allow write /**", "deny modify,truncate /proc/[0-9]*/**", objects=objects)
    for right in (FsRight.REMOVE_FILE, FsRight.REFER, FsRight.MAKE_SOCK):
        assert granted(plan, right) == ["/etc/", "/home/", "/proc/sys/", "/usr/"]
    assert granted(plan, FsRight.WRITE_FILE) == ["/etc/", "/home/", "/proc/stat", "/proc/sys/", "/usr/"]
    assert dict(plan.gaps).keys() >= {Access.CREATE, Access.DELETE, Access.RENAME, Access.LINK, Access.MKNOD}


def test_a_hole_is_expanded() -> None:
    """A hole in a wide allow is expressed by its siblings along the way, and by nothing at or below it."""
    plan = planned("deny read,list /home/me/.ssh/**")
    assert granted(plan, FsRight.READ_FILE) == [
        "/etc/",
        "/home/me/notes",
        "/home/me/src/",
        "/home/you/",
        "/usr/",
    ]
    assert granted(plan, FsRight.READ_DIR) == ["/etc/", "/home/me/src/", "/home/you/", "/usr/"]
    assert FsRight.EXECUTE in plan.free


def test_only_the_directories_on_the_way_to_a_hole_are_listed() -> None:
    """Start-up does not depend on how much lies beside the way."""
    tree = FakeTree(HOST)
    plan_landlock(compiled(tree, "deny read,list /home/me/.ssh/**"), tree, EVERY)
    assert set(tree.listed) == {"/", "/home", "/home/me"}


def test_a_hole_that_does_not_exist_yet() -> None:
    """What a rule names and is not there can come to be: its siblings are listed all the same."""
    plan = planned("deny read /home/me/.aws/**")
    assert "/home/me/" not in granted(plan, FsRight.READ_FILE)
    assert "/home/me/src/" in granted(plan, FsRight.READ_FILE)


def test_a_symbolic_link_gets_no_rule() -> None:
    """Rules belong to inodes; the link's target has its own name and its own rule."""
    plan = planned("deny read /home/me/.ssh/**", "allow write /bin/**")
    assert "/bin/" not in granted(plan, FsRight.READ_FILE)
    assert granted(plan, FsRight.WRITE_FILE) == ["/usr/bin/"]


def test_a_glob_ends_the_walk() -> None:
    """Where a pattern may match anywhere, the kernel grants nothing and the plan says so."""
    plan = planned("deny read /home/**/*.key")
    assert granted(plan, FsRight.READ_FILE) == ["/etc/", "/usr/"]
    assert dict(plan.gaps)[Access.READ].startswith("a pattern")
    assert dict(plan.gaps)[Access.READ].endswith("/home")


def test_a_glob_within_one_directory() -> None:
    """Entries that a shallow glob cannot match are granted, those that it matches are not."""
    plan = planned(
        "deny read /d/*.key", objects={"/d/a.key": FILE, "/d/a.txt": FILE, "/d/sub/x": FILE, "/e": DIRECTORY}
    )
    assert granted(plan, FsRight.READ_FILE) == ["/d/a.txt", "/d/sub/", "/e/"]
    assert Access.READ in dict(plan.gaps)


def test_a_warning_is_not_granted() -> None:
    """What has to be reported must not go past the supervisor."""
    plan = planned("warn read /etc/**")
    assert "/etc/" not in granted(plan, FsRight.READ_FILE)


@pytest.mark.parametrize("right", [FsRight.MAKE_REG, FsRight.REMOVE_FILE, FsRight.REFER])
def test_naming_needs_one_answer_about_everything_below(right: FsRight) -> None:
    """With a hole below, a right by which it could be renamed out of itself is not granted."""
    plan = planned("allow write /home/me/**", "deny read /home/me/.ssh/**")
    expected = ["/home/me/src/"] if right is FsRight.REFER else ["/home/me/.ssh/", "/home/me/src/"]
    assert granted(plan, right) == expected
    assert granted(plan, FsRight.WRITE_FILE) == ["/home/me/"]


@pytest.mark.parametrize("right", [FsRight.MAKE_REG, FsRight.REMOVE_FILE, FsRight.REFER])
def test_naming_is_never_free_beside_a_hole(right: FsRight) -> None:
    """Where everything may be renamed but not everything read, the kernel has to hold the renaming, too."""
    plan = planned("allow write /**", "deny read /home/me/.ssh/**")
    assert right in plan.handled
    assert "/home/me/" not in granted(plan, right)
    assert "/usr/" in granted(plan, right)


def test_no_rule_lies_below_what_may_be_renamed() -> None:
    """A rule below a directory that the session may rename would go along with it."""
    plan = planned(
        "allow delete,rename,create /d/**",
        "deny mknod /d/x/**",
        "allow read,mknod /d/z/**",
        objects={"/d/x/y": DIRECTORY, "/d/z": DIRECTORY},
    )
    assert granted(plan, FsRight.REMOVE_DIR) == ["/d/x/", "/d/z/"]
    assert granted(plan, FsRight.MAKE_DIR) == ["/d/"]


def test_free_rights_are_not_handled() -> None:
    """A policy that restricts nothing makes an empty ruleset, where a scope makes the domain."""
    tree = FakeTree(HOST)
    matcher = compiled(tree, "allow write /**", "allow net any")
    plan = plan_landlock(matcher, tree, EVERY, 1)
    assert (plan.handled, plan.rules) == (NONE, ())
    assert plan.free == EVERY


def test_there_is_a_domain_in_any_case() -> None:
    """Before Linux 6.12 there is no scope; one right is handled then, and granted everywhere."""
    plan = planned("allow write /**", "allow net any")
    assert plan.handled == FsRight.REFER
    assert granted(plan, FsRight.REFER) == ["/"]


def test_terminals_of_the_launch() -> None:
    """They are granted by what rules say of the session's own, all others by what they say of /dev/pts."""
    objects = {"/dev/pts/0": FILE, "/dev/pts/1": FILE, "/dev/tty1": FILE, "/src": DIRECTORY}
    tree = FakeTree(objects)
    own = ("allow write /src/**", "deny read /dev/**", "allow read,modify /dev/pts/self/**")
    plan = plan_landlock(compiled(tree, *own), tree, EVERY, 0, ("/dev/pts/1", "/dev/tty1"))
    assert granted(plan, FsRight.WRITE_FILE) == ["/dev/pts/1", "/dev/tty1", "/src/"]
    assert granted(plan, FsRight.READ_FILE) == ["/dev/pts/1", "/dev/tty1", "/src/"]
    assert "terminals" in dict(plan.gaps)[Access.MODIFY]
    others = ("allow modify /dev/**", "deny modify /dev/pts/self/**")
    plan = plan_landlock(compiled(tree, *others), tree, EVERY, 0, ("/dev/pts/1", "/dev/tty1"))
    assert granted(plan, FsRight.WRITE_FILE) == ["/dev/pts/0"]


def test_refer_is_granted_at_the_root_where_it_is_free() -> None:
    """The kernel refuses what no rule grants of REFER, also where it is not handled."""
    plan = planned("allow create,rename,link,delete,mknod /**")
    assert FsRight.REFER in plan.handled
    assert granted(plan, FsRight.REFER) == ["/"]


def test_refer_only_where_every_use_is_permitted() -> None:
    """Of accesses that Landlock does not know, it cannot see that a move gains them."""
    plan = planned(
        "allow write /a/**",
        "allow write /b/**",
        "deny attributes /a/**",
        objects={"/a": DIRECTORY, "/b": DIRECTORY},
    )
    assert granted(plan, FsRight.REFER) == ["/b/"]
    assert granted(plan, FsRight.REMOVE_FILE) == ["/a/", "/b/"]


def test_a_right_that_the_kernel_does_not_know() -> None:
    """Of an older ABI only what it has is handled, and the gap says why."""
    plan = planned("allow write /home/me/src/**", available=rights_of_abi(1))
    assert FsRight.TRUNCATE not in plan.handled
    assert FsRight.TRUNCATE not in plan.free
    assert dict(plan.gaps)[Access.TRUNCATE] == "this kernel's Landlock does not know the right"


def test_too_many_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A right that would need more anchors than there is memory for is left to the supervisor."""
    monkeypatch.setattr(landlock, "MAXIMUM_RULES", 3)
    plan = planned("deny read /home/me/.ssh/**")
    assert granted(plan, FsRight.READ_FILE) == []
    assert FsRight.READ_FILE in plan.handled
    assert dict(plan.gaps)[Access.READ] == "more than 3 rules would be needed"


def test_what_cannot_be_listed_is_not_granted() -> None:
    """A directory on the way that cannot be read has no siblings to grant."""
    tree = FakeTree(HOST, unreadable=("/home",))
    plan = plan_landlock(compiled(tree, "deny read /home/me/.ssh/**"), tree, EVERY)
    assert granted(plan, FsRight.READ_FILE) == ["/etc/", "/usr/"]


def test_the_rules_are_sorted_and_have_no_twins() -> None:
    """The order does not depend on that of rules or rights, and each path has one rule."""
    first = planned("allow write /home/me/src/**", "deny read /home/me/.ssh/**")
    second = planned("deny read /home/me/.ssh/**", "allow write /home/me/src/**")
    paths = [rule.path for rule in first.rules]
    assert first == second
    assert paths == sorted(set(paths))


# ---- the property: never more than the policy

_NAMES = ("a", "b", "c")
_COMPONENTS = st.sampled_from([*_NAMES, "a", "b", "*", "**", "a*", "[!a]"])
_PATTERNS = st.builds(
    lambda parts, deep: "/" + "/".join([*parts, *(["**"] if deep else [])]),
    st.lists(_COMPONENTS, max_size=3),
    st.booleans(),
)
_WORDS = (
    "read",
    "list",
    "stat",
    "exec",
    "create",
    "modify",
    "delete",
    "rename",
    "link",
    "truncate",
    "attributes",
)
_ACCESSES = st.one_of(
    st.sampled_from(["write", "write", "read,list", "write,read,list,stat,exec"]),
    st.lists(st.sampled_from([*_WORDS, "mknod", "ioctl"]), min_size=1, max_size=3, unique=True).map(",".join),
)
_ACTIONS = st.sampled_from(["allow", "allow", "allow", "deny", "deny", "warn", "hide", "filter"])
_RULES = st.lists(
    st.builds(lambda action, access, pattern: f"{action} {access} {pattern}", _ACTIONS, _ACCESSES, _PATTERNS),
    max_size=5,
)
_PATHS = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))


@st.composite
def trees(draw: st.DrawFn) -> FakeTree:
    """A few directories, files and links."""
    objects: dict[str, str] = {}
    for path in sorted(draw(st.sets(_PATHS, min_size=1, max_size=6))):
        if any(above in objects and objects[above] != DIRECTORY for above in _above(path)):
            continue
        objects[path] = draw(st.sampled_from([DIRECTORY, DIRECTORY, FILE, FILE, "-> /b", "-> nowhere"]))
    return FakeTree(
        {path: kind for path, kind in objects.items() if not kind.startswith("->") or path != "/b"}
    )


def _above(path: str) -> list[str]:
    found = []
    while path != "/":
        path = parent_of(path)
        found.append(path)
    return found


def excess(kernel: Kernel, matcher: Matcher, names: list[str]) -> list[str]:
    """Every access to one of *names* that rules grant and the policy does not allow."""
    found = []
    for path in names:
        on_object, on_entry = kernel.granted(path), kernel.granted(parent_of(path))
        for right, mask in REQUIRED.items():
            if right not in (on_object if right & OF_OBJECTS else on_entry):
                continue
            found += [
                f"{right.name} on {path}: {bit.name}"
                for bit in bits(mask)
                if not may_be_granted(matcher, bit, path)
            ]
    return found


def may_be_granted(matcher: Matcher, access: Access, path: str) -> bool:
    """Whether the kernel may make *access* to *path* possible: what is warned of where nobody else can."""
    action = matcher.decide(access, path).action
    return action is Action.ALLOW or (action is Action.WARN and access in UNPERFORMED)


def gained(matcher: Matcher, old: str, new: str, asked: Access = OF_AN_OBJECT) -> list[Access]:
    """What of *asked* may be done with an object by its new name and not by its old one."""
    decide = matcher.decide
    return [
        bit for bit in bits(asked) if decide(bit, new).action.permits and not decide(bit, old).action.permits
    ]


@settings(quick, max_examples=400)
@given(trees(), _RULES, st.integers(1, 7))
def test_never_more_than_the_policy(tree: FakeTree, rules: list[str], abi: int) -> None:
    """Whatever rules grant, by union over the way up, the policy allows; also of names that come later."""
    matcher = compiled(tree, *rules)
    plan = plan_landlock(matcher, tree, rights_of_abi(abi))
    names = [path for path in tree.names() if path != "/"]
    assert excess(Kernel(plan, tree), matcher, names) == []


@settings(quick, max_examples=400)
@given(trees(), _RULES, st.integers(1, 7))
def test_free_means_allowed_everywhere(tree: FakeTree, rules: list[str], abi: int) -> None:
    """What is not handled because it is free is allowed by the policy for every name."""
    matcher = compiled(tree, *rules)
    plan = plan_landlock(matcher, tree, rights_of_abi(abi))
    for right in plan.free:
        for path in tree.names():
            for bit in bits(REQUIRED[right]):
                assert may_be_granted(matcher, bit, path)


@settings(quick, max_examples=400)
@given(trees(), _RULES, st.sampled_from([3, 7]))
def test_no_rename_gains_anything(tree: FakeTree, rules: list[str], abi: int) -> None:
    """Any rename that the kernel permits by itself leaves the rules within the policy, and gains nothing."""
    matcher = compiled(tree, *rules)
    plan = plan_landlock(matcher, tree, rights_of_abi(abi))
    kernel = Kernel(plan, tree)
    for old in [path for path in tree.objects if path != "/" and tree.kind(path) != "link"]:
        for new in [path for path in tree.names() if path != "/" and parent_of(path) in tree.objects]:
            inside = new == old or new.startswith(old + "/")
            if inside or tree.kind(parent_of(new)) != "dir" or not kernel.permits_rename(old, new):
                continue
            before = [path for path in tree.names() if path == old or path.startswith(old + "/")]
            after = [new + path[len(old) :] for path in before]
            assert excess(Kernel(plan, tree, (old, new)), matcher, after) == [], f"{old} renamed to {new}"
            for was, now in zip(before, after, strict=True):
                # A directory brings along what may be done with entries below it, those to come, too.
                asked = FILE_ACCESSES if was != old else OF_AN_OBJECT
                assert gained(matcher, was, now, asked) == [], f"{was} is now called {now}"


@settings(quick, max_examples=300)
@given(trees(), _RULES, st.sampled_from([1, 3, 7]))
def test_no_link_gains_anything(tree: FakeTree, rules: list[str], abi: int) -> None:
    """Any further name that the kernel lets a file have by itself permits no more than the first one."""
    matcher = compiled(tree, *rules)
    kernel = Kernel(plan_landlock(matcher, tree, rights_of_abi(abi)), tree)
    for old in [path for path in tree.objects if tree.kind(path) == "file"]:
        for new in [path for path in tree.names() if tree.kind(parent_of(path)) == "dir" and path != "/"]:
            if kernel.permits_link(old, new):
                assert gained(matcher, old, new) == [], f"{old} is also called {new}"


@settings(quick, max_examples=200)
@given(trees(), _RULES)
def test_the_worker_sees_what_the_kernel_holds(tree: FakeTree, rules: list[str]) -> None:
    """Coverage, which the worker asks, says "granted" exactly where the ruleset grants."""
    plan = plan_landlock(compiled(tree, *rules), tree, EVERY)
    kernel, coverage = Kernel(plan, tree), plan.coverage()
    for path in [path for path in tree.names() if path != "/"]:
        for right in EVERY:
            if right & OF_OBJECTS:
                expected = right in plan.free or right in kernel.granted(path)
                assert coverage.grants(path, int(right)) is expected
            elif tree.kind(parent_of(path)) == "dir":
                expected = right in plan.free or right in kernel.granted(parent_of(path))
                assert coverage.grants_entry(path, int(right)) is expected


def test_the_model_of_the_kernel_moves_rules_with_their_directory() -> None:
    """The model used above does what landlock(7) says of renamed directories."""
    tree = FakeTree({"/a/x": FILE, "/b": DIRECTORY})
    plan = plan_landlock(compiled(tree, "allow modify /a/**"), tree, EVERY)
    moved = Kernel(plan, tree, ("/a", "/b/a"))
    assert FsRight.WRITE_FILE in moved.granted("/b/a/x")
    assert FsRight.WRITE_FILE not in moved.granted("/b")
    assert not Kernel(plan, tree).permits_rename("/a", join("/b", "a"))
    assert REMOVE & plan.handled == REMOVE
