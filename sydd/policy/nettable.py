"""What a profile says about the network as a whole, beside its rules: the table `[network]`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

NETWORK_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "namespace": ("host", "private"),
}
"""The keys that take a word, and what each can say; the first holds where no profile says anything."""


@dataclass(frozen=True, slots=True)
class Network:
    """`[network]`. None: nothing was said.

    Attributes:
        namespace: whether the command has the caller's network, or one of its own with nothing but loopback.
    """

    namespace: str | None = None

    def says(self, key: str) -> str:
        """The word for *key* that holds."""
        return getattr(self, key) or NETWORK_CHOICES[key][0]

    def over(self, parent: Network) -> Network:
        """This table where it says something, else what *parent* says."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(parent, **{name: value for name, value in said.items() if value is not None})
