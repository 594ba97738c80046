"""What the control socket needs of the daemon: one method for each of the interface's.

Every method takes the peer first and decides what that peer may see and change; the server only knows who
it is. Values are those of sydd.wire.values; what goes wrong is a ControlError. Anything else that is raised
is a mistake of sydd's own: the caller gets `Failed`, and it is logged.

Descriptors. Those that come in belong to the server and are closed when the method has returned or raised:
the backend duplicates what it keeps. Those that go out (`Created.launch`, `Started.pidfd`) belong to the
server from then on.

A session's name may be "self": the session that the peer is in.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sydd.control.peer import Peer
from sydd.wire.events import Notice, Question
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


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a new session is to be.

    Attributes:
        profile: name of a profile, or an absolute path to its file, which is read as the peer.
        directory: the command's working directory, absolute.
        argv: the command; for `CreateSession` only to be shown, and may be empty.
        rules: further rules, after the profile's.
        sets: values of variables.
        mode: "enforce" or "audit"; None for the profile's own.
        engine: "hybrid", "supervisor" or "landlock"; None for the strongest that there is.
        environment: before the profile changes it; None for a minimal one: HOME, LOGNAME, PATH, SHELL, USER.
        terminals: names below /dev/pts of terminals that the session has from the beginning.
        label: what to call the session in lists.
        umask: of the command, before the profile's own; None for 022.
    """

    profile: str
    directory: str
    argv: Sequence[str] = ()
    rules: Sequence[str] = ()
    sets: dict[str, str] = field(default_factory=dict)
    mode: str | None = None
    engine: str | None = None
    environment: dict[str, str] | None = None
    terminals: Sequence[str] = ()
    label: str = ""
    umask: int | None = None


