"""Variables in patterns and values: `${cwd} ${home} ${tmp} ${user} ${env:NAME}` and a profile's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from sydd.policy.errors import PolicyError, Source
from sydd.policy.globsyntax import escape, problem
from sydd.policy.words import did_you_mean

BUILTIN: Final = ("cwd", "home", "tmp", "user")
"""What every session gives a value: work directory, home, private temporary directory, login name."""

VARIABLE: Final = re.compile(r"(\\.)|\$\{([^}]*)\}", re.DOTALL)
"""An escaped character (group 1) or a variable (group 2 is its name)."""

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A variable's name."""


class Variable(NamedTuple):
    """A variable that a profile or `--set` defines; its value may refer to others."""

    name: str
    value: str
    source: Source


def references(text: str) -> tuple[str, ...]:
    """The names of the variables in *text*, `env:` ones included."""
    return tuple(found[2] for found in VARIABLE.finditer(text) if found[2] is not None)


def check_references(text: str, source: Source | None = None) -> None:
    """Report a `${` that is never closed or holds no name.

    Raises:
        PolicyError: pointing at the `${`.
    """
    for found in VARIABLE.finditer(text):
        if found[2] is None:
            continue
        name = found[2].removeprefix("env:")
        if not NAME.fullmatch(name):
            hint = "write '${name}' or '${env:NAME}'"
            raise problem(f"'{found[0]}' names no variable", source, found.start(), hint)
    rest = VARIABLE.sub(lambda found: "_" * len(found[0]), text)
    opened = rest.find("${")
    if opened >= 0:
        raise problem("'${' is never closed", source, opened, "write '\\$\\{' for the characters themselves")


def check_known(text: str, known: Collection[str], source: Source | None = None) -> None:
    """Report a variable in *text* that is not among *known*; `env:` ones are known only at launch.

    Raises:
        PolicyError: pointing at the variable.
    """
    check_references(text, source)
    for found in VARIABLE.finditer(text):
        if found[2] is not None and not found[2].startswith("env:") and found[2] not in known:
            raise _unknown(found, known, source)


def substitute(
    text: str, variables: Mapping[str, str], environment: Mapping[str, str], source: Source | None = None
) -> str:
    """*text*, a path pattern, with its variables put in, their wildcard characters escaped.

    Args:
        text: the pattern.
        variables: values by name.
        environment: what `${env:NAME}` looks in.
        source: where *text* begins; errors point into it.

    Raises:
        PolicyError: unknown or unset variable; one at the start of the path whose value is not an absolute
        path.
    """

    def value(found: re.Match[str]) -> str:
        if found[2] is None:
            return found[0]
        result = _look_up(found, variables, environment, source)
        if not found.start() and not result.startswith("/"):
            what = f"is '{result}', not an absolute path" if result else "is empty"
            raise problem(
                f"'{found[0]}' {what}", source, 0, "a path pattern has to begin with an absolute path"
            )
        return escape(result)

    check_references(text, source)
    return VARIABLE.sub(value, text)


def substitute_value(
    text: str, variables: Mapping[str, str], environment: Mapping[str, str], source: Source | None = None
) -> str:
    """*text*, plain text such as an environment variable's value, with its variables put in as they are.

    A backslash before `$` takes its meaning away; before anything else it stays.

    Raises:
        PolicyError: unknown or unset variable.
    """

    def value(found: re.Match[str]) -> str:
        if found[2] is None:
            return "$" if found[0] == "\\$" else found[0]
        return _look_up(found, variables, environment, source)

    check_references(text, source)
    return VARIABLE.sub(value, text)


def resolve(
    defined: Iterable[Variable], builtin: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """The value of every variable of a session.

    Args:
        defined: what profiles and `--set` define, later ones win; values may refer to one another.
        builtin: cwd, home, tmp, user; a defined one of the same name wins.
        environment: what `${env:NAME}` looks in.

    Raises:
        PolicyError: a variable refers to itself, by whatever way, or to one that is unknown or unset, or its
            value holds a NUL character.
    """
    definitions = {variable.name: variable for variable in defined}
    for variable in definitions.values():
        if "\0" in variable.value:
            hint = "no path has one, nor has a variable of the environment"
            raise PolicyError(f"a NUL character in the value of '{variable.name}'", variable.source, hint)
    known = {**builtin, **dict.fromkeys(definitions, "")}
    values = {name: value for name, value in builtin.items() if name not in definitions}

    def visit(name: str, chain: tuple[str, ...]) -> None:
        variable = definitions[name]
        for found in VARIABLE.finditer(variable.value):
            other = found[2]
            if other is None or other in values or other not in definitions:
                continue
            if other in (*chain, name):
                circle = " → ".join([*chain, name, other])
                raise problem(f"'{found[0]}' refers to itself: {circle}", variable.source, found.start())
            visit(other, (*chain, name))
        for found in VARIABLE.finditer(variable.value):
            if found[2] is not None:
                _look_up(found, known, environment, variable.source)
        values[name] = substitute_value(variable.value, values, environment, variable.source)

    for name in definitions:
        if name not in values:
            visit(name, ())
    return values


def _look_up(
    found: re.Match[str], variables: Mapping[str, str], environment: Mapping[str, str], source: Source | None
) -> str:
    """The value of the variable that *found* is."""
    name = found[2]
    if name.startswith("env:"):
        try:
            return environment[name[4:]]
        except KeyError:
            hint = did_you_mean_exactly(name[4:], environment)
            message = f"'{found[0]}': {name[4:]} is not set in the environment"
            raise problem(message, source, found.start(), hint) from None
    try:
        return variables[name]
    except KeyError:
        if name in BUILTIN:
            message = f"'{found[0]}' has no value here"
            raise problem(message, source, found.start(), f"set it with --set {name}=VALUE") from None
        raise _unknown(found, variables, source) from None


def _unknown(found: re.Match[str], known: Collection[str], source: Source | None) -> PolicyError:
    """The error for a variable that nobody defines."""
    name = found[2]
    choices = sorted({*known, *BUILTIN})
    listed = ", ".join(f"${{{choice}}}" for choice in choices)
    otherwise = f"known are {listed} and ${{env:NAME}}; --set {name}=VALUE defines it"
    return problem(
        f"unknown variable '{found[0]}'", source, found.start(), did_you_mean(name, choices, otherwise)
    )


def did_you_mean_exactly(name: str, choices: Iterable[str]) -> str:
    """As `did_you_mean`, for names whose case counts."""
    by_lower = {choice.lower(): choice for choice in choices}
    hint = did_you_mean(name, by_lower)
    for lower, choice in by_lower.items():
        if f"'{lower}'" in hint:
            return hint.replace(lower, choice)
    return hint
