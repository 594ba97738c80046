"""The entry point: finds the subcommand, and imports only that one's module.

Start-up is paid by every build step that is launched, so nothing heavy is imported here: no pydantic (a
profile is read later), no json, no logging. A subcommand is a module of this package with
`configure(parser)` and `run(arguments) -> int`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys

import sydd
from sydctl.start import EXIT_INTERRUPTED

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Sequence
    from typing import NoReturn, Protocol

    class Command(Protocol):
        """What a module of a subcommand has."""

        def configure(self, parser: argparse.ArgumentParser) -> None:
            """Add arguments, description and examples."""

        def run(self, arguments: argparse.Namespace) -> int:
            """Do it; return the exit status."""


EXIT_USAGE = 2
EXIT_FAILED = 125
EXIT_BROKEN_PIPE = 141

COMMANDS = {
    "launch": "run a command under a profile",
    "run": "have the daemon run a command under a profile",
    "ps": "list the daemon's sessions",
    "inspect": "show everything about a session",
    "log": "show what happened in sessions, and what happens",
    "kill": "end sessions, with every process in them",
    "rule": "add, remove and list the rules of a session that runs",
    "lock": "set who inside a session may change its rules",
    "check": "ask a session that runs what it says about an access",
    "ask": "answer the questions of 'ask' rules",
    "status": "show whether the daemon runs, and how it is",
    "profile": "list, show, check, put, remove and edit profiles",
    "explain": "say what a profile says about one access to one path, and why",
    "ports": "show the sockets that a session's processes listen on and are connected by",
    "install": "install units, man pages and directories for the daemon",
    "uninstall": "remove what install has put there",
    "doctor": "show what this kernel has for sydd, and what is lost without the rest",
    "completion": "print a completion script for a shell",
}
"""The subcommands, each a module of this package, with what `--help` says of it."""

USAGE_STATUS = {"launch": EXIT_FAILED, "run": EXIT_FAILED, "explain": EXIT_FAILED, "check": EXIT_FAILED}
"""Exit status for bad arguments where 2 could be the command's own, as env(1) and timeout(1) have it."""

EXAMPLES = """\
'sydctl COMMAND --help' shows a command's options, examples and exit statuses.

examples:
  sydctl launch build -- make -j2        build in the current directory, confined
  sydctl explain build write ~/.bashrc   what the profile says about that, and why
  sydctl profile list                    the profiles that there are
  sydctl doctor                          what this kernel has
  sydctl status                          whether the daemon runs; launch does without, if there is none
"""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and whose help keeps the layout of examples.

    Attributes:
        usage_status: exit status for bad arguments.
    """

    usage_status = EXIT_USAGE

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where help is."""
        # An argument may hold anything, also what would drive the terminal.
        from sydctl.text import printable

        complain(f"{self.prog}: {printable(message)} (see '{self.prog} --help')")
        sys.exit(self.usage_status)


class Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal, by COLUMNS or standard output, else 80 columns.

    argparse itself asks shutil, which is slow to import, and does so for every argument that is added.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ["COLUMNS"]) or 80
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


# argparse looks for a translation of each of its words, of which there is none, by way of locale.
vars(argparse)["_"] = str


def complain(line: str) -> None:
    """Write a line to stderr, if there is one: a closed stderr is None, a broken one raises."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def load_command(name: str) -> Command:
    """The module of the subcommand *name*."""
    command: Command = importlib.import_module(f"sydctl.{name}")
    return command


def build_parser(wanted: str = "", *, complete: bool = False) -> Parser:
    """The parser of all arguments.

    Args:
        wanted: the subcommand whose own arguments are needed.
        complete: whether those of every subcommand are, for completion.
    """
    parser = Parser(
        prog="sydctl",
        description="Run commands under sydd, and look after its sessions and profiles.",
        epilog=EXAMPLES,
        formatter_class=Help,
    )
    parser.add_argument("--version", action="version", version=f"sydctl {sydd.__version__}")
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", required=True, prog=parser.prog
    )
    # The others are for lists and for mistakes alone.
    commands = {wanted: COMMANDS[wanted]} if wanted in COMMANDS and not complete else COMMANDS
    for name, text in commands.items():
        subparser = subparsers.add_parser(name, help=text, formatter_class=Help)
        subparser.usage_status = USAGE_STATUS.get(name, EXIT_USAGE)
        subparser.set_defaults(parser=subparser)
        if complete or name == wanted:
            load_command(name).configure(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run sydctl.

    Args:
        argv: arguments without the program's name; None for this process's.

    Returns:
        The exit status; docs/sydctl.md lists them.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # File names need not be text, and a locale need not know every character.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    wanted = next((word for word in words if not word.startswith("-")), "")
    try:
        status = _run(words, wanted)
        if sys.stdout:
            sys.stdout.flush()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on. What Python would still write at exit must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:  # a bug: never with a status that could be the command's
        if os.environ.get("SYDCTL_TRACEBACK"):
            raise
        complain(f"sydctl: a mistake of sydd's own, please report it: {type(error).__name__}: {error}")
        complain("sydctl: SYDCTL_TRACEBACK=1 in the environment shows where")
        return EXIT_FAILED
    return status


def _run(words: list[str], wanted: str) -> int:
    from sydd.policy.errors import PolicyError

    arguments, unknown = build_parser(wanted).parse_known_args(words)
    if unknown:
        # Said by the subcommand's parser, which has the right status.
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return load_command(arguments.command).run(arguments)
    except (PolicyError, Failure) as error:
        from sydctl.text import printable

        complain(f"sydctl: {printable(str(error))}")
        if isinstance(error, Failure):
            return error.status
        return USAGE_STATUS.get(arguments.command, 1)


class Failure(Exception):  # noqa: N818  # what ends the program, with its status
    """What is the matter, in one line, and the exit status.

    Args:
        message: for people.
        status: what sydctl exits with.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
