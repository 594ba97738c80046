"""What a session is to be: plain values that can be sent and kept."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


OWN_VARIABLES = ("HOME", "XDG_CONFIG_HOME", "TMPDIR")
"""Variables of the owner by which profiles and temporary directories are looked for."""


def private_places(named: str) -> list[str]:
    """Where private directories are made, canonical: in the first that has room; as their owner sees it.

    Python's own search tries each place by a file, which stays where the process is killed just then.

    Args:
        named: $TMPDIR; where that cannot be, it is /tmp, or /var/tmp.
    """
    places = (named, "/tmp", "/var/tmp")  # noqa: S108  # as tempfile has them
    usable = [place for place in places if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)]
    return [os.path.realpath(place) for place in usable or places[1:2]]


def private_prefix(session: str) -> str:
    """What the name of a session's private directory begins with."""
    return f"sydd-{session}-"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose a session is.

    Attributes:
        uid: user id.
        gid: primary group id.
        groups: supplementary groups.
        user: login name; the number where there is none.
        home: home directory, as the password database has it.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    user: str
    home: str

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Identity:
        """From what `as_json` gave.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(**{**value, "groups": tuple(value["groups"])})


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What a session is to be.

    Attributes:
        id: its name, unique for as long as the daemon's sessions are kept.
        identity: whose it is.
        profile: name of a profile, or the absolute path of its file.
        sets: values of the profile's variables, as `--set` gives them.
        rules: further rules, after the profile's own.
        mode: "enforce" or "audit" instead of the profile's own; None for that.
        engine: name of the engine; None for the strongest that there is.
        directory: the command's working directory, absolute.
        environment: the caller's environment; the profile says what of it the command gets.
        terminals: names of the terminals that the command has from the beginning.
        origin: "launch" when the caller starts the command, "run" when the daemon does.
        label: the caller's own word for the session.
        grouped: whether its processes get a control group, which holds its limits.
        umask: of a command that the daemon starts, where the profile does not say; None for the daemon's.
    """

    id: str
    identity: Identity
    profile: str
    sets: Mapping[str, str]
    rules: tuple[str, ...]
    mode: str | None
    engine: str | None
    directory: str
    environment: Mapping[str, str]
    terminals: tuple[str, ...] = ()
    origin: str = "launch"
    label: str = ""
    grouped: bool = False
    umask: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SessionSpec:
        """From what `as_json` gave.

        Raises:
            KeyError, TypeError: it is something else.
        """
        fields = dict(value)
        fields["identity"] = Identity.from_json(fields["identity"])
        for name in ("rules", "terminals"):
            fields[name] = tuple(fields[name])
        return cls(**fields)
