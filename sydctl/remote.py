"""`sydctl launch` through the daemon: it prepares and supervises, this process is the command's parent.

What happens is told by the daemon on a connection of its own, which a thread reads. When the daemon goes away
and comes back, the build goes on; the thread connects again and is told what it missed.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from sydctl.connect import way_out
from sydctl.follow import record
from sydctl.main import EXIT_FAILED, Failure, complain
from sydd.client import (
    BadArgument,
    Client,
    ControlError,
    Failed,
    NoSuchSession,
    NotRunningError,
    UnavailableError,
    find_socket,
)
from sydd.client.connection import VARIABLE, DisconnectedError
from sydd.session.foreground import Foreground
from sydd.session.inside import is_supervised
from sydd.session.launching import LaunchError, LaunchSpec

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from sydd.supervisor.journal import Journal
    from sydd.wire.events import Notice

T = TypeVar("T")

PATIENCE = 15.0
"""Seconds that a daemon which went away may take to come back, once the command has ended."""

ATTEMPTS = 5
"""Sessions that are begun for one command, where its worker is killed before the command is there."""

PAUSE = 0.1
"""Seconds between two attempts to connect again."""


def find(arguments: argparse.Namespace) -> Client | None:
    """The daemon to use; None to do without.

    Args:
        arguments: of `sydctl launch`.

    Raises:
        Failure: --daemon asks for one, and there cannot be one.
    """
    if arguments.embedded:
        return None
    if is_supervised():
        if arguments.daemon:
            raise Failure("--daemon: a session inside another one has no daemon", EXIT_FAILED)
        return None
    path = find_socket()
    if not path and arguments.daemon:
        raise Failure(
            f"--daemon: there is no socket of a daemon that this user may use ({way_out('')})", EXIT_FAILED
        )
    return Client(path) if path else None


def is_wanted(arguments: argparse.Namespace) -> bool:
    """Whether it has to be the daemon: an option or the environment says so."""
    return arguments.daemon or bool(os.environ.get(VARIABLE))


def run(
    client: Client, profile: str, command: Sequence[str], journal: Journal, arguments: argparse.Namespace
) -> tuple[int, str]:
    """Run a command in a session of the daemon.

    Args:
        client: of the daemon.
        profile: name or path.
        command: program and arguments.
        journal: where events go.
        arguments: of `sydctl launch`.

    Returns:
        The command's exit status, and what went wrong with the supervision; empty when nothing did.

    Raises:
        NotRunningError: nobody listens on the socket.
        Failure: the session cannot begin.
    """
    try:
        for _ in range(ATTEMPTS):
            session, spec = _create(client, profile, command, arguments)
            if arguments.verbose:
                _tell(client, session)
            supervisor = _Daemon(client, session, journal)
            try:
                return Foreground(spec, command, supervisor).run(), supervisor.failure
            except _SessionLostError as error:
                lost = str(error)
        raise Failure(lost, EXIT_FAILED)
    except NotRunningError:
        raise
    except (ControlError, UnavailableError, LaunchError) as error:
        raise Failure(str(error), EXIT_FAILED) from None


def _create(
    client: Client, profile: str, command: Sequence[str], arguments: argparse.Namespace
) -> tuple[str, LaunchSpec]:
    """Have a session prepared; its name, and what a launch needs."""
    from sydctl.place import working_directory
    from sydd.kernel.terminals import of_this_process

    terminals = []
    for name, fd in of_this_process():
        os.close(fd)
        terminals.append(name)
    # One that was begun twice because the answer was lost is ended, since nobody attaches to it.
    created = _again(
        lambda: client.create_session(
            os.path.abspath(profile) if "/" in profile or profile.endswith(".toml") else profile,
            command,
            directory=working_directory(arguments.directory),
            rules=arguments.rule,
            sets=dict(arguments.set),
            mode=arguments.mode,
            engine=None if arguments.engine == "auto" else arguments.engine,
            terminals=terminals,
        )
    )
    with open(created["launch"], "rb") as file:
        file.seek(0)  # whoever wrote it left the offset, which goes with it, at its end
        return created["session"], LaunchSpec.from_json(json.load(file))


def _tell(client: Client, session: str) -> None:
    about = _again(lambda: client.inspect_session(session))
    entry = about["session"]
    complain(f"sydd: session {session} of the daemon at {client.path}")
    complain(f"sydd: profile {entry['profile']}, engine {entry['engine']}: {about['layers']}")


def _again(call: Callable[[], T]) -> T:
    """Make a call, and make it again where the daemon is started anew meanwhile.

    Args:
        call: what may be made twice.

    Raises:
        UnavailableError: it does not come back within PATIENCE.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except DisconnectedError:
            if time.monotonic() > end:
                raise
            time.sleep(PAUSE)


class _SessionLostError(LaunchError):
    """The session has ended before the command was there: nothing has begun, another one will do."""


class _Daemon:
    """The supervisor: a worker of the daemon."""

    def __init__(self, client: Client, session: str, journal: Journal) -> None:
        self._client = client
        self._session = session
        self._journal = journal
        self._position = 0
        self._over = threading.Event()  # the last process has gone
        self._gone_since: float | None = None
        self._thread: threading.Thread | None = None
        self.failure = ""

    def serve(self, listener: int, command: int) -> None:
        """Hand the listener over, and listen to what happens."""
        try:
            _again(lambda: self._attach(listener, command))
        except (NoSuchSession, BadArgument, Failed) as error:
            # The command waits: what failed so far has had no effect, and the daemon has ended the session.
            raise _SessionLostError(f"the daemon does not take the session: {error}") from None
        except (ControlError, UnavailableError) as error:
            raise LaunchError(f"the daemon does not take the session: {error}") from None
        finally:
            os.close(listener)
        self._thread = threading.Thread(target=self._follow, name="sydctl-events", daemon=True)
        self._thread.start()

    def _attach(self, listener: int, command: int) -> None:
        try:
            self._client.attach(self._session, listener, command)
        except BadArgument:
            # Where the answer to an attempt before this one was lost, it is attached already.
            if self._client.inspect_session(self._session)["session"]["pid"] != command:
                raise

    def is_over(self, *, alone: bool) -> bool:
        """Whether no process is left, this one's own children all of them."""
        return alone

    def close(self) -> None:
        """Wait for the last events."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._client.close()

    def _follow(self) -> None:
        """Read what happens until the session has ended; connect again as often as need be."""
        while True:
            try:
                with self._client.subscribe(self._session, position=self._position) as stream:
                    self._gone_since = None
                    for notice in stream:
                        self._take(notice)
                        if notice["kind"] == "ended":
                            return
            except NoSuchSession:
                self._lose("the daemon was started anew and does not know the session any more")
                return
            except ControlError as error:
                self._lose(f"the daemon does not tell what happens: {error}")
                return
            except UnavailableError:
                pass
            now = time.monotonic()
            self._gone_since = self._gone_since or now
            if self._over.is_set() and now - self._gone_since > PATIENCE:
                self._lose("the daemon went away")
                return
            time.sleep(PAUSE)

    def _lose(self, why: str) -> None:
        self._journal.lost = why

    def _take(self, notice: Notice) -> None:
        self._position = max(self._position, notice["position"])
        record(self._journal, notice)
        if notice["kind"] == "ended" and notice["detail"].get("failure"):
            self.failure = notice["detail"]["failure"]
            # Whoever waits for the command looks at it now.
            os.kill(os.getpid(), signal.SIGCHLD)
