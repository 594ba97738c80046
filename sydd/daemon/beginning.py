"""The beginning of a session: prepared, then attached to, or started with its command."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from sydd.daemon.cgroups import Cgroups
from sydd.daemon.channel import document
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.holdings import duplicate
from sydd.daemon.hub import Hub
from sydd.daemon.kept import Kept
from sydd.daemon.preparation import ENDED, WorkerDiedError
from sydd.daemon.spawn import Forker
from sydd.daemon.spec import SessionSpec
from sydd.daemon.store import Info, Store
from sydd.daemon.supervised import SERVE
from sydd.kernel.fd import FileDescriptor
from sydd.kernel.reason import reason

ATTACH = 60
"""Seconds after which a session that nobody attaches to is ended."""


class Beginning(Kept):
    """What of a session is about its beginning, as who wants it sees that.

    Args:
        spec: what it is to be.
        hub: where it tells what happens.
        store: where its descriptors outlive this process.
        forker: forks its processes.
        cgroups: where it gets a control group; None where there are none.
    """

    def __init__(
        self, spec: SessionSpec, hub: Hub, store: Store, forker: Forker, cgroups: Cgroups | None
    ) -> None:
        super().__init__(spec, hub, store, forker, cgroups)
        self._timer: asyncio.TimerHandle | None = None
        self._given: Sequence[int] | None = None  # descriptors of the command that is to be started
        self._begun: dict[str, asyncio.Future[None]] = {}  # what is said when it is
        self._beginning = asyncio.Lock()  # held until whoever began it is answered, however soon it is over

    @property
    def waits(self) -> bool:
        """Whether it waits for its listener."""
        return self.state.phase == "created" and self._timer is not None

    async def prepare(self, creator: int) -> FileDescriptor:
        """Fork the session's processes and wait until everything is prepared for a command.

        Args:
            creator: pidfd of who wants it: when that has ended, nobody will attach; stays the caller's.

        Returns:
            The launch specification, a sealed memfd.

        Raises:
            SessionFailedError: the profile is wrong, or something is missing; nothing is left.
        """
        await self._until_prepared(creator)
        launch, self._launch = self._launch, None
        if launch is None:
            await self.end("no launch specification was sent")
            raise SessionFailedError(self.state.failure)
        self._timer = self._loop.call_later(ATTACH, self._expire)
        return launch

    async def _until_prepared(self, creator: int = -1) -> None:
        try:
            self._info = Info()
            self._held.put("info", self._info.file.dup())
            if creator >= 0:
                self._held.put("parent", duplicate(creator))
                self._watch_parent()
            self._save(anew=True)  # so that the next daemon knows whose it is
            await self._spawn_prepared()
        except OSError as error:
            failure = SessionFailedError(f"cannot start a worker: {error.strerror}")
            await self.end(failure.message)
            raise failure from None
        except SessionFailedError as error:
            await self.end(error.message)
            raise

    def _is_prepared(self) -> None:
        self.bounds.learn(self.about)
        self._save(anew=True)
        self.tell("created", f"session of profile {self.about.get('profile', '')} created")
        if self.spec.origin == "run":
            self.state.phase = "running"  # the preparer goes on at once

    async def attach(self, listener: int, command: int, handle: int, parent: int, parent_handle: int) -> None:
        """Take the listener over, and have it served.

        Args:
            listener: stays the caller's, as all descriptors.
            command: pid of what will be the command.
            handle: pidfd of it.
            parent: pid of the process below which the session's processes are.
            parent_handle: pidfd of it.

        Raises:
            SessionFailedError: the worker does not serve it.
        """
        async with self._beginning:
            self._stop_timer()
            self.state.command, self.state.parent = command, parent
            try:
                self._held.put("listener", duplicate(listener))
                self._held.put("command", duplicate(handle))
                self._unwatch_parent()
                self._held.put("parent", duplicate(parent_handle))
                self._watch_parent()
                self.bounds.enclose(command, handle, parent)
                self.state.phase, self.state.served = "running", False
                self._save()
                self._attach()
                await self._wait_for("serving", SERVE)
            except (OSError, SessionFailedError) as error:
                message = f"the listener cannot be served: {reason(error)}"
                await self.end(message)
                raise SessionFailedError(message) from None
            self._watch_time()
            self.tell(
                "started", f"{' '.join(self.state.argv) or 'a command'} started", detail={"pid": str(command)}
            )

    def _attach(self) -> None:
        """Hand the listener to the worker."""
        if self._link is not None:
            message = {"type": "attach", "command": self.state.command, "keeper": self.state.parent}
            self._link.post(message, [self._held.fileno("listener")])

    async def run(self, descriptors: Sequence[int]) -> tuple[int, FileDescriptor]:
        """Prepare the session, and have who does so become its command.

        Args:
            descriptors: become its 0, 1, 2 and so on; stay the caller's.

        Returns:
            Its pid, and a pidfd of it.

        Raises:
            WorkerDiedError: a process that begins it has died, and nothing was executed.
            SessionFailedError: the profile is wrong, or something is missing, or the command cannot be
                started; nothing is left.
        """
        async with self._beginning:
            try:
                self._given = descriptors
                await self._until_prepared()
            finally:
                self._given = None
            try:
                for name, said in self._begun.items():
                    await self._wait_for(name, SERVE, said)
                self._save()
                handle = duplicate(self._held.fileno("command"))
            except (OSError, SessionFailedError) as error:
                message = f"the command cannot be started: {reason(error)}"
                again = await self._begun_in_vain()
                await self.end(message)
                raise (WorkerDiedError if again else SessionFailedError)(message) from None
            self._watch_time()
            self.tell(
                "started", f"{' '.join(self.state.argv)} started", detail={"pid": str(self.state.command)}
            )
            return self.state.command, handle

    def abandon(self) -> None:
        """End it soon, whatever it is at: who wanted it has gone before it had begun."""
        self._spawn(self.end("who wanted it has gone"))

    def _order_start(self) -> None:
        """Have the preparer become the command as soon as it has prepared it.

        Raises:
            SessionFailedError: the command cannot be told.
        """
        for name in ("serving", "started"):
            self._waiting.pop(name, None)  # of an attempt before
            self._begun[name] = self._expect(name)
        if self._preparing is None or self._given is None:
            raise SessionFailedError(self.state.failure or ENDED)
        message = {"type": "start", "numbers": list(range(len(self._given)))}
        try:
            with FileDescriptor(document("sydd-argv", json.dumps(self.state.argv).encode("ascii"))) as argv:
                self._preparing.post(message, [argv.fileno(), *self._given])
        except OSError as error:
            raise SessionFailedError(f"the command cannot be started: {reason(error)}") from None

    def _watch_time(self) -> None:
        self.bounds.watch_time(time.monotonic() - self.state.began, lambda text: self._spawn(self.end(text)))

    def _expire(self) -> None:
        self._spawn(self.end(f"nobody attached to it within {ATTACH} s"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
