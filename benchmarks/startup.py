"""Suite c: what starting a command costs, and the memory that a supervisor takes meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence

from benchmarks.measure import Grid, RunError, in_turn, run
from benchmarks.peers import Way, Wrap
from benchmarks.place import Place

TRUE = "/bin/true"
SHELL = ("sh", "cat")
"""The programs of the command whose supervisor is looked at; they are not counted."""


def measure_start(ways: Sequence[Way], place: Place, runs: int, progress: Callable[[str], None]) -> Grid:
    """Milliseconds for a program that does nothing.

    Args:
        ways: those that can be had here.
        place: the directories.
        runs: rounds.
        progress: told what happens.
    """
    by_name = {way.name: way for way in ways}
    work = place.work(place.user)

    def once(name: str) -> dict[str, float]:
        wrap = by_name[name].wrap
        return {TRUE: 1000 * run(wrap([TRUE], work), place.user, work, seconds=60).seconds}

    grid = Grid("Start-up", "ms", [TRUE])
    grid.cells = in_turn(by_name, once, runs, progress)
    shutil.rmtree(work)
    return grid


def measure_memory(ways: Sequence[Way], place: Place, runs: int, progress: Callable[[str], None]) -> Grid:
    """The most resident memory that processes around the command ever had, in MB.

    Pages that several processes share are counted in each of them.

    Args:
        ways: those that can be had here.
        place: the directories.
        runs: rounds.
        progress: told what happens.
    """
    by_name = {way.name: way for way in ways}

    def once(name: str) -> dict[str, float]:
        wrap = by_name[name].wrap
        work = place.work(place.user)
        try:
            peaks = [peak for program, peak in _peaks(wrap, place, work) if program not in SHELL]
        finally:
            shutil.rmtree(work)
        return {"largest process": max(peaks), "all together": sum(peaks)} if peaks else {}

    grid = Grid("Memory of what stands around the command", "MB", ["largest process", "all together"])
    grid.cells = in_turn(by_name, once, runs, progress)
    return grid


def _peaks(wrap: Wrap, place: Place, work: str) -> list[tuple[str, float]]:
    """Name and peak of every process around a command that has made 2,000 files and is still there."""
    script = "i=0; while [ $i -lt 2000 ]; do : >f$i; i=$((i + 1)); done; echo ready; cat >/dev/null"
    with subprocess.Popen(
        wrap(["sh", "-c", script], work),
        cwd=work,
        env=place.user.environment(work),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
        **place.user.identity(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise RunError("the command did not run")
            return list(_tree(process.pid))
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _tree(pid: int) -> Iterator[tuple[str, float]]:
    """Name and peak resident set, in MB, of a process and everything below it."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.split(":", 1) for line in file)
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    if "VmHWM" in status:
        yield status["Name"].strip(), int(status["VmHWM"].split()[0]) / 1024
    for child in children:
        yield from _tree(child)
