"""The Varlink interface `org.sydd`: what calls and replies look like. docs/socket.md is made from it."""

# No `from __future__ import annotations` here: asyncvarlink reads the annotations at run time.

import collections.abc
import contextlib
import inspect
import typing

from asyncvarlink import (
    FileDescriptor,
    LastResult,
    TypedVarlinkErrorReply,
    VarlinkInterface,
    varlinkmethod,
)
from asyncvarlink.conversion import VarlinkType

from sydd.control.backend import Backend, SessionRequest
from sydd.control.peer import Peer
from sydd.wire import INTERFACE, events, values
from sydd.wire.errors import ERRORS, BadArgument, ControlError

SIGKILL = 9

_Method = typing.TypeVar("_Method", bound=collections.abc.Callable[..., typing.Any])

NAMED = (
    values.ProfileEntry,
    values.Finding,
    values.RuntimeRule,
    values.Session,
    values.ProcessEntry,
    values.CallCount,
    values.Bucket,
    values.Verdict,
    events.Caller,
    events.CallingProcess,
    events.AccessEvent,
    events.Notice,
    events.Question,
)
"""Structures that get a name in the description; inner ones first."""

TYPES: dict[str, str] = {}
"""What each of them is, by the names of the others."""


def with_names(text: str) -> str:
    """A type or more of Varlink, with names for the structures that have one."""
    for name, definition in TYPES.items():
        text = text.replace(definition, name)
    return text


for _structure in NAMED:
    TYPES[_structure.__name__] = with_names(VarlinkType.from_type_annotation(_structure).as_varlink)


class Profiles(typing.TypedDict):
    """The profiles."""

    profiles: list[values.ProfileEntry]


class Findings(typing.TypedDict):
    """What was found."""

    findings: list[values.Finding]


class Created(typing.TypedDict):
    """See values.Created; the descriptor goes beside the reply."""

    session: str
    launch: FileDescriptor


class Started(typing.TypedDict):
    """See values.Started; the descriptor goes beside the reply."""

    session: str
    pid: int
    pidfd: FileDescriptor


class Sessions(typing.TypedDict):
    """The sessions."""

    sessions: list[values.Session]


class Killed(typing.TypedDict):
    """How many processes got the signal."""

    processes: int


class Locking(typing.TypedDict):
    """The lock that is in force."""

    lock: values.Lock


class Verdicts(typing.TypedDict):
    """One verdict for each single access."""

    verdicts: list[values.Verdict]


class Notices(typing.TypedDict):
    """One notice; null in the last reply."""

    notice: events.Notice | None


class Questions(typing.TypedDict):
    """One question; null in the last reply."""

    question: events.Question | None


class Wanted(typing.TypedDict):
    """What a new session is to be; see SessionRequest."""

    profile: str
    directory: str
    rules: typing.NotRequired[list[str] | None]
    sets: typing.NotRequired[dict[str, str] | None]
    mode: typing.NotRequired[values.Mode | None]
    engine: typing.NotRequired[values.Engine | None]
    environment: typing.NotRequired[dict[str, str] | None]
    terminals: typing.NotRequired[list[str] | None]
    label: typing.NotRequired[str | None]
    umask: typing.NotRequired[int | None]


def _with_members(function: _Method) -> _Method:
    """Have asyncvarlink see the members of `**wanted` as arguments, those that must be there first."""
    signature = inspect.signature(function)
    own, *others, _ = signature.parameters.values()
    members = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=kind,
            default=None if name in Wanted.__optional_keys__ else inspect.Parameter.empty,
        )
        for name, kind in typing.get_type_hints(Wanted).items()
    ]
    arguments = sorted([*members, *others], key=lambda one: one.default is not inspect.Parameter.empty)
    function.__signature__ = signature.replace(parameters=[own, *arguments])  # type: ignore[attr-defined]
    return function


def _reply_class(error: type[ControlError]) -> type[TypedVarlinkErrorReply]:
    """The error as asyncvarlink describes and sends it."""
    body: dict[str, typing.Any] = {
        "__doc__": error.__doc__,
        "__module__": __name__,
        "name": error.qualified(),
        "Parameters": type("Parameters", (), {"__annotations__": error.FIELDS}),
        "__annotations__": {},
    }
    return type(error.__name__, (TypedVarlinkErrorReply,), body)


REPLIES = {error: _reply_class(error) for error in ERRORS}
"""For each error what is sent."""


