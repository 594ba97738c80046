"""What an argparse parser says, as man(7)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from sydctl.manual import roff


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's subcommands, by name; empty where it has none."""
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # argparse has no other way
            return dict(action.choices)
    return {}


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001  # argparse has no other way


def describe(parser: argparse.ArgumentParser) -> list[str]:
    """Usage, description, arguments and options, examples of one command.

    Args:
        parser: of the command, without its subcommands.
    """
    usage = parser.format_usage().removeprefix("usage: ")
    result = roff.example(" ".join(each.split()) for each in _usages(usage))
    for each in (parser.description or "").split("\n\n"):
        if each.strip():
            result += roff.paragraph(_plain(each))
    for action in _actions(parser):
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            result += roff.item(_term(action), [roff.escape(_plain(_help(action)))])
    return result + list(_epilog(parser.epilog or ""))


def _usages(usage: str) -> Iterator[str]:
    """Each form on one line; a form begins with the program's name."""
    words = usage.split()
    program = words[0]
    form: list[str] = []
    for word in words:
        if word == program and form:
            yield " ".join(form)
            form = []
        form.append(word)
    yield " ".join(form)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _help(action: argparse.Action) -> str:
    values = {name: value for name, value in vars(action).items() if value is not argparse.SUPPRESS}
    return (action.help or "") % {**values, "prog": ""}


def _term(action: argparse.Action) -> str:
    name = _argument(action)
    if not action.option_strings:
        return name
    options = ", ".join(roff.bold(each) for each in action.option_strings)
    return options if action.nargs == 0 else f"{options} {name}"


def _argument(action: argparse.Action) -> str:
    """What stands for the value."""
    if action.metavar is None and action.choices is not None:
        return roff.italic("|".join(str(each) for each in action.choices))
    metavar = action.metavar[0] if isinstance(action.metavar, tuple) else action.metavar
    return roff.italic(metavar or (action.dest.upper() if action.option_strings else action.dest))


def _epilog(text: str) -> Iterator[str]:
    """Paragraphs; what follows a line `examples:` stays as it is."""
    for each in text.strip("\n").split("\n\n"):
        first, _, rest = each.partition("\n")
        if rest.startswith("  ") and first.endswith(":"):
            yield from roff.paragraph(first.capitalize())
            yield from roff.example(line.removeprefix("  ") for line in rest.splitlines())
        elif each.strip():
            yield from roff.paragraph(_plain(each))
