"""A backend for the control socket that only remembers: one session, one event, one question."""

# ruff: noqa: D102  # what the methods are for is said in sydd.control.backend

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence

from sydd.control.backend import SessionRequest
from sydd.control.limits import Limits
from sydd.control.peer import Peer
from sydd.wire.errors import (
    BadArgument,
    BadProfile,
    BeyondCeiling,
    Failed,
    NoSuchProfile,
    NoSuchQuestion,
    NoSuchSession,
)
from sydd.wire.events import AccessEvent, Notice, Question
from sydd.wire.values import (
    Created,
    Details,
    Finding,
    Health,
    Info,
    Outcome,
    ProfileEntry,
    ProfileText,
    RuleList,
    Session,
    Started,
    Verdict,
)

EVENT: AccessEvent = {
    "sequence": 1,
    "time": 1764172800.25,
    "session": "s1",
    "profile": "build",
    "enforced": True,
    "action": "deny",
    "access": "modify",
    "syscall": "openat",
    "given": "/etc/motd",
    "path": "/etc/motd",
    "errno": "EACCES",
    "process": {
        "pid": 12,
        "tid": 12,
        "command": "sh",
        "exe": "/bin/sh",
        "argv": ["sh", "-c", "echo > /etc/motd"],
        "cwd": "/tmp",
        "parents": [{"pid": 11, "command": "make"}],
    },
    "rule": "no rule: default",
    "rule_source": "",
    "allow": "allow modify /etc/motd",
    "decision": "",
    "host": "",
    "service": "",
    "count": 1,
}

SESSION: Session = {
    "session": "s1",
    "label": "zlib-1.3",
    "profile": "build",
    "mode": "enforce",
    "engine": "hybrid",
    "origin": "run",
    "state": "running",
    "lock": "off",
    "uid": 1000,
    "user": "builder",
    "directory": "/home/builder/zlib",
    "command": ["make", "-j2"],
    "pid": 4711,
    "worker": 4710,
    "created": 1764172800.0,
    "ended": None,
    "status": None,
    "denied": 2,
    "events": 1,
    "questions": 0,
    "restarts": 0,
}

RULES: RuleList = {
    "rules": ["allow write ${cwd}/**"],
    "runtime": [],
    "ceiling": ["allow read,write ${home}/.cache/**"],
    "lock": "off",
}


def notice(position: int, kind: str = "access") -> Notice:
    """A notice with the one event that this backend knows."""
    return {
        "position": position,
        "time": 1764172800.25,
        "session": "s1",
        "kind": kind,
        "message": "deny modify /etc/motd: sh[12]",
        "event": EVENT if kind == "access" else None,
        "sequence": 0,
        "count": 3 if kind == "lost" else 0,
        "detail": {"status": "3", "failure": ""} if kind == "ended" else {},
    }


