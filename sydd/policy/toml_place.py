"""Where keys and values stand in TOML text. `tomllib` reads the values and forgets their places.

The text has been read by `tomllib` before, so this scanner may take it for valid; it only has to find the
same keys and values again. It keeps offsets; lines and columns are counted when somebody asks.
"""

from __future__ import annotations

import re
from typing import Final

Key = tuple[str | int, ...]
"""A way to a value: names of tables and keys, indices of arrays."""

_SKIP: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN: Final = re.compile(r"[^,\]}\n#]*")
_STRINGS: Final = (
    ('"""', re.compile(r'"""(?:[^\\"]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)),
    ("'''", re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)),
    ('"', re.compile(r'"(?:[^"\\\n]|\\.)*"')),
    ("'", re.compile(r"'[^'\n]*'")),
)
_ESCAPE: Final = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[^\n \t])")
_CONTINUATION: Final = re.compile(r"\\[ \t]*\n[ \t\n]*")


class Places:
    """The places in one TOML text.

    Args:
        text: what `tomllib.loads` has accepted.
    """

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")  # as tomllib does
        self._keys: dict[Key, int] = {}
        self._values: dict[Key, int] = {}
        self._sizes: dict[Key, int] = {}
        self._scan()

    def key(self, way: Key) -> tuple[int, int]:
        """Line and column of a key, or of the array item or innermost table around it that has a place."""
        while way:
            at = self._keys.get(way, self._values.get(way))
            if at is not None:
                return self._line_column(at)
            way = way[:-1]
        return 1, 1

    def value(self, way: Key) -> tuple[int, int]:
        """Line and column of a value; of a string its first character after the quotes."""
        at = self._values.get(way)
        if at is None:
            return self.key(way)
        return self.inside(way, 0) if self._text[at] in "\"'" else self._line_column(at)

    def inside(self, way: Key, index: int) -> tuple[int, int]:
        """Line and column of the character at *index* of a string value, escapes reckoned with."""
        at = self._values.get(way)
        if at is None:
            return self.key(way)
        return self._line_column(_character(self._text, at, index))

    def _line_column(self, at: int) -> tuple[int, int]:
        return self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)

    def _scan(self) -> None:
        text = self._text
        table: Key = ()
        at = _end(_SKIP, text, 0)
        while at < len(text):
            if text.startswith("[", at):
                many = text.startswith("[[", at)
                parts, at = self._key_parts(at + 1 + many)
                table = self._enter(parts, many)
                at += 1 + many
            else:
                at = self._pair(table, at)
            at = _end(_SKIP, text, at)

    def _enter(self, parts: list[tuple[str, int]], many: bool) -> Key:
        """The way of the table that a header names; the last table of each array on it."""
        way: Key = ()
        for number, (name, at) in enumerate(parts):
            way = (*way, name)
            self._keys.setdefault(way, at)
            last = number == len(parts) - 1
            if last and many:
                self._sizes[way] = self._sizes.get(way, 0) + 1
            if way in self._sizes:
                way = (*way, self._sizes[way] - 1)
                self._keys.setdefault(way, at)
        return way

    def _key_parts(self, at: int) -> tuple[list[tuple[str, int]], int]:
        """The names of a dotted key and their offsets, and where it ends."""
        text = self._text
        parts: list[tuple[str, int]] = []
        while True:
            at = _end(_BLANK, text, at)
            if text[at] in "\"'":
                end = _string_end(text, at)
                parts.append((_content(text, at, end), at))
            else:
                end = _end(_BARE_KEY, text, at)
                parts.append((text[at:end], at))
            at = _end(_BLANK, text, end)
            if text[at] != ".":
                return parts, at
            at += 1

    def _pair(self, table: Key, at: int) -> int:
        """Note `key = value` at *at*; where it ends."""
        parts, at = self._key_parts(at)
        way = table
        for name, place in parts:
            way = (*way, name)
            self._keys.setdefault(way, place)
        return self._value(way, _end(_BLANK, self._text, at + 1))

    def _value(self, way: Key, at: int) -> int:
        """Note the value at *at* and those within it; where it ends."""
        text = self._text
        self._values[way] = at
        if text[at] in "\"'":
            return _string_end(text, at)
        if text[at] not in "[{":
            return _end(_PLAIN, text, at)
        closing = "]" if text[at] == "[" else "}"
        number = 0
        at = _end(_SKIP, text, at + 1)
        while text[at] != closing:
            at = self._value((*way, number), at) if closing == "]" else self._pair(way, at)
            number += 1
            at = _end(_SKIP, text, at)
            if text[at] == ",":
                at = _end(_SKIP, text, at + 1)
        return at + 1


def _end(expression: re.Pattern[str], text: str, at: int) -> int:
    """Where a match at *at* ends; *at* if there is none."""
    found = expression.match(text, at)
    return found.end() if found else at


def _string_end(text: str, at: int) -> int:
    """Where the string at *at* ends, quotes included."""
    for quotes, expression in _STRINGS:
        if text.startswith(quotes, at):
            return _end(expression, text, at)
    return at


def _content(text: str, at: int, end: int) -> str:
    """The value of a quoted key."""
    import tomllib  # here: quoted keys are rare

    return next(iter(tomllib.loads(f"{text[at:end]} = 0")))


def _character(text: str, at: int, index: int) -> int:
    """The offset of the character at *index* of the string whose quotes begin at *at*."""
    basic = text[at] == '"'
    many = text.startswith(('"""', "'''"), at)
    at += 3 if many else 1
    if many and text.startswith("\n", at):
        at += 1
    while True:
        if basic and many:
            found = _CONTINUATION.match(text, at)
            if found:
                at = found.end()
                continue
        if not index:
            return at
        at = max(_end(_ESCAPE, text, at), at + 1) if basic else at + 1
        index -= 1
