"""`sydctl launch`: run a command under a profile, and tell at the end what was denied."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys

from sydctl import place
from sydctl.main import EXIT_FAILED, Failure, complain
from sydctl.start import EXIT_INTERRUPTED
from sydctl.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from sydd.session.prepare import Prepared
    from sydd.supervisor.event import Event
    from sydd.supervisor.journal import Journal

EXIT_STRICT = 1
LOG_WIDTH = 160
"""Columns where stderr is no terminal."""

USAGE = """\
sydctl launch [OPTION]… PROFILE [OPTION]… -- COMMAND [ARGUMENT]…
       sydctl launch [OPTION]… -p PROFILE COMMAND [ARGUMENT]…"""

DESCRIPTION = """\
Run COMMAND under a profile. What the profile forbids does not happen and is told at the end, on stderr.

The first argument is the profile; with --profile, all arguments are the command's."""

EPILOG = """\
exit status: the command's own; 128+N when signal N ended it; 125 when sydd itself failed, bad arguments and
bad profiles included; 126 when the command cannot be executed; 127 when it is not found. With --strict 1
instead of 0 where something was denied.

examples:
  sydctl launch build -- make -j2
  sydctl launch -p build make -j2
  sydctl launch build -C src --rule 'allow write ${home}/.cache/ccache/**' -- ./configure
  sydctl launch ./ci.toml --set out=/srv/out --strict --events denied.jsonl -- sh ci.sh
  sydctl launch build --plan
"""

DESCRIPTOR = re.compile(r"/(?:dev/fd|proc/self/fd)/(\d+)|/dev/std(out|err)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl launch`."""
    parser.usage = USAGE
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument("-p", "--profile", help="name of a profile, or its file")
    place.add_arguments(parser)
    parser.add_argument(
        "--plan", action="store_true", help="show how the profile would be enforced here, and run nothing"
    )
    parser.add_argument("--json", action="store_true", help="with --plan: as JSON")
    parser.add_argument(
        "--events", metavar="FILE", help="write every event as a line of JSON to FILE (or /dev/fd/N)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 instead of 0 where something was denied"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="tell the layers in use, and events as they happen"
    )
    parser.add_argument("--embedded", action="store_true", help="do without a daemon")
    parser.add_argument("--daemon", action="store_true", help="use the daemon, and fail where there is none")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell nothing at the end")
    parser.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="what to run")


