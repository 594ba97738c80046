"""Glob text to tokens, alternatives, components and one regular expression.

wcmatch was looked at and left: its `/dir/**` does not include `/dir`, its `*` has to be told about dot
files, it splits and normalises paths its own way (surrogates of undecodable names included), and its
expressions backtrack. The grammar here is five wildcards; what matters is that the expression is safe
against a path that the confined program chooses.

Why no expression made here blows up: after braces are expanded every token takes exactly one character, so
what stands between two `*` has a fixed length, and what stands between two `**` a fixed number of
components. Then the leftmost place where such a piece fits is as good as any later one: each piece but the
last is an atomic group, which is never tried again. Matching is O(length of path x length of pattern).
"""

from __future__ import annotations

import itertools
import re
from typing import Final, NamedTuple

from sydd.policy.errors import PolicyError, Source

SPECIAL: Final = frozenset("*?[]{}\\")
MOST_ALTERNATIVES: Final = 256

LITERAL: Final = "literal"
SLASH: Final = "/"
STAR: Final = "*"
ONE: Final = "one"  # `?` and `[]`
OPEN: Final = "{"
COMMA: Final = ","
CLOSE: Final = "}"


class Token(NamedTuple):
    """One piece of glob text.

    Attributes:
        kind: one of the names above.
        raw: the text as written.
        value: for LITERAL the character, for ONE its regular expression.
        offset: where it stands in the text, from 0.
    """

    kind: str
    raw: str
    value: str
    offset: int


Component = tuple[Token, ...]


def escape(text: str) -> str:
    """*text* as a glob that matches only itself."""
    if SPECIAL.isdisjoint(text):
        return text
    return "".join("\\" + char if char in SPECIAL else char for char in text)


def problem(message: str, source: Source | None, offset: int, hint: str = "") -> PolicyError:
    """An error *offset* characters after *source*, the place where the text begins."""
    if source is not None and source.column:
        source = Source(source.file, source.line, source.column + offset)
    return PolicyError(message, source, hint)


def tokenize(text: str, source: Source | None = None) -> list[Token]:
    """The tokens of *text*; a comma is a token of its own only within braces.

    Raises:
        PolicyError: an open bracket or brace, a stray `}`, an escape of nothing, a range that is backwards.
    """
    tokens: list[Token] = []
    opened: list[int] = []  # indices of the tokens
    at = 0
    while at < len(text):
        token = _token(text, at, bool(opened), source)
        if token.kind == OPEN:
            opened.append(len(tokens))
        elif token.kind == CLOSE:
            if not opened:
                raise problem("'}' without '{'", source, at, "write '\\}' for the character itself")
            _check_choices(tokens, opened.pop(), text, at, source)
        tokens.append(token)
        at += len(token.raw)
    if opened:
        hint = "write '\\{' for the character itself"
        raise problem("'{' is never closed", source, tokens[opened[-1]].offset, hint)
    return tokens


def _token(text: str, at: int, in_braces: bool, source: Source | None) -> Token:
    """The token at *at*."""
    char = text[at]
    if char == "\\":
        if at + 1 == len(text):
            raise problem("'\\' at the end escapes nothing", source, at, "write '\\\\' for a backslash")
        escaped = text[at + 1]
        return Token(SLASH if escaped == "/" else LITERAL, text[at : at + 2], escaped, at)
    if char == "?":
        return Token(ONE, char, "[^/]", at)
    if char == "[":
        expression, end = _bracket(text, at, source)
        return Token(ONE, text[at:end], expression, at)
    if char in (SLASH, STAR, OPEN, CLOSE) or (char == COMMA and in_braces):
        return Token(char, char, char, at)
    return Token(LITERAL, char, char, at)


def _check_choices(tokens: list[Token], opened: int, text: str, at: int, source: Source | None) -> None:
    """Report braces, open at the token *opened*, closed at *at*, without a comma of their own."""
    depth = 0
    for token in tokens[opened:]:
        depth += (token.kind == OPEN) - (token.kind == CLOSE)
        if token.kind == COMMA and depth == 1:
            return
    start = tokens[opened].offset
    hint = "write '\\{' for the character itself"
    raise problem(f"'{text[start : at + 1]}' has only one choice", source, start, hint)


def _bracket(text: str, start: int, source: Source | None) -> tuple[str, int]:
    """The regular expression of the `[]` at *start* and the offset after it. It never matches a slash."""
    at = start + 1
    negated = text[at : at + 1] in ("!", "^")
    at += negated
    first = at
    parts: list[str] = []
    while True:
        if at >= len(text):
            raise problem("'[' is never closed", source, start, "write '\\[' for the character itself")
        if text[at] == "]" and at > first:
            break
        if text[at] == "[" and text[at + 1 : at + 2] in (":", ".", "="):
            word = text[at : at + 2]
            raise problem(
                f"'{word}': named classes are not supported", source, at, "write the range, as in [a-z]"
            )
        low, at = _member(text, at, start, source)
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("]", ""):
            high, after = _member(text, at + 1, start, source)
            if high < low:
                word = text[at - 1 : after]
                raise problem(f"range '{word}' is backwards", source, at - 1, f"write '{high}-{low}'")
            at = after
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            parts.append(re.escape(low))
    inside = "".join(parts)
    return (f"[^/{inside}]" if negated else f"(?!/)[{inside}]"), at + 1


def _member(text: str, at: int, start: int, source: Source | None) -> tuple[str, int]:
    """One character within `[]` and the offset after it."""
    if text[at] != "\\":
        return text[at], at + 1
    if at + 1 >= len(text):
        raise problem("'[' is never closed", source, start, "write '\\[' for the character itself")
    return text[at + 1], at + 2


