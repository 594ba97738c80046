"""What processes of a session write down for one another, read with nothing in it but what they write.

A pickle says by name what is to be called, and who writes one may name anything. Who prepares a session has
no capability, and a worker has one: so what is read here makes values of policies and plans alone.
"""

from __future__ import annotations

import functools
import importlib
import operator
import pickle
import re
from enum import Enum, EnumMeta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import BinaryIO

_PACKAGES: Final = ("sydd.policy.", "sydd.plan.", "sydd.syscalls.")
"""Packages all of whose classes are values."""

_OTHERS: Final = frozenset(
    {
        ("sydd.daemon.precedent", "Precedent"),
        ("sydd.daemon.preparing", "State"),
        ("sydd.kernel.landlock", "FsRight"),
        ("sydd.policy.glob", "path_glob"),
        ("sydd.profiles.store", "Read"),
        ("sydd.session.launching", "Grant"),
        ("sydd.session.launching", "LaunchSpec"),
        ("sydd.session.launching", "Ruleset"),
        ("sydd.session.prepare", "Place"),
        ("sydd.session.prepare", "Prepared"),
        ("re", "_compile"),  # as which patterns are pickled
    }
)
"""What else may be named."""


def _attribute(owner: object, name: str) -> object:
    """What members of enumerations and matching functions of patterns are pickled as, for nothing else."""
    if isinstance(owner, EnumMeta) and name in owner.__members__:
        return owner.__members__[name]
    if isinstance(owner, re.Pattern) and name == "fullmatch":
        return owner.fullmatch
    raise pickle.UnpicklingError(f"{name!r} of {type(owner).__name__} is nothing that is written down")


@functools.cache
def _named(module: str, name: str) -> object:
    """What a pickle names.

    Raises:
        pickle.UnpicklingError: it is no value, and makes none.
    """
    if (module, name) == ("builtins", "getattr"):
        return _attribute
    if (module, name) == ("_operator", "or_"):
        return operator.or_
    listed = (module, name) in _OTHERS
    if listed or module == "socket" or module.startswith(_PACKAGES):
        found = getattr(importlib.import_module(module), name, None)
        own = isinstance(found, type) and found.__module__ == module != "socket"
        if listed or own or isinstance(found, Enum):
            return found
    raise pickle.UnpicklingError(f"{module}.{name} is nothing that is written down")


class _Values(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """See pickle.Unpickler."""
        return _named(module, name)


def load(file: BinaryIO) -> Any:
    """The next value that was pickled.

    Args:
        file: where it begins; then it is where it ends.

    Raises:
        pickle.UnpicklingError: it is something else, or names what is no value.
    """
    return _Values(file).load()
