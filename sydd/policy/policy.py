"""A policy: what a profile and those that it extends come to, before a session binds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sydd.policy.errors import Source
from sydd.policy.netsettings import NetSettings
from sydd.policy.restrict import Restrict
from sydd.policy.rule import Rule
from sydd.policy.sessionlimits import SessionLimits
from sydd.policy.variables import Variable, substitute_value

LIMITS: Final = ("as", "core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "stack")
"""Resource limits that a profile may set: the names of setrlimit(2) without RLIMIT_, in lower case."""


class Mode(Enum):
    """Whether what is denied is stopped."""

    ENFORCE = "enforce"
    AUDIT = "audit"  # reported, let pass


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment variable that a profile sets; the value may refer to variables."""

    name: str
    value: str
    source: Source = field(default=Source(""), compare=False)


@dataclass(frozen=True, slots=True)
class Environment:
    """What of the environment reaches the command.

    Attributes:
        pass_: globs on names that are passed even though `drop` matches.
        drop: globs on names that are not passed. `*` makes `pass_` the whole list.
        set: set whatever else was said, later ones win.
    """

    pass_: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    set: tuple[Setting, ...] = ()

    def apply(self, environment: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
        """The command's environment.

        Args:
            environment: sydd's caller's.
            variables: every variable's value.

        Raises:
            PolicyError: a value refers to a variable that is unknown or unset.
        """
        from sydd.policy.glob import any_name

        passed, dropped = any_name(self.pass_), any_name(self.drop)
        result = {name: value for name, value in environment.items() if passed(name) or not dropped(name)}
        for setting in self.set:
            result[setting.name] = substitute_value(setting.value, variables, environment, setting.source)
        return result


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that a profile says, merged with what it extends.

    Attributes:
        name: the profile's.
        description: one line.
        mode: enforce or audit.
        rules: in the order that decides: parents' first.
        environment: what of the environment is passed, dropped, set.
        umask: file mode creation mask; None leaves the caller's.
        limits: name (see LIMITS), soft and hard limit; UNLIMITED for none.
        session_limits: what else `[limits]` says.
        keep_descriptors: inherited descriptors beyond 0, 1, 2 that stay open.
        sources: the files it was read from, parents first.
        restrict: what it says about calls that no path rule speaks of.
        network: what it says about the network as a whole.
        variables: what profiles and `--set` define; `variables.resolve` makes values of them.
    """

    name: str
    description: str = ""
    mode: Mode = Mode.ENFORCE
    rules: tuple[Rule, ...] = ()
    environment: Environment = Environment()
    umask: int | None = None
    limits: tuple[tuple[str, int, int], ...] = ()
    session_limits: SessionLimits = field(default=SessionLimits())
    keep_descriptors: tuple[int, ...] = ()
    restrict: Restrict = field(default=Restrict())
    network: NetSettings = field(default=NetSettings())
    sources: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