def alternatives(tokens: list[Token], source: Source | None = None) -> list[list[Token]]:
    """*tokens* with every `{a,b}` written out.

    Raises:
        PolicyError: there would be more than MOST_ALTERNATIVES.
    """
    results, _ = _sequence(tokens, 0, source)
    return results


def _sequence(tokens: list[Token], at: int, source: Source | None) -> tuple[list[list[Token]], int]:
    """The alternatives from *at* up to the comma or brace that ends them, and where that stands."""
    results: list[list[Token]] = [[]]
    while at < len(tokens) and tokens[at].kind not in (COMMA, CLOSE):
        token = tokens[at]
        if token.kind != OPEN:
            for result in results:
                result.append(token)
            at += 1
            continue
        choices: list[list[Token]] = []
        while tokens[at].kind != CLOSE:
            choice, at = _sequence(tokens, at + 1, source)
            choices += choice
        if len(results) * len(choices) > MOST_ALTERNATIVES:
            message = f"the braces stand for more than {MOST_ALTERNATIVES} patterns"
            raise problem(message, source, token.offset, "write several rules")
        results = [[*result, *choice] for result in results for choice in choices]
        at += 1
    return results, at


def components(tokens: list[Token]) -> list[Component]:
    """*tokens* (without braces) split at the slashes; empty components are left out, `**/**` becomes `**`."""
    result: list[Component] = []
    current: list[Token] = []
    for token in [*tokens, Token(SLASH, "/", "/", -1)]:
        if token.kind != SLASH:
            current.append(token)
            continue
        component = tuple(current)
        current = []
        if component and not (is_deep(component) and result and is_deep(result[-1])):
            result.append(component)
    return result


def is_deep(component: Component) -> bool:
    """Whether it is `**`."""
    return len(component) == 2 and component[0].kind == component[1].kind == STAR


def literal(component: Component) -> str | None:
    """The name that *component* stands for, None if it has wildcards."""
    if all(token.kind == LITERAL for token in component):
        return "".join(token.value for token in component)
    return None


def raw(component: Component) -> str:
    """*component* as it was written."""
    return "".join(token.raw for token in component)


def component_regex(component: Component) -> str:
    """The expression of one component, never empty, without its ends."""
    pieces = [""]
    for token in component:
        if token.kind == STAR:
            pieces.append("")
        elif token.kind == ONE:
            pieces[-1] += token.value
        else:
            pieces[-1] += re.escape(token.value)
    if len(pieces) == 1:
        return pieces[0]
    if not any(pieces):
        return "[^/]+"
    middle = "".join(f"(?>[^/]*?{piece})" for piece in pieces[1:-1] if piece)
    return f"{pieces[0]}{middle}[^/]*{pieces[-1]}"


def flat_literal(tokens: Component) -> str | None:
    """As `literal`, of a name in which a slash is a character like any other."""
    if all(token.kind in (LITERAL, SLASH) for token in tokens):
        return "".join(token.value for token in tokens)
    return None


def flat_regex(tokens: Component) -> str:
    """The expression (for `fullmatch`) of a name in which a slash is a character like any other.

    `*` matches any characters, also none, `?` any one; `[]` matches no slash.
    """
    pieces = [""]
    for token in tokens:
        if token.kind == STAR:
            pieces.append("")
        elif token.kind == ONE:
            pieces[-1] += "." if token.raw == "?" else token.value
        else:
            pieces[-1] += re.escape(token.value)
    if len(pieces) == 1:
        return pieces[0]
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1] if piece)
    return f"{pieces[0]}{middle}.*{pieces[-1]}"


def path_regex(parts: list[Component]) -> str:
    """The expression of a whole absolute pattern, for `re.match` with DOTALL."""
    groups: list[list[str]] = [[]]
    for part in parts:
        if is_deep(part):
            groups.append([])
        else:
            groups[-1].append("/" + component_regex(part))
    first, *others = ["".join(group) for group in groups]
    if not others:
        return (first or "/") + r"\Z"
    expression = first + r"(?=/|\Z)" if first else ""
    for other in others[:-1]:
        # the slash that `other` begins with holds `.*?` to the ends of components
        expression += rf"(?>.*?{other}(?=/|\Z))"
    if others[-1]:
        expression += rf".*?{others[-1]}\Z"
    return expression


def check(text: str, source: Source | None = None) -> None:
    """Report what is wrong with a path pattern as it was written in a rule.

    Args:
        text: an absolute pattern.
        source: where it begins; errors point into it.

    Raises:
        PolicyError: wrong syntax, `.` or `..` components, trailing slash, `**` beside other characters, NUL.
    """
    if "\0" in text:
        raise problem("a NUL character in a pattern", source, text.index("\0"), "no path has one")
    for tokens in alternatives(tokenize(text, source), source):
        if len(tokens) > 1 and tokens[-1].kind == SLASH:
            hint = "leave it out for the directory itself, write '/**' for all below it too"
            raise problem("trailing '/'", source, tokens[-1].offset, hint)
        for part in components(tokens):
            name = literal(part)
            if name in (".", ".."):
                hint = "rules are about canonical paths"
                raise problem(f"'{name}' in a pattern", source, part[0].offset, hint)
            if is_deep(part):
                continue
            if any(left.kind == right.kind == STAR for left, right in itertools.pairwise(part)):
                hint = "it stands between slashes, as in '/dir/**/name'; '*' matches within a name"
                raise problem(f"'**' within a name: '{raw(part)}'", source, part[0].offset, hint)
