"""The life of one session as main sees it: created, running, ended, and gone without a trace."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sydd.daemon.beginning import ATTACH, Beginning
from sydd.daemon.cgroups import Cgroups
from sydd.daemon.channel import Channel
from sydd.daemon.ending import collected_status, end_all
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.holdings import Holdings
from sydd.daemon.hub import Hub
from sydd.daemon.link import Link
from sydd.daemon.preparation import ENDED, LINGER
from sydd.daemon.spawn import Forker
from sydd.daemon.spec import SessionSpec
from sydd.daemon.state import State
from sydd.daemon.store import Info, Store
from sydd.kernel.fd import FileDescriptor

EXIT_FAILED = 125

FINISH = 2
"""Seconds that those who are not found may take to make a call, by which they are."""


class Session(Beginning):
    """One session.

    Args:
        spec: what it is to be.
        hub: where it tells what happens.
        store: where its descriptors outlive this process.
        forker: forks its processes.
        cgroups: where it gets a control group; None where there are none.
        on_end: called once, when it has ended and nothing of it is left.

    Attributes:
        on_told: called when its end is told: what it leaves for the next one can be had by who hears that.
    """

    def __init__(
        self,
        spec: SessionSpec,
        hub: Hub,
        store: Store,
        forker: Forker,
        cgroups: Cgroups | None,
        on_end: Callable[[Session], None],
    ) -> None:
        super().__init__(spec, hub, store, forker, cgroups)
        self.state.first = hub.position
        self._on_end = on_end
        self.on_told: Callable[[Session], None] = lambda _: None

    @classmethod
    def restored(
        cls,
        name: str,
        held: dict[str, FileDescriptor],
        hub: Hub,
        store: Store,
        forker: Forker,
        cgroups: Cgroups | None,
        on_end: Callable[[Session], None],
    ) -> Session:
        """A session of an earlier daemon.

        Args:
            name: of the session.
            held: descriptors by kind; now the session's, unless this raises.
            hub: as for the class; it has the records of the earlier daemon.
            store: as for the class.
            forker: as for the class.
            cgroups: as for the class.
            on_end: as for the class.

        Raises:
            KeyError, TypeError, ValueError, OSError: something is missing.
        """
        info = Info(held["info"].dup())
        try:
            session = cls(SessionSpec.from_json(info.spec["spec"]), hub, store, forker, cgroups, on_end)
            if session.spec.id != name:
                raise ValueError(f"it calls itself {session.spec.id}")
            session.state = State.from_json(info.state)
        except BaseException:
            info.close()
            raise
        session._info = info  # its own
        session._go_on(info.spec["about"], held)
        return session

    def _go_on(self, about: dict[str, Any], held: dict[str, FileDescriptor]) -> None:
        """Take over what an earlier daemon held."""
        self.about = about
        for record in self._hub.remembered(owner=self.spec.identity.uid, session=self.spec.id):
            if record.kind == "access":
                self.journal.add(record.data["event"], quiet=True)
        self._held = Holdings(self.spec.id, self._store, held)
        if self._info is not None and self._held.has("notes"):
            self.journal.catch_up(self._held.fileno("notes"), self._info.told)
        channel, keeper = self._held.take("channel"), self._held.take("keeper")
        if keeper is not None:
            self._keeper = Link(
                Channel.of(keeper.steal(), greeted=True), self._from_keeper, self._keeper_gone
            )
        if channel is not None:
            self._link = Link(Channel.of(channel.steal(), greeted=True), self._from_worker, self._worker_gone)
            self._link.post({"type": "questions"})
            self.agree()
        else:
            self._worker_gone("it was not kept")
        self.tell("restored", "a new main process has taken the session over")
        self._watch_parent()
        self.bounds.learn(about)
        self.bounds.adopt()
        if self._held.has("parent"):
            self._let_go()  # the earlier daemon may have come to an end before it did
        if self.state.phase == "running":
            self._watch_time()
            if not self.state.served:
                self._attach()  # the earlier daemon may have come to an end before it did
        if self.state.phase == "created":
            if self.spec.origin == "launch" and self._held.has("state"):
                self._inform()  # the earlier daemon may have come to an end before it did
                self._timer = self._loop.call_later(ATTACH, self._expire)
            else:
                self._spawn(self.end("the daemon was started anew before the command was"))

    def leave(self) -> None:
        """Close what this process has of it; it runs on, and the next daemon may go on with it."""
        self._ending = True
        self._stop_timer()
        self.bounds.forget_time()
        for link in (self._link, self._keeper, self._preparing, self._preparer):
            if link is not None:
                link.close()
        if self._info is not None:
            self._info.close()
        self._drop_precedent()
        self._beginners.close()
        self._held.leave()

    def forget(self) -> None:
        """Keep what a list of ended sessions shows, and nothing besides."""
        self._drop_precedent()
        self.journal.forget()
        self.spec = replace(self.spec, environment={}, sets={}, rules=(), terminals=())
        self.about = {name: self.about[name] for name in ("profile", "engine") if name in self.about}
        self.state.rules = []

    # What it is asked

    def set_rules(self, rules: list[dict[str, Any]]) -> None:
        """Remember the rules that were added; the worker has them already."""
        self.state.rules = rules
        self._save()

    def set_lock(self, lock: str) -> None:
        """Remember the lock, and tell it."""
        self.state.lock = lock
        self._save()
        self.tell("lock", f"the lock is {lock}", detail={"lock": lock})

    def set_mode(self, mode: str) -> None:
        """Remember the mode; the worker has it already."""
        self.state.mode = mode
        self._save()
        self.tell("mode", f"the mode is {mode}", detail={"mode": mode})

    async def signal(self, number: int) -> int:
        """Send a signal to every process; with SIGKILL until none is left.

        Returns:
            How many got it.
        """
        begun = bool(self.state.parent)
        if number != signal.SIGKILL:
            return self.members().signal(number) if begun else 0
        if self._keeper is not None:
            self._keeper.post({"type": "kill"})
        self.bounds.kill()
        reached = await end_all(self.members) if begun else 0
        self._finish()
        if self.state.phase == "created":
            await self.end("killed")
        self.tell("killed", f"processes killed: {reached}", count=reached)
        return reached

    # Its end

    async def _over(self) -> None:
        """Its last process has gone."""
        async with self._beginning:
            pass
        if self._keeper is not None and not self._keeper.ended:
            with contextlib.suppress(SessionFailedError):
                await self._wait_for("keeper", LINGER)
        if self.state.status is None and self._held.has("command"):
            handle = self._held.fileno("command")
            self.state.status = await collected_status(handle, lambda: self._lives("parent"))
        await self.end(self.state.failure)

    async def end(self, failure: str = "") -> None:
        """End it: its processes, its worker, and all that it leaves. Once it has begun, wait for it.

        Args:
            failure: why, when that is a failure of sydd.
        """
        if not self._ending:
            self._ending = True
            self._stop_timer()
            self.state.failure = failure
            # Not by who asks for it, whose call is cancelled where its client hangs up.
            self._spawn(self._end(failure))
        await self.done.wait()

    async def _end(self, failure: str) -> None:
        try:
            if failure:
                await self._end_processes()
            await self._end_preparer()
            await self._end_keeper()
            if not self._worker_done:
                await self._end_worker()
            if self._left:
                await self._remove_directory()
            await self.bounds.remove(LINGER)
        finally:
            await self._give_up()

    def _finish(self) -> bool:
        """Have the worker end who is left, when it makes a call; whether there is anybody, and a worker."""
        if self._link is None or self._link.ended or not self._is_served_for():
            return False
        self._link.post({"type": "finish"})
        return True

    async def _end_processes(self) -> None:
        if self._keeper is not None:
            self._keeper.post({"type": "kill"})
        self.bounds.kill()
        if self.state.parent and self._held.has("listener"):
            await end_all(self.members)
            if self._finish():
                await self._ends(self._held.fileno("worker"), FINISH)

    async def _end_worker(self) -> None:
        if self._link is not None:
            self._link.post({"type": "end"})
        await self._until_dead(self._held.fileno("worker"))

    async def _give_up(self) -> None:
        """Let go of everything and tell the end; a worker that has had its last word may still be exiting."""
        worker = self._held.take("worker")
        self._conclude()
        self.on_told(self)
        if worker is not None:
            with worker:
                await self._until_dead(worker.fileno())
        self.done.set()
        self._on_end(self)

    def _conclude(self) -> None:
        self.questions.close()
        for link in (self._link, self._keeper):
            if link is not None:
                link.close()
        self._link = None
        self._unwatch_parent()
        self._beginners.close()
        self._fail_waiting(SessionFailedError(self.state.failure or ENDED))
        if self._launch is not None:
            self._launch.close()
        if self._info is not None:
            self._info.close()
        self._held.close()
        self.state.ended = time.time()
        self.state.seconds = time.monotonic() - self.state.began
        self.state.phase = "ended"
        self.state.worker = 0
        why = f": {self.state.failure}" if self.state.failure else ""
        self.tell("ended", f"the session ended{why}", detail=self._summary())

    def _summary(self) -> dict[str, str]:
        status = "" if self.state.status is None else str(self.state.status)
        return {"status": status, "failure": self.state.failure}
