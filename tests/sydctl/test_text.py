"""Escaping for people."""

from __future__ import annotations

import os

import pytest

from sydctl.text import counted, printable, quoted, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/usr/bin", "/usr/bin"),
        ("naïve 日本", "naïve 日本"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb", "a\\u200bb"),
        ("\u2028", "\\u2028"),
        ("\U000e0001", "\\U000e0001"),
        (os.fsdecode(b"\xff\xfe"), "\\xff\\xfe"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """What a terminal would act on is spelt out; letters of any script stay."""
    assert printable(text) == shown


def test_quoted() -> None:
    """As a shell would need it."""
    assert [quoted("a"), quoted("a b"), quoted("")] == ["a", "'a b'", "''"]


def test_shortened() -> None:
    """At most so many columns; zero is no bound."""
    assert [shortened("abcdef", 4), shortened("abc", 3), shortened("abc", 0)] == ["abc…", "abc", "abc"]


def test_counted() -> None:
    """Number and noun agree."""
    assert [counted(1, "rule", "rules"), counted(0, "rule", "rules")] == ["1 rule", "0 rules"]