class FakeBackend:
    """Remembers what it was asked; has one session, `s1`.

    Attributes:
        peers: who asked, in order.
        requests: for new sessions.
        received: what could be read from the descriptors that came.
        waiting: calls of `wait` and of streams that are being performed.
        notices: what Subscribe tells; it then waits where it is to follow.
    """

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.requests: list[SessionRequest] = []
        self.received: list[bytes] = []
        self.waiting = 0
        self.cancelled = 0
        self.notices: list[Notice] = [notice(1), notice(2, "lost")]
        self.decisions: list[tuple[str, bool]] = []
        self.rules: list[str] = []
        self.lock_state = "off"
        self.over = asyncio.Event()

    async def info(self, peer: Peer) -> Info:
        self.peers.append(peer)
        return {
            "version": "1",
            "pid": os.getpid(),
            "uid": os.getuid(),
            "socket": "/run/sydd/sydd.sock",
            "started": 1764172800.0,
            "kernel": os.uname().release,
            "limits": Limits().as_json(),
            "administrator": True,
        }

    async def health(self, peer: Peer) -> Health:
        return {
            "healthy": True,
            "problems": [],
            "sessions": 1,
            "workers": 1,
            "restarts": 0,
            "questions": 0,
            "subscribers": 0,
            "connections": 1,
            "lost": 0,
            "memory": 1 << 20,
            "descriptors": 10,
        }

    async def list_profiles(self, peer: Peer) -> list[ProfileEntry]:
        return [{"name": "build", "origin": "shipped", "path": "/x/build.toml", "description": "Builds."}]

    async def get_profile(self, peer: Peer, name: str) -> ProfileText:
        if name != "build":
            raise NoSuchProfile(name, "")
        return {"name": name, "origin": "shipped", "path": "/x/build.toml", "text": "rules = []\n"}

    async def validate_profile(self, peer: Peer, text: str, name: str) -> list[Finding]:
        if "rules" in text:
            return []
        return [
            {"severity": "error", "message": "no rules", "file": name, "line": 1, "column": 1, "hint": ""}
        ]

    async def put_profile(self, peer: Peer, name: str, text: str, *, replace: bool) -> list[Finding]:
        if "rules" not in text:
            raise BadProfile("no rules", name, 1, 2, "write some")
        if name == "build" and not replace:
            raise BadArgument("name", "there is a profile 'build'")
        return []

    async def remove_profile(self, peer: Peer, name: str) -> None:
        if name != "mine":
            raise NoSuchProfile(name, "")

    async def create_session(self, peer: Peer, request: SessionRequest) -> Created:
        self.requests.append(request)
        fd = os.memfd_create("launch")
        os.write(fd, b'{"v": 1}')
        return {"session": "s1", "launch": fd}

    async def attach(self, peer: Peer, session: str, listener: int, pid: int, pidfd: int | None) -> None:
        self.session(session)
        self.received.append(os.pread(listener, 100, 0))

    async def run(self, peer: Peer, request: SessionRequest, descriptors: Sequence[int]) -> Started:
        self.requests.append(request)
        self.received += [os.readlink(f"/proc/self/fd/{fd}").encode() for fd in descriptors]
        if request.argv[0] == "missing":
            raise Failed("cannot execute 'missing': No such file or directory")
        return {"session": "s1", "pid": os.getpid(), "pidfd": os.pidfd_open(os.getpid())}

    async def wait(self, peer: Peer, session: str) -> Outcome:
        self.session(session)
        self.waiting += 1
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
        return {"session": session, "status": 3, "failure": "", "denied": 2, "events": 1, "seconds": 1.5}

    async def list_sessions(self, peer: Peer, *, ended: bool) -> list[Session]:
        return [SESSION]

    async def inspect_session(self, peer: Peer, session: str) -> Details:
        self.session(session)
        return {
            "session": SESSION,
            "rules": RULES,
            "variables": {"cwd": "/home/builder/zlib"},
            "processes": [{"pid": 4711, "parent": 1, "command": "make", "argv": ["make", "-j2"]}],
            "calls": [{"syscall": "openat", "answer": "allowed", "count": 12}],
            "latency": [{"seconds": 0.0001, "count": 12}],
            "layers": "kernel + supervisor",
        }

    async def kill_session(self, peer: Peer, session: str, signal: int) -> int:
        self.session(session)
        return signal

    async def add_rules(self, peer: Peer, session: str, rules: Sequence[str]) -> RuleList:
        self.session(session)
        for rule in rules:
            if rule.startswith("allow write /etc"):
                raise BeyondCeiling(rule, RULES["ceiling"])
        self.rules += rules
        return await self.list_rules(peer, session)

    async def remove_rules(self, peer: Peer, session: str, rules: Sequence[str]) -> RuleList:
        for rule in rules:
            if rule not in self.rules:
                raise BadArgument("rules", f"'{rule}' was not added")
            self.rules.remove(rule)
        return await self.list_rules(peer, session)

    async def list_rules(self, peer: Peer, session: str) -> RuleList:
        self.session(session)
        runtime = [{"rule": rule, "added": 1764172800.0, "uid": 1000, "inside": False} for rule in self.rules]
        return {**RULES, "runtime": runtime, "lock": self.lock_state}  # type: ignore[typeddict-item]

    async def lock(self, peer: Peer, session: str, lock: str) -> str:
        self.session(session)
        self.lock_state = lock
        return lock

    async def set_mode(self, peer: Peer, session: str, mode: str) -> None:
        self.session(session)

    async def check(self, peer: Peer, session: str, access: str, target: str) -> list[Verdict]:
        self.session(session)
        return [
            {
                "allowed": access == "read",
                "action": "allow" if access == "read" else "deny",
                "access": access,
                "object": target,
                "rule": "no rule: default",
                "source": "",
                "allow": "" if access == "read" else f"allow {access} {target}",
            }
        ]

    async def subscribe(
        self,
        peer: Peer,
        session: str | None,
        position: int | None,
        kinds: Sequence[str] | None,
        *,
        follow: bool,
    ) -> AsyncGenerator[Notice, None]:
        self.waiting += 1
        try:
            for item in self.notices:
                if kinds is None or item["kind"] in kinds:
                    yield item
            if follow:
                await self.over.wait()
        finally:
            self.waiting -= 1

    async def questions(self, peer: Peer, *, follow: bool) -> AsyncGenerator[Question, None]:
        question: Question = {
            "question": "q1",
            "session": "s1",
            "state": "open",
            "asked": 1764172800.0,
            "expires": 1764172860.0,
            "event": EVENT,
        }
        yield question
        if follow:
            await self.over.wait()

    async def decide(self, peer: Peer, question: str, *, allow: bool) -> None:
        if question != "q1":
            raise NoSuchQuestion(question)
        self.decisions.append((question, allow))

    def session(self, name: str) -> None:
        """Raise for every session but the one."""
        if name not in ("s1", "self"):
            raise NoSuchSession(name)
