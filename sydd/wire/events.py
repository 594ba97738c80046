"""What streams over the control socket: notices of what happens, and questions that wait for a decision."""

from typing import TypedDict

# No `from __future__ import annotations` here: the interface reads these annotations at run time.

KINDS = (
    "access",
    "repeated",
    "dropped",
    "trouble",
    "created",
    "started",
    "ended",
    "rules",
    "lock",
    "mode",
    "restarted",
    "restored",
    "killed",
    "limit",
    "question",
    "lost",
)
"""The kinds of notices; docs/events.md says what each has."""


class Caller(TypedDict):
    """A process above the one that made a call.

    Attributes:
        pid: its number.
        command: its short name.
    """

    pid: int
    command: str


class CallingProcess(TypedDict):
    """The process that made a call.

    Attributes:
        pid: the process.
        tid: the thread.
        command: its short name.
        exe: its program.
        argv: its arguments.
        cwd: its working directory.
        parents: from its parent up to the launched command.
    """

    pid: int
    tid: int
    command: str
    exe: str
    argv: list[str]
    cwd: str
    parents: list[Caller]


class AccessEvent(TypedDict):
    """An access that was stopped or recorded; the same fields as a line of `sydctl launch --events`.

    Attributes:
        sequence: number within the session, from 1.
        time: seconds since the epoch, when it happened first.
        session: name of the session.
        profile: name of the profile.
        enforced: False where the access was recorded and let pass (audit mode).
        action: what the rule says: deny, hide, kill, ask, warn.
        access: the single access; empty for a call that is refused as such.
        syscall: name of the call.
        given: the path as the caller wrote it.
        path: the canonical path or address.
        errno: name of the errno that the caller got; empty when the call went on.
        process: who asked.
        rule: the rule that decided.
        rule_source: where that rule stands; empty for the default.
        allow: the rule line that would allow it; empty where no rule can.
        decision: what came of asking, where the rule says `ask`; else empty.
        host: of an internet address: the names by which rules have it; empty where none do.
        service: the name of its port; empty where it has none.
        count: how often it happened until it was told.
    """

    sequence: int
    time: float
    session: str
    profile: str
    enforced: bool
    action: str
    access: str
    syscall: str
    given: str
    path: str
    errno: str
    process: CallingProcess
    rule: str
    rule_source: str
    allow: str
    decision: str
    host: str
    service: str
    count: int


class Notice(TypedDict):
    """Something that happened in a session; docs/events.md has a table by kind.

    Attributes:
        position: number of the notice; grows, also across restarts of the daemon.
        time: seconds since the epoch.
        session: name of the session; empty for what concerns the daemon.
        kind: one of KINDS; a reader passes over those that it does not know.
        message: one line for people.
        event: the access, for "access" and "question"; else None.
        sequence: the event's number, for "repeated"; else 0.
        count: how often, for "repeated"; how many, for "dropped", "killed", "lost" and "restarted"; else 0.
        detail: further values by name, by kind.
    """

    position: int
    time: float
    session: str
    kind: str
    message: str
    event: AccessEvent | None
    sequence: int
    count: int
    detail: dict[str, str]


class Question(TypedDict):
    """An access that waits for a decision.

    Attributes:
        question: its name, for Decide.
        session: the session it comes from.
        state: "open", "allowed", "denied" or "expired"; each change is told.
        asked: seconds since the epoch.
        expires: seconds since the epoch; denied then.
        event: the access.
    """

    question: str
    session: str
    state: str
    asked: float
    expires: float
    event: AccessEvent