class Sydd(VarlinkInterface, name=INTERFACE):
    """Sandboxed sessions: profiles, sessions, rules at run time, events and decisions.

    A session's name may be "self" in every call: the session that the caller is in.
    Descriptors are sent beside the frame (SCM_RIGHTS); their fields hold the index among those of the frame.
    Bytes of names that are not UTF-8 are written as lone surrogates U+DC80 to U+DCFF.
    """

    errors = tuple(REPLIES.values())

    def __init__(self, backend: Backend, peer: Peer) -> None:
        self._backend = backend
        self.peer = peer

    @classmethod
    def render_interface_description(cls, *, comments: bool = True) -> str:
        """The description, with names for structures, which asyncvarlink would write out each time."""
        text = with_names(super().render_interface_description(comments=comments))
        types = "\n".join(f"type {name} {definition}" for name, definition in TYPES.items())
        return text.replace(f"interface {cls.name}\n", f"interface {cls.name}\n\n{types}\n", 1)

    @varlinkmethod
    async def Info(self) -> values.Info:
        """Who answers: version, process, kernel, and what is bounded."""
        return await self._backend.info(self.peer)

    @varlinkmethod
    async def Health(self) -> values.Health:
        """How the daemon is, in figures."""
        return await self._backend.health(self.peer)

    @varlinkmethod
    async def ListProfiles(self) -> Profiles:
        """The profiles that every user can name; those in a user's home are not listed."""
        return {"profiles": await self._backend.list_profiles(self.peer)}

    @varlinkmethod
    async def GetProfile(self, *, name: str) -> values.ProfileText:
        """A profile's text."""
        return await self._backend.get_profile(self.peer, name)

    @varlinkmethod
    async def ValidateProfile(self, *, text: str, name: str = "profile") -> Findings:
        """What is wrong with a profile's text; findings name the text by `name`."""
        return {"findings": await self._backend.validate_profile(self.peer, text, name)}

    @varlinkmethod
    async def PutProfile(self, *, name: str, text: str, replace: bool = False) -> Findings:
        """Write a profile of the system and return the warnings. Root only; sessions that run keep theirs."""
        return {"findings": await self._backend.put_profile(self.peer, name, text, replace=replace)}

    @varlinkmethod
    async def RemoveProfile(self, *, name: str) -> None:
        """Remove a profile of the system. Root only; shipped ones stay."""
        await self._backend.remove_profile(self.peer, name)

    @varlinkmethod
    @_with_members
    async def CreateSession(
        self, *, argv: list[str] | None = None, **wanted: typing.Unpack[Wanted]
    ) -> Created:
        """Prepare a session for a command that the caller starts, by what the descriptor `launch` says.

        `profile` is a name or an absolute path; `argv` is only shown; `sets` gives variables values;
        `environment` is the command's before the profile changes it; `terminals` are names below /dev/pts.
        Attach follows.
        """
        created = await self._backend.create_session(self.peer, _request(argv, wanted))
        return {"session": created["session"], "launch": FileDescriptor(created["launch"], should_close=True)}

    @varlinkmethod
    async def Attach(
        self, *, session: str, listener: FileDescriptor, pid: int, pidfd: FileDescriptor | None = None
    ) -> None:
        """Hand the seccomp listener over. The reply says that it is served: the command may start."""
        handle = None if pidfd is None else pidfd.fileno()
        await self._backend.attach(self.peer, session, listener.fileno(), pid, handle)

    @varlinkmethod
    @_with_members
    async def Run(
        self,
        *,
        argv: list[str],
        descriptors: list[FileDescriptor] | None = None,
        **wanted: typing.Unpack[Wanted],
    ) -> Started:
        """Start a command in a new session, as a child of the daemon with the caller's user and groups.

        `descriptors` become the command's 0, 1, 2, and so on; missing ones of 0 to 2 are /dev/null. Wait
        tells how it ends. The session does not end with the connection.
        """
        if not argv:
            raise BadArgument("argv", "no command")
        numbers = [descriptor.fileno() for descriptor in descriptors or ()]
        started = await self._backend.run(self.peer, _request(argv, wanted), numbers)
        pidfd = FileDescriptor(started["pidfd"], should_close=True)
        return {"session": started["session"], "pid": started["pid"], "pidfd": pidfd}

    @varlinkmethod
    async def Wait(self, *, session: str) -> values.Outcome:
        """Wait until a session has ended, its last process included."""
        return await self._backend.wait(self.peer, session)

    @varlinkmethod
    async def ListSessions(self, *, ended: bool = False) -> Sessions:
        """The caller's sessions (root: all), oldest first; with `ended` also ended ones still remembered."""
        return {"sessions": await self._backend.list_sessions(self.peer, ended=ended)}

    @varlinkmethod
    async def InspectSession(self, *, session: str) -> values.Details:
        """Everything about a session: rules, variables, processes, calls and how long answers took."""
        return await self._backend.inspect_session(self.peer, session)

    @varlinkmethod
    async def KillSession(self, *, session: str, signal: int = SIGKILL) -> Killed:
        """Send a signal to every process of a session; with SIGKILL (9, the default) until none is left."""
        return {"processes": await self._backend.kill_session(self.peer, session, signal)}

    @varlinkmethod
    async def AddRules(self, *, session: str, rules: list[str]) -> values.RuleList:
        """Add rules, all or none. They decide the next call already when the reply comes."""
        return await self._backend.add_rules(self.peer, session, rules)

    @varlinkmethod
    async def RemoveRules(self, *, session: str, rules: list[str]) -> values.RuleList:
        """Remove rules that were added at run time, by their lines, all or none."""
        return await self._backend.remove_rules(self.peer, session, rules)

    @varlinkmethod
    async def ListRules(self, *, session: str) -> values.RuleList:
        """The rules of a session, its ceiling and its lock."""
        return await self._backend.list_rules(self.peer, session)

    @varlinkmethod
    async def Lock(self, *, session: str, lock: values.Lock) -> Locking:
        """Set a session's lock: who inside may change rules. From inside it can only be tightened."""
        set_to = await self._backend.lock(self.peer, session, lock)
        return {"lock": typing.cast("values.Lock", set_to)}

    @varlinkmethod
    async def SetMode(self, *, session: str, mode: values.Mode) -> None:
        """Set a session's mode; from inside it can only be tightened."""
        await self._backend.set_mode(self.peer, session, mode)

    @varlinkmethod
    async def Check(self, *, session: str, access: str, object: str) -> Verdicts:  # noqa: A002  # the field's name
        """What a session says about an access (`read`, `write`, `read,exec`) to a path or an address."""
        return {"verdicts": await self._backend.check(self.peer, session, access, object)}

    @varlinkmethod(delay_generator=False)
    async def Subscribe(
        self,
        *,
        session: str | None = None,
        position: int | None = None,
        kinds: list[str] | None = None,
        follow: bool = True,
    ) -> collections.abc.AsyncIterator[Notices]:
        """Tell what happens (call with `more`).

        One `session` or all; `position` is the notice to begin after: 0 for the oldest that is remembered,
        null for now; `kinds` to tell. Without `follow` it ends when what is remembered was told; with a
        session when that has ended. A reader that is too slow loses notices, and is told how many.
        """
        stream = self._backend.subscribe(self.peer, session, position, kinds, follow=follow)
        async with contextlib.aclosing(stream):
            async for notice in stream:
                yield {"notice": notice}
        raise LastResult({"notice": None})

    @varlinkmethod(delay_generator=False)
    async def Questions(self, *, follow: bool = True) -> collections.abc.AsyncIterator[Questions]:
        """Tell the open questions of `ask` rules (call with `more`), new ones and what became of each."""
        stream = self._backend.questions(self.peer, follow=follow)
        async with contextlib.aclosing(stream):
            async for question in stream:
                yield {"question": question}
        raise LastResult({"question": None})

    @varlinkmethod
    async def Decide(self, *, question: str, allow: bool) -> None:
        """Answer a question. One that nobody answers is denied when its time is over."""
        await self._backend.decide(self.peer, question, allow=allow)


def _request(argv: collections.abc.Sequence[str] | None, wanted: Wanted) -> SessionRequest:
    """What a new session is to be, as one value.

    Raises:
        BadArgument: the directory is relative, the umask is none, or a variable has no name.
    """
    if not wanted["directory"].startswith("/"):
        raise BadArgument("directory", "must be absolute")
    umask = wanted.get("umask")
    if umask is not None and not 0 <= umask <= 0o777:
        raise BadArgument("umask", "must be from 0 to 0777")
    for name in wanted.get("environment") or ():
        if not name or "=" in name:
            raise BadArgument("environment", f"'{name}' is no name of a variable")
    given: dict[str, typing.Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in wanted.items()
        if value is not None
    }
    return SessionRequest(argv=tuple(argv or ()), **given)
