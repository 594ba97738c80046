"""`sydctl lock`: who inside a session may change its rules."""

from __future__ import annotations

import argparse

from sydctl.connect import STATUSES, add_json, add_session, add_socket, connected, print_json

DESCRIPTION = """\
Set or show the lock of a session: whether its own processes may change its rules. 'off': all may; 'exec':
only the launched command itself; 'on': none. From inside it can only be tightened; its owner and root may
always change rules from outside."""

EPILOG = f"""\
{STATUSES}

examples:
  sydctl lock 7f3a01c2 on
  sydctl lock self exec
  sydctl lock 7f3a01c2
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl lock`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    add_session(parser)
    parser.add_argument(
        "lock", nargs="?", choices=("off", "exec", "on"), help="what to set; shown if left out"
    )
    add_json(parser)
    add_socket(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl lock`."""
    with connected(arguments) as client:
        if arguments.lock:
            lock: str = client.lock(arguments.session, arguments.lock)
        else:
            lock = client.list_rules(arguments.session)["lock"]
    if arguments.json:
        print_json({"session": arguments.session, "lock": lock})
    elif not arguments.lock:
        print(lock)
    return 0
