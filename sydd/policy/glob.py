"""Path patterns: `*` within a name `**` across, `?`, `[]`, `{a,b}`; `/dir/**` includes `/dir`."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from enum import Enum

from sydd.policy.errors import PolicyError, Source
from sydd.policy.globsyntax import (
    SPECIAL,
    Component,
    alternatives,
    component_regex,
    components,
    escape,
    flat_literal,
    flat_regex,
    is_deep,
    literal,
    path_regex,
    raw,
    tokenize,
)

__all__ = ["Kind", "NameGlob", "PathGlob", "escape", "expand", "is_below"]


class Kind(Enum):
    """What the kernel can be told of a pattern: EXACT and SUBTREE wholly, GLOB not at all."""

    EXACT = "exact"  # /a/b
    SUBTREE = "subtree"  # /a/b/**
    GLOB = "glob"


def is_below(path: str, directory: str) -> bool:
    """Whether *path* is *directory* or lies below it. Both are canonical."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


@functools.lru_cache(maxsize=4096)  # when a rule is checked, and again whenever it is bound
def expand(text: str, source: Source | None = None) -> tuple[str, ...]:
    """The patterns without braces that *text* stands for, each once, in order.

    Raises:
        PolicyError: see `globsyntax.tokenize`.
    """
    found = alternatives(tokenize(text, source), source)
    return tuple(dict.fromkeys("".join(token.raw for token in tokens) for tokens in found))


class NameGlob:
    """A glob on a name that is no path, as of an environment variable: a slash is a character like any other.

    Args:
        text: the pattern.
        source: where the text begins; errors point into it.

    Attributes:
        text: the pattern.
        literal: the one name that it matches; None if it has wildcards.
        pattern: as an expression for `fullmatch`.
        fullmatch: whether a name matches.

    Raises:
        PolicyError: see `globsyntax.tokenize`.
    """

    __slots__ = ("fullmatch", "literal", "pattern", "text")

    def __init__(self, text: str, source: Source | None = None) -> None:
        found = [tuple(tokens) for tokens in alternatives(tokenize(text, source), source)]
        self.text = text
        self.literal = flat_literal(found[0]) if len(found) == 1 else None
        self.pattern = "|".join(map(flat_regex, found))
        self.fullmatch = re.compile(self.pattern, re.DOTALL).fullmatch

    def __repr__(self) -> str:
        return f"NameGlob({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NameGlob) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def covers(self, other: NameGlob) -> bool:
        """Whether every name that *other* matches matches; True is certain."""
        if other.literal is not None:
            return self.fullmatch(other.literal) is not None
        return self.text in ("*", other.text)


@functools.lru_cache(maxsize=256)  # what a profile says of the environment is the same in all its sessions
def any_name(texts: tuple[str, ...]) -> Callable[[str], object]:
    """Whether a name matches one of several globs.

    Args:
        texts: as `NameGlob` takes them.

    Returns:
        A function of a name; what it returns is true or false.

    Raises:
        PolicyError: see `globsyntax.tokenize`.
    """
    globs = [NameGlob(text) for text in texts]
    plain = {glob.literal for glob in globs if glob.literal is not None}
    wild = [f"(?:{glob.pattern})" for glob in globs if glob.literal is None]
    if not wild:
        return plain.__contains__
    match = re.compile("|".join(wild), re.DOTALL).fullmatch
    return lambda name: name in plain or match(name)


