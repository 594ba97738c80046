"""The man(7) macros that the pages use, and what has to be escaped for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_INLINE: Final = re.compile(
    r"``(?P<double>.+?)``|`(?P<code>[^`]+)`|\*\*(?P<strong>.+?)\*\*|(?<![\w*])\*(?P<emphasis>[^*\s][^*]*)\*(?![\w*])"
    r"|\[(?P<text>[^]]+)\]\((?P<target>[^)]+)\)|(?P<link><https?://[^>]+>)"
)


def escape(text: str, *, literal: bool = False) -> str:
    """Text as it is: no character of it is a macro or an escape.

    Args:
        text: of one line.
        literal: whether a hyphen is a minus sign, to be copied and searched for.
    """
    text = text.replace("\\", "\\e")
    return text.replace("-", "\\-") if literal else text


def bold(text: str) -> str:
    """What is typed as it stands."""
    return f"\\fB{escape(text, literal=True)}\\fP"


def italic(text: str) -> str:
    """What stands for something else."""
    return f"\\fI{escape(text, literal=True)}\\fP"


def inline(text: str) -> str:
    """A paragraph of Markdown: code and strong are bold, emphasis is italic, links keep their text."""
    result, position = [], 0
    for found in _INLINE.finditer(text):
        result.append(escape(text[position : found.start()]))
        position = found.end()
        if found["text"] is not None:
            result.append(inline(found["text"]))
            if found["target"].startswith("http"):
                result.append(f" ({italic(found['target'])})")
        elif found["link"] is not None:
            result.append(italic(found["link"][1:-1]))
        elif found["emphasis"] is not None:
            result.append(f"\\fI{escape(found['emphasis'])}\\fP")
        else:
            result.append(bold(found["double"] or found["code"] or found["strong"]))
    result.append(escape(text[position:]))
    return "".join(result)


def line(text: str) -> str:
    """A line of text, already escaped, that is no request, even where it is empty or begins as one."""
    return "\\&" + text if text[:1] in ("", ".", "'") else text


def title(name: str, section: int, version: str, about: str, date: str) -> list[str]:
    """The head of a page, with its NAME section.

    Args:
        name: of the page.
        section: of the manual.
        version: of sydd.
        about: what the page is about, in a few words.
        date: of the page, as in 2026-11-26.
    """
    return [
        f'.TH "{name.upper()}" "{section}" "{date}" "sydd {version}" "sydd"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{escape(name, literal=True)} \\- {escape(about)}",
    ]


def heading(text: str, *, sub: bool = False) -> str:
    """A section, or a subsection."""
    return f'{".SS" if sub else ".SH"} "{inline(text if sub else text.upper()).replace(chr(34), chr(39))}"'


def paragraph(text: str) -> list[str]:
    """A paragraph of Markdown."""
    return [".PP", line(inline(" ".join(text.split())))]


def example(lines: Iterable[str]) -> list[str]:
    """Lines that stay as they are."""
    shown = (line(escape(each.rstrip(), literal=True)) for each in lines)
    return [".PP", ".RS 4", ".EX", *shown, ".EE", ".RE"]


def item(term: str, text: Iterable[str]) -> list[str]:
    """A term, already formatted, and what is said about it, one paragraph each."""
    result = [".TP", line(term)]
    for number, each in enumerate(text):
        if number:
            result.append(".IP")
        result.append(line(each))
    return result


def bullet(text: str) -> list[str]:
    """An item of a list, in Markdown."""
    return ['.IP "\\(bu" 2', line(inline(text))]
