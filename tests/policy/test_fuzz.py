"""Whatever somebody writes into a profile is a policy, or an error that says where and why."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.policy.access import bits
from sydd.policy.bind import bind_rules
from sydd.policy.errors import PolicyError
from sydd.policy.lint import findings
from sydd.policy.matcher import Matcher
from sydd.policy.profile import parse_profile, to_policy
from sydd.policy.variables import resolve

BUILTIN = {"cwd": "/work", "home": "/home/u", "tmp": "/tmp/t", "user": "u"}

_rules = st.lists(
    st.sampled_from(
        (
            *("allow", "deny", "hide", "warn", "ask", "kill", "filter", " ", " ", "  ", ",", "#", "\t"),
            *("read", "write", "net", "connect", "bind", "exec", "ioctl", "stat,list", "create", "any"),
            *("/", "/a", "/**", "*", "**", "?", "[", "]", "[!a]", "{", "}", ",b", "..", "/.", "\\", "'", '"'),
            *("${cwd}", "${home}", "${env:X}", "${env:", "${", "${x}", "${user}", "$", "unix:", "unix:@a"),
            *("127.0.0.1", "::1", "[::1]", "/8", "!1-65535", "!0", "!99999", "loopback", "10.0.0.0/33", "@"),
            *("\0", "\x7f", "ä", "\udcff", "\u2028", "a" * 5000, "{a,b}" * 12, "*" * 60),
        )
    ),
    max_size=8,
).map("".join)
_words = st.one_of(
    st.text(max_size=8), st.sampled_from(("cwd", "home", "a", "${a}", "${b}", "A_*", "0o22", "-1"))
)
_values: st.SearchStrategy[object] = st.recursive(
    st.one_of(_words, _rules, st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.datetimes()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
_keys = st.sampled_from(
    ("name", "description", "extends", "mode", "rules", "variables", "environment", "limits", "umask", "x")
)
_inside = st.sampled_from(["set", "keep", "drop", "pass", "core", "nofile", "cpu", "x"])
_documents = st.dictionaries(
    _keys,
    st.one_of(_values, st.lists(_rules, max_size=4), st.dictionaries(_inside, _values, max_size=3)),
    max_size=5,
)


def _toml(value: object) -> str:
    """*value* in TOML; a key or a string may still be one that TOML does not take."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def _take(text: str) -> None:
    """Everything that is done with a profile, as far as it goes."""
    with contextlib.suppress(PolicyError):
        policy = to_policy([parse_profile(text, "fuzz.toml", "fuzz")], {})
        variables = resolve(policy.variables, BUILTIN, {"X": "/x", "A_B": "c"})
        policy.environment.apply({"X": "/x", "A_B": "c"}, variables)
        matcher_rules = bind_rules(policy.rules, variables, {"X": "/x"}, lambda path: path)
        matcher = Matcher(matcher_rules)
        for rule in policy.rules:
            for access in bits(rule.access):
                matcher.decide(access, "/work/a")
        findings(policy, matcher_rules, lambda _path: False)


@settings(max_examples=400)
@given(_documents)
def test_documents(document: dict[str, object]) -> None:
    """Documents whose keys are right, more or less."""
    _take("\n".join(f"{key} = {_toml(value)}" for key, value in document.items()))


@settings(max_examples=400)
@given(st.lists(_rules, min_size=1, max_size=3))
def test_rules(rules: list[str]) -> None:
    """Lists of rules."""
    _take("rules = " + _toml(rules))


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    """No document at all."""
    _take(text)
