"""Sessions, records and figures as the values that go over the control socket."""

from __future__ import annotations

import os
from typing import Any, cast

from sydd.daemon.ending import Members
from sydd.daemon.errand import ErrandError, run_errand
from sydd.daemon.hub import Record
from sydd.daemon.insiders import read_argv
from sydd.daemon.sessions import EXIT_FAILED, Session
from sydd.daemon.spec import Identity
from sydd.supervisor.procfs import command_of, parent_of
from sydd.wire.events import Notice
from sydd.wire.values import CallCount, Details, Outcome, ProcessEntry, RuleList
from sydd.wire.values import Session as SessionEntry

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAXIMUM_PROCESSES = 1000
"""Processes of one session that are shown."""


def minimal_environment(identity: Identity) -> dict[str, str]:
    """The environment of a command whose caller gives none."""
    return {
        "HOME": identity.home,
        "LOGNAME": identity.user,
        "PATH": PATH,
        "SHELL": "/bin/sh",
        "USER": identity.user,
    }


def entry(session: Session) -> SessionEntry:
    """A session in a list."""
    state, spec, about = session.state, session.spec, session.about
    return {
        "session": spec.id,
        "label": spec.label,
        "profile": str(about.get("profile", spec.profile)),
        "mode": state.mode or spec.mode or "",
        "engine": str(about.get("engine", "")),
        "origin": spec.origin,
        "state": state.phase,
        "lock": state.lock,
        "uid": spec.identity.uid,
        "user": spec.identity.user,
        "directory": spec.directory,
        "command": list(state.argv),
        "pid": state.command,
        "worker": state.worker,
        "created": state.created,
        "ended": state.ended,
        "status": _status(session) if state.phase == "ended" else None,
        "denied": session.journal.denied,
        "events": session.journal.different,
        "questions": len(session.questions),
        "restarts": state.restarts,
    }


def _status(session: Session) -> int:
    """The exit status; that of a failure where it is not known."""
    return EXIT_FAILED if session.state.status is None else session.state.status


def outcome(session: Session) -> Outcome:
    """How a session ended."""
    return {
        "session": session.spec.id,
        "status": _status(session),
        "failure": session.state.failure,
        "denied": session.journal.denied,
        "events": session.journal.different,
        "seconds": round(session.seconds, 6),
    }


def rules(session: Session) -> RuleList:
    """The rules of a session."""
    about = session.about
    return cast(
        "RuleList",
        {
            "rules": [str(line) for line in about.get("rules", ())],
            "runtime": [dict(item) for item in session.state.rules],
            "ceiling": [str(line) for line in about.get("ceiling", ())],
            "lock": session.state.lock,
        },
    )


async def processes(session: Session) -> list[ProcessEntry]:
    """The processes of a session, looked at by another process.

    Reading arguments reads the process's memory, which may be mapped from a file system that does not answer.
    """
    if not session.state.parent:
        return []
    found = session.members()
    try:
        return cast("list[ProcessEntry]", await run_errand(lambda: _look(found), session.spec.identity))
    except ErrandError as error:
        session.journal.trouble(f"its processes could not be looked at: {error}")
        return []


def _look(found: Members) -> list[ProcessEntry]:
    return [
        {"pid": pid, "parent": parent_of(pid), "command": command_of(pid), "argv": read_argv(pid)}
        for pid in found.find()[:MAXIMUM_PROCESSES]
    ]


def details(session: Session, statistics: dict[str, Any], found: list[ProcessEntry]) -> Details:
    """Everything about a session.

    Args:
        session: the session.
        statistics: what its worker counted; empty where it was not asked.
        found: its processes.
    """
    calls: list[CallCount] = [
        {"syscall": str(name), "answer": str(answer), "count": int(count)}
        for name, answers in sorted(statistics.get("notifications", {}).items())
        for answer, count in sorted(answers.items())
    ]
    about = session.about
    return {
        "session": entry(session),
        "rules": rules(session),
        "variables": {str(name): str(value) for name, value in about.get("variables", {}).items()},
        "processes": found,
        "calls": calls,
        "latency": [
            {"seconds": float(bound), "count": int(count)}
            for bound, count in zip(
                [*statistics.get("bounds", ()), 1e9], statistics.get("buckets", ()), strict=False
            )
        ],
        "layers": str(about.get("layers", "")),
    }


def notice(record: Record) -> Notice:
    """A record of the hub."""
    data = record.data
    return cast(
        "Notice",
        {
            "position": record.position,
            "time": record.time,
            "session": record.session,
            "kind": record.kind,
            "message": data.get("message", ""),
            "event": data.get("event"),
            "sequence": data.get("sequence", 0),
            "count": data.get("count", 0),
            "detail": data.get("detail", {}),
        },
    )


def lost(count: int, position: int) -> Notice:
    """Stands where notices are missing.

    Args:
        count: how many.
        position: of the last one that there was.
    """
    return {
        "position": position,
        "time": 0.0,
        "session": "",
        "kind": "lost",
        "message": f"{count} notices are missing",
        "event": None,
        "sequence": 0,
        "count": count,
        "detail": {},
    }


def resident_memory() -> int:
    """Resident memory of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
