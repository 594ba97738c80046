"""Man pages: what they must name, and what the formatter says of them."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator

import pytest

from sydctl import main
from sydctl.manual import markdown, roff
from sydctl.manual.pages import SEE, build
from sydd.daemon.arguments import build_parser
from sydd.daemon.messages import Message
from sydd.policy.access import GROUPS, Access, Action
from sydd.policy.policy import LIMITS
from sydd.policy.sessionlimits import SESSION_LIMITS
from sydd.policy.tables import KEYS


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """All pages, by file name."""
    return build()


def plain(page: str) -> str:
    """A page as it is read."""
    return re.sub(r"\\f[BIP]", "", page).replace("\\-", "-").replace("\\e", "\\").replace("\\&", "")


def commands(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A command and all below it."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from commands(inner, f"{name} {word}")


def test_every_command_and_option_is_named(pages: dict[str, str]) -> None:
    """sydctl(1) has them all."""
    page = plain(pages["sydctl.1"])
    parser = main.build_parser(complete=True)
    missing = []
    for name, command in commands(parser, "sydctl"):
        if name != "sydctl" and f'.SS "{name}"' not in page:
            missing.append(name)
        missing += [
            f"{name} {option}"
            for action in command._actions
            for option in action.option_strings
            if name != "sydctl" and option not in page
        ]
    assert missing == []


def test_every_option_of_the_daemon_is_named(pages: dict[str, str]) -> None:
    """sydd(8) has them all, and all figures and kinds of records."""
    page = plain(pages["sydd.8"])
    words = {word for action in build_parser()._actions for word in action.option_strings}
    words |= {message.name for message in Message} | {message.value for message in Message}
    assert {word for word in words if word not in page} == set()


def test_every_key_of_a_profile_is_named(pages: dict[str, str]) -> None:
    """sydd-profile(5) has the keys of all tables, and all limits."""
    page = plain(pages["sydd-profile.5"])
    words = {key for keys in KEYS.values() for key in keys} | {*LIMITS, *SESSION_LIMITS}
    assert {word for word in words if not re.search(rf"\b{word}\b", page)} == set()


def test_every_access_is_named(pages: dict[str, str]) -> None:
    """sydd-rules(7) has all accesses and actions."""
    page = plain(pages["sydd-rules.7"])
    words = {access.name.lower() for access in Access if access.name}
    words |= {*GROUPS, *(action.value for action in Action)}
    assert {word for word in words if not re.search(rf"\b{word}\b", page)} == set()


@pytest.mark.parametrize("name", SEE)
def test_the_formatter_has_nothing_to_say(name: str, pages: dict[str, str]) -> None:
    """groff, by man(1), formats each page without a warning."""
    result = subprocess.run(
        ["man", "--warnings", "--local-file", "-E", "UTF-8", "-Tutf8", "-Z", "-"],
        input=pages[name],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (result.stderr, result.returncode) == ("", 0)


def test_markdown() -> None:
    """What the documentation uses, and what roff would take for its own."""
    text = """\
Some *words* and `--code`, [a link](x.md)
and .dots.

    .TH verbatim \\n

- one
  and on
- **two**

| a | b | c |
|---|---|---|
| `x` | 1 | |
"""
    assert markdown.convert(text) == [
        ".PP",
        "Some \\fIwords\\fP and \\fB\\-\\-code\\fP, a link and .dots.",
        ".PP",
        ".RS 4",
        ".EX",
        "\\&.TH verbatim \\en",
        ".EE",
        ".RE",
        '.IP "\\(bu" 2',
        "one and on",
        '.IP "\\(bu" 2',
        "\\fBtwo\\fP",
        ".TP",
        "\\fBx\\fP",
        "b: 1",
    ]


def test_a_line_that_begins_as_a_request() -> None:
    """It is text."""
    assert roff.paragraph(".so /etc/passwd") == [".PP", "\\&.so /etc/passwd"]