class Backend(Protocol):
    """The daemon, as the control socket sees it."""

    async def info(self, peer: Peer) -> Info:
        """Who answers."""

    async def health(self, peer: Peer) -> Health:
        """How the daemon is; figures of all users' sessions, names of none."""

    async def list_profiles(self, peer: Peer) -> list[ProfileEntry]:
        """The profiles that every user can name."""

    async def get_profile(self, peer: Peer, name: str) -> ProfileText:
        """A profile's text.

        Raises:
            NoSuchProfile: there is none of that name.
        """

    async def validate_profile(self, peer: Peer, text: str, name: str) -> list[Finding]:
        """What is wrong with a profile's text; an error makes it useless, warnings do not.

        Args:
            peer: who asks.
            text: TOML.
            name: what to call it in findings.
        """

    async def put_profile(self, peer: Peer, name: str, text: str, *, replace: bool) -> list[Finding]:
        """Write a profile of the system; root only. Sessions that run keep theirs.

        Args:
            peer: who asks.
            name: lower-case letters, digits, `-`, `_` and `.`.
            text: TOML.
            replace: whether one of that name may be there already.

        Returns:
            The warnings.

        Raises:
            BadProfile: it cannot be used; nothing was written.
            BadArgument: the name cannot be one, or is taken.
            PermissionDenied: the peer is not root.
        """

    async def remove_profile(self, peer: Peer, name: str) -> None:
        """Remove a profile of the system; root only. Shipped ones stay.

        Raises:
            NoSuchProfile: there is none of that name that could be removed.
            PermissionDenied: the peer is not root.
        """

    async def create_session(self, peer: Peer, request: SessionRequest) -> Created:
        """Prepare a session for a command that the peer starts; it is gone when nobody attaches in time.

        Raises:
            NoSuchProfile, BadProfile, BadArgument: as the request deserves.
            LimitReached: the peer has as many sessions as it may have.
            PermissionDenied: the peer is in a session itself.
        """

    async def attach(self, peer: Peer, session: str, listener: int, pid: int, pidfd: int | None) -> None:
        """Take the listener over; returns when it is served, so that the command may start.

        Args:
            peer: who created the session.
            session: its name.
            listener: descriptor of the seccomp listener.
            pid: the process that will be the command.
            pidfd: a descriptor of it; None when the peer has none.

        Raises:
            NoSuchSession: there is none of that name that waits.
            BadArgument: the descriptor is no listener, or the process is not the peer's.
        """

    async def run(self, peer: Peer, request: SessionRequest, descriptors: Sequence[int]) -> Started:
        """Start a command in a new session as a child of the daemon.

        Args:
            peer: who asks; the command gets its user, group and supplementary groups.
            request: what to run.
            descriptors: become the command's 0, 1, 2, 3, …; /dev/null for those of 0 to 2 that are missing.

        Raises:
            As create_session; Failed with the reason when the command cannot be executed.
        """

    async def wait(self, peer: Peer, session: str) -> Outcome:
        """Wait until a session has ended. Cancelled when the peer hangs up."""

    async def list_sessions(self, peer: Peer, *, ended: bool) -> list[Session]:
        """The sessions that the peer may see, oldest first.

        Args:
            peer: who asks.
            ended: also those that have ended and are still remembered.
        """

    async def inspect_session(self, peer: Peer, session: str) -> Details:
        """Everything about a session."""

    async def kill_session(self, peer: Peer, session: str, signal: int) -> int:
        """Send a signal to every process of a session; SIGKILL until none is left.

        Returns:
            How many processes got it.
        """

    async def add_rules(self, peer: Peer, session: str, rules: Sequence[str]) -> RuleList:
        """Add rules, all or none; they decide the next call already when this returns.

        Raises:
            BadProfile: one cannot be read.
            BeyondCeiling, NotSupervised, Locked: one cannot be added.
            LimitReached: there would be too many.
        """

    async def remove_rules(self, peer: Peer, session: str, rules: Sequence[str]) -> RuleList:
        """Remove rules that were added, by their lines, all or none.

        Raises:
            BadArgument: one is not there.
            Locked: the lock forbids it to the peer.
        """

    async def list_rules(self, peer: Peer, session: str) -> RuleList:
        """The rules of a session."""

    async def lock(self, peer: Peer, session: str, lock: str) -> str:
        """Set a session's lock: "off", "exec" or "on".

        Returns:
            The lock that is in force now.

        Raises:
            Locked: it would be loosened from inside.
        """

    async def set_mode(self, peer: Peer, session: str, mode: str) -> None:
        """Set a session's mode: "enforce" or "audit".

        Raises:
            PermissionDenied: it would be loosened from inside.
            NotSupervised: the session was prepared for the other mode, and cannot change.
        """

    async def check(self, peer: Peer, session: str, access: str, target: str) -> list[Verdict]:
        """What a session says about an access, one verdict for each single access in *access*.

        Args:
            peer: who asks.
            session: its name.
            access: as rules spell it: `read`, `write`, `read,exec`.
            target: a path (relative ones from the command's directory) or an address.
        """

    def subscribe(
        self,
        peer: Peer,
        session: str | None,
        position: int | None,
        kinds: Sequence[str] | None,
        *,
        follow: bool,
    ) -> AsyncGenerator[Notice, None]:
        """Tell what happens; an async generator, closed when the reader hangs up.

        Args:
            peer: who asks.
            session: one session's notices alone; None for all that the peer may see.
            position: after which notice to begin; 0 for the oldest that is remembered, None for now. What is
                forgotten already is told as "lost".
            kinds: only these; None for all. "lost" comes always.
            follow: whether to go on when what is remembered was told. With a session it ends when that ends.
        """

    def questions(self, peer: Peer, *, follow: bool) -> AsyncGenerator[Question, None]:
        """Tell the open questions, and with *follow* new ones and what became of them."""

    async def decide(self, peer: Peer, question: str, *, allow: bool) -> None:
        """Answer a question.

        Raises:
            NoSuchQuestion: it is not open.
            PermissionDenied: from inside a session nobody decides.
        """
