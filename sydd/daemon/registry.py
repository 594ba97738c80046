"""The sessions of all users: begun, found, restored after a crash, remembered for a while after their end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sydd.daemon.cgroups import Cgroups
from sydd.daemon.config import LimitsTable
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.holdings import PLANNED
from sydd.daemon.hub import Hub
from sydd.daemon.insiders import Roots
from sydd.daemon.precedents import Precedents
from sydd.daemon.quota import Quota, QuotaExceededError
from sydd.daemon.sessions import Session
from sydd.daemon.spec import SessionSpec
from sydd.daemon.store import Store
from sydd.daemon.zygote import Zygote
from sydd.kernel.fd import FileDescriptor

REMEMBERED = 500
"""Sessions of one user that are remembered when they have ended."""

COLLECT = 32
"""Sessions that end between two collections of garbage: what is not frozen is little, and looked at in a
millisecond, while the interpreter by itself would wait for tens of thousands of objects."""

OWNERS = 64
"""Users whose ended sessions are remembered."""


class Registry:
    """The sessions.

    Args:
        hub: where they tell what happens.
        store: where they outlive this process.
        quota: what each user may have.
        cgroups: where they get control groups; None where there are none.
    """

    def __init__(self, hub: Hub, store: Store, quota: Quota, cgroups: Cgroups | None = None) -> None:
        self._hub = hub
        self._store = store
        self._quota = quota
        self._cgroups = cgroups
        self._zygote = Zygote()
        self._precedents = Precedents()
        self._sessions: dict[str, Session] = {}
        self._ended: OrderedDict[int, OrderedDict[str, Session]] = OrderedDict()
        self._refusal = ""
        self._ended_since = 0
        self.restarts = 0
        self.refused: Counter[str] = Counter()

    def allow(self, limits: LimitsTable) -> None:
        """Have other limits for each user from now on."""
        self._quota.allow(limits)

    def living(self) -> list[Session]:
        """Those that have not ended, oldest first."""
        return [session for session in self._sessions.values() if session.state.phase != "ended"]

    def ended(self) -> list[Session]:
        """Those that have ended and are remembered, oldest first."""
        found = [session for sessions in self._ended.values() for session in sessions.values()]
        found += self._leaving()
        return sorted(found, key=lambda session: session.state.began)

    def _leaving(self) -> list[Session]:
        """Those that have ended but for the exit of their worker."""
        return [session for session in self._sessions.values() if session.state.phase == "ended"]

    def find(self, name: str) -> Session | None:
        """A session by its name, also one that has ended."""
        session = self._sessions.get(name)
        if session is None:
            session = next((ended[name] for ended in self._ended.values() if name in ended), None)
        return session

    def roots(self) -> list[Roots]:
        """The processes that the living sessions are known by."""
        return [session.roots() for session in self.living()]

    async def create(
        self, spec: SessionSpec, argv: Sequence[str], creator: int
    ) -> tuple[Session, FileDescriptor]:
        """Begin a session and prepare it.

        Args:
            spec: what it is to be.
            argv: the command, to be shown.
            creator: pidfd of who wants it.

        Returns:
            The session, and what a launch needs.

        Raises:
            QuotaExceededError: the user has as many as it may have.
            SessionFailedError: it cannot be prepared.
        """
        with self._refusals():
            session = await self._begin(spec, argv)
            with self.wanted(session):
                return session, await session.prepare(creator)

    async def run(
        self, spec: SessionSpec, argv: Sequence[str], descriptors: Sequence[int]
    ) -> tuple[Session, int, FileDescriptor]:
        """Begin a session with its command.

        Args:
            spec: what it is to be.
            argv: the command.
            descriptors: become the command's 0, 1, 2 and so on; stay the caller's.

        Returns:
            The session, the command's pid, and a pidfd of it.

        Raises:
            QuotaExceededError: the user has as many as it may have.
            WorkerDiedError: a process that begins it has died, and nothing was executed.
            SessionFailedError: it cannot be prepared, or the command cannot be started.
        """
        with self._refusals():
            session = await self._begin(spec, argv)
            with self.wanted(session):
                return session, *await session.run(descriptors)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Count what cannot begin."""
        try:
            yield
        except QuotaExceededError:
            self.refused["limit"] += 1
            raise
        except SessionFailedError as error:
            self.refused[error.kind] += 1
            raise

    @contextlib.contextmanager
    def wanted(self, session: Session) -> Iterator[None]:
        """End a session that begins in this block, where nobody waits for that any more: it is cancelled.

        Where the daemon stops, sessions are left to the next one.
        """
        try:
            yield
        except asyncio.CancelledError:
            if not self._refusal:
                session.abandon()
            raise

    def _groups(self, spec: SessionSpec) -> bool:
        """Whether the processes of a session get a group: a user cannot take its own out of a login."""
        return self._cgroups is not None and (os.geteuid() == 0 or spec.origin == "run")

    async def _begin(self, spec: SessionSpec, argv: Sequence[str]) -> Session:
        """A new session, once there is room: the one before it may have been told to have ended just now.

        Raises:
            QuotaExceededError: the user has as many as it may have.
            SessionFailedError: no more are begun.
        """
        uid = spec.identity.uid
        while True:
            try:
                return self._new(spec, argv)
            except QuotaExceededError:
                leaving = [session.done for session in self._leaving() if session.spec.identity.uid == uid]
                if not leaving:
                    raise
            await _first(leaving)

    def _new(self, spec: SessionSpec, argv: Sequence[str]) -> Session:
        if self._refusal:
            raise SessionFailedError(self._refusal)
        spec = replace(spec, grouped=self._groups(spec))
        uid = spec.identity.uid
        self._quota.take("sessions", uid)
        try:
            self._quota.take("descriptors", uid, PLANNED)
        except BaseException:
            self._quota.give_back("sessions", uid)
            raise
        session = Session(spec, self._hub, self._store, self._zygote, self._cgroups, self._forget)
        session.on_told = self._bequeath
        session.state.argv = list(argv)
        session.legacy = self._precedents.take(spec)
        if session.legacy is not None:
            session.state.hidden = session.legacy.tmp
        self._sessions[spec.id] = session
        return session

    def restore(self, sessions: dict[str, dict[str, FileDescriptor]]) -> list[str]:
        """Go on with what an earlier daemon left with the service manager.

        Args:
            sessions: descriptors by session and kind; now the sessions'.

        Returns:
            What could not be restored, one line each.
        """
        problems = []
        for name, held in sessions.items():
            try:
                session = Session.restored(
                    name, held, self._hub, self._store, self._zygote, self._cgroups, self._forget
                )
            except (KeyError, TypeError, ValueError, OSError) as error:
                problems.append(f"session {name} is lost: {error}")
                for fd in held.values():
                    fd.close()
                self._store.adopt(name, held)
                self._store.remove(name)
                continue
            self._sessions[name] = session
            uid = session.spec.identity.uid
            self._quota.count("sessions", uid)
            self._quota.count("descriptors", uid, PLANNED)
        if self._cgroups is not None:
            self._cgroups.sweep(self._sessions)
        return problems

    def _bequeath(self, session: Session) -> None:
        """Have what a session leaves for the next one, which may begin before the worker's exit."""
        if session.legacy is not None and not session.state.failure:
            self._precedents.give(session.spec, session.legacy)
            session.legacy = None

    def _forget(self, session: Session) -> None:
        """A session has ended: only its figures are kept."""
        self._sessions.pop(session.spec.id, None)
        session.forget()
        self._ended_since += 1
        if self._ended_since >= COLLECT:
            self._ended_since = 0
            gc.collect()
        uid = session.spec.identity.uid
        self._quota.give_back("sessions", uid)
        self._quota.give_back("descriptors", uid, PLANNED)
        self.restarts += session.state.restarts
        if uid not in self._ended and len(self._ended) >= OWNERS:
            self._ended.popitem(last=False)
        own = self._ended.setdefault(uid, OrderedDict())
        self._ended.move_to_end(uid)
        own[session.spec.id] = session
        while len(own) > REMEMBERED:
            own.popitem(last=False)

    async def end_all(self, why: str) -> None:
        """End every session."""
        await asyncio.gather(*(session.end(why) for session in self._sessions.values()))

    def refuse(self, why: str) -> None:
        """Begin no more sessions.

        Args:
            why: what is said to whoever wants one.
        """
        self._refusal = why

    def make_room(self) -> None:
        """Keep nothing for sessions to come, until there is one again."""
        self._zygote.make_room()
        self._precedents.close()

    def close(self) -> None:
        """Let no more processes be forked, and let go of what they would have needed."""
        self._zygote.close()
        self._precedents.close()

    def leave_all(self) -> None:
        """Close what this process has of the sessions, and let them run on."""
        for session in self._sessions.values():
            session.leave()


async def _first(events: Iterable[asyncio.Event]) -> None:
    """Wait until one of them is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def collect_children() -> None:
    """Collect every child that has ended: the zygote, errands, and what lost its parent to this subreaper."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
