"""As much of Markdown as docs/*.md use, to man(7): headings, paragraphs, lists, tables, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sydctl.manual import roff

_HEADING: Final = re.compile(r"(#{1,4}) +(.*)")
_BULLET: Final = re.compile(r"(?:[-*]|\d+\.) +(.*)")
_CELL: Final = re.compile(r"(?<!\\)\|")


def sections(text: str) -> dict[str, str]:
    """The sections of a document: heading, of whatever level, to what stands up to the next as high.

    Args:
        text: Markdown.
    """
    result: dict[str, str] = {}
    lines = text.splitlines()
    headings = list(_headings(lines))
    for position, (start, level, name) in enumerate(headings):
        end = next((line for line, other, _ in headings[position + 1 :] if other <= level), len(lines))
        result[name] = "\n".join(lines[start + 1 : end])
    return result


def _headings(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Line number, level and text of each."""
    fenced = False
    for number, each in enumerate(lines):
        fenced ^= each.startswith("```")
        found = None if fenced else _HEADING.fullmatch(each)
        if found:
            yield number, len(found[1]), found[2]


def convert(text: str) -> list[str]:
    """Lines of man(7); headings become subsections.

    Args:
        text: Markdown.
    """
    result: list[str] = []
    lines = text.splitlines()
    position = 0
    while position < len(lines):
        begin = lines[position]
        found = _HEADING.fullmatch(begin)
        if not begin.strip():
            position += 1
        elif found:
            result.append(roff.heading(found[2], sub=True))
            position += 1
        elif begin.startswith("```"):
            end = next(n for n in range(position + 1, len(lines)) if lines[n].startswith("```"))
            result += roff.example(lines[position + 1 : end])
            position = end + 1
        else:
            end = _end(lines, position)
            result += _block(lines[position:end])
            position = end
    return result


def _end(lines: list[str], start: int) -> int:
    """Where the block that begins at *start* ends: at an empty line, a fence or a heading."""
    indented = lines[start].startswith("    ")
    for number in range(start + 1, len(lines)):
        each = lines[number]
        over = not each.strip() or each.startswith("```") or _HEADING.fullmatch(each)
        if over and not (indented and _goes_on(lines, number)):
            return number
    return len(lines)


def _goes_on(lines: list[str], empty: int) -> bool:
    return not lines[empty].strip() and empty + 1 < len(lines) and lines[empty + 1].startswith("    ")


def _block(lines: list[str]) -> list[str]:
    if lines[0].startswith("    "):
        return roff.example(each[4:] for each in lines)
    if lines[0].startswith("|"):
        return _table(lines)
    if _BULLET.match(lines[0]):
        return [word for each in _items(lines) for word in roff.bullet(each)]
    return roff.paragraph(" ".join(lines))


def _items(lines: list[str]) -> list[str]:
    items: list[str] = []
    for each in lines:
        found = _BULLET.fullmatch(each)
        if found:
            items.append(found[1])
        else:
            items[-1] += " " + each.strip()
    return items


def _table(lines: list[str]) -> list[str]:
    """Each row as an item: the first cell is the term, the others are told with their columns' names."""
    head, _, *rows = ([cell.strip() for cell in _CELL.split(each.strip().strip("|"))] for each in lines)
    result: list[str] = []
    for row in rows:
        term, *rest = (cell.replace("\\|", "|") for cell in row)
        told = [
            f"{name}: {cell}" if name and len(rest) > 1 else cell
            for name, cell in zip(head[1:], rest, strict=True)
            if cell
        ]
        result += roff.item(roff.inline(term), [roff.inline("; ".join(told))])
    return result
