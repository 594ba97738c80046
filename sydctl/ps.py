"""`sydctl ps`: the daemon's sessions."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from sydctl.connect import STATUSES, add_json, add_socket, connected, print_json
from sydctl.tables import duration, table, terminal_width

if TYPE_CHECKING:
    from sydd.wire.values import Session

DESCRIPTION = "List the daemon's sessions that this user may see: the own ones, and root everybody's."

EPILOG = f"""\
{STATUSES}

examples:
  sydctl ps
  sydctl ps --all
  sydctl ps --json
"""

HEADINGS = ("SESSION", "USER", "STATE", "PROFILE", "PID", "AGE", "DENIED", "COMMAND")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl ps`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument(
        "-a", "--all", action="store_true", help="also sessions that have ended and are still remembered"
    )
    add_json(parser)
    add_socket(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl ps`."""
    with connected(arguments) as client:
        sessions = client.list_sessions(ended=arguments.all)
    if arguments.json:
        print_json(sessions)
    elif sessions:
        now = time.time()
        print(table(HEADINGS, [_row(session, now) for session in sessions], terminal_width()))
    else:
        print("no sessions")
    return 0


def _row(session: Session, now: float) -> tuple[str, ...]:
    from sydctl.text import quoted

    state = session["state"]
    if session["status"] is not None:
        state += f" ({session['status']})"
    elif session["mode"] == "audit":
        state += ", audit"
    command = " ".join(map(quoted, session["command"]))
    if session["label"]:
        command = f"{session['label']}: {command}" if command else session["label"]
    return (
        session["session"],
        session["user"],
        state,
        session["profile"],
        str(session["pid"] or "-"),
        duration((session["ended"] or now) - session["created"]),
        str(session["denied"]),
        command,
    )
