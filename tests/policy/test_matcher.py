"""The matcher against the obvious way: try every rule, the last that matches decides."""

from __future__ import annotations

import pickle
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.policy.access import DEFAULT_ALLOWED, Access, Action, bits
from sydd.policy.bind import BoundRule, bind_rules
from sydd.policy.errors import Source
from sydd.policy.glob import is_below
from sydd.policy.matcher import CACHED_PATHS, Matcher
from sydd.policy.rule import Rule, parse_rule
from tests.policy.oracle import matching
from tests.policy.strategies import SPOKEN, UNIVERSE, rules


def bound(*texts: str) -> tuple[BoundRule, ...]:
    """Rules bound without variables and links."""
    parsed = [parse_rule(text, Source("test", line, 1)) for line, text in enumerate(texts, 1)]
    return bind_rules(parsed, {}, {}, lambda path: path)


def decisions(policy: list[Rule]) -> dict[tuple[Access, str], tuple[Action, int | None]]:
    """Action and index of the deciding rule for every spoken access and path, by trying every rule."""
    result: dict[tuple[Access, str], tuple[Action, int | None]] = {}
    for access in SPOKEN:
        default = Action.ALLOW if access in DEFAULT_ALLOWED else Action.DENY
        result |= {(access, path): (default, None) for path in UNIVERSE}
    for index, rule in enumerate(policy):
        for path in matching(rule.pattern, UNIVERSE):
            result |= {(access, path): (rule.action, index) for access in SPOKEN if access in rule.access}
    return result


def bind(policy: list[Rule]) -> Matcher:
    """A matcher of rules without variables and links."""
    return Matcher(bind_rules(policy, {}, {}, lambda path: path))


@settings(max_examples=150)
@given(st.lists(rules(), max_size=6))
def test_decides_as_trying_every_rule(policy: list[Rule]) -> None:
    """Every decision, cached or not, is that of the last rule that matches."""
    matcher = bind(policy)
    for (access, path), (action, index) in decisions(policy).items():
        for _ in ("computed", "cached"):
            decision = matcher.decide(access, path)
            assert decision.action is action
            assert (decision.rule.index if decision.rule else None) == index


@settings(max_examples=150)
@given(st.lists(rules(), max_size=6), st.sets(st.sampled_from(SPOKEN), min_size=1), st.sampled_from(UNIVERSE))
def test_uniform_is_never_wrong(policy: list[Rule], spoken: set[Access], directory: str) -> None:
    """Where one action is promised for a subtree, every access to every path there gets it."""
    mask = Access(0)
    for access in spoken:
        mask |= access
    action = bind(policy).uniform(mask, directory)
    if action is not None:
        table = decisions(policy)
        found = {
            table[access, path][0] for access in spoken for path in UNIVERSE if is_below(path, directory)
        }
        assert found == {action}


@settings(max_examples=100)
@given(st.lists(rules(), max_size=6))
def test_holes_name_all_that_is_not_default(policy: list[Rule]) -> None:
    """A path whose answer is not the default one lies at or below a hole."""
    matcher = bind(policy)
    for (access, path), (action, _) in decisions(policy).items():
        if action is not (Action.ALLOW if access in DEFAULT_ALLOWED else Action.DENY):
            assert any(is_below(path, hole) for hole in matcher.holes(access))


def test_uniform_of_any_depth() -> None:
    """A name may be longer than PATH_MAX, and a session's program chooses it."""
    matcher = Matcher(bound("allow write /a/**", "deny write /a/a/b/**"))
    deep = "/a" * 5000
    assert matcher.uniform(Access.MODIFY, deep) is Action.ALLOW
    assert matcher.uniform(Access.MODIFY, f"/a/a/b{deep}") is Action.DENY
    assert matcher.uniform(Access.MODIFY, "/a/a") is None


def test_a_pickled_matcher_decides_alike() -> None:
    """Though it is written down as its rules alone."""
    matcher = Matcher(bound("allow write /a/**", "deny write /a/*/b"))
    again = pickle.loads(pickle.dumps(matcher))  # noqa: S301
    for path in ("/a", "/a/c", "/a/c/b", "/b"):
        assert again.decide(Access.MODIFY, path) == matcher.decide(Access.MODIFY, path)
    assert again.rules == matcher.rules


