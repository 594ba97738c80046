"""A session's beginning, in whatever order its processes come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sydd.daemon.channel import Channel, document
from sydd.daemon.hub import Hub
from sydd.daemon.sessions import Session
from sydd.daemon.spec import Identity, SessionSpec
from sydd.daemon.store import Store
from sydd.daemon.systemd import Manager
from sydd.kernel.fd import FileDescriptor
from sydd.kernel.pidfd import pidfd_open


def test_a_session_that_is_prepared_before_there_is_a_worker() -> None:
    """The fork of a worker may take longer than all that its session's preparer has to do."""
    spec = SessionSpec(
        id="quick",
        identity=Identity(os.getuid(), os.getgid(), (), "somebody", "/"),
        profile="build",
        sets={},
        rules=(),
        mode=None,
        engine=None,
        directory="/",
        environment={},
    )

    async def heard() -> list[str]:
        sides: dict[str, Channel] = {}

        async def fork(
            order: Mapping[str, Any], _: SessionSpec, descriptors: Sequence[int]
        ) -> tuple[int, FileDescriptor]:
            """Both sides are played here."""
            sides[order["type"]] = Channel.of(os.dup(descriptors[0]))
            if order["type"] == "serve":
                launch, state = document("launch", b"{}"), document("state", b"{}")
                sides["prepare"].send({"type": "prepared"}, [launch])
                sides["prepare"].send({"type": "state"}, [state])
                os.close(launch)
                os.close(state)
                while not session._held.has("state"):  # noqa: ASYNC110  # a session has no event for it
                    await asyncio.sleep(0)
            return os.getpid(), FileDescriptor(pidfd_open(os.getpid()))

        session = Session(spec, Hub(), Store(Manager("")), fork, None, lambda _: None)
        with FileDescriptor(pidfd_open(os.getpid())) as creator:
            launch = await session.prepare(creator.fileno())
        assert launch is not None
        launch.close()
        told = []
        for _ in ("begin", "state"):
            received = sides["serve"].receive()
            assert received is not None
            message, descriptors = received
            descriptors.close()
            told.append(message["type"])
        session.leave()
        for side in sides.values():
            side.close()
        return told

    assert asyncio.run(heard()) == ["begin", "state"]
