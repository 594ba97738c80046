"""Text for people: nothing that a confined program chose may drive the terminal that shows it."""

from __future__ import annotations

SURROGATE_BYTES = range(0xDC80, 0xDD00)
"""What `surrogateescape` makes of bytes that are not UTF-8."""


def printable(text: str) -> str:
    """*text* with everything escaped that a terminal does not show as itself.

    That is: control characters (a path may hold escape sequences), bytes that are not UTF-8, line and
    paragraph separators, and what reorders or hides text (bidirectional overrides, zero-width characters).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    number = ord(char)
    if number in SURROGATE_BYTES:
        return f"\\x{number - 0xDC00:02x}"
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
    if named:
        return named
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def quoted(word: str) -> str:
    """One argument as a shell would need it, escaped for the eye."""
    import shlex

    return shlex.quote(printable(word))


def shortened(text: str, width: int) -> str:
    """*text* in at most *width* columns; zero means without a bound."""
    if width <= 0 or len(text) <= width:
        return text
    return text[: max(width - 1, 1)] + "…"


def counted(number: int, singular: str, plural: str) -> str:
    """A number and its noun."""
    return f"{number} {singular if number == 1 else plural}"
