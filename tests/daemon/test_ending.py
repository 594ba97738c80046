"""A session's end, whose worker has had its last word and takes its time to exit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sydd.daemon import rehearsal
from sydd.daemon.blank import Blank, Kind
from sydd.daemon.channel import Channel, document
from sydd.daemon.config import LimitsTable
from sydd.daemon.hub import REMEMBERED_BYTES, Hub
from sydd.daemon.precedents import Legacy
from sydd.daemon.quota import Quota, QuotaExceededError
from sydd.daemon.registry import Registry
from sydd.daemon.sessions import Session
from sydd.daemon.spec import Identity, SessionSpec
from sydd.daemon.store import Store
from sydd.daemon.systemd import Manager
from sydd.kernel.fd import FdSet, FileDescriptor
from sydd.kernel.pidfd import pidfd_open
from tests.support.daemon import Daemon

SPEC = replace(
    rehearsal.SPEC,
    id="one",
    identity=Identity(os.getuid(), os.getgid(), (), "somebody", "/"),
    directory="/",
)

SECONDS = 20


class Forker:
    """Forks nobody: processes that do nothing, in whose place a test speaks."""

    def __init__(self) -> None:
        self.sides: dict[Kind, Channel] = {}
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def worker(self) -> subprocess.Popen[bytes]:
        """The last session's."""
        return self.processes[-1]

    async def fork(
        self, order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]
    ) -> tuple[int, FileDescriptor]:
        """See `spawn.Forker`."""
        raise AssertionError("nobody is replaced")

    async def blank(self, kind: Kind) -> Blank:
        """See `spawn.Forker`; who prepares a session has done so at once."""
        if kind in self.sides:
            self.sides[kind].close()
        ours, self.sides[kind] = Channel.pair()
        self.processes.append(subprocess.Popen(["sleep", "60"]))  # noqa: ASYNC220  # it does not take long
        if kind is Kind.PREPARER:
            for name in ("prepared", "state"):
                with FileDescriptor(document(name, b"{}")) as held:
                    self.sides[kind].send({"type": name}, [held.fileno()])
        return Blank(self.processes[-1].pid, FdSet([ours.detach()]))

    def close(self) -> None:
        """End who plays."""
        for side in self.sides.values():
            side.close()
        for process in self.processes:
            process.kill()
            process.wait()


@contextlib.asynccontextmanager
async def play(number: int) -> AsyncIterator[tuple[Forker, Registry, Hub, Session]]:
    """A session that is prepared, of a user who may have so many."""
    forker, hub = Forker(), Hub()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sydd.daemon.registry.Zygote", lambda: forker)
        registry = Registry(hub, Store(Manager("")), Quota(LimitsTable(sessions=number)))
    try:
        yield forker, registry, hub, await create(registry, SPEC)
    finally:
        registry.leave_all()
        registry.close()


async def create(registry: Registry, spec: SessionSpec) -> Session:
    """Begin another session."""
    with FileDescriptor(pidfd_open(os.getpid())) as own:
        session, launch = await registry.create(spec, ["true"], own.fileno())
    launch.close()
    return session


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; main has no event for it."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_who_asked_for_it_has_gone() -> None:
    """The end goes on where the call is cancelled that it is a part of."""

    async def attach() -> None:
        reader, writer = map(FileDescriptor, os.pipe())
        writer.close()  # as of a listener whose last process has gone
        async with play(1) as (forker, registry, hub, session):
            with reader, FileDescriptor(pidfd_open(os.getpid())) as own:
                pid, handle = forker.processes[0].pid, own.fileno()
                attaching = asyncio.create_task(session.attach(reader.fileno(), pid, handle, pid, handle))
                channel = forker.sides[Kind.WORKER]
                channel.send({"type": "failed", "kind": "setup", "message": "no"})
                channel.send({"type": "ended", "left": False})
                await until(lambda: session.state.phase == "ended")
                attaching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await attaching
            assert not session.done.is_set()
            forker.worker.kill()
            async with asyncio.timeout(SECONDS):
                await session.done.wait()
            told = [record.kind for record in hub.remembered(owner=SPEC.identity.uid, session=SPEC.id)]
            assert told.count("ended") == 1
            await create(registry, replace(SPEC, id="two"))  # there is room

    asyncio.run(attach())


def _last_word(work: Callable[[Forker, Registry, Session], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        async with play(1) as (forker, registry, _, session):
            forker.sides[Kind.WORKER].send({"type": "ended", "left": False})
            await until(lambda: session.state.phase == "ended")
            assert not session.done.is_set()
            await work(forker, registry, session)

    asyncio.run(go())


def test_it_is_in_the_list() -> None:
    """Of those that have ended, from when that was told, and once."""

    async def look(forker: Forker, registry: Registry, session: Session) -> None:
        assert (registry.living(), registry.ended()) == ([], [session])
        forker.worker.kill()
        async with asyncio.timeout(SECONDS):
            await session.done.wait()
        assert (registry.living(), registry.ended()) == ([], [session])

    _last_word(look)


def test_what_it_leaves_is_there_with_its_end() -> None:
    """Who hears of the end may begin the next one, which goes by what this one has left."""

    async def go() -> None:
        async with play(2) as (forker, registry, _, session):
            state, precedent = (FileDescriptor(document(name, b"")) for name in ("state", "precedent"))
            left = session.legacy = Legacy("", state, precedent)
            forker.sides[Kind.WORKER].send({"type": "ended", "left": False})
            await until(lambda: session.state.phase == "ended")
            assert not session.done.is_set()
            second = await create(registry, replace(SPEC, id="two"))
            assert second.legacy is left

    asyncio.run(go())


def test_the_next_one_waits_for_room() -> None:
    """Who may have one session has the next one, as soon as nothing is left of the last one."""

    async def go_on(forker: Forker, registry: Registry, session: Session) -> None:
        last = forker.worker
        begun = asyncio.create_task(create(registry, replace(SPEC, id="two")))
        await asyncio.sleep(0)
        assert not begun.done()
        last.kill()
        async with asyncio.timeout(SECONDS):
            second = await begun
        assert registry.living() == [second]
        assert registry.ended() == [session]
        with pytest.raises(QuotaExceededError):
            await create(registry, replace(SPEC, id="three"))

    _last_word(go_on)


def test_nothing_begins_that_waits_where_the_daemon_stops() -> None:
    """As nothing else does."""

    async def stop(forker: Forker, registry: Registry, _: Session) -> None:
        begun = asyncio.create_task(create(registry, replace(SPEC, id="two")))
        await asyncio.sleep(0)
        registry.refuse("the daemon is about to stop")
        forker.worker.kill()
        with pytest.raises(Exception, match="about to stop"):
            await begun

    _last_word(stop)


@pytest.mark.slow
def test_it_is_told_whatever_others_have_pushed_out(daemon: Daemon) -> None:
    """Of a daemon that has had many sessions of a user the next one is heard as the first one was."""
    with daemon.client() as client:

        def run(*words: str) -> list[str]:
            with (
                client.run("build", ["true", *words], descriptors=[0, 1, 2], directory="/") as process,
                client.subscribe(process.session, position=0) as stream,
            ):
                return [notice["kind"] for notice in stream]

        first = run()
        for _ in range(REMEMBERED_BYTES // 200_000 + 1):
            run("x" * 100_000, "x" * 100_000)  # what is started is told
        assert run() == first == ["created", "started", "ended"]
