"""What a profile says about the network beside its rules: the table `[network]`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

NETWORK_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "namespace": ("host", "private"),
}
"""The keys that take a word, and what each can say; the first holds where no profile says anything."""


@dataclass(frozen=True, slots=True)
class NetSettings:
    """`[network]`. None: nothing was said.

    Attributes:
        namespace: whether the command has the caller's network, or one of its own with nothing but loopback.
        follow_bind: whether processes of the session may connect to what a socket of the session is bound
            to, whatever the rules say, for as long as that socket is open.
    """

    namespace: str | None = None
    follow_bind: bool | None = None

    @property
    def private(self) -> bool:
        """Whether the command has a network of its own."""
        return self.namespace == "private"

    def over(self, parent: NetSettings) -> NetSettings:
        """This table where it says something, else what *parent* says."""
        said = {
            field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None
        }
        return replace(parent, **said)
