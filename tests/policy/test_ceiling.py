"""The ceiling: what is let through allows nothing that no rule of the ceiling matches."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.policy.access import Access, Action, bits
from sydd.policy.address import Address, AddressKind, inet
from sydd.policy.bind import BoundRule, bind_rules
from sydd.policy.ceiling import within
from sydd.policy.errors import PolicyError, Source
from sydd.policy.glob import PathGlob
from sydd.policy.matcher import Matcher
from sydd.policy.refused import NoSuchRule, TooManyRules
from sydd.policy.rule import parse_rule
from sydd.policy.runtime import MAXIMUM_RULES, added, parsed, removed
from tests.policy.strategies import UNIVERSE, patterns


def bound(*lines: str) -> tuple[BoundRule, ...]:
    """Rules bound without a file system."""
    return bind_rules([parse_rule(line, Source("test")) for line in lines], {}, {}, lambda path: path)


def is_within(rule: str, *ceiling: str) -> bool:
    """Whether *rule* is within a ceiling of these rules."""
    return within(bound(rule)[0], bound(*ceiling))


WITHIN = [
    ("allow read /a/b", "allow read /a/**"),
    ("allow read /a/**", "allow read /a/**"),
    ("allow read,list /a/b/**", "allow read,list,stat /a/**"),
    ("allow write /a/b/*.o", "allow write /a/**"),
    ("allow create /a/{b,c}", "allow write /a/*"),
    ("allow read /a/x/c/d", "allow read /a/*/c/**"),
    ("allow read /a/x/c/**", "allow read /a/*/c/**"),
    ("warn read /a", "allow read /a/**"),
    ("ask read /a/b", "allow read /a/b"),
    ("deny read /z", "allow read /a/**"),
    ("kill write /**", "allow read /a/**"),
    ("allow connect 10.1.0.0/16!80", "allow connect 10.0.0.0/8"),
    ("allow connect loopback!80-90", "allow connect,bind loopback!1-100"),
    ("allow connect ::ffff:10.0.0.1", "allow connect 10.0.0.0/8"),
    ("allow bind unix:/run/x/y", "allow bind unix:/run/x/**"),
    ("allow connect @name", "allow connect @*"),
    ("allow bind unix:unnamed", "allow bind unix:unnamed"),
    ("allow connect 10.0.0.1", "allow net any"),
]
BEYOND = [
    ("allow read /a", "allow read /a/*"),
    ("allow read /b", "allow read /a/**"),
    ("allow read /ab", "allow read /a/**"),
    ("allow read,write /a/b", "allow read /a/**"),
    ("allow read /a/**", "allow read /a/*"),
    ("allow read /**", "allow read /a/**"),
    ("ask read /b", "allow read /a/**"),
    ("allow connect 10.0.0.0/7", "allow connect 10.0.0.0/8"),
    ("allow connect 10.0.0.1!80-81", "allow connect 10.0.0.0/8!80"),
    ("allow connect 10.0.0.1", "allow connect 10.0.0.0/8!80"),
    ("allow bind 10.0.0.1", "allow connect 10.0.0.0/8"),
    ("allow connect any", "allow connect 0.0.0.0/0"),
    ("allow connect ::/0", "allow connect 0.0.0.0/0"),
    ("allow connect fe80::1", "allow connect fe80::1%2"),
    ("allow connect unix:/run/**", "allow connect unix:/run/x/**"),
    ("allow connect @a*", "allow connect @a"),
    ("allow connect host.example", "allow connect host.example"),
    ("allow bind unix:unnamed", "allow bind unix:/**"),
]


@pytest.mark.parametrize(("rule", "ceiling"), WITHIN)
def test_within(rule: str, ceiling: str) -> None:
    """Contained, or forbidding."""
    assert is_within(rule, ceiling)


@pytest.mark.parametrize(("rule", "ceiling"), BEYOND)
def test_beyond(rule: str, ceiling: str) -> None:
    """Not contained, or not to be seen."""
    assert not is_within(rule, ceiling)


def test_without_a_ceiling() -> None:
    """Nothing can be allowed, all can be forbidden."""
    assert not is_within("allow read /a")
    assert is_within("hide stat /a")


def test_each_access_has_a_rule_of_its_own() -> None:
    """Several rules of a ceiling hold together, access by access and pattern by pattern."""
    ceiling = ("allow read /a/**", "allow write /a/b/**")
    assert is_within("allow read,write /a/b/c", *ceiling)
    assert not is_within("allow read,write /a/c", *ceiling)
    assert is_within("allow read /{a,b}/x", "allow read /a/x", "allow read /b/**")


@st.composite
def file_rules(draw: st.DrawFn, actions: Sequence[str]) -> str:
    """A line of policy about files."""
    words = draw(st.lists(st.sampled_from(["read", "stat", "create", "delete"]), min_size=1, max_size=2))
    return f"{draw(st.sampled_from(actions))} {','.join(words)} {draw(patterns())}"


@given(
    base=st.lists(file_rules(["allow", "deny"]), max_size=4),
    ceiling=st.lists(file_rules(["allow"]), max_size=4),
    rules=st.lists(file_rules(["allow", "deny", "warn", "ask"]), max_size=5),
)
def test_nothing_beyond_is_ever_allowed(base: list[str], ceiling: list[str], rules: list[str]) -> None:
    """Whatever is let through, one list or another: what it newly permits a ceiling rule matches."""
    bounds = bound(*ceiling)
    before = Matcher(bound(*base))
    passed = [rule for rule in bound(*rules) if within(rule, bounds)]
    numbered = [dataclasses.replace(rule, index=len(base) + place) for place, rule in enumerate(passed)]
    after = Matcher((*before.rules, *numbered))
    for path in UNIVERSE:
        for access in (Access.READ, Access.STAT, Access.CREATE, Access.DELETE):
            if after.decide(access, path).action.forbids or before.decide(access, path).action.permits:
                continue
            matching = [rule for rule in bounds if access in rule.access]
            named = any(glob.matches(path) for rule in matching for glob in rule.globs)
            assert named or after.decide(access, path) == before.decide(access, path)


@given(first=patterns(braces=False), second=patterns(braces=False))
def test_containment_of_patterns(first: str, second: str) -> None:
    """What covers matches all that the other does."""
    one, other = PathGlob(first), PathGlob(second)
    if one.covers(other):
        assert all(one.matches(path) for path in UNIVERSE if other.matches(path))


ADDRESSES = [
    *(
        inet(4, number, port)
        for number in (0, 1, 10 << 24, 10 << 24 | 1, 127 << 24 | 1)
        for port in (0, 1, 80)
    ),
    *(inet(6, number, port) for number in (0, 1, 0xFFFF << 32 | 10 << 24) for port in (0, 1, 80)),
    *(inet(6, 0xFE80 << 112 | 1, 80, scope) for scope in (0, 1, 2)),
    *(Address(AddressKind.UNIX, path) for path in ("/a", "/a/b", "/b")),
    *(Address(AddressKind.ABSTRACT, name) for name in ("", "a", "ab", "b")),
    Address(AddressKind.UNNAMED),
]
NET_PATTERNS = [
    "any",
    "loopback",
    "local!80",
    "0.0.0.0/0",
    "0.0.0.0",
    "10.0.0.0/8!1-80",
    "10.0.0.0/31",
    "10.0.0.1!80",
    "::/0",
    "::",
    "::ffff:0:0/96",
    "::/64",
    "fe80::1",
    "fe80::1%1",
    "fe80::/10",
    "[fe80::%2]/10",
    "unix:/a/**",
    "unix:/a/*",
    "unix:/{a,b}",
    "@*",
    "@a",
    "@a*",
    "unix:unnamed",
]


@st.composite
def net_rules(draw: st.DrawFn, actions: Sequence[str]) -> str:
    """A line of policy about addresses."""
    words = draw(st.lists(st.sampled_from(["connect", "bind", "send"]), min_size=1, max_size=2))
    pattern = draw(st.sampled_from(NET_PATTERNS))
    return f"{draw(st.sampled_from(actions))} {','.join(words)} {pattern}"


@given(
    ceiling=st.lists(net_rules(["allow"]), min_size=1, max_size=3),
    rules=st.lists(net_rules(["allow", "warn"]), min_size=1, max_size=3),
)
def test_no_address_beyond_is_ever_allowed(ceiling: list[str], rules: list[str]) -> None:
    """The same for addresses, with the matcher as the oracle of what a ceiling rule matches."""
    bounds = bound(*ceiling)
    outer = Matcher(bounds)
    passed = [rule for rule in bound(*rules) if within(rule, bounds)]
    inner = Matcher([dataclasses.replace(rule, index=place) for place, rule in enumerate(passed)])
    for address in ADDRESSES:
        for access in bits(Access.NET):
            if inner.decide_address(access, address).action.permits:
                assert outer.decide_address(access, address).action is Action.ALLOW, (str(address), access)


def test_a_list_grows_at_its_end() -> None:
    """And shrinks from there: of equal rules the last goes first; how they are written does not matter."""
    rules = added((), ["deny read /a", " allow read,write  /b "])
    rules = added(rules, ["deny read /a"])
    assert rules == ("deny read /a", "allow read,write  /b", "deny read /a")
    assert removed(rules, ['deny   read "/a"']) == rules[:2]
    assert removed(rules, ["deny read /a", "deny read /a"]) == ("allow read,write  /b",)
    assert removed(rules, ["allow write,read /b"]) == ("deny read /a", "deny read /a")


def test_a_list_that_cannot_be() -> None:
    """Errors that name the rule, and bounds."""
    with pytest.raises(NoSuchRule, match="'deny read /b'"):
        removed(["deny read /a"], ["deny read /b"])
    with pytest.raises(NoSuchRule):
        removed(["deny read /a"], ["deny read /a", "deny read /a"])
    with pytest.raises(TooManyRules):
        added(["deny read /a"] * MAXIMUM_RULES, ["deny read /b"])
    with pytest.raises(TooManyRules):
        added([], ["deny read /" + "a" * 5000])
    with pytest.raises(PolicyError, match="run time:2:6"):
        parsed(["deny read /a", "deny raed /a"])
