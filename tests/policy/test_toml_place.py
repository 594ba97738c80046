"""Places in TOML text."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.policy.toml_place import Key, Places

TEXT = (Path(__file__).parent / "places.toml").read_text()


def at(line_column: tuple[int, int]) -> str:
    """The text from a place to the end of its line."""
    line, column = line_column
    return TEXT.split("\n")[line - 1][column - 1 :]


@pytest.mark.parametrize(
    ("way", "key", "value"),
    [
        (("name",), "name = ", 'a"   #'),
        (("quoted key",), '"quoted key"', "x'"),
        (("dotted",), "dotted.", "dotted."),
        (("dotted", "key", "one"), "one = 1", "1"),
        (("rules", 0), '"one"', 'one"'),
        (("rules", 1), "'two'", "two'"),
        (("rules", 2), '"""', "three"),
        (("rules", 3), '"f', "f\\u00fcr"),
        (("rules", 4), '"""a""b', 'a""b'),
        (("rules", 5), "'''four", "four"),
        (("rules", 6, "inline", 1, 1), "3]", "3]"),
        (("rules", 6, "b", "c"), "c = ", 'd"'),
        (("when",), "when", "1979"),
        (("environment",), "environment]", "environment]"),
        (("environment", "set", "B C"), '"B C"', '2"'),
        (("environment", "drop", 1), '"Y"', 'Y"'),
        (("many", 0, "k"), "k = 1", "1"),
        (("many", 1, "k"), "k = 2", "2"),
        (("many", 1, "sub", "z"), "z = ", "true"),
        (("environment", "set", "unknown"), "set = ", "set = "),
    ],
)
def test_places(way: Key, key: str, value: str) -> None:
    """Keys, values and array items are found, and for what has no place the nearest thing around it."""
    places = Places(TEXT)
    assert at(places.key(way)).startswith(key)
    assert at(places.value(way)).startswith(value)


def test_inside_strings() -> None:
    """A character of a string is found behind escapes and continued lines."""
    places = Places(TEXT)
    assert at(places.inside(("rules", 2), len("three "))) == 'end""", "f\\u00fcr\\tx",'
    assert at(places.inside(("rules", 3), 2)).startswith('r\\tx"')
    assert at(places.inside(("rules", 3), 4)).startswith('x"')


_VALUES = st.recursive(
    st.integers(0, 9) | st.booleans() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b c", "é"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def written(value: object) -> str:
    """*value* as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[ # ]\n" + ",\n  ".join(written(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {written(item)}' for key, item in value.items()) + " }"
    return str(value)


def leaves(value: Any, way: Key = ()) -> list[tuple[Key, object]]:
    """Every value that is no container, with its way."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*way, key))]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in leaves(item, (*way, number))]
    return [(way, value)]


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), _VALUES, min_size=1))
def test_every_value_is_where_it_says(data: dict[str, Any]) -> None:
    """At the place of each value stands that value as it was written."""
    text = "\n".join(f"{key} = {written(value)}" for key, value in data.items()) + "\n"
    assert tomllib.loads(text) == data
    places = Places(text)
    for way, value in leaves(data):
        line, column = places.value(way)
        expected = written(value)
        rest = text.split("\n")[line - 1][column - 1 :]
        assert rest.startswith(expected[1:] if isinstance(value, str) else expected)
