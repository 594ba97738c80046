"""`sydctl launch` through the daemon: it prepares and supervises, this process is the command's parent.

What a parent takes is imported while the daemon prepares the session (`attended`).
"""

from __future__ import annotations

import json
import os
import time

from sydctl.connect import way_out
from sydctl.main import EXIT_FAILED, Failure, complain
from sydd.client import Client, ControlError, NotRunningError, UnavailableError, find_socket
from sydd.client.connection import VARIABLE, DisconnectedError
from sydd.session.inside import is_supervised

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    import argparse
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from sydd.session.launching import LaunchSpec
    from sydd.supervisor.journal import Journal

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
    lost = ""
    try:
        for _ in range(ATTEMPTS):
            session, spec = _create(client, profile, command, arguments)
            if arguments.verbose:
                _tell(client, session)
            from sydctl import attended

            try:
                return attended.run(client, session, spec, command, journal)
            except attended.SessionLostError as error:
                lost = str(error)
    except NotRunningError:
        raise
    except (ControlError, UnavailableError) as error:
        raise Failure(str(error), EXIT_FAILED) from None
    raise Failure(lost, EXIT_FAILED)


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
    created = again(
        lambda: client.create_session(
            os.path.abspath(profile) if "/" in profile or profile.endswith(".toml") else profile,
            command,
            meanwhile=_import_rest,
            directory=working_directory(arguments.directory),
            rules=arguments.rule,
            sets=dict(arguments.set),
            mode=arguments.mode,
            engine=None if arguments.engine == "auto" else arguments.engine,
            terminals=terminals,
        )
    )
    from sydd.session.launching import LaunchSpec

    with open(created["launch"], "rb") as file:
        file.seek(0)  # whoever wrote it left the offset, which goes with it, at its end
        return created["session"], LaunchSpec.from_json(json.load(file))


def _import_rest() -> None:
    """Import what will be needed: it takes as long as the daemon does."""
    import sydctl.attended  # noqa: F401


def _tell(client: Client, session: str) -> None:
    about = again(lambda: client.inspect_session(session))
    entry = about["session"]
    complain(f"sydd: session {session} of the daemon at {client.path}")
    complain(f"sydd: profile {entry['profile']}, engine {entry['engine']}: {about['layers']}")


def again(call: Callable[[], T]) -> T:
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
