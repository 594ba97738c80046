"""What goes over the control socket: one TypedDict a structure, known to daemon, server and client.

Nothing is imported but typing: the client has to be quick to start. Every field is always there; what may be
missing is None. Bytes of names that are not UTF-8 are lone surrogates (`os.fsdecode`), as Python has them.
"""

from typing import Literal, TypedDict

# No `from __future__ import annotations` here: the interface reads these annotations at run time.

SELF = "self"
"""As a session's name: the one that the caller is in."""

Lock = Literal["off", "exec", "on"]
Mode = Literal["enforce", "audit"]
Engine = Literal["hybrid", "supervisor", "landlock"]


class Info(TypedDict):
    """Who answers.

    Attributes:
        version: of sydd.
        pid: the daemon's main process.
        uid: whom it runs as; 0 for the system's.
        socket: path of the socket.
        started: seconds since the epoch.
        kernel: release of the kernel.
        limits: what is bounded, by name, and at how much.
        administrator: whether this caller may change the profiles of the system.
    """

    version: str
    pid: int
    uid: int
    socket: str
    started: float
    kernel: str
    limits: dict[str, int]
    administrator: bool


class Health(TypedDict):
    """How the daemon is.

    Attributes:
        healthy: False when `problems` names anything.
        problems: one line each.
        sessions: that have not ended.
        workers: worker processes.
        restarts: workers that died and were replaced.
        questions: that wait for a decision.
        subscribers: streams of events.
        connections: to the control socket.
        lost: notices that readers were too slow for.
        memory: resident memory of the main process in bytes.
        descriptors: that the main process has open.
    """

    healthy: bool
    problems: list[str]
    sessions: int
    workers: int
    restarts: int
    questions: int
    subscribers: int
    connections: int
    lost: int
    memory: int
    descriptors: int


class ProfileEntry(TypedDict):
    """A profile that every user can name; those in a user's home are the user's alone and not listed here.

    Attributes:
        name: what to call it.
        origin: "system" (/etc/sydd/profiles) or "shipped".
        path: its file.
        description: its own words.
    """

    name: str
    origin: str
    path: str
    description: str


class ProfileText(TypedDict):
    """A profile as it is written.

    Attributes:
        name: what to call it.
        origin: "system" or "shipped".
        path: its file.
        text: TOML.
    """

    name: str
    origin: str
    path: str
    text: str


class Finding(TypedDict):
    """One thing that is wrong with a profile, or hardly meant.

    Attributes:
        severity: "error" (it cannot be used) or "warning".
        message: what was found.
        file: where; the name given to the text, or a file that it extends.
        line: from 1; 0 for no place.
        column: from 1; 0 for no place.
        hint: what to do about it; may be empty.
    """

    severity: str
    message: str
    file: str
    line: int
    column: int
    hint: str


class Created(TypedDict):
    """A session that waits for its listener.

    Attributes:
        session: its name.
        launch: descriptor of a sealed memfd: what the launcher needs, as JSON.
    """

    session: str
    launch: int


class Started(TypedDict):
    """A session whose command runs.

    Attributes:
        session: its name.
        pid: the command's.
        pidfd: descriptor of the command's process.
    """

    session: str
    pid: int
    pidfd: int


class Outcome(TypedDict):
    """How a session ended.

    Attributes:
        session: its name.
        status: the command's exit status; 128 + N when signal N ended it; 125 when sydd failed.
        failure: why sydd failed; empty when it did not.
        denied: accesses that were stopped, each time counted.
        events: different accesses that were recorded.
        seconds: how long it lasted.
    """

    session: str
    status: int
    failure: str
    denied: int
    events: int
    seconds: float


class Session(TypedDict):
    """A session in a list.

    Attributes:
        session: its name.
        label: what its creator called it; may be empty.
        profile: its profile.
        mode: "enforce" or "audit".
        engine: the layers in use.
        origin: "launch" (the client started the command) or "run" (the daemon did).
        state: "created" (it waits for its listener), "running" or "ended".
        lock: "off", "exec" or "on".
        uid: whose it is.
        user: that user's name.
        directory: the command's working directory.
        command: program and arguments; empty when not known.
        pid: the command's; 0 before it started.
        worker: pid of the worker process; 0 when there is none.
        created: seconds since the epoch.
        ended: seconds since the epoch; None while it lasts.
        status: as Outcome has it; None while it lasts.
        denied: accesses that were stopped until now.
        events: different accesses that were recorded until now.
        questions: that wait for a decision.
        restarts: workers that died and were replaced.
    """

    session: str
    label: str
    profile: str
    mode: str
    engine: str
    origin: str
    state: str
    lock: str
    uid: int
    user: str
    directory: str
    command: list[str]
    pid: int
    worker: int
    created: float
    ended: float | None
    status: int | None
    denied: int
    events: int
    questions: int
    restarts: int


class ProcessEntry(TypedDict):
    """A process of a session.

    Attributes:
        pid: its number.
        parent: its parent's.
        command: its short name.
        argv: its arguments.
    """

    pid: int
    parent: int
    command: str
    argv: list[str]


class CallCount(TypedDict):
    """How often a call was answered in one way.

    Attributes:
        syscall: the name of the call.
        answer: "continue" (the kernel did it), "error" (an errno), "value" or "descriptor" (what it returned
            when it was performed), "later" (by another process, or after a question) or "kill".
        count: how often.
    """

    syscall: str
    answer: str
    count: int


class Bucket(TypedDict):
    """One step of the histogram of how long answers took.

    Attributes:
        seconds: the upper bound; the last one is 1e9.
        count: answers that took at most that long and longer than the step before.
    """

    seconds: float
    count: int


class RuntimeRule(TypedDict):
    """A rule that was added to a running session.

    Attributes:
        rule: its line.
        added: seconds since the epoch.
        uid: who added it.
        inside: whether a process of the session did.
    """

    rule: str
    added: float
    uid: int
    inside: bool


class RuleList(TypedDict):
    """The rules of a session.

    Attributes:
        rules: those of the profile and of its creation, in the order that decides.
        runtime: those that were added since; they come after the others.
        ceiling: what rules added at run time may permit at most: `[limits] runtime` of the profile.
        lock: "off", "exec" or "on".
    """

    rules: list[str]
    runtime: list[RuntimeRule]
    ceiling: list[str]
    lock: str


class Details(TypedDict):
    """Everything about a session.

    Attributes:
        session: as in a list.
        rules: its rules.
        variables: the values of the profile's variables.
        processes: that it has now.
        calls: its calls, by name and answer.
        latency: how long answers took, of each seventeenth call.
        layers: who enforces what, in one line.
    """

    session: Session
    rules: RuleList
    variables: dict[str, str]
    processes: list[ProcessEntry]
    calls: list[CallCount]
    latency: list[Bucket]
    layers: str


class Verdict(TypedDict):
    """What a session says about one access to one object.

    Attributes:
        allowed: whether it would go ahead.
        action: what the rule says: allow, warn, deny, filter, hide, kill, ask.
        access: the single access.
        object: the canonical path or address that was judged.
        rule: the rule that decides, or "no rule: default".
        source: where that rule stands; empty for the default.
        allow: the rule line that would allow it; empty when it is allowed or none can.
    """

    allowed: bool
    action: str
    access: str
    object: str
    rule: str
    source: str
    allow: str
