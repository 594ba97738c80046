"""The acts: each runs alone, in a directory of its own, and says what it saw. `all_acts` has them by name.

Nothing here knows of sydd. Only the standard library is imported, since the same text runs natively and in a
session. What differs from run to run (process ids, times of now, inode numbers) is not said.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable

MODULES = (
    "opens",
    "names",
    "metadata",
    "descriptors",
    "content",
    "signals",
    "processes",
    "sockets",
    "programs",
)
AS_ROOT = ("identities",)
"""Modules whose acts need root: they change who they are."""


def all_acts(modules: tuple[str, ...] = MODULES + AS_ROOT) -> dict[str, Callable[[], None]]:
    """Every public function of the modules of acts, as "module.function"."""
    found: dict[str, Callable[[], None]] = {}
    for name in modules:
        module = importlib.import_module(f"{__name__}.{name}")
        for function, value in inspect.getmembers(module, inspect.isfunction):
            if value.__module__ == module.__name__ and not function.startswith("_"):
                found[f"{name}.{function}"] = value
    return found
