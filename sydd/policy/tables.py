"""The tables of a profile, and a quick look whether a document has their shape.

The pydantic models in `model.py` say what a profile may hold, and what is wrong with one that does not
fit. Importing and building them takes longer than everything else at the start of a session together. A
profile that fits, as nearly every one does, is recognised here by its shape alone; a test holds both to
the same answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sydd.policy.netsettings import NETWORK_CHOICES, NetSettings
from sydd.policy.restrict import CHOICES, Restrict


@dataclass(frozen=True, slots=True)
class EnvironmentTable:
    """`[environment]`."""

    pass_: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    set: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DescriptorsTable:
    """`[descriptors]`."""

    keep: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ProfileTable:
    """The whole file."""

    name: str = ""
    description: str = ""
    extends: list[str] = field(default_factory=list)
    mode: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)
    environment: EnvironmentTable = field(default_factory=EnvironmentTable)
    umask: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    descriptors: DescriptorsTable = field(default_factory=DescriptorsTable)
    restrict: Restrict = field(default_factory=Restrict)
    network: NetSettings = field(default_factory=NetSettings)


def _text(value: object) -> bool:
    return type(value) is str


def _texts(value: object) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def _named_texts(value: object) -> bool:
    return type(value) is dict and all(type(item) is str for item in value.values())


def _numbers(value: object) -> bool:
    return type(value) is list and all(type(item) is int for item in value)


def _flag(value: object) -> bool:
    return type(value) is bool


def _table(value: object) -> bool:
    return type(value) is dict


def _mode(value: object) -> bool:
    return value in ("enforce", "audit")


_PROFILE = {
    "name": _text,
    "description": _text,
    "extends": _texts,
    "mode": _mode,
    "variables": _named_texts,
    "rules": _texts,
    "environment": _table,
    "umask": _text,
    "limits": _table,
    "descriptors": _table,
    "restrict": _table,
    "network": _table,
}
_ENVIRONMENT = {"pass": _texts, "drop": _texts, "set": _named_texts}
_DESCRIPTORS = {"keep": _numbers}


def _one_of(words: tuple[str, ...]) -> Callable[[object], bool]:
    return lambda value: type(value) is str and value in words


_RESTRICT = {key: _one_of(words) for key, words in CHOICES.items()}
_NETWORK = {"follow_bind": _flag, **{key: _one_of(words) for key, words in NETWORK_CHOICES.items()}}

KEYS: dict[str, tuple[str, ...]] = {
    "": tuple(_PROFILE),
    "environment": tuple(_ENVIRONMENT),
    "descriptors": tuple(_DESCRIPTORS),
    "restrict": tuple(_RESTRICT),
    "network": tuple(_NETWORK),
}
"""The keys of each table."""


def read_tables(data: dict[str, Any]) -> ProfileTable | None:
    """The tables in *data*; None when something does not fit.

    Args:
        data: what tomllib made of a file, `extends` already a list.
    """
    environment = data.get("environment", {})
    descriptors = data.get("descriptors", {})
    restrict = data.get("restrict", {})
    network = data.get("network", {})
    for values, shape in (
        (data, _PROFILE),
        (environment, _ENVIRONMENT),
        (descriptors, _DESCRIPTORS),
        (restrict, _RESTRICT),
        (network, _NETWORK),
    ):
        if type(values) is not dict:
            return None
        for key, value in values.items():
            fits = shape.get(key)
            if fits is None or not fits(value):
                return None
    environment = {("pass_" if key == "pass" else key): value for key, value in environment.items()}
    return ProfileTable(
        **{
            **data,
            "environment": EnvironmentTable(**environment),
            "descriptors": DescriptorsTable(**descriptors),
            "restrict": Restrict(**restrict),
            "network": NetSettings(**network),
        }
    )
