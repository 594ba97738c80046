"""What can be asked of a running session, and changed in it: rules, lock and mode."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from sydd.control.peer import Peer
from sydd.daemon import views
from sydd.daemon.access import Access
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.sessions import Session
from sydd.policy import refused
from sydd.policy.errors import PolicyError
from sydd.policy.lock import Asker, Lock, check_change, turned
from sydd.policy.runtime import MAXIMUM_RULES, added, removed
from sydd.wire.errors import (
    ERRORS,
    BadArgument,
    BadProfile,
    ControlError,
    Failed,
    LimitReached,
    Locked,
    NoSuchSession,
    PermissionDenied,
)
from sydd.wire.values import RuleList, Verdict

_BY_NAME = {error.__name__: error for error in ERRORS}
_T = TypeVar("_T")


class Changes(Access):
    """The methods of `sydd.control.backend.Backend` that are about a session that runs."""

    async def check(self, peer: Peer, session: str, access: str, target: str) -> list[Verdict]:
        """What a session says about an access."""
        found, _ = self.find(peer, session)
        reply = await self._ask(found, {"type": "check", "access": access, "object": target})
        return cast("list[Verdict]", reply["verdicts"])

    async def _ask(self, session: Session, message: dict[str, Any]) -> dict[str, Any]:
        """Ask a session's worker.

        Raises:
            ControlError: what it refuses, or Failed.
        """
        try:
            reply = await session.ask_worker(message)
        except SessionFailedError as error:
            raise Failed(error.message) from None
        problem = reply.get("error")
        if problem is None:
            return reply
        raise _error_of(problem)

    async def list_rules(self, peer: Peer, session: str) -> RuleList:
        """The rules of a session."""
        found, _ = self.find(peer, session)
        return views.rules(found)

    async def add_rules(self, peer: Peer, session: str, rules: Sequence[str]) -> RuleList:
        """Add rules, all or none."""
        async with self._changing(peer, session) as (found, asker):
            now = [item["rule"] for item in found.state.rules]
            lines = _refusing(added, now, rules)
            new = [
                {"rule": line, "added": time.time(), "uid": peer.uid, "inside": asker is not Asker.OUTSIDE}
                for line in lines[len(now) :]
            ]
            await self._set_rules(found, [*found.state.rules, *new])
        return views.rules(found)

    async def remove_rules(self, peer: Peer, session: str, rules: Sequence[str]) -> RuleList:
        """Remove rules that were added, all or none."""
        async with self._changing(peer, session) as (found, _):
            left = list(found.state.rules)
            for line in rules:
                lines = [item["rule"] for item in left]
                after = _refusing(removed, lines, [line])
                place = next(
                    (at for at in reversed(range(len(lines))) if (*lines[:at], *lines[at + 1 :]) == after), -1
                )
                del left[place]
            await self._set_rules(found, left)
        return views.rules(found)

    async def _set_rules(self, session: Session, rules: list[dict[str, Any]]) -> None:
        lines = [item["rule"] for item in rules]
        await self._change(session, {"type": "rules", "lines": lines})
        session.set_rules(rules)
        session.tell("rules", f"rules added at run time: {len(lines)}", detail={"rules": "\n".join(lines)})

    async def _change(self, session: Session, message: dict[str, Any]) -> None:
        """Have a session's worker change something, while nobody else does.

        Raises:
            ControlError: as for `_ask`.
        """
        try:
            await self._ask(session, message)
        except BaseException:  # also where who asked has hung up: it may be done, or may still come to it
            session.agree()
            raise

    @asynccontextmanager
    async def _changing(self, peer: Peer, name: str) -> AsyncIterator[tuple[Session, Asker]]:
        """The session, for somebody who may change its rules, and who nobody else does so beside.

        Raises:
            NoSuchSession, Locked: there is none, or the lock is against it.
        """
        session, asker = self.find(peer, name)
        async with session.changing:  # who waited here finds the lock as it is now
            if session.state.phase == "ended":
                raise NoSuchSession(name)
            try:
                check_change(Lock(session.state.lock), asker)
            except refused.Locked:
                raise Locked(name, session.state.lock) from None
            yield session, asker

    async def lock(self, peer: Peer, session: str, lock: str) -> str:
        """Set a session's lock."""
        found, asker = self.find(peer, session)
        try:
            wanted = turned(Lock(found.state.lock), Lock(lock), asker)
        except refused.Locked:
            raise Locked(session, found.state.lock) from None
        except ValueError:
            raise BadArgument("lock", "one of off, exec, on") from None
        if wanted.value != found.state.lock:
            found.set_lock(wanted.value)
        return wanted.value

    async def set_mode(self, peer: Peer, session: str, mode: str) -> None:
        """Set a session's mode."""
        found, asker = self.find(peer, session)
        if asker is not Asker.OUTSIDE and mode != "enforce":
            raise PermissionDenied("from inside a session its mode is only made stricter")
        async with found.changing:
            await self._change(found, {"type": "mode", "mode": mode})
            found.set_mode(mode)


def _error_of(problem: Any) -> ControlError:
    """The error that a worker's reply stands for."""
    if isinstance(problem, dict):
        kind = _BY_NAME.get(str(problem.get("kind")))
        if kind is not None:
            try:
                return kind(**{name: problem[name] for name in kind.FIELDS})
            except KeyError:
                pass
        return Failed(str(problem.get("message", problem)))
    return Failed(str(problem))


def _refusing(change: Callable[..., _T], *arguments: Any) -> _T:
    """Call a function of policy about rules at run time; its refusals as errors of the socket."""
    try:
        return change(*arguments)
    except refused.TooManyRules:
        raise LimitReached("rules", MAXIMUM_RULES) from None
    except refused.NoSuchRule as error:
        raise BadArgument("rules", error.message) from None
    except PolicyError as error:
        source = error.source
        place = (source.file, source.line, source.column) if source else ("", 0, 0)
        raise BadProfile(error.message, *place, error.hint) from None
