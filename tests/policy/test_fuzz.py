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
from tests.policy.documents import DOCUMENTS, RULES, toml

BUILTIN = {"cwd": "/work", "home": "/home/u", "tmp": "/tmp/t", "user": "u"}


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
@given(DOCUMENTS)
def test_documents(document: dict[str, object]) -> None:
    """Documents whose keys are right, more or less."""
    _take("\n".join(f"{key} = {toml(value)}" for key, value in document.items()))


@settings(max_examples=400)
@given(st.lists(RULES, min_size=1, max_size=3))
def test_rules(rules: list[str]) -> None:
    """Lists of rules."""
    _take("rules = " + toml(rules))


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    """No document at all."""
    _take(text)
