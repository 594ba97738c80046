"""Listings for people: columns, and times and sizes in words. Pure: values to text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydctl.text import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int = 0) -> str:
    """Rows below their headings, in columns.

    Args:
        headings: of the columns.
        rows: one text a column; escaped here.
        width: columns of the terminal, by which each line is cut at its end; 0 for no bound.
    """
    lines = [tuple(headings), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings) - 1)]
    return "\n".join(
        shortened(
            "  ".join([f"{cell:<{size}}" for cell, size in zip(line[:-1], widths, strict=True)] + [line[-1]]),
            width,
        ).rstrip()
        for line in lines
    )


def terminal_width() -> int:
    """Columns of the terminal that stdout is; 0 when it is none."""
    import os
    import sys

    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (AttributeError, OSError, ValueError):
        return 0


def duration(seconds: float) -> str:
    """A length of time in its two largest units: `1 h 12 min`."""
    left = max(int(seconds), 0)
    words = []
    for size, unit in UNITS:
        if left >= size:
            words.append(f"{left // size} {unit}")
            left %= size
    if left or not words:
        words.append(f"{left} s")
    return " ".join(words[:2])


def moment(seconds: float) -> str:
    """A moment in local time: `2026-11-26 16:10:03`."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def size(octets: int) -> str:
    """A number of bytes: `12 MiB`."""
    amount = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def labelled(pairs: Sequence[tuple[str, str]]) -> str:
    """One value a line, behind its label."""
    width = max((len(label) for label, _ in pairs), default=0) + 1
    return "\n".join(f"{label + ':':<{width}}  {printable(text)}".rstrip() for label, text in pairs)