class PathGlob:
    """One path pattern, compiled.

    Args:
        text: an absolute pattern, without variables. Doubled and trailing slashes count for nothing.
        source: where the text begins; errors point into it.

    Attributes:
        text: the pattern in its shortest form.
        kind: EXACT, SUBTREE or GLOB.
        literal_prefix: the longest path without wildcards that every match is at or below, unescaped.

    Raises:
        PolicyError: wrong syntax, or the pattern is not absolute.
    """

    literal_prefix: str
    kind: Kind
    text: str

    __slots__ = ("_choices", "_matchers", "_parts", "_regex", "_slashed", "kind", "literal_prefix", "text")

    def __init__(self, text: str, source: Source | None = None) -> None:
        if not text.startswith("/"):
            raise PolicyError(f"'{text}' is not an absolute path", source)
        self._regex: re.Pattern[str] | None = None
        self._matchers: list[str | re.Pattern[str] | None] | None = None
        self._choices: tuple[PathGlob, ...] = ()
        self._parts: list[Component] = []
        plain = text.removesuffix("/**")
        if SPECIAL.isdisjoint(plain) and "//" not in plain and not plain.endswith("/"):
            # most patterns are a path, or a path and /**, and a start-up has hundreds of them
            self.kind = Kind.EXACT if plain is text else Kind.SUBTREE
            self.literal_prefix = plain or "/"
            self.text = text
        else:
            self._parse(text, source)
        self._slashed = self.literal_prefix.rstrip("/") + "/"

    def _parse(self, text: str, source: Source | None) -> None:
        """Set everything for a pattern that is not plain."""
        found = alternatives(tokenize(text, source), source)
        if len(found) > 1:
            self._choices = tuple(PathGlob("".join(token.raw for token in tokens)) for tokens in found)
            self.text = text
            self.kind = Kind.GLOB
            self.literal_prefix = _common([choice.literal_prefix for choice in self._choices])
            return
        self._parts = components(found[0])
        names = list(itertools.takewhile(lambda name: name is not None, map(literal, self._parts)))
        rest = self._parts[len(names) :]
        if not rest:
            self.kind = Kind.EXACT
        elif len(rest) == 1 and is_deep(rest[0]):
            self.kind = Kind.SUBTREE
        else:
            self.kind = Kind.GLOB
        self.literal_prefix = "/" + "/".join(name for name in names if name)
        self.text = "/" + "/".join(raw(part) for part in self._parts)

    def __repr__(self) -> str:
        return f"PathGlob({self.text!r})"

    def __reduce__(self) -> tuple[Callable[[str], PathGlob], tuple[str]]:
        """Pickled by its text."""
        return path_glob, (self.text,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathGlob) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def regex(self) -> re.Pattern[str]:
        """The whole pattern as one expression for `match`. Compiled at first use: few patterns need it."""
        if self._regex is None:
            found = alternatives(tokenize(self.text))
            expression = "|".join(path_regex(components(tokens)) for tokens in found)
            self._regex = re.compile(expression, re.DOTALL)
        return self._regex

    def matches(self, path: str) -> bool:
        """Whether the canonical *path* matches."""
        if self.kind is Kind.EXACT:
            return path == self.literal_prefix
        if self.kind is Kind.SUBTREE:
            return path == self.literal_prefix or path.startswith(self._slashed)
        return self.regex.match(path) is not None

    def may_match_below(self, directory: str) -> bool:
        """Whether some path at or below *directory* could match; False is certain."""
        if self.kind is Kind.EXACT:
            return is_below(self.literal_prefix, directory)
        if is_below(self.literal_prefix, directory):
            return True
        if not is_below(directory, self.literal_prefix):
            return False
        if self.kind is Kind.SUBTREE:
            return True
        if self._choices:
            return any(choice.may_match_below(directory) for choice in self._choices)
        return bool(self._reached(directory))

    def covers_subtree(self, directory: str) -> bool:
        """Whether every path at or below *directory* matches; True is certain."""
        if self.kind is Kind.EXACT or not is_below(directory, self.literal_prefix):
            return False
        if self.kind is Kind.SUBTREE:
            return True
        if self._choices:
            return any(choice.covers_subtree(directory) for choice in self._choices)
        # only a pattern that ends in ** can: being at that ** after the directory's components is being done
        return is_deep(self._parts[-1]) and len(self._parts) - 1 in self._reached(directory)

    def covers(self, other: PathGlob) -> bool:
        """Whether every path that *other* matches matches; True is certain."""
        if other.kind is Kind.EXACT and self.matches(other.literal_prefix):
            return True
        return self.text == other.text or self.covers_subtree(other.literal_prefix)

    def alike(self, first: str, second: str) -> bool:
        """Whether it matches the same below both, seen from *first* and from *second*; True is certain."""
        if self.kind is Kind.EXACT:
            return not self.may_match_below(first) and not self.may_match_below(second)
        if self._choices:
            return all(choice.alike(first, second) for choice in self._choices)
        if self.kind is Kind.SUBTREE:
            covered = self.covers_subtree(first)
            return covered == self.covers_subtree(second) and (
                covered or not (self.may_match_below(first) or self.may_match_below(second))
            )
        return self._reached(first) == self._reached(second)

    def with_prefix(self, prefix: str) -> PathGlob:
        """The same pattern with *prefix*, an absolute path, in place of `literal_prefix`. Not for braces."""
        if self.kind is Kind.GLOB:
            count = len(self.literal_prefix.split("/")) - 1 if self.literal_prefix != "/" else 0
            rest = "".join("/" + raw(part) for part in self._parts[count:])
        else:
            rest = "/**" if self.kind is Kind.SUBTREE else ""
        escaped = escape(prefix)
        return path_glob(escaped.rstrip("/") + rest if rest else escaped)

    def _reached(self, directory: str) -> set[int]:
        """How far the components of *directory* may have led: the indices of the parts that come next."""
        if self._matchers is None:
            self._matchers = [_matcher(part) for part in self._parts]
        matchers = self._matchers
        places = self._closed({0})
        for name in directory.split("/")[1:] if directory != "/" else ():
            following: set[int] = set()
            for place in places:
                if place == len(matchers):
                    continue
                matcher = matchers[place]
                if matcher is None:
                    following.add(place)
                elif matcher == name if isinstance(matcher, str) else matcher.fullmatch(name):
                    following.add(place + 1)
            places = self._closed(following)
            if not places:
                break
        return places

    def _closed(self, places: set[int]) -> set[int]:
        """*places* and those behind a `**`, which may stand for nothing."""
        matchers = self._matchers or []
        return places | {at + 1 for at in places if at < len(matchers) and matchers[at] is None}


def _matcher(part: Component) -> str | re.Pattern[str] | None:
    """How one component is matched: a name, an expression, None for `**`."""
    if is_deep(part):
        return None
    name = literal(part)
    return re.compile(component_regex(part), re.DOTALL) if name is None else name


def _common(paths: list[str]) -> str:
    """The longest directory that all *paths* are at or below."""
    common = paths[0]
    while not all(is_below(path, common) for path in paths):
        common = common.rpartition("/")[0] or "/"
    return common


@functools.lru_cache(maxsize=4096)
def path_glob(text: str) -> PathGlob:
    """A pattern, compiled; what a start-up has compiled once it need not again, nor who is forked from it.

    Args:
        text: as `PathGlob` takes it.

    Raises:
        PolicyError: as there.
    """
    return PathGlob(text)
