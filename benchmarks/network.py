"""Suite: what one call about a socket costs, where every address is judged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable

from benchmarks.measure import NATIVE, Grid, RunError, in_turn, run
from benchmarks.peers import SYDD, AbsentError, Way, Wrap, sydctl
from benchmarks.place import Place

COLUMNS = [
    "connect",
    "connect_unix",
    "send_recv",
    "send_recv_8k",
    "sendmsg_recvmsg",
    "send_recv_udp",
    "sendto_recv_udp",
]
"""As net.c calls them."""

FEW, MANY = 10, 1000
"""How many network rules a profile has."""

FOLLOWED = f"{SYDD}, no rule but follow_bind"
MANY_RULES = f"{SYDD}, {MANY:,} rules"
SUPERVISOR = f"{SYDD} supervisor"


def profile(rules: int) -> str:
    """A profile with so many network rules, that which decides first: none may be looked at one by one.

    Args:
        rules: how many, at least one.
    """
    others = [f"allow connect 10.{n // 250}.{n % 250}.0/24!{1024 + n}" for n in range(rules - 1)]
    return f'extends = "build"\nrules = {json.dumps(["allow connect,send loopback", *others], indent=1)}\n'


def launched(launch: list[str]) -> Wrap:
    """What runs a command by the words of *launch*."""
    return lambda command, _work: [*launch, *command]


def every_way(place: Place) -> tuple[list[Way], dict[str, str]]:
    """The ways of this suite, and those that cannot be had here with the reason.

    Args:
        place: the directories; the profiles are written there.
    """
    ways = [Way(NATIVE, lambda command, _work: list(command))]
    try:
        program = sydctl()
    except AbsentError as error:
        return ways, {SYDD: str(error)}
    for name, rules, options in (
        (SYDD, FEW, []),
        (MANY_RULES, MANY, []),
        (SUPERVISOR, FEW, ["--engine", "supervisor"]),
        (FOLLOWED, 0, []),
    ):
        path = "build"
        if rules:
            path = os.path.join(place.base, f"rules-{rules}.toml")
            with open(path, "w", encoding="ascii") as file:
                file.write(profile(rules))
        ways.append(Way(name, launched([*program, "launch", *options, path, "--"])))
    return ways, {}


def measure(place: Place, runs: int, count: int, progress: Callable[[str], None]) -> Grid:
    """Nanoseconds for each operation in each way.

    Args:
        place: the directories.
        runs: rounds.
        count: how often each operation is done in one round; what is quick, ten times as often.
        progress: told what happens.
    """
    program = place.program("net")
    ways, absent = every_way(place)
    by_name = {way.name: way for way in ways}

    def once(name: str) -> dict[str, float]:
        work = place.work(place.user)
        try:
            command = by_name[name].wrap([program, work, str(count)], work)
            values: dict[str, float] = json.loads(run(command, place.user, work).stdout)
        except json.JSONDecodeError as error:
            raise RunError(f"net printed no JSON: {error}") from error
        finally:
            shutil.rmtree(work)
        return values

    grid = Grid("Sockets", "ns", COLUMNS, absent=absent)
    grid.cells = in_turn(by_name, once, runs, progress)
    return grid
