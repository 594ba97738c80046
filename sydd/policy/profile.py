"""Profiles: TOML text to a checked document, documents to a policy.

Keys and types are those of the pydantic model (`model.py`, and `tables.py` for the quick way); everything
with a grammar of its own (rules, limits, masks) is checked by hand, since only then an error can point
into the string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sydd.policy.errors import PolicyError, Source
from sydd.policy.glob import NameGlob
from sydd.policy.limits import parse_limit
from sydd.policy.netsettings import NETWORK_CHOICES, NetSettings
from sydd.policy.policy import LIMITS, Environment, Mode, Policy, Setting
from sydd.policy.restrict import CHOICES, Restrict
from sydd.policy.rule import Rule, parse_rule
from sydd.policy.sessionlimits import SESSION_LIMITS, SessionLimits
from sydd.policy.tables import KEYS, EnvironmentTable, read_tables
from sydd.policy.toml_place import Key, Places
from sydd.policy.toml_text import read_toml
from sydd.policy.variables import (
    BUILTIN,
    NAME,
    Variable,
    check_known,
    references,
    resolve,
)
from sydd.policy.words import did_you_mean

_UMASK: Final = re.compile(r"0?[0-7]{1,3}")
_WANTED: Final = {
    "string_type": "a string",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "int_type": "an integer",
    "bool_type": "true or false",
    "literal_error": "a string",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One profile file, checked by itself.

    Attributes:
        file: its name, as errors give it.
        name: the profile's.
        description: one line.
        extends: the profiles that it extends, with the place of each.
        mode: None where it says nothing.
        variables: those that it defines.
        rules: its own.
        environment: its own.
        umask: None where it says nothing.
        limits: its own resource limits, by name.
        session_limits: what else its `[limits]` says.
        keep_descriptors: its own.
        restrict: its own.
        network: its own.
    """

    file: str
    name: str
    description: str
    extends: tuple[tuple[str, Source], ...]
    mode: Mode | None
    variables: tuple[Variable, ...]
    rules: tuple[Rule, ...]
    environment: Environment
    umask: int | None
    limits: Mapping[str, tuple[int, int]]
    session_limits: SessionLimits
    keep_descriptors: tuple[int, ...]
    restrict: Restrict
    network: NetSettings


def parse_profile(text: str, file: str, name: str = "") -> Document:
    """Read one profile.

    Args:
        text: TOML.
        file: what errors call it.
        name: the profile's name where it does not say one.

    Raises:
        PolicyError: at the first thing that is wrong, with its line and column.
    """
    data = read_toml(text, file)
    return _Reader(file, Places(text)).document(data, name)


