"""The precedents that main keeps for some seconds: of each kind of session those that have just ended.

What is in them is none of main's business: it hands them to processes of the user whose sessions left them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from sydd.daemon.spec import OWN_VARIABLES

if TYPE_CHECKING:
    from sydd.daemon.spec import SessionSpec
    from sydd.kernel.fd import FileDescriptor

KEPT: Final = 32
"""Precedents that are kept in all; the oldest go first."""

USERS: Final = 8
"""Those that are kept of one user."""

MOST: Final = 2 << 20
"""Bytes that one takes. What is longer, of directories with very many entries, is no quicker than a plan."""

SECONDS: Final = 10
"""How long one is kept: nothing of a session stays that has ended, but for the one that follows it."""


class Legacy(NamedTuple):
    """What a session leaves.

    Attributes:
        tmp: its private directory, which is gone.
        state: memfd of what its workers had to know.
        precedent: memfd for the one who prepares the next session.
    """

    tmp: str
    state: FileDescriptor
    precedent: FileDescriptor

    @property
    def size(self) -> int:
        """Bytes of both documents."""
        return sum(os.fstat(fd.fileno()).st_size for fd in (self.state, self.precedent))

    def close(self) -> None:
        """Close both; a second time is fine."""
        self.state.close()
        self.precedent.close()


class Precedents:
    """What ended sessions have left. Sessions at the same time have one each, or none."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._kept: OrderedDict[int, tuple[int, bytes, Legacy]] = OrderedDict()  # by age
        self._number = 0

    def take(self, spec: SessionSpec) -> Legacy | None:
        """The youngest of a session that was to be the same, now the caller's; None where there is none."""
        kind = _kind(spec)
        for number in reversed(self._kept):
            if self._kept[number][1] == kind:
                return self._kept.pop(number)[2]
        return None

    def give(self, spec: SessionSpec, legacy: Legacy) -> None:
        """Keep what a session has left that has ended.

        Args:
            spec: what it was to be.
            legacy: of it; now the object's.
        """
        owner = spec.identity.uid
        self._number += 1
        self._kept[self._number] = owner, _kind(spec), legacy
        own = [number for number, (uid, *_) in self._kept.items() if uid == owner]
        for number in own[:-USERS] or list(self._kept)[:-KEPT]:
            self._drop(number)
        self._loop.call_later(SECONDS, self._drop, self._number)

    def _drop(self, number: int) -> None:
        """Let go of one, if it is there."""
        if number in self._kept:
            self._kept.pop(number)[2].close()

    def close(self) -> None:
        """Close all."""
        for _, _, legacy in self._kept.values():
            legacy.close()
        self._kept.clear()


def _kind(spec: SessionSpec) -> bytes:
    """What two sessions share that were to be the same. A digest: rules and settings may hold secrets."""
    value = spec.as_json()
    del value["id"], value["label"]
    # Of the rest a precedent says what of it counts.
    value["environment"] = {
        name: spec.environment[name] for name in OWN_VARIABLES if name in spec.environment
    }
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("ascii")).digest()
