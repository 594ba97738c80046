"""Findings: what is no error and yet not meant."""

from __future__ import annotations

import pytest

from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.lint import findings
from sydd.policy.policy import Environment, Policy
from sydd.policy.rule import parse_rule

THERE = {"/", "/a", "/home", "/home/me", "/usr"}
VALUES = {"cwd": "/a", "home": "/home/me", "tmp": "/not/yet"}


def found(*texts: str, environment: Environment | None = None) -> list[str]:
    """The findings about rules, those after a text "--" being of another file."""
    rules = []
    file = "f"
    for line, text in enumerate(texts, 1):
        if text == "--":
            file = "g"
        else:
            rules.append(parse_rule(text, Source(file, line, 1)))
    policy = Policy("p", rules=tuple(rules), environment=environment or Environment(), sources=("f",))
    bound = bind_rules(rules, VALUES, {}, lambda path: path)
    return [str(finding).partition(" (")[0] for finding in findings(policy, bound, THERE.__contains__)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["allow write /a/**", "deny read ${home}/.ssh/**", "allow read /a/file"], []),
        (["allow write /b/**"], ["f:1:13: warning: '/b' does not exist"]),
        (["allow write /a/b/*.c"], ["f:1:13: warning: '/a/b' does not exist"]),
        (["allow write /a/b/file"], ["f:1:13: warning: '/a/b' does not exist"]),
        (["allow write ${tmp}/**"], []),
        (["deny read /hmoe/me/.ssh/**"], ["f:1:11: warning: '/hmoe' does not exist"]),
        (
            ["deny read /a/b", "allow read /a/**"],
            ["f:1:1: warning: the rule is shadowed by that in line 2: read /a/b"],
        ),
        (
            ["allow write /a/*", "allow write /a/**"],
            ["f:1:1: warning: the rule in line 2 says the same of all that it matches: write /a/*"],
        ),
        (
            ["deny read,stat /a/b", "allow read /a/**", "hide stat /a/*"],
            [
                (
                    "f:1:1: warning: the rule can never decide: the rules in lines 2, 3 do for all that it"
                    " matches: read,stat /a/b"
                ),
            ],
        ),
        (["deny read,stat /a/b", "allow read /a/**"], []),
        (["deny read /a/b", "--", "allow read /a/**"], []),
        (["allow write ${cwd}/**", "allow write /**"], []),
        (
            ["deny net any", "allow net any"],
            ["f:1:1: warning: the rule is shadowed by that in line 2: net any"],
        ),
        (["deny net any", "allow connect loopback"], []),
        (
            ["allow write /proc/self/comm"],
            ["f:1:13: warning: the rule can never decide: no canonical path is below '/proc/self'"],
        ),
    ],
)
def test_findings(texts: list[str], expected: list[str]) -> None:
    """What looks alike is told apart, and what is meant is left alone."""
    assert found(*texts) == expected


def test_pass_without_drop() -> None:
    """A list of what is passed does nothing while nothing is dropped."""
    message = "f: warning: [environment] pass without drop changes nothing: every variable is passed"
    assert found(environment=Environment(pass_=("PATH",))) == [message]
    assert found(environment=Environment(pass_=("PATH",), drop=("*",))) == []
