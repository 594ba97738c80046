"""Path patterns against a slow oracle, and against paths made to be slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.policy.errors import PolicyError, Source
from sydd.policy.glob import Kind, NameGlob, PathGlob, escape, expand, is_below
from sydd.policy.globsyntax import check
from tests.policy.oracle import matching
from tests.policy.strategies import NAMES, UNIVERSE, patterns


@settings(max_examples=400)
@given(patterns())
def test_matches_what_the_oracle_matches(pattern: str) -> None:
    """A pattern matches exactly the paths that trying everything says it matches."""
    glob = PathGlob(pattern)
    expected = matching(pattern, UNIVERSE)
    assert [path for path in UNIVERSE if glob.matches(path)] == expected
    assert [path for path in UNIVERSE if glob.regex.match(path)] == expected


@settings(max_examples=400)
@given(patterns(), st.sampled_from(UNIVERSE))
def test_below_is_conservative(pattern: str, directory: str) -> None:
    """No match below a directory means none, a covered subtree all; every match has the literal prefix."""
    glob = PathGlob(pattern)
    below = [path for path in UNIVERSE if is_below(path, directory)]
    matches = matching(pattern, below)
    if matches:
        assert glob.may_match_below(directory)
    if glob.covers_subtree(directory):
        assert matches == below
    assert all(is_below(path, glob.literal_prefix) for path in matches)


@settings(max_examples=100)
@given(patterns())
def test_expansion_keeps_the_meaning(pattern: str) -> None:
    """The patterns without braces together match what the pattern with them matches."""
    globs = [PathGlob(text) for text in expand(pattern)]
    expected = matching(pattern, UNIVERSE)
    assert [path for path in UNIVERSE if any(glob.matches(path) for glob in globs)] == expected


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), min_size=1))
def test_escaped_path_matches_itself(names: list[str]) -> None:
    """An escaped path is exact and matches itself, whatever characters it holds."""
    path = "/" + "/".join(names)
    glob = PathGlob(escape(path))
    assert (glob.kind, glob.literal_prefix, glob.matches(path)) == (Kind.EXACT, path, True)


@given(patterns(braces=False), st.lists(st.sampled_from(NAMES), max_size=2))
def test_prefix_can_be_replaced(pattern: str, names: list[str]) -> None:
    """A pattern moved to another prefix matches the moved paths and has that prefix."""
    glob = PathGlob(pattern)
    prefix = "/" + "/".join(names)
    moved = glob.with_prefix(prefix)
    assert is_below(moved.literal_prefix, prefix)
    for path in UNIVERSE:
        if is_below(path, glob.literal_prefix):
            rest = path[len(glob.literal_prefix) :].strip("/")
            new = (prefix.rstrip("/") + "/" + rest).rstrip("/") or "/"
            assert moved.matches(new) == glob.matches(path)


@pytest.mark.parametrize(
    ("pattern", "kind", "prefix"),
    [
        ("/", Kind.EXACT, "/"),
        ("/a/b", Kind.EXACT, "/a/b"),
        ("//a//b/", Kind.EXACT, "/a/b"),
        ("/a/\\*", Kind.EXACT, "/a/*"),
        ("/**", Kind.SUBTREE, "/"),
        ("/a/**/**", Kind.SUBTREE, "/a"),
        ("/a/*", Kind.GLOB, "/a"),
        ("/a/**/b", Kind.GLOB, "/a"),
        ("/a/{b,b/c}/d", Kind.GLOB, "/a/b"),
        ("/a/{b,c}", Kind.GLOB, "/a"),
    ],
)
def test_kind_and_prefix(pattern: str, kind: Kind, prefix: str) -> None:
    """A pattern is told apart by what the kernel could be told of it."""
    glob = PathGlob(pattern)
    assert (glob.kind, glob.literal_prefix) == (kind, prefix)


def test_undecodable_names_match() -> None:
    """A byte that is not UTF-8 is one character to `?` and `*`."""
    assert PathGlob("/a/?b*").matches("/a/\udcffb\udc80\udc81")
    assert PathGlob("/a/\udcff").matches("/a/\udcff")


def test_newlines_match() -> None:
    """A newline is a character like others."""
    assert PathGlob("/**/b?c").matches("/a\n/b\nc")
    assert not PathGlob("/a").matches("/a\n")
    assert not PathGlob("/a*/b").matches("/a/b\n")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/" + "*a" * 20 + "*b", "/" + "a" * 4000),
        ("/" + "*a?" * 20 + "*b", "/" + "a" * 4000),
        ("/**/a" * 20 + "/b", "/a" * 2000),
        ("/**/*a*a" * 10 + "/b", "/aaaa" * 800),
        ("/**/*/*/a" * 10 + "/**/b", "/a" * 2000),
        ("/{a,a*,*a,**/a}" * 3 + "/b", "/a" * 2000),
        ("/*/*/*/*/*/*/*b", "/" + "/".join(["a" * 600] * 7)),
    ],
)
def test_hostile_paths_take_no_time(pattern: str, path: str) -> None:
    """A path made for it does not make matching exponential."""
    glob = PathGlob(pattern)
    start = time.process_time()
    assert not glob.matches(path)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    ("pattern", "column", "message"),
    [
        ("/a[b", 3, "'[' is never closed"),
        ("/a[]", 3, "'[' is never closed"),
        ("/a[b\\", 3, "'[' is never closed"),
        ("/a[[:alpha:]]", 4, "'[:': named classes are not supported"),
        ("/[z-a]", 3, "range 'z-a' is backwards"),
        ("/{a", 2, "'{' is never closed"),
        ("/{a}", 2, "'{a}' has only one choice"),
        ("/a}", 3, "'}' without '{'"),
        ("/a\\", 3, "'\\' at the end escapes nothing"),
        ("/{a,b}" * 9, 50, "the braces stand for more than 256 patterns"),
        ("/a/**b", 4, "'**' within a name: '**b'"),
        ("/a/./b", 4, "'.' in a pattern"),
        ("/a/..", 4, "'..' in a pattern"),
        ("/a/", 3, "trailing '/'"),
    ],
)
def test_wrong_patterns(pattern: str, column: int, message: str) -> None:
    """What is wrong is quoted, and its column is the word's."""
    with pytest.raises(PolicyError) as caught:
        check(pattern, Source("f", 1, 1))
    assert (caught.value.message, str(caught.value.source)) == (message, f"f:1:{column}")


def test_relative_pattern_is_an_error() -> None:
    """A pattern has to be absolute."""
    with pytest.raises(PolicyError, match="not an absolute path"):
        PathGlob("a/b")


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("AWS_*", "AWS_KEY", True),
        ("*SECRET*", "MY_SECRET", True),
        ("*_TOKEN", "TOKEN", False),
        ("{A,B}", "B", True),
        ("*", "", True),
        ("*", "a/b\n", True),
        ("/a?[x-z]", "/a/y", True),
        ("a*b*b", "ab/b", True),
        ("a*b*b", "ab", False),
    ],
)
def test_names(pattern: str, name: str, matches: bool) -> None:
    """A glob on a name matches all of the name."""
    assert bool(NameGlob(pattern).fullmatch(name)) == matches
