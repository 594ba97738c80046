"""What a profile says about the network beside its rules: the table `[network]`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class NetSettings:
    """`[network]`. None: nothing was said.

    Attributes:
        follow_bind: whether processes of the session may connect to what a socket of the session is bound
            to, whatever the rules say, for as long as that socket is open.
    """

    follow_bind: bool | None = None

    def over(self, parent: NetSettings) -> NetSettings:
        """This table where it says something, else what *parent* says."""
        said = {
            field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None
        }
        return replace(parent, **said)
