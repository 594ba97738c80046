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
    hosts = {"up.example": ("192.0.2.1",)}
    bound = bind_rules(rules, VALUES, {}, lambda path: path, look_up=lambda host: hosts.get(host, ()))
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
            ["allow connect loopback!80", "deny connect 127.0.0.0/8", "deny connect ::/64!1-80"],
            [
                (
                    "f:1:1: warning: the rule can never decide: the rules in lines 2, 3 do for all that it"
                    " matches: connect loopback!80"
                ),
            ],
        ),
        (["allow connect loopback", "deny connect 127.0.0.0/8"], []),
        (["allow connect loopback", "deny connect local!1-65535"], []),
        (
            ["allow connect 10.0.0.1", "allow net local"],
            ["f:1:1: warning: the rule in line 2 says the same of all that it matches: connect 10.0.0.1"],
        ),
        (["allow net 10.0.0.1", "deny connect local"], []),
        (
            ["deny connect fe80::1%2", "allow connect fe80::/10"],
            ["f:1:1: warning: the rule is shadowed by that in line 2: connect fe80::1%2"],
        ),
        (["deny connect fe80::1", "allow connect [fe80::%2]/10"], []),
        (
            ["deny connect unix:/usr/x", "allow connect unix:/usr/**"],
            ["f:1:1: warning: the rule is shadowed by that in line 2: connect unix:/usr/x"],
        ),
        (
            ["deny connect @a", "allow connect @*"],
            ["f:1:1: warning: the rule is shadowed by that in line 2: connect @a"],
        ),
        (["deny connect @a*", "allow connect @a"], []),
        (["deny bind netlink:route", "allow bind netlink:audit", "allow bind unix:unnamed"], []),
        (["deny bind netlink:16", "allow bind family:packet"], []),
        (
            ["deny bind netlink:0", "allow bind netlink:route"],
            ["f:1:1: warning: the rule is shadowed by that in line 2: bind netlink:0"],
        ),
        (
            ["deny connect up.example", "allow connect 192.0.2.0/24"],
            ["f:1:1: warning: the rule is shadowed by that in line 2: connect up.example"],
        ),
        (["allow connect down.example"], ["f:1:15: warning: 'down.example' does not resolve"]),
        (["allow connect unix:/run/x"], ["f:1:15: warning: '/run' does not exist"]),
        (
            ["allow connect 0.0.0.0!80"],
            ["f:1:15: warning: the rule can never decide: as a destination '0.0.0.0' is loopback"],
        ),
        (["allow net 0.0.0.0!80", "allow bind ::", "allow connect ::/0"], []),
        (
            ["allow connect,send unix:unnamed"],
            ["f:1:20: warning: the rule can never decide: a socket without a name is no destination"],
        ),
        (
            ["allow write /proc/thread-self/comm"],
            ["f:1:13: warning: the rule can never decide: no canonical path is below '/proc/thread-self'"],
        ),
        (["allow write /proc/self/comm"], []),
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
