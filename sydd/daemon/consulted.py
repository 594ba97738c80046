"""An environment that remembers what it was asked for: by that a session is as another one, or is not."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping


class Consulted(Mapping[str, str]):
    """An environment.

    Args:
        environment: its variables.

    Attributes:
        seen: what it was asked for by name; None for what is not set.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.seen: dict[str, str | None] = {}

    def __getitem__(self, name: str) -> str:
        """The value of a variable, which counts from now on."""
        self.seen[name] = self._environment.get(name)
        return self._environment[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._environment)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._environment)

    def items(self) -> ItemsView[str, str]:
        """All of it, which counts for nothing: whoever passes it on does so anew for each session."""
        return self._environment.items()
