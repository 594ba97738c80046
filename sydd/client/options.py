"""What a client may say of a new session besides its profile and its command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from sydd.wire.values import Engine, Mode


class SessionOptions(TypedDict, total=False):
    """Keyword arguments of `Client.create_session` and `Client.run`; each may be missing.

    Attributes:
        directory: the command's; None, as without it, for this process's.
        environment: the command's before the profile changes it; None for this process's.
        rules: further ones, after the profile's.
        sets: values of the profile's variables.
        mode: None for the profile's own.
        engine: None for the strongest that there is.
        terminals: names below /dev/pts of those that the session has from the beginning.
        label: what to call the session in lists.
        umask: the command's; None for 022.
    """

    directory: str | None
    environment: Mapping[str, str] | None
    rules: Sequence[str]
    sets: Mapping[str, str] | None
    mode: Mode | None
    engine: Engine | None
    terminals: Sequence[str]
    label: str
    umask: int | None
