"""The rule that would allow what was denied, for events and `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sydd.policy.access import Access, names
from sydd.policy.glob import escape, is_below
from sydd.policy.rule import quote

if TYPE_CHECKING:
    from sydd.policy.address import Address

_NAMELESS: Final = "{,}"
"""The pattern of the abstract socket whose name is empty: nothing, or nothing."""

_PREFERRED: Final = ("tmp", "cwd", "home")
"""Variables that say more than a path, the most particular first: of equally long ones the first is taken."""


def allowing_rule(access: Access, path: str, variables: Mapping[str, str]) -> str:
    """The line to add to a profile so that *access* to *path* alone is allowed.

    Args:
        access: what was denied.
        path: canonical.
        variables: the session's; of these cwd, home and tmp are put where the path lies at or below them.

    Returns:
        A rule about the path itself, never about what is beside or below it. What no profile can hold (bytes
        that are not UTF-8, control characters) becomes `?`.
    """
    return f"allow {names(access)} {quote(_path_pattern(path, variables))}"


def allowing_address_rule(access: Access, address: Address, variables: Mapping[str, str]) -> str:
    """The line to add to a profile so that *access* to *address* alone is allowed.

    Args:
        access: what was denied, of CONNECT, BIND and SEND.
        address: what the call named; a socket's path is canonical.
        variables: see `allowing_rule`.

    Returns:
        A rule about this address and port; about the family where no rule can say more. Empty for NOBODY,
        which needs none.
    """
    from sydd.policy.address import AddressKind  # here: most sessions judge no address

    if address.kind is AddressKind.NOBODY:
        return ""
    if address.kind is AddressKind.UNIX:
        pattern = "unix:" + _path_pattern(address.name, variables)
    elif address.kind is AddressKind.ABSTRACT:
        pattern = "@" + (_writable(escape(address.name)) or _NAMELESS)
    else:
        pattern = str(address.meant(Access.BIND if access & Access.BIND else access))
    return f"allow {names(access)} {quote(pattern)}"


def _path_pattern(path: str, variables: Mapping[str, str]) -> str:
    """The pattern that matches *path*, with a variable where one fits."""
    best = ""
    value = ""
    for name in _PREFERRED:
        candidate = variables.get(name, "").rstrip("/")
        if candidate.startswith("/") and is_below(path, candidate) and len(candidate) > len(value):
            best, value = f"${{{name}}}", candidate
    return best + _writable(escape(path[len(value) :]))


def _writable(text: str) -> str:
    """*text* with `?` for what no profile can hold."""
    return "".join("?" if _unwritable(char) else char for char in text)


def _unwritable(char: str) -> bool:
    """Whether a TOML file, or a line on a terminal, cannot hold *char*."""
    return char < " " or "\x7f" <= char < "\xa0" or "\ud800" <= char <= "\udfff" or char in "\u2028\u2029"
