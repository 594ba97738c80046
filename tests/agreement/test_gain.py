"""A new name gives no object more than its old one had: the worker's test, and real renames and links."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.policy.access import OF_AN_OBJECT, Access, bits
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.rule import Rule, parse_rule
from sydd.supervisor.gain import gains

NAMES = ("a", "b", "c")
RELATIVE = ["", *(f"/{name}" for name in NAMES), *(f"/{x}/{y}" for x in NAMES for y in NAMES)]

quick = settings(database=None, deadline=None, max_examples=1000)
components = st.sampled_from([*NAMES, "*", "**", "a*", "[!b]", "{a,b}", "{a,b/c}"])
patterns = st.lists(components, max_size=4).map(lambda parts: "/" + "/".join(parts))
rules = st.lists(
    st.builds(
        lambda action, access, pattern: parse_rule(f"{action} {access} {pattern}", Source("test")),
        st.sampled_from(["allow", "deny", "warn", "hide"]),
        st.sampled_from(["read", "modify", "read,modify,attributes"]),
        patterns,
    ),
    max_size=4,
)
directories = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map(
    lambda parts: "/" + "/".join(parts)
)


def bound(given_rules: list[Rule]) -> Matcher:
    """Compile rules where no link is."""
    return Matcher(bind_rules(given_rules, {}, {}, lambda path: path))


@quick
@given(rules, directories, directories, st.booleans())
def test_what_gains_nothing_really_does_not(
    written: list[Rule],
    old: str,
    new: str,
    directory: bool,
) -> None:
    """When the worker sees no gain, there is none for the object, nor for anything below it."""
    matcher = bound(written)
    if gains(matcher, OF_AN_OBJECT, old, new, directory=directory):
        return
    for below in RELATIVE if directory else [""]:
        for bit in bits(OF_AN_OBJECT):
            now = matcher.decide(bit, new + below).action.permits
            assert not now or matcher.decide(bit, old + below).action.permits, f"{bit.name} {new}{below}"


@quick
@given(rules, directories, directories)
def test_alike_is_alike(written: list[Rule], first: str, second: str) -> None:
    """Directories that the matcher calls alike get the same answers, path by path."""
    matcher = bound(written)
    for bit in bits(OF_AN_OBJECT):
        if matcher.alike(bit, first, second):
            for below in RELATIVE:
                assert matcher.decide(bit, first + below).action is matcher.decide(bit, second + below).action


def test_a_glob_that_reaches_everywhere_holds_up_no_rename() -> None:
    """Where a pattern matches in the same way in both directories, moving one is no gain."""
    matcher = bound([parse_rule("deny read /**/*.key", Source("test"))])
    assert not gains(matcher, Access.READ, "/a", "/b/c", directory=True)


def test_two_directories_with_different_holes() -> None:
    """That both are mixed says nothing: the hole of the one is open in the other."""
    matcher = bound([parse_rule(f"deny read {path}", Source("test")) for path in ("/a/secret", "/b/other")])
    assert gains(matcher, Access.READ, "/a", "/b", directory=True)
