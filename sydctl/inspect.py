"""`sydctl inspect`: everything about a session of the daemon."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from sydctl.connect import STATUSES, add_json, add_session, add_socket, connected, print_json
from sydctl.tables import duration, labelled, moment, table, terminal_width
from sydctl.text import printable, quoted

if TYPE_CHECKING:
    from sydd.wire.values import Bucket, Details, RuleList, Session

DESCRIPTION = """\
Show everything about a session: rules, variables, processes, and how its calls were answered and how soon."""

EPILOG = f"""\
{STATUSES}

examples:
  sydctl inspect 7f3a01c2
  sydctl inspect 7f3a01c2 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl inspect`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    add_session(parser)
    add_json(parser)
    add_socket(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl inspect`."""
    with connected(arguments) as client:
        details = client.inspect_session(arguments.session)
    if arguments.json:
        print_json(details)
    else:
        print("\n".join(_lines(details, time.time())))
    return 0


def _lines(details: Details, now: float) -> list[str]:
    session = details["session"]
    lines = [labelled(_about(session, details["layers"], now))]
    lines += rule_lines(details["rules"])
    if details["variables"]:
        lines += ["", "variables:"]
        lines += [f"  {printable(f'{name} = {value}')}" for name, value in details["variables"].items()]
    if details["processes"]:
        rows = [
            (
                str(entry["pid"]),
                str(entry["parent"]),
                " ".join(map(quoted, entry["argv"])) or entry["command"],
            )
            for entry in details["processes"]
        ]
        lines += ["", table(("PID", "PARENT", "COMMAND"), rows, terminal_width())]
    if details["calls"]:
        rows = [(call["syscall"], call["answer"], str(call["count"])) for call in details["calls"]]
        lines += ["", table(("CALL", "ANSWER", "COUNT"), rows)]
    lines += _latency(details["latency"])
    return lines


def _about(session: Session, layers: str, now: float) -> list[tuple[str, str]]:
    ended, status = session["ended"], session["status"]
    state = session["state"]
    if ended is not None:
        state += f" {moment(ended)} with status {status}"
    pairs = [
        ("session", session["session"]),
        ("label", session["label"]),
        ("profile", session["profile"]),
        ("mode", session["mode"]),
        ("engine", f"{session['engine']}: {layers}" if layers else session["engine"]),
        ("lock", session["lock"]),
        ("user", f"{session['user']} ({session['uid']})"),
        ("state", state),
        ("began", f"{moment(session['created'])}, {duration((ended or now) - session['created'])} long"),
        ("command", " ".join(map(quoted, session["command"]))),
        ("directory", session["directory"]),
        ("pid", str(session["pid"] or "")),
        ("worker", str(session["worker"] or "")),
        ("denied", f"{session['denied']} ({session['events']} different events)"),
        ("questions", str(session["questions"] or "")),
        ("restarts", str(session["restarts"] or "")),
    ]
    return [(label, text) for label, text in pairs if text]


def rule_lines(rules: RuleList) -> list[str]:
    """The rules of a session, those that were added since, and what may be added."""
    lines = ["", "rules, the last that matches decides:"]
    lines += [f"  {printable(rule)}" for rule in rules["rules"]] or ["  none"]
    lines += ["", "added at run time:"]
    for rule in rules["runtime"]:
        who = f"uid {rule['uid']}{', from inside' if rule['inside'] else ''}"
        lines.append(f"  {printable(rule['rule'])}  # {moment(rule['added'])}, {who}")
    if not rules["runtime"]:
        lines.append("  none")
    lines += ["", "may be permitted at run time ([limits] runtime):"]
    lines += [f"  {printable(line)}" for line in rules["ceiling"]] or ["  nothing"]
    lines += ["", f"lock: {rules['lock']}"]
    return lines


def _latency(buckets: list[Bucket]) -> list[str]:
    """The steps by which half, 99 of 100, and all answers had been given."""
    total = sum(bucket["count"] for bucket in buckets)
    if not total:
        return []
    found = []
    for share, name in ((0.5, "half"), (0.99, "99 %"), (1.0, "all")):
        seen = 0
        for bucket in buckets:
            seen += bucket["count"]
            if seen >= share * total:
                bound = bucket["seconds"]
                found.append(f"{name} within {_short(bound)}")
                break
    return ["", f"{total} of them timed: {', '.join(found)}"]


def _short(seconds: float) -> str:
    if seconds >= 1e9:
        return "more than the last step"
    if seconds >= 1:
        return f"{seconds:g} s"
    return f"{seconds * 1e3:g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:g} µs"
