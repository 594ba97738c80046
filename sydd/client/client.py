"""The client: a method for each of the interface's."""

from __future__ import annotations

import os

from sydd.client.caller import Caller
from sydd.client.connection import Connection, DisconnectedError, NotRunningError
from sydd.client.patience import Patience
from sydd.client.session import RunningSession

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Callable, Sequence
    from typing import Any, Unpack

    from sydd.client.options import SessionOptions
    from sydd.client.stream import Stream
    from sydd.wire.events import Notice, Question
    from sydd.wire.values import (
        Created,
        Details,
        Finding,
        Health,
        Info,
        Lock,
        Mode,
        Outcome,
        ProfileEntry,
        ProfileText,
        RuleList,
        Session,
        Verdict,
    )

_SIGKILL = 9

_OPTIONS: dict[str, Any] = {
    "directory": None,
    "environment": None,
    "rules": (),
    "sets": None,
    "mode": None,
    "engine": None,
    "terminals": (),
    "label": "",
    "umask": None,
}
"""What a new session may be told, and what holds where it is not; see `SessionOptions`."""


class Client(Caller):
    """A client of the daemon. It may be used by several threads.

    The connection is made by the first call and again after the daemon was restarted. `wait`, `subscribe` and
    `questions` have connections of their own.

    Args:
        path: of the socket; None for $SYDD_SOCKET, the system's or the user's own.
        timeout: seconds that an answer may take; None for no bound.
    """

    def info(self) -> Info:
        """Who answers: version, process, kernel, and what is bounded."""
        return self._ask("Info")  # type: ignore[no-any-return]

    def health(self) -> Health:
        """How the daemon is, in figures."""
        return self._ask("Health")  # type: ignore[no-any-return]

    def list_profiles(self) -> list[ProfileEntry]:
        """The profiles that every user can name."""
        return self._ask("ListProfiles")["profiles"]  # type: ignore[no-any-return]

    def get_profile(self, name: str) -> ProfileText:
        """A profile's text.

        Raises:
            NoSuchProfile: there is none of that name.
        """
        return self._ask("GetProfile", name=name)  # type: ignore[no-any-return]

    def validate_profile(self, text: str, name: str = "profile") -> list[Finding]:
        """What is wrong with a profile's text.

        Args:
            text: TOML.
            name: what findings call it.
        """
        return self._ask("ValidateProfile", text=text, name=name)["findings"]  # type: ignore[no-any-return]

    def put_profile(self, name: str, text: str, *, replace: bool = False) -> list[Finding]:
        """Write a profile of the system; root only.

        Args:
            name: of the profile.
            text: TOML.
            replace: whether one of that name may be there already.

        Returns:
            The warnings.

        Raises:
            BadProfile: it cannot be used; nothing was written.
            BadArgument: the name cannot be one, or is taken.
            PermissionDenied: this is not root.
        """
        answer = self._ask("PutProfile", name=name, text=text, replace=replace)
        return answer["findings"]  # type: ignore[no-any-return]

    def remove_profile(self, name: str) -> None:
        """Remove a profile of the system; root only.

        Raises:
            NoSuchProfile: there is none that could be removed.
            PermissionDenied: this is not root.
        """
        self._ask("RemoveProfile", name=name)

    def create_session(
        self,
        profile: str,
        argv: Sequence[str] = (),
        *,
        meanwhile: Callable[[], object] | None = None,
        **options: Unpack[SessionOptions],
    ) -> Created:
        """Prepare a session for a command that the caller starts itself; `attach` follows.

        Args:
            profile: its name, or an absolute path.
            argv: the command, to be shown.
            meanwhile: called once the daemon has been asked, while it prepares the session; it makes no call
                of this client.
            options: see `SessionOptions`.

        Returns:
            The session, and a descriptor of what the launcher needs, which the caller closes.
        """
        result, received = self._call("CreateSession", _request(profile, argv, options), meanwhile=meanwhile)
        return {"session": result["session"], "launch": received[result["launch"]]}

    def attach(self, session: str, listener: int, pid: int, pidfd: int | None = None) -> None:
        """Hand the seccomp listener over; when this returns, the command may start.

        Args:
            session: its name.
            listener: descriptor of the listener; it stays the caller's.
            pid: the process that will be the command.
            pidfd: a descriptor of it; it stays the caller's.
        """
        descriptors = [listener] if pidfd is None else [listener, pidfd]
        parameters = {"session": session, "listener": 0, "pid": pid, "pidfd": None if pidfd is None else 1}
        self._call("Attach", parameters, descriptors)

    def run(
        self,
        profile: str,
        argv: Sequence[str],
        *,
        descriptors: Sequence[int] = (0, 1, 2),
        **options: Unpack[SessionOptions],
    ) -> RunningSession:
        """Have the daemon start a command in a new session, with this user and these groups.

        Args:
            profile: its name, or an absolute path.
            argv: program and arguments.
            descriptors: become the command's 0, 1, 2, …; they stay the caller's.
            options: see `SessionOptions`.

        Raises:
            NoSuchProfile, BadProfile, BadArgument: as the arguments deserve.
            LimitReached: this user has as many sessions as it may have.
            Failed: the command cannot be executed.
        """
        request = _request(profile, argv, options) | {"descriptors": list(range(len(descriptors)))}
        result, received = self._call("Run", request, descriptors)
        return RunningSession(self, result["session"], result["pid"], received[result["pidfd"]])

    def wait(self, session: str) -> Outcome:
        """Wait until a session has ended, its last process included; over restarts of the daemon, too.

        Raises:
            NoSuchSession: there is none, or the daemon that was started anew does not know it any more.
            UnavailableError: the daemon is not there, or did not come back.
        """
        patience = Patience()
        while True:
            try:
                connection = Connection(self.path, self._timeout)
                try:
                    connection.send("Wait", {"session": session})
                    connection.patient()
                    return connection.receive_plain()[0]  # type: ignore[return-value]
                finally:
                    connection.close()
            except (DisconnectedError, NotRunningError) as error:
                patience.bear(error)

    def list_sessions(self, *, ended: bool = False) -> list[Session]:
        """This user's sessions (root: all), oldest first.

        Args:
            ended: also those that have ended and are still remembered.
        """
        return self._ask("ListSessions", ended=ended)["sessions"]  # type: ignore[no-any-return]

    def inspect_session(self, session: str) -> Details:
        """Everything about a session."""
        return self._ask("InspectSession", session=session)  # type: ignore[no-any-return]

    def kill_session(self, session: str, signal: int = _SIGKILL) -> int:
        """Send a signal to every process of a session; SIGKILL until none is left.

        Returns:
            How many processes got it.
        """
        answer = self._ask("KillSession", session=session, signal=int(signal))
        return answer["processes"]  # type: ignore[no-any-return]

    def add_rules(self, session: str, rules: Sequence[str]) -> RuleList:
        """Add rules, all or none; they decide the next call already when this returns.

        Raises:
            BadProfile: one cannot be read.
            BeyondCeiling, NotSupervised, Locked, LimitReached: one cannot be added.
        """
        return self._ask("AddRules", session=session, rules=list(rules))  # type: ignore[no-any-return]

    def remove_rules(self, session: str, rules: Sequence[str]) -> RuleList:
        """Remove rules that were added at run time, by their lines, all or none.

        Raises:
            BadArgument: one is not there.
            Locked: the lock forbids it.
        """
        return self._ask("RemoveRules", session=session, rules=list(rules))  # type: ignore[no-any-return]

    def list_rules(self, session: str) -> RuleList:
        """The rules of a session, its ceiling and its lock."""
        return self._ask("ListRules", session=session)  # type: ignore[no-any-return]

    def lock(self, session: str, lock: Lock) -> Lock:
        """Set who inside a session may change its rules; the lock that is in force then.

        Raises:
            Locked: it would be loosened from inside.
        """
        return self._ask("Lock", session=session, lock=lock)["lock"]  # type: ignore[no-any-return]

    def set_mode(self, session: str, mode: Mode) -> None:
        """Set a session's mode.

        Raises:
            PermissionDenied: it would be loosened from inside.
            NotSupervised: the session was prepared for the other mode, and cannot change.
        """
        self._ask("SetMode", session=session, mode=mode)

    def check(self, session: str, access: str, target: str) -> list[Verdict]:
        """What a session says about an access.

        Args:
            session: its name.
            access: as rules spell it: `read`, `write`, `read,exec`.
            target: a path (relative ones from the command's directory) or an address.

        Returns:
            One verdict for each single access.
        """
        answer = self._ask("Check", session=session, access=access, object=target)
        return answer["verdicts"]  # type: ignore[no-any-return]

    def subscribe(
        self,
        session: str | None = None,
        *,
        position: int | None = None,
        kinds: Sequence[str] | None = None,
        follow: bool = True,
    ) -> Stream[Notice]:
        """What happens, as it happens.

        Args:
            session: of this one alone, until it ends; None for all.
            position: of the notice to begin after; 0 for the oldest that is remembered, None for now.
            kinds: of sydd.wire.events.KINDS; None for all.
            follow: whether to go on when what is remembered was told.
        """
        parameters = {
            "session": session,
            "position": position,
            "kinds": None if kinds is None else list(kinds),
            "follow": follow,
        }
        return self._stream("Subscribe", "notice", parameters)

    def questions(self, *, follow: bool = True) -> Stream[Question]:
        """The open questions of `ask` rules; with *follow* new ones and what became of each."""
        return self._stream("Questions", "question", {"follow": follow})

    def decide(self, question: str, *, allow: bool) -> None:
        """Answer a question.

        Raises:
            NoSuchQuestion: it is not open any more.
        """
        self._ask("Decide", question=question, allow=allow)


def _request(profile: str, argv: Sequence[str], options: SessionOptions) -> dict[str, Any]:
    """The parameters of CreateSession, and of Run but for its descriptors."""
    unknown = options.keys() - _OPTIONS.keys()
    if unknown:
        raise TypeError(f"unexpected argument '{min(unknown)}'")
    if isinstance(argv, str):
        raise TypeError("argv is a sequence of words, not a string")
    values: dict[str, Any] = {**_OPTIONS, **options}
    if values["directory"] is None:
        values["directory"] = os.getcwd()
    if values["environment"] is None:
        values["environment"] = os.environ
    return values | {
        "profile": profile,
        "argv": list(argv),
        "environment": dict(values["environment"]),
        "rules": list(values["rules"]),
        "sets": dict(values["sets"] or {}),
        "terminals": list(values["terminals"]),
    }
