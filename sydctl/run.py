"""`sydctl run`: have the daemon run a command under a profile, as a child of its own."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from sydctl import launch, place
from sydctl.connect import add_socket, connected
from sydctl.main import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from sydd.client import Client
    from sydd.supervisor.journal import Journal

USAGE = """\
sydctl run [OPTION]… PROFILE [OPTION]… -- COMMAND [ARGUMENT]…
       sydctl run [OPTION]… -p PROFILE COMMAND [ARGUMENT]…"""

DESCRIPTION = """\
Have the daemon start COMMAND under a profile, with this user and these groups, this directory, environment
and standard streams, and wait for it. It is a child of the daemon: it begins sooner than by 'sydctl launch',
has no controlling terminal, and goes on when this sydctl is killed. Signals are passed on to all of its
processes."""

EPILOG = """\
exit status: the command's own; 128+N when signal N ended it; 125 when sydd itself failed, bad arguments, bad
profiles and a missing daemon included; 126 when the command cannot be executed; 127 when it is not found.
With --strict 1 instead of 0 where something was denied. With --detach 0 when the command has begun.

examples:
  sydctl run build -- make -j2
  sydctl run build --label zlib-1.3 --detach -- sh -c 'make > log 2>&1'
  sydctl run -p ./ci.toml --events denied.jsonl sh ci.sh
"""

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl run`."""
    parser.usage = USAGE
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.set_defaults(daemon=True, embedded=False, json=False, plan=False)
    parser.add_argument("-p", "--profile", help="name of a profile, or its file")
    place.add_arguments(parser)
    parser.add_argument("--label", metavar="TEXT", default="", help="what to call the session in lists")
    parser.add_argument(
        "--detach",
        action="store_true",
        help="print the session's name and do not wait; the command's standard streams are /dev/null",
    )
    parser.add_argument(
        "--events", metavar="FILE", help="write every event as a line of JSON to FILE (or /dev/fd/N)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 instead of 0 where something was denied"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="tell events as they happen")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing at the end")
    add_socket(parser)
    parser.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run")


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl run`.

    Raises:
        Failure: the daemon cannot be reached, or cannot do it.
    """
    launch.open_standard()
    profile, command = launch.split(arguments)
    if arguments.detach and (arguments.events or arguments.strict):
        arguments.parser.error("--detach does not go with --events and --strict, which need the end")
    directory = place.working_directory(arguments.directory)
    with (
        _held_back() as before,
        launch.opened_events(arguments.events) as stream,
        connected(arguments, EXIT_FAILED) as client,
    ):
        with client.run(
            os.path.realpath(profile) if "/" in profile or profile.endswith(".toml") else profile,
            command,
            directory=directory,
            descriptors=() if arguments.detach else (0, 1, 2),
            rules=arguments.rule,
            sets=dict(arguments.set),
            mode=arguments.mode,
            engine=None if arguments.engine == "auto" else arguments.engine,
            terminals=() if arguments.detach else _terminals(),
            label=arguments.label,
            umask=_umask(),
        ) as session:
            name = session.session
        if arguments.detach:
            print(name)
            return 0
        journal = launch.make_journal(stream, arguments)
        status, failure = _wait(client, name, journal, before)
    return launch.finish(journal, status, failure, arguments)


@contextlib.contextmanager
def _held_back() -> Iterator[set[signal.Signals | int]]:
    """Hold back signals for the session until there is one to pass them on to; the mask before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(client: Client, session: str, journal: Journal, mask: set[signal.Signals | int]) -> tuple[int, str]:
    """Take down what happens until the session has ended.

    Args:
        client: of the daemon.
        session: its name.
        journal: where events go.
        mask: of signals, once they can be passed on.

    Returns:
        The exit status, and why the supervision failed; empty when it did not.
    """
    from sydctl.follow import notices, record
    from sydd.client import Client, ControlError, UnavailableError

    signals = Client(client.path)

    pending: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        pending.append(number)
        if len(pending) > 1:
            return  # in the middle of a call, to which this one is a visitor: passed on after it
        while pending:
            # Who is told may have ended, or the daemon may be away: then there is nothing to pass on to.
            with contextlib.suppress(ControlError, UnavailableError):
                signals.kill_session(session, pending[0])
            del pending[0]

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        for notice in notices(client, session, 0):
            record(journal, notice)
            if notice["kind"] == "ended":
                # A daemon that is started anew remembers what happened, but no session that has ended.
                ended = notice["detail"]
                return int(ended["status"] or EXIT_FAILED), ended["failure"]
        outcome = client.wait(session)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.close()
    return outcome["status"], outcome["failure"]


def _terminals() -> list[str]:
    """Names of the terminals that this process has."""
    from sydd.kernel.terminals import of_this_process

    found = of_this_process()
    for _, fd in found:
        os.close(fd)
    return [name for name, _ in found]


def _umask() -> int:
    """This process's umask, which can only be read by setting it."""
    mask = os.umask(0o77)
    os.umask(mask)
    return mask
