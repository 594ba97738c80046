"""A session that is prepared: who does that, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from sydd.daemon.channel import Channel
from sydd.daemon.ending import interrupt, remove_directory
from sydd.daemon.errand import ErrandError, settle
from sydd.daemon.expecting import Expecting, SessionFailedError
from sydd.daemon.holdings import Holdings, duplicate
from sydd.daemon.insiders import is_alive
from sydd.daemon.link import Link
from sydd.daemon.precedents import MOST, Legacy
from sydd.daemon.spawn import Forker, Process, prepare
from sydd.daemon.spec import SessionSpec
from sydd.daemon.state import State
from sydd.daemon.store import Store
from sydd.kernel.fd import FdSet, FileDescriptor

LINGER = 5
"""Seconds that a process of the session's may live on after it was to end."""


ENDED = "the session has ended"


class WorkerDiedError(SessionFailedError):
    """A process that begins the session died before anything was executed: it may be begun again."""


class Preparing(Expecting, ABC):
    """What of a session is about its beginning.

    Args:
        spec: what it is to be.
        store: where its descriptors outlive this process.
        forker: forks its processes.

    Attributes:
        spec: what it is to be.
        state: how far it is.
        about: what its preparer said of it.
        legacy: of an earlier session that was to be the same, or by now this one's own; None for none.
        done: set when it has ended and nothing of it is left.
    """

    def __init__(self, spec: SessionSpec, store: Store, forker: Forker) -> None:
        super().__init__()
        self.spec = spec
        self.state = State(created=time.time(), began=time.monotonic())
        self.about: dict[str, Any] = {}
        self.legacy: Legacy | None = None
        self.done = asyncio.Event()
        self._forker = forker
        self._held = Holdings(spec.id, store)
        self._link: Link | None = None  # to its worker
        self._preparer: Process | None = None
        self._preparing: Link | None = None
        self._said: set[str] = set()  # by the one that prepares it
        self._launch: FileDescriptor | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self._died = False  # whether one of the processes that begin it has, before the command was there

    @abstractmethod
    async def end(self, failure: str = "") -> None:
        """End the session; see `Session`."""

    @abstractmethod
    async def _give_up(self) -> None:
        """Let go of everything, though the end went wrong half-way."""

    @abstractmethod
    def _trouble(self, message: str) -> None:
        """Tell of a mistake of sydd's own."""

    @abstractmethod
    def _order_start(self) -> None:
        """Have who prepares it become the command as soon as it is prepared.

        Raises:
            SessionFailedError: the command cannot be told.
        """

    @abstractmethod
    def _is_prepared(self) -> None:
        """Go by what the preparer has said of the session."""

    async def _prepare(self) -> None:
        """Fork the process that prepares the session; that of a command of the daemon's is there already.

        Raises:
            OSError: it cannot be forked.
            SessionFailedError: the session has ended meanwhile.
        """
        if self.spec.origin == "launch":
            self._preparer = await prepare(self._forker, self.spec, self._precedent())
            if self._ending:  # it finds that nobody listens
                self._preparer.close()
                raise SessionFailedError(self.state.failure or ENDED)
            self._listen_to_preparer(self._preparer.channel)

    def _precedent(self) -> list[int]:
        """What there is for who prepares it."""
        return [] if self.legacy is None else [self.legacy.precedent.fileno()]

    def _set_precedent(self, precedent: FileDescriptor) -> None:
        """Have another one than it was given, for the next session, if that is not too long."""
        state = duplicate(self._held.fileno("state"))
        self._drop_precedent()
        self.legacy = Legacy(self.state.tmp, state, precedent)
        if self.legacy.size > MOST:
            self._drop_precedent()

    def _drop_precedent(self) -> None:
        if self.legacy is not None:
            self.legacy.close()
            self.legacy = None

    def _listen_to_preparer(self, channel: Channel) -> None:
        self._said = set()
        self._preparing = Link(channel, self._from_preparer, self._preparer_gone)

    def _from_preparer(self, message: dict[str, Any], descriptors: FdSet) -> None:
        if self._preparing is None:
            return  # it is about to be ended
        try:
            kind = str(message["type"])
            if kind in self._said or (kind == "state" and self._held.has("state")):
                raise ValueError(f"{kind!r} for the second time")  # workers have taken in what was first
            self._said.add(kind)
            if kind == "prepared":
                self.about = message
                self.state.tmp = str(message.get("tmp", ""))
                self.state.mode = str(message.get("mode", ""))
                if len(descriptors):
                    self._launch = descriptors.steal(0)
                if message.get("as_before"):
                    if self.legacy is None:
                        raise ValueError("there is nothing before it")
                    self._held.put("state", duplicate(self.legacy.state.fileno()))
                    self._inform()
                self._is_prepared()
                self._resolve("prepared")
            elif kind == "state":
                self._held.put("state", descriptors.steal(0))
                self._inform()
            elif kind == "precedent":
                self._set_precedent(descriptors.steal(0))
            elif kind == "failed":
                self._on_failed(message, descriptors)
            else:
                raise ValueError(f"unknown type {kind!r}")
        except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
            self._preparer_gone(f"it said what is no message: {type(error).__name__}: {error}")

    def _preparer_gone(self, reason: str) -> None:
        """Who prepared the session has ended, or is the command by now."""
        self._resolve("preparer")
        if self._preparing is None or self._held.has("state") or self._ending:
            return  # nobody wants anything of it any more
        waiting = self._waiting.get("prepared")
        if waiting is not None and waiting.done() and waiting.exception() is not None:
            return  # it has said why before, to who has not come to hear it yet
        error = WorkerDiedError(f"the process that prepares the session died: {reason}")
        self._died = True
        if not self._resolve("prepared", error):
            self._spawn(self.end(error.message))

    async def _end_preparer(self) -> None:
        """End who prepares the session, if it does so still: it must not make a directory any more."""
        preparing, self._preparing = self._preparing, None
        preparer, self._preparer = self._preparer, None
        try:
            if preparing is not None and not preparing.ended and not self._held.has("state"):
                gone = self._expect("preparer")
                if preparer is not None:
                    interrupt(preparer.pidfd.fileno())
                else:
                    self._dismiss_keeper()
                with contextlib.suppress(SessionFailedError):
                    await self._wait_for("preparer", LINGER, gone)
        finally:
            if preparing is not None:
                preparing.close()
            if preparer is not None:
                preparer.close()

    @abstractmethod
    def _dismiss_keeper(self) -> None:
        """Have a keeper end what it keeps."""

    def _inform(self) -> None:
        """Give the worker what the preparer wrote down."""
        if self._link is not None and self._held.has("state"):
            self._link.post({"type": "state"}, [self._held.fileno("state")])

    def _on_failed(self, message: dict[str, Any], _: FdSet) -> None:
        place = (
            str(message.get("file", "")),
            int(message.get("line", 0)),
            int(message.get("column", 0)),
            str(message.get("hint", "")),
        )
        error = SessionFailedError(str(message["message"]), str(message.get("kind", "setup")), place)
        if not self._fail_waiting(error):
            self._spawn(self.end(error.message))

    # Small things

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._start(work)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """A mistake of sydd's own ends the session that it happened in, aloud, and nothing else."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self.done.is_set():
            return
        message = f"{type(error).__name__}: {error}"
        self._trouble(message)
        self._spawn(self._give_up() if self._ending else self.end(f"a mistake of sydd's own: {message}"))

    async def _remove_directory(self) -> None:
        try:
            # Who was to make the directory of a precedent, and was killed, may have made it.
            hidden = "" if self.state.tmp else self.state.hidden
            await remove_directory(self.state.tmp, self.spec, hidden)
        except ErrandError as error:
            name = self.state.tmp or self.state.hidden or "that it may have made"
            self._trouble(f"the directory {name} is left: {error}")

    async def _until_dead(self, fd: int) -> None:
        """Wait until the process of a pidfd has ended; SIGKILL it when it takes its time."""
        if not await self._ends(fd, LINGER):
            interrupt(fd)
            await self._ends(fd, LINGER)

    async def _ends(self, fd: int, seconds: float) -> bool:
        """Whether the process of a pidfd has ended, or does so within some seconds."""
        if fd < 0 or not is_alive(fd):
            return True
        dead = self._loop.create_future()
        self._loop.add_reader(fd, settle, dead)
        try:
            await asyncio.wait([dead], timeout=seconds)
        finally:
            self._loop.remove_reader(fd)
        return dead.done()
