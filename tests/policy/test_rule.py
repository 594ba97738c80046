"""Reading rules, writing them, and what is said about wrong ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.policy.access import FILE_ACCESSES, Access, Action
from sydd.policy.errors import PolicyError, Source
from sydd.policy.glob import PathGlob, escape
from sydd.policy.rule import Rule, parse_rule, quote

HERE = Source("f", 7, 11)


@pytest.mark.parametrize(
    ("text", "action", "access", "pattern", "canonical"),
    [
        ("allow write ${cwd}/**", Action.ALLOW, Access.WRITE, "${cwd}/**", None),
        ("deny  read,stat   /a b", Action.DENY, Access.READ | Access.STAT, "/a b", "deny read,stat /a b"),
        ('warn read "/a "', Action.WARN, Access.READ, "/a ", None),
        ('filter exec "/a"', Action.FILTER, Access.EXEC, "/a", "filter exec /a"),
        ('hide read "/a\\"b"', Action.HIDE, Access.READ, '/a\\"b', 'hide read /a\\"b'),
        ('hide read "/a #b"', Action.HIDE, Access.READ, "/a #b", None),
        ("kill mknod /dev/\\*", Action.KILL, Access.MKNOD, "/dev/\\*", None),
        ("ask net any", Action.ASK, Access.NET, "any", None),
        (
            "allow connect,bind 10.0.0.0/8!80",
            Action.ALLOW,
            Access.CONNECT | Access.BIND,
            "10.0.0.0/8!80",
            None,
        ),
        ("allow create,write /a", Action.ALLOW, Access.WRITE, "/a", "allow write /a"),
        (" allow read /a\\ ", Action.ALLOW, Access.READ, "/a\\ ", 'allow read "/a\\ "'),
        ("allow read /\\${x", Action.ALLOW, Access.READ, None, None),
    ],
)
def test_parse(text: str, action: Action, access: Access, pattern: str | None, canonical: str | None) -> None:
    """A rule is read into its parts and written in one canonical way."""
    if pattern is None:
        with pytest.raises(PolicyError):
            parse_rule(text, HERE)
        return
    rule = parse_rule(text, HERE)
    assert (rule.action, rule.access, rule.pattern) == (action, access, pattern)
    assert rule.text == text.strip()
    assert str(rule) == (canonical or text)
    assert parse_rule(str(rule), rule.source) == rule


def test_places() -> None:
    """The rule's and the pattern's first characters are where they stand in the file."""
    rule = parse_rule('  deny read "/a"', HERE)
    assert (str(rule.source), str(rule.pattern_source)) == ("f:7:13", "f:7:24")


def test_source_without_column_stays() -> None:
    """A rule from the command line has no columns, and errors invent none."""
    with pytest.raises(PolicyError) as caught:
        parse_rule("allow wirte /a", Source("--rule"))
    assert str(caught.value) == "--rule: unknown access 'wirte' (did you mean 'write'?)"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "f:7:11: empty rule (write 'ACTION ACCESS PATTERN', as in 'allow write /srv/**')"),
        ("alow write /a", "f:7:11: unknown action 'alow' (did you mean 'allow'?)"),
        (
            "xyzzy write /a",
            "f:7:11: unknown action 'xyzzy' (actions are allow, warn, deny, filter, hide, kill, ask)",
        ),
        (
            "allow",
            "f:7:16: no access after 'allow' (write 'allow ACCESS PATTERN', as in 'allow write /srv/**')",
        ),
        ("allow read,wirte /a", "f:7:22: unknown access 'wirte' (did you mean 'write'?)"),
        (
            "allow /a",
            "f:7:17: unknown access '/a' (an access comes before the pattern, as in 'allow write /srv/**')",
        ),
        (
            "allow read,,stat /a",
            "f:7:22: empty access in 'read,,stat' (accesses are separated by ',' without spaces)",
        ),
        (
            "allow read,bind /a",
            "f:7:22: 'bind' mixes network and file accesses in 'read,bind' (write two rules)",
        ),
        ("allow read", "f:7:21: no pattern after 'read' (write 'allow read /srv/**')"),
        ("allow net", "f:7:20: no pattern after 'net' (write 'allow net any')"),
        (
            "allow read a",
            "f:7:22: 'a' is not an absolute path (write '${cwd}/…' for what lies in the work directory)",
        ),
        ("allow read ~/a", "f:7:22: '~/a' is not an absolute path (write '${home}' for the home directory)"),
        ("allow read $home/a", "f:7:22: '$home/a' is not an absolute path (variables are written '${name}')"),
        (
            "allow read any",
            "f:7:22: 'any' is not an absolute path (a network pattern goes with connect, bind, send or net)",
        ),
        ("allow read /a\n", None),
        ("allow read /a\n/b", "f:7:24: a rule ends with its line (write one string for each rule)"),
        (
            "allow read /a # b",
            (
                "f:7:25: '#' within a rule"
                " (a comment stands outside the rule; quote a pattern that has ' #' in it)"
            ),
        ),
        ('allow read "/a', "f:7:22: '\"' is never closed (write '\\\"' for the character itself)"),
        ('allow read "/a" b', "f:7:27: 'b' after the quoted pattern (a rule ends there)"),
        ('allow read ""', "f:7:22: the pattern is empty"),
        ("allow read ${}/a", "f:7:22: '${}' names no variable (write '${name}' or '${env:NAME}')"),
        (
            "allow read ${cwd/a",
            "f:7:22: '${' is never closed (write '\\$\\{' for the characters themselves)",
        ),
        ("allow read ${cwd}/[a", "f:7:29: '[' is never closed (write '\\[' for the character itself)"),
        ("allow read ${cwd}/../a", "f:7:29: '..' in a pattern (rules are about canonical paths)"),
    ],
)
def test_errors(text: str, error: str | None) -> None:
    """An error quotes the wrong word, points at it and says what would be right."""
    if error is None:
        parse_rule(text, HERE)
        return
    with pytest.raises(PolicyError) as caught:
        parse_rule(text, HERE)
    assert str(caught.value) == error


@given(
    st.sampled_from(list(Action)),
    st.integers(1, int(FILE_ACCESSES)).map(lambda bits: Access(bits) & FILE_ACCESSES).filter(bool),
    st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), min_size=1),
)
def test_canonical_text_is_read_back(action: Action, access: Access, names: list[str]) -> None:
    """Whatever a path holds, the rule about it can be written and means the same when read."""
    names = [name for name in names if name not in (".", "..")] or ["a"]
    path = "/" + "/".join(names)
    pattern = escape(path)
    text = str(Rule(action, access, pattern, HERE, ""))
    rule = parse_rule(text, HERE)
    assert (rule.action, rule.access) == (action, access)
    assert PathGlob(rule.pattern).matches(path)
    assert str(rule) == text


@given(st.text())
def test_any_text_is_a_rule_or_a_policy_error(text: str) -> None:
    """No text makes the parser fail in another way."""
    for start in (
        "",
        "allow read ",
        "allow read /",
        "allow connect ",
        "allow connect unix:/",
        "allow read /{",
    ):
        with contextlib.suppress(PolicyError):
            parse_rule(start + text, HERE)


def test_quote_leaves_plain_patterns() -> None:
    """Quotes stand only where they are needed."""
    assert quote("/a b/**") == "/a b/**"
    assert quote(" /a") == '" /a"'
