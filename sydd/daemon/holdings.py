"""The descriptors of one session that main holds, each also with the service manager where there is one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from sydd.daemon.store import Store
from sydd.kernel.fd import FileDescriptor

PLANNED = 16
"""Descriptors that a session takes at most, for quotas: these, channels, and what is under way."""


class Holdings:
    """Descriptors by kind; see `store` for the kinds.

    Args:
        session: the session's name.
        store: where they outlive this process.
        held: those that an earlier daemon left there; now the object's.
    """

    def __init__(self, session: str, store: Store, held: Mapping[str, FileDescriptor] | None = None) -> None:
        self._session = session
        self._store = store
        self._held = dict(held or {})
        if held:
            store.adopt(session, held)

    def put(self, kind: str, fd: FileDescriptor) -> None:
        """Hold one, in the place of another one of its kind.

        Args:
            kind: what it is.
            fd: now the object's, also when it cannot be stored.

        Raises:
            OSError: the manager does not take it.
        """
        before = self._held.pop(kind, None)
        if before is not None:
            before.close()
        self._held[kind] = fd
        self._store.put(self._session, kind, fd.fileno())

    def has(self, kind: str) -> bool:
        """Whether there is one of a kind."""
        return kind in self._held

    def fileno(self, kind: str) -> int:
        """The number of one, still held; -1 where there is none."""
        return self._held[kind].fileno() if kind in self._held else -1

    def take(self, kind: str) -> FileDescriptor | None:
        """Hand one over to the caller; the manager keeps its duplicate."""
        return self._held.pop(kind, None)

    def drop(self, kind: str) -> None:
        """Close one, if it is there; the manager's duplicate goes, too."""
        held = self._held.pop(kind, None)
        if held is not None:
            held.close()
        with contextlib.suppress(OSError):
            self._store.remove_kind(self._session, kind)

    def leave(self) -> None:
        """Close all; the manager keeps its duplicates."""
        for fd in self._held.values():
            fd.close()
        self._held.clear()

    def close(self) -> None:
        """Close all; the manager keeps nothing of the session any more."""
        self.leave()
        with contextlib.suppress(OSError):
            self._store.remove(self._session)


def duplicate(fd: int) -> FileDescriptor:
    """Another descriptor of the same open file, close-on-exec.

    Raises:
        OSError: EMFILE.
    """
    return FileDescriptor(os.dup(fd))
