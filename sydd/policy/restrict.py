"""What a profile says about calls that no path rule speaks of: the table `[restrict]`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "ptrace": ("session", "deny"),
    "user_namespaces": ("deny", "allow"),
    "setuid_bits": ("allow", "deny"),
    "ipc": ("session", "deny", "allow"),
}
"""The keys and what each can say; the first holds where no profile says anything."""


@dataclass(frozen=True, slots=True)
class Restrict:
    """`[restrict]`. None: nothing was said.

    Attributes:
        ptrace: whether processes of the session may trace each other, and read each other's memory.
        user_namespaces: whether it may make user namespaces, and in them others.
        setuid_bits: whether files may be made setuid or setgid.
        ipc: System V IPC, and POSIX message queues: the session's own objects, none, or all of the user's.
    """

    ptrace: str | None = None
    user_namespaces: str | None = None
    setuid_bits: str | None = None
    ipc: str | None = None

    def says(self, key: str) -> str:
        """The word for *key* that holds."""
        return getattr(self, key) or CHOICES[key][0]

    def over(self, parent: Restrict) -> Restrict:
        """This table where it says something, else what *parent* says."""
        said = {field.name: value for field in fields(self) if (value := getattr(self, field.name))}
        return replace(parent, **said)
