"""The rule that would allow what was denied, for events and `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sydd.policy.access import Access, names
from sydd.policy.glob import escape, is_below
from sydd.policy.rule import quote

_PREFERRED: Final = ("tmp", "cwd", "home")
"""Variables that say more than a path, the most particular first: of equally long ones the first is taken."""


def allowing_rule(access: Access, path: str, variables: Mapping[str, str]) -> str:
    """The line to add to a profile so that *access* to *path* alone is allowed.

    Args:
        access: what was denied.
        path: canonical; or a network pattern if *access* is a network access.
        variables: the session's; of these cwd, home and tmp are put where the path lies at or below them.

    Returns:
        A rule about the path itself, never about what is beside or below it. What no profile can hold (bytes
        that are not UTF-8, control characters) becomes `?`.
    """
    if access & Access.NET:
        return f"allow {names(access)} {path}"
    best = ""
    value = ""
    for name in _PREFERRED:
        candidate = variables.get(name, "").rstrip("/")
        if candidate.startswith("/") and is_below(path, candidate) and len(candidate) > len(value):
            best, value = f"${{{name}}}", candidate
    rest = escape(path[len(value) :])
    writable = "".join("?" if _unwritable(char) else char for char in rest)
    return f"allow {names(access)} {quote(best + writable)}"


def _unwritable(char: str) -> bool:
    """Whether a TOML file, or a line on a terminal, cannot hold *char*."""
    return char < " " or "\x7f" <= char < "\xa0" or "\ud800" <= char <= "\udfff" or char in "\u2028\u2029"
