"""A session's beginning, in whatever order its processes come."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sydd.daemon import rehearsal
from sydd.daemon.blank import Blank, Kind
from sydd.daemon.channel import Channel, document
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.hub import Hub
from sydd.daemon.sessions import Session
from sydd.daemon.spec import Identity, SessionSpec
from sydd.daemon.store import Store
from sydd.daemon.systemd import Manager
from sydd.kernel.fd import FdSet, FileDescriptor
from sydd.kernel.pidfd import pidfd_open

SPEC = replace(
    rehearsal.SPEC,
    id="quick",
    identity=Identity(os.getuid(), os.getgid(), (), "somebody", "/"),
    directory="/",
)


async def begin(prepare: Callable[[Channel], None], until: Callable[[Session], bool]) -> list[str]:
    """What a worker is told whose fork takes longer than all that the preparer has to do.

    Args:
        prepare: plays the preparer.
        until: whether main has heard all of it.
    """
    sides: dict[str, Channel] = {}

    class Slow:
        async def fork(
            self, order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]
        ) -> tuple[int, FileDescriptor]:
            raise AssertionError("nobody is replaced")

        async def blank(self, kind: Kind) -> Blank:
            ours, theirs = Channel.pair()
            sides[kind] = theirs
            if kind is Kind.WORKER:
                _take(sides[Kind.PREPARER])  # that it may begin
                prepare(sides[Kind.PREPARER])
                sides[Kind.PREPARER].close()
                while not until(session):  # noqa: ASYNC110  # a session has no event for it
                    await asyncio.sleep(0)
                for _turn in range(100):  # whatever main makes of it
                    await asyncio.sleep(0)
            # Nobody is behind it: what there is has ended before anybody would end it.
            ended.append(subprocess.Popen(["true"]))  # noqa: ASYNC220  # it does not take long
            return Blank(ended[-1].pid, FdSet([ours.detach()]))

    ended: list[subprocess.Popen[bytes]] = []
    session = Session(SPEC, Hub(), Store(Manager("")), Slow(), None, lambda _: None)
    try:
        with FileDescriptor(pidfd_open(os.getpid())) as creator:
            launch = await session.prepare(creator.fileno())
        assert launch is not None
        launch.close()
        return [_take(sides[Kind.WORKER]) for _ in ("be", "state")]
    finally:
        session.leave()
        for side in sides.values():
            side.close()
        for process in ended:
            process.wait()


def _take(channel: Channel) -> str:
    """What comes next; what comes with it is closed."""
    received = channel.receive()
    assert received is not None
    message, descriptors = received
    descriptors.close()
    return str(message["type"])


def test_a_session_that_is_prepared_before_there_is_a_worker() -> None:
    """The worker is given the state then."""

    def prepare(channel: Channel) -> None:
        for kind in ("prepared", "state"):
            held = document(kind, b"{}")
            channel.send({"type": kind}, [held])
            os.close(held)

    assert asyncio.run(begin(prepare, lambda session: session._held.has("state"))) == ["be", "state"]


def test_a_session_that_fails_before_there_is_a_worker() -> None:
    """Who waits hears why, and not that the preparer has ended."""

    def prepare(channel: Channel) -> None:
        channel.send({"type": "failed", "kind": "policy", "message": "no profile"})

    def has_ended(session: Session) -> bool:
        return session._preparing is None or session._preparing.ended

    with pytest.raises(SessionFailedError, match="no profile"):
        asyncio.run(begin(prepare, has_ended))
