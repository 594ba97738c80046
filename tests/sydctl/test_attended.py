"""What sydctl hears of a session that the daemon supervises, and of one that it does not take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Self

import pytest

from sydctl.attended import SessionLostError, _Daemon
from sydd.client import NoSuchSession
from sydd.client.connection import CallError
from sydd.supervisor.journal import Journal


class Stream(Iterator[Any]):
    """A stream of a session that the daemon has not ended.

    Args:
        error: what comes of it; None for nothing, for ever.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.closed = threading.Event()

    def close(self) -> None:
        """End it."""
        self.closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> Any:
        if self._error is not None:
            raise self._error
        self.closed.wait()
        raise StopIteration


class Client:
    """A client of a daemon.

    Args:
        stream: what subscribers get.
        taken: whether a listener is taken.
    """

    def __init__(self, stream: Stream, *, taken: bool) -> None:
        self._stream = stream
        self._taken = taken
        self.asked = False

    def subscribe(self, session: str, *, position: int) -> Stream:
        """As that of `sydd.client.Client`, as everything here."""
        del session, position
        self.asked = True
        return self._stream

    def attach(self, session: str, listener: int, pid: int) -> None:
        """Hand a listener over."""
        del listener, pid
        if not self._taken:
            raise NoSuchSession(session)

    def close(self) -> None:
        """Close the connection."""


def followers() -> Sequence[threading.Thread]:
    """The threads that listen."""
    return [thread for thread in threading.enumerate() if thread.name == "sydctl-events"]


def listener() -> int:
    """Something to be handed over."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def test_nothing_of_a_session_that_is_not_taken_goes_on() -> None:
    """Neither a thread nor a connection: another session is begun in its place."""
    stream, journal = Stream(), Journal()
    client = Client(stream, taken=False)
    daemon = _Daemon(client, "one", journal)  # type: ignore[arg-type]  # as much as it calls
    try:
        with pytest.raises(SessionLostError):
            daemon.serve(listener(), os.getpid())
        assert followers() == []
        assert not client.asked
        assert journal.lost == ""
    finally:
        stream.close()


def test_what_the_thread_cannot_hear_is_told() -> None:
    """Whatever goes wrong there: else nothing would have been denied."""
    journal, stream = Journal(), Stream(CallError("org.other.Error", {}))
    daemon = _Daemon(Client(stream, taken=True), "one", journal)  # type: ignore[arg-type]  # as much as it calls
    daemon.serve(listener(), os.getpid())
    daemon.close()
    assert followers() == []
    assert journal.lost == "the daemon does not tell what happens: sydd answered with org.other.Error"
