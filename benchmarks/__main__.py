"""``python -m benchmarks``: measure, and print Markdown."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import bounds, daemon, filters, network, operations, startup, table, workloads
from benchmarks.measure import NATIVE, Grid
from benchmarks.peers import Way, every_way
from benchmarks.place import HERE, Place
from benchmarks.sources import fetch

SUITES = ("operations", "network", "filters", "workloads", "startup", "memory", "daemon")
OWN_WAYS = ("network", "filters", "daemon")
"""Suites that run in ways of their own."""


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Args:
        words: the arguments; those of this process if None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What sydd costs, beside running natively and beside its peers.",
    )
    add = parser.add_argument
    add("--suite", action="append", choices=SUITES, help="only this one; may be given again")
    add(
        "--ways",
        help="only these, by name, separated by commas; native is one; network, filters, daemon: own ones",
    )
    add("--workload", action="append", default=[], metavar="WORD", help="only those with this in their title")
    add("--runs", type=int, metavar="N", help="rounds: 5 of the workloads, 20 of the others")
    add("--quick", action="store_true", help="2 rounds and few operations: to see that it works")
    add("--as-user", metavar="NAME", help="as root: run the commands as this user")
    add("--on-disk", action="store_true", help="as root too: work in the temporary directory, on no tmpfs")
    add("--fetch", action="store_true", help="download what the workloads and peers need first")
    add("--cache", default=os.path.join(os.path.dirname(HERE), ".bench"), metavar="DIR", help="for downloads")
    add("--json", metavar="FILE", help="write every sample there too")
    options = parser.parse_args(words)
    if options.as_user and os.geteuid() != 0:
        parser.error("--as-user needs root")
    if options.runs is not None and options.runs < 1:
        parser.error("--runs: at least 1")
    return options


def say(text: str) -> None:
    """Tell the person who waits, not the table."""
    print(f"  {text}", file=sys.stderr, flush=True)


def chosen(place: Place, names: str | None) -> tuple[list[Way], dict[str, str]]:
    """The ways to measure, and those that cannot be had here with the reason.

    Args:
        place: the directories.
        names: the wanted ones, separated by commas; all if None.

    Raises:
        SystemExit: there is no way of such a name.
    """
    ways, absent = every_way(place)
    if names is None:
        return ways, absent
    wanted = {name.strip() for name in names.split(",")} | {NATIVE}
    known = [way.name for way in ways] + list(absent)
    unknown = wanted.difference(known)
    if unknown:
        raise SystemExit(f"no such way: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return [way for way in ways if way.name in wanted], {k: v for k, v in absent.items() if k in wanted}


def measure(options: argparse.Namespace, place: Place) -> list[Grid]:
    """Run the chosen suites.

    Args:
        options: of the command line.
        place: the directories.
    """
    ways, absent = chosen(place, options.ways)
    supervised = [way for way in ways if way.name != NATIVE]
    few = options.runs or (2 if options.quick else None)
    count = 500 if options.quick else 5000
    suites: dict[str, Callable[[], list[Grid]]] = {
        "operations": lambda: [operations.measure(ways, place, few or 20, count, say)],
        "network": lambda: [network.measure(place, few or 20, count, say)],
        "filters": lambda: [filters.measure(place, few or 20, 4 * count, say)],
        "workloads": lambda: [workloads.measure(ways, place, few or 5, options.workload, say)],
        "startup": lambda: [startup.measure_start(ways, place, few or 20, say)],
        "memory": lambda: [startup.measure_memory(supervised, place, min(few or 3, 3), say)],
        "daemon": lambda: daemon.measure(place, few or 20, count, say),
    }
    grids: list[Grid] = []
    for name in options.suite or SUITES:
        print(f"{name}…", file=sys.stderr)
        found = suites[name]()
        if name not in OWN_WAYS:
            for grid in found:
                grid.absent = absent | grid.absent
        grids += found
    return grids


def main() -> int:
    """Measure, print, clean up."""
    options = arguments()
    if options.fetch:
        for failure in fetch(options.cache):
            say(failure)
    # An exception lets everything that is open clean up behind itself, running commands included.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    started = time.monotonic()
    place = Place.make(options.cache, options.as_user, on_disk=options.on_disk)
    try:
        grids = measure(options, place)
    finally:
        place.remove()
    system = f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs"
    where = "on tmpfs" if place.mounted else "on disk"
    took = time.monotonic() - started
    print(f"{system}, Python {platform.python_version()}, as {place.user.name}, {where}, {took:.0f} s\n")
    for grid in grids:
        print(table.markdown(grid))
    print(bounds.markdown(grids), end="")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"system": system, "grids": [table.as_json(grid) for grid in grids]}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