@pytest.mark.parametrize(
    ("texts", "mask", "directory", "action"),
    [
        ([], Access.READ, "/", Action.ALLOW),
        ([], Access.WRITE, "/", Action.DENY),
        ([], Access.READ | Access.WRITE, "/", None),
        (["allow write /a/**"], Access.WRITE, "/a", Action.ALLOW),
        (["allow write /a/**"], Access.WRITE, "/a/b", Action.ALLOW),
        (["allow write /a/**"], Access.WRITE, "/", None),
        (["allow write /a/**"], Access.WRITE, "/ab", Action.DENY),
        (["allow write /a/**", "deny write /a/b"], Access.WRITE, "/a", None),
        (["allow write /a/**", "deny write /a/b"], Access.WRITE, "/a/b", None),
        (["allow write /a/**", "deny write /a/b"], Access.WRITE, "/a/c", Action.ALLOW),
        (["deny write /a/b", "allow write /a/**"], Access.WRITE, "/a", Action.ALLOW),
        (["allow write /a/**", "deny delete /a/**"], Access.WRITE, "/a", None),
        (["allow write /a/**", "deny delete /a/**"], Access.CREATE, "/a", Action.ALLOW),
        (["deny read /h/*/.ssh/**"], Access.READ, "/h", None),
        (["deny read /h/*/.ssh/**"], Access.READ, "/h/u", None),
        (["deny read /h/*/.ssh/**"], Access.READ, "/h/u/x", Action.ALLOW),
        (["deny read /h/*/.ssh/**"], Access.READ, "/h/u/.ssh/x", Action.DENY),
        (["allow net any"], Access.NET, "/", Action.ALLOW),
        (["allow net any", "deny connect loopback"], Access.NET, "/", None),
        (["deny net any"], Access.NET, "/", Action.DENY),
    ],
)
def test_uniform(texts: list[str], mask: Access, directory: str, action: Action | None) -> None:
    """What the plan builds on is found, not only never wrong."""
    matcher = Matcher(bound(*texts))
    assert matcher.uniform(mask, directory) is action
    assert matcher.uniform(mask, directory) is action


def test_decision_names_the_rule() -> None:
    """The rule that decided is in the answer, None for the default."""
    matcher = Matcher(bound("deny read /a/**", "allow read /a/b"))
    rule = matcher.decide(Access.READ, "/a/c").rule
    assert rule is not None
    assert str(rule.rule.source) == "test:1:1"
    assert matcher.decide(Access.READ, "/c").rule is None


def test_every_access_has_its_default() -> None:
    """Without rules, what changes or leaves the machine is denied and all else allowed."""
    matcher = Matcher(())
    for bit in bits(~Access(0)):
        expected = Action.ALLOW if bit in DEFAULT_ALLOWED else Action.DENY
        assert matcher.decide(bit, "/a").action is expected


def test_net_any_decides_network_accesses() -> None:
    """The pattern `any` matches whatever address is asked about."""
    matcher = Matcher(bound("allow net any"))
    assert matcher.decide(Access.CONNECT, "127.0.0.1!80").action is Action.ALLOW
    assert matcher.universal(Access.NET)


def test_universal_and_speaks_of() -> None:
    """Warnings are not universal permission, and only named accesses are spoken of."""
    matcher = Matcher(bound("warn read /**", "allow write /**"))
    assert not matcher.universal(Access.READ)
    assert matcher.universal(Access.WRITE | Access.STAT)
    assert matcher.speaks_of(Access.READ)
    assert matcher.speaks_of(Access.READ | Access.EXEC)
    assert not matcher.speaks_of(Access.EXEC)


def test_cache_is_bounded() -> None:
    """More paths than the cache holds, and very long ones, do not grow it."""
    matcher = Matcher(bound("allow write /a/**"))
    for number in range(CACHED_PATHS + 10):
        matcher.decide(Access.CREATE, f"/a/{number}")
    matcher.decide(Access.CREATE, "/a" * 1000)
    table = matcher._tables[Access.CREATE.bit_length()]
    assert len(table.cache) <= CACHED_PATHS
    assert all(len(path) < 300 for path in table.cache)


def test_decide_is_quick() -> None:
    """A decision takes microseconds, however many rules there are (the bounds are generous)."""
    texts = [f"deny read /home/user/.config/d{number}/**" for number in range(200)]
    matcher = Matcher(bound(*texts, "allow write /work/**", "deny read /var/**/*.key"))
    path = "/work/src/project/lib/module/file.c"
    table = matcher._tables[Access.READ.bit_length()]
    assert min(timeit.repeat(lambda: matcher.decide(Access.READ, path), number=1000, repeat=5)) < 0.01
    assert min(timeit.repeat(lambda: table.find(path), number=1000, repeat=5)) < 0.03
