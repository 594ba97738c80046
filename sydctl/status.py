"""`sydctl status`: whether the daemon runs, and how it is."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from sydctl.connect import add_json, add_socket, connected, print_json
from sydctl.tables import duration, labelled, moment, size

if TYPE_CHECKING:
    from sydd.wire.values import Health, Info

EXIT_UNHEALTHY = 1

DESCRIPTION = "Show whether the daemon runs, and how it is."

EPILOG = """\
exit status: 0 when all is well; 1 when the daemon has problems; 2 for bad arguments; 125 when the daemon
cannot be reached.

examples:
  sydctl status
  sydctl status --json
  sydctl status --socket /run/user/1000/sydd/sydd.sock
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl status`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    add_json(parser)
    add_socket(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl status`."""
    with connected(arguments) as client:
        info, health = client.info(), client.health()
    if arguments.json:
        print_json({"info": info, "health": health})
    else:
        print(labelled(_pairs(info, health, time.time())))
    return 0 if health["healthy"] else EXIT_UNHEALTHY


def _pairs(info: Info, health: Health, now: float) -> list[tuple[str, str]]:
    whose = "the system's" if info["uid"] == 0 else f"that of user {info['uid']}"
    pairs = [
        ("daemon", f"sydd {info['version']}, {whose}, pid {info['pid']}"),
        ("since", f"{moment(info['started'])} ({duration(now - info['started'])})"),
        ("socket", info["socket"]),
        ("kernel", info["kernel"]),
        ("sessions", f"{health['sessions']} ({health['workers']} workers, {health['restarts']} replaced)"),
        ("questions", str(health["questions"])),
        ("connections", f"{health['connections']} ({health['subscribers']} follow events)"),
        ("lost", f"{health['lost']} notices that readers were too slow for"),
        ("memory", f"{size(health['memory'])}, {health['descriptors']} descriptors"),
    ]
    pairs += [("problem", problem) for problem in health["problems"]]
    return pairs
