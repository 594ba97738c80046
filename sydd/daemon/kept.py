"""Who started a command, and is the parent of all processes of its session: a keeper, or who launched it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

from sydd.daemon.bounds import Bounds
from sydd.daemon.cgroups import Cgroups
from sydd.daemon.channel import Channel
from sydd.daemon.ending import Members, interrupt
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.hub import Hub
from sydd.daemon.link import Link
from sydd.daemon.mapping import map_ids
from sydd.daemon.preparation import LINGER
from sydd.daemon.spawn import Forker
from sydd.daemon.spec import SessionSpec
from sydd.daemon.store import Store
from sydd.daemon.supervised import Supervised
from sydd.kernel.fd import FdSet


class Kept(Supervised):
    """What of a session is about the process below which its processes are.

    Args:
        spec: what it is to be.
        hub: where it tells what happens.
        store: where its descriptors outlive this process.
        forker: forks its processes.
        cgroups: where it gets a control group; None where there are none.

    Attributes:
        bounds: its limits as a whole, and its control group.
    """

    def __init__(
        self, spec: SessionSpec, hub: Hub, store: Store, forker: Forker, cgroups: Cgroups | None
    ) -> None:
        super().__init__(spec, hub, store, forker)
        self.bounds = Bounds(spec.id, cgroups, self.journal.trouble, self.tell)
        self._keeper: Link | None = None
        self._beginners = FdSet()  # pidfds of the keeper and of who becomes the command, by the keeper's word
        self._excused = False  # whether the keeper has said why there is no command

    def members(self) -> Members:
        """Where its processes are found."""
        roots = self.roots()
        mark, daemon = int(self.about.get("mark", 0)), os.getpid() if self.spec.origin == "run" else 0
        return Members(roots.parent, roots.command, roots.owner, mark, daemon)

    def _keep(self, channel: Channel) -> None:
        """Listen to a keeper, in the place of one whose worker has died before the command was there."""
        if self._keeper is not None:
            self._keeper.close()
        for handle in self._beginners:
            interrupt(handle)  # its owner may have stopped it
        self._beginners.close()
        self._died = self._excused = False
        self._keeper = Link(channel, self._from_keeper, self._keeper_gone)
        self._store.put(self.spec.id, "keeper", self._keeper.fileno())

    def _dismiss_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.post({"type": "kill"})

    def _from_keeper(self, message: dict[str, Any], descriptors: FdSet) -> None:
        try:
            kind = message["type"]
            if kind == "here":
                if len(self._beginners):  # the first was said before it had its owner's identity
                    raise ValueError(f"{kind!r} for the second time")
                self._beginners = FdSet(descriptors.steal_from())
            elif kind == "started":
                self.state.command = int(message["pid"])
                self._held.put("command", descriptors.steal(0))
                self.state.parent = int(message["keeper"])
                self._held.put("parent", descriptors.steal(1))
                self.bounds.enclose(self.state.command, self._held.fileno("command"), self.state.parent)
                self._let_go()
                self._resolve("started")
            elif kind == "status":
                self.state.status = int(message["status"])
                self._save()
            elif kind == "map":
                error = map_ids(int(message["pid"]), descriptors, self.spec.identity)
                if self._keeper is not None:
                    self._keeper.post({"type": "mapped", "error": error})
            elif kind == "empty":
                self.state.emptied = True
                self._save()
            elif kind == "failed":
                self._excused = True
                self._died = self._died or bool(message.get("died"))
                self._not_started(SessionFailedError(str(message["message"])))
        except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
            self._not_started(SessionFailedError(f"the keeper said what is no message: {error}"))

    async def _end_keeper(self) -> None:
        """End a keeper that has to end and does not, as its owner may have stopped it, and its preparer."""
        try:
            if self._keeper is None or self._keeper.ended:
                return
            with contextlib.suppress(SessionFailedError):
                await self._wait_for("keeper", LINGER)
            if not self._keeper.ended:
                for handle in self._beginners:
                    interrupt(handle)
                with contextlib.suppress(SessionFailedError):
                    await self._wait_for("keeper", LINGER)
        finally:
            self._beginners.close()

    def _let_go(self) -> None:
        """Tell the keeper that the command is in its group, if it has one; a second time is fine."""
        if self.spec.grouped and self._keeper is not None:
            self._keeper.post({"type": "go"})

    def _not_started(self, error: SessionFailedError) -> None:
        """Tell who waits for the command that it will not be there."""
        if not self.state.parent:
            self._resolve("started", error)
            self._resolve("serving", error)

    def _keeper_gone(self, _reason: str) -> None:
        if not self.state.parent and not self._excused:
            self._died = True
        self._not_started(SessionFailedError("the keeper died before the command was there"))
        self._resolve("keeper")
        if self.state.parent and not self.state.emptied and not self._ending:
            self._spawn(self._unkept())

    async def _begun_in_vain(self) -> bool:
        """Whether a process that begins it has died, and the command was not let go.

        The keeper says that it lets the command go before it does: where it has ended and has not said so,
        nobody will.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while self._keeper is not None and not self._keeper.ended:
                    with contextlib.suppress(SessionFailedError):  # what the others say fails this, too
                        await self._wait_for("keeper", LINGER)
        return self._died and (self._keeper is None or self._keeper.ended) and not self.state.parent

    async def _unkept(self) -> None:
        """The keeper was killed: what it leaves is ended, once it is somebody else's."""
        await self._until_dead(self._held.fileno("parent"))
        await self.end("the process that kept its command was killed")

    def _watch_parent(self) -> None:
        fd = self._held.fileno("parent")
        if fd >= 0 and self._keeper is None:
            self._loop.add_reader(fd, self._parent_gone, fd)

    def _unwatch_parent(self) -> None:
        fd = self._held.fileno("parent")
        if fd >= 0:
            self._loop.remove_reader(fd)

    def _parent_gone(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        if not self._ending:
            self._spawn(self._orphaned())

    async def _orphaned(self) -> None:
        """Who launched the session has ended: what it leaves is ended, too."""
        if self.state.phase == "created":
            await self.end("who created it has ended")
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.done.wait(), LINGER)
            return
        await self.end("the process that launched it has ended before its command")