def split(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    """Profile and command.

    argparse leaves everything from the first word on that is no option: the command, whose options are its
    own. Without --profile that first word is the profile, and options may follow it.

    Args:
        arguments: parsed once; what stands between profile and command is added to it.
    """
    parser = arguments.parser
    profile = arguments.profile
    words: list[str] = arguments.words
    if profile is None:
        if not words or words[0] == "--":
            parser.error(f"no profile: name one first, as in '{parser.prog} build -- make'")
        profile, *rest = words
        arguments = parser.parse_args(rest, arguments)
        if arguments.profile is not None:
            parser.error(f"two profiles: '{profile}' and --profile '{arguments.profile}'")
        words = arguments.words
    if words[:1] == ["--"]:
        words = words[1:]
    if arguments.embedded and arguments.daemon:
        parser.error("--embedded and --daemon: one of them")
    if arguments.json and not arguments.plan:
        parser.error("--json goes with --plan; --events FILE writes the events as JSON")
    if not words and not arguments.plan:
        parser.error(f"no command: write it last, as in '{parser.prog} build -- make'")
    return profile, words


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl launch`."""
    open_standard()
    profile, command = split(arguments)
    _end_orderly()
    with opened_events(None if arguments.plan else arguments.events) as stream:
        kept = False
        client = None
        if not arguments.plan:
            from sydctl import remote
            from sydctl.connect import way_out
            from sydd.client import NotRunningError

            client = remote.find(arguments)
        if client is not None:
            status = _keep()
            if status is not None:
                return status
            kept = True
            journal = make_journal(stream, arguments)
            try:
                return finish(journal, *remote.run(client, profile, command, journal, arguments), arguments)
            except NotRunningError as error:
                if remote.is_wanted(arguments):
                    raise Failure(f"{error} ({way_out(error.reason)})", EXIT_FAILED) from None
                if arguments.verbose:
                    complain(f"sydd: embedded: {error}")
        return _embedded(profile, command, make_journal(stream, arguments), arguments, kept=kept)


def _embedded(
    profile: str, command: list[str], journal: Journal, arguments: argparse.Namespace, *, kept: bool
) -> int:
    """Do without a daemon.

    Args:
        profile: name or path.
        command: program and arguments.
        journal: where events go.
        arguments: of `sydctl launch`.
        kept: whether this process has its keeper already.
    """
    with place.prepared(profile, arguments) as ready:
        if arguments.plan:
            from sydctl.planview import show

            show(ready, as_json=arguments.json)
            return 0
        nested = ready.plan.engine.value == "nested"
        if nested:
            _tell_nested(ready, arguments)
        if arguments.verbose:
            _tell_layers(ready)
        name = f"{ready.policy.name}-{os.getpid()}"
        # Of a session that joins another one, the other's keeper and supervisor take care.
        status = None if nested or kept else _keep()
        if status is not None:
            return status
        from sydd.session import embedded
        from sydd.session.launching import LaunchError

        try:
            outcome = embedded.run(ready, command, journal, name=name)
        except LaunchError as error:
            raise Failure(str(error), EXIT_FAILED) from None
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
    return finish(journal, outcome.status, outcome.failure, arguments)


def _keep() -> int | None:
    from sydd.session import keeper

    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return keeper.keep()
    except (keeper.SupervisorKilledError, OSError) as error:
        raise Failure(str(error), EXIT_FAILED) from None


def make_journal(stream: TextIO | None, arguments: argparse.Namespace) -> Journal:
    """The journal of a session, which writes to *stream*, and tells events as they happen if asked to."""
    from sydd.supervisor.journal import Journal

    return Journal(stream, _tell_event if arguments.verbose else None)


def finish(journal: Journal, status: int, failure: str, arguments: argparse.Namespace) -> int:
    """Tell what there is to tell, and come to the exit status."""
    journal.finish()
    for trouble in journal.troubles:
        complain(f"sydctl: a mistake of sydd's own, please report it: {trouble}")
    if journal.unwritten:
        complain(f"sydctl: --events: not everything is in '{arguments.events}': {journal.unwritten}")
    if not arguments.quiet:
        _tell_end(journal)
    if failure:
        # What was not supervised was refused; the command's status says nothing then.
        raise Failure(f"the supervision failed: {failure}", EXIT_FAILED)
    if journal.lost:
        if arguments.strict:
            raise Failure(f"--strict: what was denied is not known: {journal.lost}", EXIT_FAILED)
        complain(f"sydd: what was denied is not known: {journal.lost}")
    if arguments.strict and not status and journal.denials:
        return EXIT_STRICT
    return status


@contextlib.contextmanager
def opened_events(path: str | None) -> Iterator[TextIO | None]:
    """The stream for --events, opened before anything runs, closed on exec.

    Raises:
        Failure: it cannot be opened.
    """
    if path is None:
        yield None
        return
    stream = open(_open_events(path), "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    try:
        yield stream
    finally:
        # What could not be written, and was told, is tried once more.
        with contextlib.suppress(OSError):
            stream.close()


def _open_events(path: str) -> int:
    if path in ("", "-"):
        raise Failure(f"--events: '{path}' is no file (write /dev/fd/N for an open descriptor)", EXIT_FAILED)
    found = DESCRIPTOR.fullmatch(path)
    try:
        if found:
            # Opened anew it would be truncated, and a socket cannot be.
            return os.dup(int(found[1]) if found[1] else 1 if found[2] == "out" else 2)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(path, flags, 0o666)
    except (OSError, OverflowError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such name"
        raise Failure(f"--events: cannot write to '{path}': {why}", EXIT_FAILED) from None


def _end_orderly() -> None:
    """Have a signal that ends this process leave through the `with` blocks, which remove what was made.

    Only until the session begins, which waits for signals itself; a command is executed without handlers.
    """

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, leave)


def open_standard() -> None:
    """Open what is closed of descriptors 0 to 2, as env(1) and others do.

    Else the first files that are opened here would be the command's standard streams. Python has None for a
    stream that was closed when it began.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # they stay
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _tell_event(event: Event) -> None:
    from sydctl.block import line

    complain(line(event))


def _tell_end(journal: Journal) -> None:
    events: Sequence[Event] = journal.events()
    if not events and not journal.dropped:
        return
    from sydctl.block import render

    terminal = _is_terminal()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = LOG_WIDTH
    if terminal:
        with contextlib.suppress(OSError):
            width = os.get_terminal_size(2).columns
    complain(render(events, width, colour, dropped=journal.dropped).rstrip("\n"))


def _is_terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _tell_nested(ready: Prepared, arguments: argparse.Namespace) -> None:
    """What a session inside another one does without.

    Raises:
        Failure: an option needs the supervisor that it cannot have.
    """
    for option, wanted in (("--events", arguments.events), ("--strict", arguments.strict)):
        if wanted:
            raise Failure(f"{option}: denials inside a supervised session are not reported", EXIT_FAILED)
    from sydd.policy.access import UNPERFORMED, Action

    words = {
        rule.action.value
        for rule in ready.policy.rules
        if rule.action in (Action.HIDE, Action.KILL, Action.ASK)
        or (rule.action is Action.WARN and rule.access & ~UNPERFORMED)
    }
    lost = f"; what rules say to {' or '.join(sorted(words))} is denied" if words else ""
    complain(
        f"sydd: inside another session: profile {printable(ready.policy.name)} narrows it by the seccomp "
        f"filter and Landlock alone, and denials are not explained{lost}"
    )


def _tell_layers(ready: Prepared) -> None:
    """The engine, its layers, the variables that the command does not get, and what the kernel lacks."""
    from sydd.kernel.probe import probe
    from sydd.plan.layers import layers

    name = printable(ready.policy.name)
    complain(f"sydd: profile {name}, engine {ready.plan.engine.value}: {layers(ready.plan)}")
    dropped = sorted(os.environ.keys() - ready.environment.keys())
    if dropped:
        complain(f"sydd: of the environment not passed on: {', '.join(map(printable, dropped))}")
    for feature in probe():
        if not feature and feature.kernel:
            complain(f"sydd: no {feature.name} here (Linux {feature.kernel}): {feature.lost}")
