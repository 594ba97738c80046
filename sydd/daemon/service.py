"""The daemon as the control socket sees it: who may do what, and sessions as values that can be sent.

A user sees and changes the own sessions, root everybody's. A process inside a session sees that one alone,
and its lock says what it may change.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, cast

import sydd
from sydd.control.backend import SessionRequest
from sydd.control.peer import Peer
from sydd.daemon import log, views
from sydd.daemon.access import hindrance, identity_of
from sydd.daemon.changes import Changes
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.hub import Hub, Lost, Subscription
from sydd.daemon.insiders import stays
from sydd.daemon.messages import Message
from sydd.daemon.preparation import WorkerDiedError
from sydd.daemon.profiles import Profiles
from sydd.daemon.quota import QuotaExceededError
from sydd.daemon.registry import Registry
from sydd.daemon.sessions import Session
from sydd.daemon.spec import SessionSpec
from sydd.kernel.fd import FileDescriptor
from sydd.kernel.pidfd import pid_of, pidfd_open
from sydd.kernel.probe import yama_scope
from sydd.policy.lock import Asker
from sydd.supervisor.procfs import parent_of
from sydd.wire.errors import (
    BadArgument,
    BadProfile,
    Failed,
    LimitReached,
    NoSuchProfile,
    NoSuchQuestion,
    NoSuchSession,
    PermissionDenied,
)
from sydd.wire.events import Notice, Question
from sydd.wire.values import (
    SELF,
    Created,
    Details,
    Finding,
    Health,
    Info,
    Outcome,
    ProfileEntry,
    ProfileText,
    Started,
)
from sydd.wire.values import Session as SessionEntry

BEGINNINGS = 5
"""Sessions that are begun for one command, where processes of them are killed before it is there."""

LISTENER = "anon_inode:seccomp notify"
"""What /proc calls a seccomp listener."""


class Service(Changes):
    """Implements `sydd.control.backend.Backend`.

    Args:
        registry: the sessions.
        hub: what happens.
        profiles: those of the system.
        socket: path of the control socket.
        limits: what is bounded, for `Info`.

    Attributes:
        limits: the same; it may be replaced.
        problems: what `Health` names, one line each.
        connections: tells how many the socket has.
    """

    def __init__(
        self, registry: Registry, hub: Hub, profiles: Profiles, *, socket: str, limits: dict[str, int]
    ) -> None:
        super().__init__(registry)
        self._hub = hub
        self._profiles = profiles
        self._socket = socket
        self.limits = limits
        self._uid = os.geteuid()
        self._started = time.time()
        self.problems: list[str] = []
        self.connections: Callable[[], int] = lambda: 0

    # About the daemon

    async def info(self, peer: Peer) -> Info:
        """Who answers."""
        return {
            "version": sydd.__version__,
            "pid": os.getpid(),
            "uid": self._uid,
            "socket": self._socket,
            "started": self._started,
            "kernel": os.uname().release,
            "limits": self.limits,
            "administrator": self.administers(peer),
        }

    async def health(self, peer: Peer) -> Health:  # noqa: ARG002
        """How the daemon is; figures of all users' sessions, names of none."""
        living = self._registry.living()
        return {
            "healthy": not self.problems,
            "problems": list(self.problems),
            "sessions": len(living),
            "workers": sum(session.state.worker > 0 for session in living),
            "restarts": self._registry.restarts + sum(session.state.restarts for session in living),
            "questions": sum(len(session.questions) for session in living),
            "subscribers": self._hub.subscribers,
            "connections": self.connections(),
            "lost": self._hub.lost,
            "memory": views.resident_memory(),
            "descriptors": len(os.listdir("/proc/self/fd")) - 1,
        }

    # Profiles

    async def list_profiles(self, peer: Peer) -> list[ProfileEntry]:  # noqa: ARG002
        """The profiles that every user can name."""
        return self._profiles.entries()

    async def get_profile(self, peer: Peer, name: str) -> ProfileText:  # noqa: ARG002
        """A profile's text."""
        return self._profiles.text(name)

    async def validate_profile(self, peer: Peer, text: str, name: str) -> list[Finding]:
        """What is wrong with a text; files and hosts that it names are looked up outside of sessions."""
        self.refuse_inside(peer, "have a profile looked at")
        return await self._profiles.findings(text, name, identity_of(peer))

    async def put_profile(self, peer: Peer, name: str, text: str, *, replace: bool) -> list[Finding]:
        """Write a profile of the system."""
        self.refuse_all_but_root(peer)
        found = await self._profiles.findings(text, name, identity_of(peer))
        for finding in found:
            if finding["severity"] == "error":
                place = finding["file"], finding["line"], finding["column"]
                raise BadProfile(finding["message"], *place, finding["hint"])
        self._profiles.put(name, text, replace=replace)
        _log_profile(peer, f"the profile {name} was written")
        return found

    async def remove_profile(self, peer: Peer, name: str) -> None:
        """Remove a profile of the system."""
        self.refuse_all_but_root(peer)
        self._profiles.remove(name)
        _log_profile(peer, f"the profile {name} was removed")

    # Sessions begin

    def _spec(self, peer: Peer, request: SessionRequest, origin: str) -> SessionSpec:
        if self._uid and peer.uid != self._uid:
            raise PermissionDenied(f"this daemon is that of user {self._uid}")
        self.refuse_inside(peer, "begin another one through the daemon")
        if why := hindrance(self._uid, origin, yama_scope()):
            raise Failed(why)
        identity = identity_of(peer)
        environment = request.environment
        if environment is None:
            environment = views.minimal_environment(identity)
        return SessionSpec(
            id=self._new_name(),
            identity=identity,
            profile=request.profile,
            sets=dict(request.sets),
            rules=tuple(request.rules),
            mode=request.mode,
            engine=request.engine,
            directory=request.directory,
            environment=environment,
            terminals=tuple(request.terminals),
            origin=origin,
            label=request.label,
            umask=request.umask,
        )

    def _new_name(self) -> str:
        """A name that no session has that is remembered."""
        while self._registry.find(name := secrets.token_hex(4)) is not None:
            pass
        return name

    async def create_session(self, peer: Peer, request: SessionRequest) -> Created:
        """Prepare a session for a command that the peer starts."""
        spec = self._spec(peer, request, "launch")
        with (
            _beginning(request),
            FileDescriptor(pidfd_open(peer.pid) if peer.pidfd < 0 else os.dup(peer.pidfd)) as creator,
        ):
            session, launch = await self._registry.create(spec, request.argv, creator.fileno())
        return {"session": session.spec.id, "launch": launch.steal()}

    async def attach(self, peer: Peer, session: str, listener: int, pid: int, pidfd: int | None) -> None:
        """Take the listener over."""
        found, asker = self.find(peer, session)
        if asker is not Asker.OUTSIDE or found.spec.origin != "launch":
            raise NoSuchSession(session)
        if not found.waits:
            raise BadArgument("session", "it does not wait for a listener")
        try:
            if os.readlink(f"/proc/self/fd/{listener}") != LISTENER:
                raise BadArgument("listener", "not a seccomp listener")
            with FileDescriptor(pidfd_open(pid)) as handle:
                if parent_of(pid) != peer.pid or (pidfd is not None and pid_of(pidfd) != pid):
                    raise BadArgument("pid", "not a child of this process")
                if not stays(pid, peer.uid):
                    raise BadArgument("pid", "a process of another user, or one that may become that")
                with self._registry.wanted(found):
                    await found.attach(listener, pid, handle.fileno(), peer.pid, peer.pidfd)
        except ProcessLookupError:
            raise BadArgument("pid", "no such process") from None
        except SessionFailedError as error:
            raise Failed(error.message) from None
        except OSError as error:
            raise Failed(f"the listener cannot be taken over: {error.strerror}") from None

    async def run(self, peer: Peer, request: SessionRequest, descriptors: Sequence[int]) -> Started:
        """Start a command in a new session."""
        with _beginning(request):
            for left in reversed(range(BEGINNINGS)):
                spec = self._spec(peer, request, "run")
                try:
                    session, pid, handle = await self._registry.run(spec, request.argv, descriptors)
                except WorkerDiedError:
                    if not left:
                        raise
                else:
                    return {"session": session.spec.id, "pid": pid, "pidfd": handle.steal()}
        raise AssertionError  # it has returned, or raised

    # Sessions are looked at

    async def wait(self, peer: Peer, session: str) -> Outcome:
        """Wait until a session has ended."""
        found, _ = self.find(peer, session)
        await found.done.wait()
        return views.outcome(found)

    async def list_sessions(self, peer: Peer, *, ended: bool) -> list[SessionEntry]:
        """The sessions that the peer may see, oldest first."""
        own = self.inside(peer)
        sessions = [*self._registry.ended(), *self._registry.living()] if ended else self._registry.living()
        return [
            views.entry(session)
            for session in sessions
            if (session.spec.id == own.session if own else peer.uid in (0, session.spec.identity.uid))
        ]

    async def inspect_session(self, peer: Peer, session: str) -> Details:
        """Everything about a session."""
        found, _ = self.find(peer, session)
        statistics: dict[str, Any] = {}
        if found.state.phase == "running":
            statistics = await self._ask(found, {"type": "statistics"})
        return views.details(found, statistics, await views.processes(found))

    async def kill_session(self, peer: Peer, session: str, signal: int) -> int:
        """Send a signal to every process of a session."""
        found, asker = self.find(peer, session)
        if asker is not Asker.OUTSIDE:
            raise PermissionDenied("from inside a session nobody kills it")
        if not 0 < signal < 65:
            raise BadArgument("signal", "a number from 1 to 64")
        return await found.signal(signal)

    # What happens

    async def subscribe(
        self,
        peer: Peer,
        session: str | None,
        position: int | None,
        kinds: Sequence[str] | None,
        *,
        follow: bool,
    ) -> AsyncGenerator[Notice, None]:
        """Tell what happens."""
        found: Session | None = None
        own = self.inside(peer)
        if session is not None or own is not None:
            found, _ = self.find(peer, session or SELF)
        since = None if position is None else position + 1
        owner = found.spec.identity.uid if found else peer.uid or None
        name, first = (found.spec.id, found.state.first) if found else ("", 1)
        subscription = self._hub.subscribe(since=since, owner=owner, session=name, first=first)
        try:
            over = found is not None and found.state.phase == "ended"
            if not follow or over:
                subscription.close()
            while (item := await subscription.get()) is not None:
                if isinstance(item, Lost):
                    yield views.lost(item.count, self._hub.position - 1)
                    continue
                if kinds is None or item.kind in kinds:
                    yield views.notice(item)
                if found is not None and item.kind == "ended":
                    break
            await _leave_to_the_next(subscription)
        finally:
            subscription.close()

    async def questions(self, peer: Peer, *, follow: bool) -> AsyncGenerator[Question, None]:
        """Tell the open questions, and with *follow* new ones and what became of them."""
        self.refuse_inside(peer, "see questions")
        subscription = self._hub.subscribe(owner=peer.uid or None)
        try:
            for session in self._registry.living():
                if peer.uid in (0, session.spec.identity.uid):
                    for question in session.questions.plain():
                        yield cast("Question", question)
            if not follow:
                return
            while (item := await subscription.get()) is not None:
                if not isinstance(item, Lost) and item.kind == "question":
                    data = item.data
                    yield cast("Question", {key: data[key] for key in Question.__annotations__})
            await _leave_to_the_next(subscription)
        finally:
            subscription.close()

    async def decide(self, peer: Peer, question: str, *, allow: bool) -> None:
        """Answer a question."""
        self.refuse_inside(peer, "decide")
        session = self._registry.find(question.rpartition("-")[0])
        if session is None or peer.uid not in (0, session.spec.identity.uid):
            raise NoSuchQuestion(question)
        if not session.questions.decide(question, allow=allow):
            raise NoSuchQuestion(question)
        await asyncio.sleep(0)


async def _leave_to_the_next(subscription: Subscription) -> None:
    """Where the daemon stops, a stream has no last reply: its connection is closed, and clients ask again."""
    if subscription.cut_off:
        subscription.close()
        await asyncio.get_running_loop().create_future()


def _log_profile(peer: Peer, message: str) -> None:
    log.get_logger(uid=peer.uid, pid=peer.pid).info(message, message_id=Message.PROFILE_CHANGED)


@contextlib.contextmanager
def _beginning(request: SessionRequest) -> Iterator[None]:
    """Tell the peer why a session does not begin."""
    try:
        yield
    except OSError as error:
        raise Failed(f"the session cannot begin: {error.strerror}") from None
    except QuotaExceededError as error:
        raise LimitReached(error.what, error.maximum) from None
    except SessionFailedError as error:
        if error.kind == "policy":
            if error.message.startswith(f"no profile '{request.profile}'"):
                raise NoSuchProfile(request.profile, error.place[3]) from None
            raise BadProfile(error.message, *error.place) from None
        raise Failed(error.message) from None
