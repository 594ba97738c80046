"""`sydctl kill`: end sessions of the daemon, with every process in them."""

from __future__ import annotations

import argparse
import signal

from sydctl.connect import STATUSES, add_socket, connected
from sydctl.text import counted, printable

DESCRIPTION = """\
End sessions, with every process in them, also those that lost their parent. With another signal than KILL
each process gets it once, and the session goes on until its last process has ended."""

EPILOG = f"""\
{STATUSES}

examples:
  sydctl kill 7f3a01c2
  sydctl kill -s TERM 7f3a01c2 09ce55d1
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl kill`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument("sessions", metavar="SESSION", nargs="+", help="names, as 'sydctl ps' shows them")
    parser.add_argument(
        "-s",
        "--signal",
        metavar="SIGNAL",
        type=signal_number,
        default=9,
        help="name or number (default: KILL)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="do not tell how many processes got it")
    add_socket(parser)


def signal_number(word: str) -> int:
    """The number of a signal by its name (TERM, SIGTERM) or number.

    Raises:
        ArgumentTypeError: there is no such signal.
    """
    name = word.upper().removeprefix("SIG")
    if name.isascii() and name.isdecimal() and 0 < int(name) < signal.NSIG:
        return int(name)
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        raise argparse.ArgumentTypeError(f"'{word}' is no signal") from None


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl kill`."""
    with connected(arguments) as client:
        for session in arguments.sessions:
            count = client.kill_session(session, arguments.signal)
            if not arguments.quiet:
                print(f"{printable(session)}: {counted(count, 'process', 'processes')}")
    return 0
