"""Variables in patterns and values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.policy.errors import PolicyError, Source
from sydd.policy.glob import PathGlob
from sydd.policy.variables import Variable, references, resolve, substitute, substitute_value

HERE = Source("f", 3, 10)
VALUES = {"cwd": "/w", "home": "/h*[x]", "tmp": "", "user": "me", "rel": "a/b"}
ENVIRONMENT = {"SRC": "/src", "Empty": ""}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${cwd}/**", "/w/**"),
        ("${home}/.ssh", "/h\\*\\[x\\]/.ssh"),
        ("/home/${user}/x${rel}", "/home/me/xa/b"),
        ("/a${tmp}b", "/ab"),
        ("${env:SRC}/*", "/src/*"),
        ("/a\\${cwd}", "/a\\${cwd}"),
        ("/plain$", "/plain$"),
    ],
)
def test_substitute(text: str, result: str) -> None:
    """Values are put in, their wildcard characters escaped."""
    assert substitute(text, VALUES, ENVIRONMENT, HERE) == result


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("${hoem}/a", "f:3:10: unknown variable '${hoem}' (did you mean 'home'?)"),
        (
            "/x/${zzzz}/a",
            (
                "f:3:13: unknown variable '${zzzz}' (known are ${cwd}, ${home}, ${rel}, ${tmp}, ${user} and"
                " ${env:NAME}; --set zzzz=VALUE defines it)"
            ),
        ),
        ("${tmp}/a", "f:3:10: '${tmp}' is empty (a path pattern has to begin with an absolute path)"),
        (
            "${rel}/a",
            (
                "f:3:10: '${rel}' is 'a/b', not an absolute path"
                " (a path pattern has to begin with an absolute path)"
            ),
        ),
        ("/${env:NO}", "f:3:11: '${env:NO}': NO is not set in the environment"),
        (
            "/${env:EMPTY}",
            "f:3:11: '${env:EMPTY}': EMPTY is not set in the environment (did you mean 'Empty'?)",
        ),
        ("/${a b}", "f:3:11: '${a b}' names no variable (write '${name}' or '${env:NAME}')"),
        ("/${cwd", "f:3:11: '${' is never closed (write '\\$\\{' for the characters themselves)"),
    ],
)
def test_errors(text: str, error: str) -> None:
    """What is wrong with a variable is said where it stands."""
    with pytest.raises(PolicyError) as caught:
        substitute(text, VALUES, ENVIRONMENT, HERE)
    assert str(caught.value) == error


def test_builtin_without_value() -> None:
    """A built-in variable that the session has no value for is told apart from a misspelt one."""
    with pytest.raises(PolicyError) as caught:
        substitute("${home}/a", {}, {}, None)
    assert str(caught.value) == "'${home}' has no value here (set it with --set home=VALUE)"


def test_values_are_not_escaped() -> None:
    """In plain text a value is put in as it is, and a backslash means itself but before a dollar."""
    assert substitute_value("-I${home} \\a \\${cwd}", VALUES, {}, HERE) == "-I/h*[x] \\a ${cwd}"


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_a_value_matches_itself_alone(text: str) -> None:
    """Whatever a variable holds, the pattern made of it is exactly that path."""
    names = [name for name in text.split("/") if name] or ["a"]
    path = "/" + "/".join(names)
    assert PathGlob(substitute("${cwd}", {"cwd": path}, {})).matches(path)


def test_references() -> None:
    """Every variable is found, escaped ones are none."""
    assert references("${a}/\\${b}/${env:C}") == ("a", "env:C")


def define(**values: str) -> list[Variable]:
    """Variables as a profile defines them."""
    return [
        Variable(name, value, Source("f", number, 5))
        for number, (name, value) in enumerate(values.items(), 1)
    ]


def test_resolve_nested() -> None:
    """Variables may refer to one another in any order; later definitions win, --set over built-in ones."""
    defined = [*define(a="${b}/x", b="${cwd}/y"), Variable("b", "${env:SRC}", Source("--set"))]
    defined.append(Variable("user", "you", Source("--set")))
    values = resolve(defined, {"cwd": "/w", "user": "me"}, ENVIRONMENT)
    assert values == {"cwd": "/w", "user": "you", "a": "/src/x", "b": "/src"}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"a": "${a}"}, "f:1:5: '${a}' refers to itself: a → a"),
        ({"a": "x${b}", "b": "${c}", "c": "-${a}"}, "f:3:6: '${a}' refers to itself: a → b → c → a"),
        ({"abc": "${abd}x"}, "f:1:5: unknown variable '${abd}' (did you mean 'abc'?)"),
        ({"a": "/x/${env:NO}"}, "f:1:8: '${env:NO}': NO is not set in the environment"),
    ],
)
def test_resolve_errors(values: dict[str, str], error: str) -> None:
    """Circles and unknown names are errors at their place."""
    with pytest.raises(PolicyError) as caught:
        resolve(define(**values), {"cwd": "/w"}, {})
    assert str(caught.value) == error
