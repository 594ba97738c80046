"""The rule that would allow what was denied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.policy.access import FILE_ACCESSES, Access, Action
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.rule import parse_rule
from sydd.policy.suggest import allowing_rule

VALUES = {"cwd": "/home/me/src", "home": "/home/me", "tmp": "/tmp/s-1", "user": "me"}


@pytest.mark.parametrize(
    ("access", "path", "rule"),
    [
        (Access.CREATE, "/etc/x", "allow create /etc/x"),
        (Access.WRITE, "/home/me/.bashrc", "allow write ${home}/.bashrc"),
        (Access.CREATE | Access.MODIFY, "/home/me/src/a b", "allow create,modify ${cwd}/a b"),
        (Access.READ, "/home/me/src", "allow read ${cwd}"),
        (Access.READ, "/home/me2/x", "allow read /home/me2/x"),
        (Access.READ, "/tmp/s-1/a", "allow read ${tmp}/a"),
        (Access.READ, "/a*[b]{c}", "allow read /a\\*\\[b\\]\\{c\\}"),
        (Access.READ, "/a ", 'allow read "/a "'),
        (Access.READ, "/a #b", 'allow read "/a #b"'),
        (Access.READ, "/a\udcff\n", "allow read /a??"),
        (Access.READ, "/${home}", "allow read /$\\{home\\}"),
        (Access.CONNECT, "127.0.0.1!80", "allow connect 127.0.0.1!80"),
    ],
)
def test_shortest_good_form(access: Access, path: str, rule: str) -> None:
    """Variables stand where they fit, the path itself is named, wildcard characters are escaped."""
    assert allowing_rule(access, path, VALUES) == rule


def test_root_as_a_variable_is_not_used() -> None:
    """A home of / says nothing."""
    assert allowing_rule(Access.READ, "/etc/x", {"home": "/", "cwd": ""}) == "allow read /etc/x"


@given(
    st.sampled_from([Access(bit) for bit in Access if bit in FILE_ACCESSES]),
    st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), min_size=1),
    st.sampled_from(["", "/home/me", "/home/me/src", "/tmp/s-1"]),
)
def test_suggestion_allows(access: Access, names: list[str], start: str) -> None:
    """Added behind a denial of everything, the suggested rule allows the very access and no path below it."""
    names = [name for name in names if name not in (".", "..")] or ["a"]
    path = start + "/" + "/".join(names)
    rules = [parse_rule("deny " + access.name.lower() + " /**", Source("f"))] if access.name else []
    rules.append(parse_rule(allowing_rule(access, path, VALUES), Source("f")))
    matcher = Matcher(bind_rules(rules, VALUES, {}, lambda text: text))
    assert matcher.decide(access, path).action is Action.ALLOW
    assert matcher.decide(access, path + "/x").action is Action.DENY
