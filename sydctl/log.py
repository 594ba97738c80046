"""`sydctl log`: what happened in the daemon's sessions, and what happens."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from sydctl.connect import STATUSES, add_json, add_socket, connected
from sydctl.start import EXIT_INTERRUPTED
from sydctl.tables import moment
from sydctl.text import printable
from sydd.wire.events import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sydd.client import Client
    from sydd.wire.events import Notice

DESCRIPTION = """\
Show what happened in the daemon's sessions that this user may see, as far as it is remembered, and with
--follow what happens from then on. A restart of the daemon is waited for."""

EPILOG = f"""\
{STATUSES}

examples:
  sydctl log
  sydctl log 7f3a01c2 --denied
  sydctl log --follow --lines 0 --kind started --kind ended
  sydctl log --after 4711 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl log`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument(
        "session", metavar="SESSION", nargs="?", help="of this one alone, until it ends (default: of all)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on when what is remembered was told")
    parser.add_argument(
        "-n", "--lines", metavar="N", type=_count, help="of what is remembered only the last N (default: all)"
    )
    parser.add_argument(
        "-a", "--after", metavar="POSITION", type=_count, default=0, help="only what came after this position"
    )
    parser.add_argument(
        "-k",
        "--kind",
        metavar="KIND",
        action="append",
        choices=KINDS,
        help=f"only this kind; may be repeated: {', '.join(KINDS)}",
    )
    parser.add_argument("-d", "--denied", action="store_true", help="only accesses that were stopped")
    add_json(parser, "a line of JSON for each")
    add_socket(parser)


def _count(word: str) -> int:
    if not word.isascii() or not word.isdecimal() or len(word) > 18:
        raise argparse.ArgumentTypeError(f"'{word}' is no number")
    return int(word)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl log`."""
    kinds: Sequence[str] | None = ["access"] if arguments.denied else arguments.kind
    try:
        with connected(arguments) as client:
            position = _tell_remembered(client, kinds, arguments)
            if arguments.follow:
                from sydctl.follow import notices

                _tell(notices(client, arguments.session, position, kinds), arguments)
    except KeyboardInterrupt:
        # How one leaves --follow.
        return EXIT_INTERRUPTED
    return 0


def _tell_remembered(client: Client, kinds: Sequence[str] | None, arguments: argparse.Namespace) -> int:
    """What is remembered; the position of the last notice of it."""
    from collections import deque

    last: deque[Notice] = deque(maxlen=arguments.lines)
    position: int = arguments.after
    with client.subscribe(
        arguments.session, position=arguments.after, kinds=kinds, follow=False
    ) as remembered:
        for notice in remembered:
            position = max(position, notice["position"])
            if _is_wanted(notice, arguments):
                if arguments.lines is None:
                    _tell([notice], arguments)
                else:
                    last.append(notice)
    _tell(last, arguments)
    return position


def _is_wanted(notice: Notice, arguments: argparse.Namespace) -> bool:
    """Whether it passes --denied; that something is missing is always told."""
    if not arguments.denied or notice["kind"] == "lost":
        return True
    event = notice["event"]
    return event is not None and bool(event["errno"])


def _tell(found: Iterable[Notice], arguments: argparse.Namespace) -> None:
    for notice in found:
        if not _is_wanted(notice, arguments):
            continue
        if arguments.json:
            import json

            print(json.dumps(notice, ensure_ascii=False))
        else:
            print(line(notice))
        if arguments.follow:
            sys.stdout.flush()


def line(notice: Notice) -> str:
    """A notice in one line."""
    when = moment(notice["time"]) if notice["time"] else " " * 19
    return printable(f"{when}  {notice['session'] or '-':<8}  {notice['kind']:<9}  {notice['message']}")