class _Reader:
    """Reads one file; knows its places."""

    def __init__(self, file: str, places: Places) -> None:
        self.file = file
        self.places = places

    def key(self, *way: str | int) -> Source:
        """The place of a key."""
        return Source(self.file, *self.places.key(way))

    def value(self, *way: str | int) -> Source:
        """The place of a value."""
        return Source(self.file, *self.places.value(way))

    def inside(self, way: Key, offset: int) -> Source:
        """The place of a character of a string."""
        return Source(self.file, *self.places.inside(way, offset))

    def document(self, data: dict[str, Any], name: str) -> Document:
        """Check everything."""
        extends = data.get("extends")
        if isinstance(extends, str):
            data = {**data, "extends": [extends]}
        table = read_tables(data)
        if table is None:
            raise self.misfit(data)
        if "\n" in table.description:
            raise PolicyError(
                "'description' has several lines", self.value("description"), "one line is shown"
            )
        return Document(
            file=self.file,
            name=table.name or name,
            description=table.description,
            extends=tuple(
                (
                    parent,
                    self.value("extends", number) if isinstance(extends, list) else self.value("extends"),
                )
                for number, parent in enumerate(table.extends)
            ),
            mode=Mode(table.mode) if table.mode else None,
            variables=tuple(self.variable(name, value) for name, value in table.variables.items()),
            rules=tuple(self.rule(("rules", number), text) for number, text in enumerate(table.rules)),
            environment=self.environment(table.environment),
            umask=self.umask(table.umask),
            limits={
                name: self.limit(name, value)
                for name, value in table.limits.items()
                if name not in SESSION_LIMITS
            },
            session_limits=SessionLimits(
                **{
                    name: read(table.limits[name], _Places(self, ("limits", name)))
                    for name, read in SESSION_LIMITS.items()
                    if name in table.limits
                }
            ),
            keep_descriptors=self.descriptors(table.descriptors.keep),
            restrict=table.restrict,
            network=table.network,
        )

    def rule(self, way: Key, text: str) -> Rule:
        """One rule, its places those of the characters in the file, whatever escapes stand before them."""
        try:
            # columns from 1 are offsets here
            rule = parse_rule(text, Source(self.file, 1, 1))
        except PolicyError as error:
            raise self.moved(error, way) from None
        return replace(
            rule,
            source=self.inside(way, rule.source.column - 1),
            pattern_source=self.inside(way, rule.pattern_source.column - 1),
        )

    def moved(self, error: PolicyError, way: Key) -> PolicyError:
        """*error*, whose column is an offset into the string at *way*, at its place in the file."""
        offset = error.source.column - 1 if error.source else 0
        return PolicyError(error.message, self.inside(way, offset), error.hint)

    def variable(self, name: str, value: str) -> Variable:
        """One of `[variables]`."""
        if not NAME.fullmatch(name):
            hint = "letters, digits, '_' and '-', the first a letter"
            raise PolicyError(f"'{name}' is no name for a variable", self.key("variables", name), hint)
        if name in BUILTIN:
            hint = f"choose another name, or give it on the command line: --set {name}={value}"
            raise PolicyError(f"'{name}' is a built-in variable", self.key("variables", name), hint)
        return Variable(name, value, self.value("variables", name))

    def environment(self, table: EnvironmentTable) -> Environment:
        """`[environment]`."""
        for key, globs in (("pass", table.pass_), ("drop", table.drop)):
            for number, text in enumerate(globs):
                way: Key = ("environment", key, number)
                if not text or "/" in text or "=" in text:
                    message = f"'{text}' is no glob on the name of an environment variable"
                    raise PolicyError(message, self.value(*way), "as in 'AWS_*'")
                try:
                    NameGlob(text, Source(self.file, 1, 1))
                except PolicyError as error:
                    raise self.moved(error, way) from None
        settings = []
        for name, value in table.set.items():
            if not name or "=" in name or "\0" in name + value:
                place = self.key("environment", "set", name)
                raise PolicyError(f"'{name}' is no name of an environment variable", place)
            settings.append(Setting(name, value, self.value("environment", "set", name)))
        return Environment(tuple(table.pass_), tuple(table.drop), tuple(settings))

    def umask(self, text: str | None) -> int | None:
        """An octal mask."""
        if text is None:
            return None
        if not _UMASK.fullmatch(text):
            raise PolicyError(
                f"'{text}' is no umask", self.value("umask"), "write three octal digits, as in '022'"
            )
        return int(text, 8)

    def limit(self, name: str, value: object) -> tuple[int, int]:
        """One of `[limits]`."""
        if name not in LIMITS:
            known = (*LIMITS, *SESSION_LIMITS)
            hint = did_you_mean(name, known, f"limits are {', '.join(known)}")
            raise PolicyError(f"unknown limit '{name}'", self.key("limits", name), hint)
        return parse_limit(name, value, self.value("limits", name))

    def descriptors(self, keep: Iterable[int]) -> tuple[int, ...]:
        """`[descriptors]`."""
        for number, descriptor in enumerate(keep):
            if descriptor < 3:
                hint = "0, 1 and 2 always stay open" if descriptor >= 0 else "numbers from 3"
                place = self.value("descriptors", "keep", number)
                raise PolicyError(f"descriptor {descriptor} cannot be listed", place, hint)
        return tuple(sorted(set(keep)))

    def misfit(self, data: dict[str, Any]) -> PolicyError:
        """The error that stands first in the file, in our words."""
        from pydantic import ValidationError  # here: only a wrong profile needs it, and it takes its time

        from sydd.policy.model import ProfileModel

        try:
            ProfileModel.model_validate(data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
        else:
            raise AssertionError("the model takes what the tables do not")
        first = min(found, key=lambda item: self.places.key(item["loc"]))
        way = first["loc"]
        name = ".".join(str(part) for part in way if isinstance(part, str))
        kind = first["type"]
        if kind == "extra_forbidden":
            return self.unknown_key(way)
        value = first["input"]
        if kind == "literal_error" and isinstance(value, str):
            choices = CHOICES | NETWORK_CHOICES
            words = choices.get(str(way[-1]), tuple(mode.value for mode in Mode))
            hint = did_you_mean(value, words, "write " + " or ".join(f"'{word}'" for word in words))
            return PolicyError(f"unknown {name} '{value}'", self.value(*way), hint)
        wanted = _WANTED.get(kind, "something else")
        hint = ""
        if name == "umask":
            hint = "write it in quotes, octal, as in '022'"
        elif name == "rules" and isinstance(value, str):
            hint = 'write rules = ["…", "…"]'
        elif wanted == "a string" and isinstance(value, bool | int | float):
            hint = "write it in quotes"
        what = f"an item of '{name}'" if isinstance(way[-1], int) else f"'{name}'"
        return PolicyError(f"{what} takes {wanted}, not {_noun(value)}", self.value(*way), hint)

    def unknown_key(self, way: Key) -> PolicyError:
        """A key that no table has, or another table."""
        tables: dict[Key, list[str]] = {((name,) if name else ()): list(keys) for name, keys in KEYS.items()}
        word = str(way[-1])
        known = tables.get(way[:-1], [])
        hint = did_you_mean(word, known)
        if not hint:
            elsewhere = [name for name, keys in tables.items() if word in keys]
            if word in LIMITS or word in SESSION_LIMITS:
                hint = "it belongs in [limits]"
            elif elsewhere:
                hint = (
                    f"it belongs in [{elsewhere[0][0]}]"
                    if elsewhere[0]
                    else "it belongs above the first table"
                )
            else:
                hint = f"keys are {', '.join(known)}"
        table = f" in [{way[-2]}]" if len(way) > 1 else ""
        return PolicyError(f"unknown key '{word}'{table}", self.key(*way), hint)


@dataclass(frozen=True, slots=True)
class _Places:
    """The places of one key; see `sessionlimits.Places`."""

    reader: _Reader
    way: Key

    def source(self, *inside: int) -> Source:
        return self.reader.value(*self.way, *inside)

    def rule(self, number: int, text: str) -> Rule:
        return self.reader.rule((*self.way, number), text)


def _noun(value: object) -> str:
    """What TOML calls *value*."""
    for kind, noun in (
        (bool, f"the boolean {str(value).lower()}"),
        (int, f"the integer {value}"),
        (float, f"the number {value}"),
        (str, f"the string '{value}'"),
        (list, "an array"),
        (dict, "a table"),
    ):
        if isinstance(value, kind):
            return noun
    return f"'{value}'"


class _EverySet(dict[str, str]):
    """An environment in which every variable is set: it is only known at launch."""

    def __missing__(self, key: str) -> str:
        return ""


def to_policy(
    documents: Sequence[Document], sets: Mapping[str, str], extra_rules: Sequence[Rule] = ()
) -> Policy:
    """Merge profiles.

    Args:
        documents: parents first, the profile itself last.
        sets: variables of `--set`; they win over the profiles'.
        extra_rules: come after all others, so they win.

    Raises:
        PolicyError: unknown variables, variables that refer to themselves, a `--set` that nothing uses.
    """
    own = documents[-1]
    variables = [variable for document in documents for variable in document.variables]
    rules = (*(rule for document in documents for rule in document.rules), *extra_rules)
    settings = tuple(setting for document in documents for setting in document.environment.set)
    session_limits = SessionLimits()
    for document in documents:
        session_limits = document.session_limits.over(session_limits)
    texts = [(rule.pattern, rule.pattern_source) for rule in (*rules, *session_limits.ceiling)]
    texts += [(setting.value, setting.source) for setting in settings]
    texts += [(variable.value, variable.source) for variable in variables]
    usable = {*BUILTIN, *(variable.name for variable in variables)}
    used = {name for text, _ in texts for name in references(text)}
    for name, value in sets.items():
        if name not in usable | used:
            hint = did_you_mean(name, usable | used, f"variables are {', '.join(sorted(usable))}")
            raise PolicyError(f"'{own.name}' has no variable '{name}'", Source("--set"), hint)
        variables.append(Variable(name, value, Source("--set")))
    usable |= sets.keys()
    for text, source in texts:
        check_known(text, usable, source)
    resolve(variables, dict.fromkeys(BUILTIN, "/"), _EverySet())
    limits: dict[str, tuple[int, int]] = {}
    for document in documents:
        limits |= document.limits
    restrict, network = Restrict(), NetSettings()
    for document in documents:
        restrict = document.restrict.over(restrict)
        network = document.network.over(network)
    return Policy(
        name=own.name,
        description=own.description,
        mode=next((document.mode for document in reversed(documents) if document.mode), Mode.ENFORCE),
        rules=rules,
        environment=Environment(
            tuple(glob for document in documents for glob in document.environment.pass_),
            tuple(glob for document in documents for glob in document.environment.drop),
            settings,
        ),
        umask=next((item.umask for item in reversed(documents) if item.umask is not None), None),
        limits=tuple((name, *limits[name]) for name in sorted(limits)),
        session_limits=session_limits,
        keep_descriptors=tuple(sorted({number for item in documents for number in item.keep_descriptors})),
        restrict=restrict,
        network=network,
        sources=tuple(document.file for document in documents),
        variables=tuple(variables),
    )
