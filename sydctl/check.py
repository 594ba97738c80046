"""`sydctl check`: what a session that runs says about an access."""

from __future__ import annotations

import argparse

from sydctl.connect import add_json, add_session, add_socket, connected, print_json
from sydctl.main import EXIT_FAILED
from sydctl.text import printable

EXIT_DENIED = 1

DESCRIPTION = """\
Ask a session that runs what it says about an access to a path or an address, its rules of run time included.
'sydctl explain' asks a profile, without a session."""

EPILOG = """\
exit status: 0 when every access is allowed; 1 when one is not; 125 when the question cannot be answered, as
there is no such session or no daemon.

examples:
  sydctl check 7f3a01c2 write /etc/motd
  sydctl check 7f3a01c2 read,exec /usr/bin/cc
  sydctl check self connect 192.0.2.1!443
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl check`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    add_session(parser)
    parser.add_argument("access", metavar="ACCESS", help="as rules spell it: read, write, read,exec, connect")
    parser.add_argument("object", metavar="PATH", help="a path, from the command's directory, or an address")
    add_json(parser)
    add_socket(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl check`."""
    with connected(arguments, EXIT_FAILED) as client:
        verdicts = client.check(arguments.session, arguments.access, arguments.object)
    if arguments.json:
        print_json(verdicts)
    else:
        for verdict in verdicts:
            source = f"  ({printable(verdict['source'])})" if verdict["source"] else ""
            print(printable(f"{verdict['action']} {verdict['access']} {verdict['object']}"))
            print(f"  rule:         {printable(verdict['rule'])}{source}")
            if verdict["allow"]:
                print(f"  to allow it:  {printable(verdict['allow'])}")
    return 0 if all(verdict["allowed"] for verdict in verdicts) else EXIT_DENIED
