"""Suite: what a session through the daemon costs: its start and end, its calls, and what stays in memory.

The daemon is the suite's own: started by whoever runs the benchmarks, on a socket below their directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from benchmarks import operations
from benchmarks.measure import NATIVE, Grid, RunError, in_turn, run
from benchmarks.peers import SYDD, AbsentError, sydctl
from benchmarks.place import HERE, Place
from benchmarks.turns import Player, in_short_turns
from sydd.client import Client, NotRunningError

EMBEDDED = f"{SYDD}, embedded"
APART = f"{EMBEDDED}, setsid"
LAUNCHED = f"{SYDD}, launch by the daemon"
STARTED = f"{SYDD}, the client's Run"
AT_TIMES = f"{STARTED}, at times"
TRUE = "/bin/true"

STARTS = 5
"""Commands that one process starts by `Run` in one round."""

PAUSES = {STARTED: 0.0, AT_TIMES: 0.1}
"""Seconds between these, by way."""

IN_A_TURN = 250
"""Calls of one kind that a program makes before others have their turn."""

IDLE = 3
"""Sessions whose memory is looked at at a time: what they share with each other counts for none."""

OPTIONS = {EMBEDDED: ["launch", "--embedded"], LAUNCHED: ["launch", "--daemon"], STARTED: ["run"]}
"""What sydctl is asked for, by way."""


@contextlib.contextmanager
def started(place: Place) -> Iterator[str]:
    """A daemon for the time of the block: its socket, which every user may use here.

    Args:
        place: the directories.

    Raises:
        RunError: it does not start.
    """
    directory = tempfile.mkdtemp(prefix="daemon-", dir=place.base)
    os.chmod(directory, 0o755)  # noqa: S103 (the user has to get at the socket)
    path = os.path.join(directory, "sydd.sock")
    settings = os.path.join(directory, "sydd.toml")
    with open(settings, "w", encoding="ascii"):
        pass
    command = [sys.executable, "-m", "sydd.daemon", "--socket", path, "--config", settings]
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    with (
        open(os.path.join(directory, "log"), "wb") as log,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
        ) as process,
    ):
        try:
            _wait_for(path, process)
            os.chmod(path, 0o666)  # noqa: S103
            yield path
        finally:
            process.terminate()
    shutil.rmtree(directory)


def _wait_for(path: str, process: subprocess.Popen[bytes]) -> None:
    """Until a daemon answers."""
    end = time.monotonic() + 30
    while True:
        try:
            with Client(path) as client:
                client.info()
                return
        except NotRunningError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise RunError(f"the daemon does not start: {error}") from None
            time.sleep(0.02)


def measure(place: Place, runs: int, count: int, progress: Callable[[str], None]) -> list[Grid]:
    """Starts, calls and memory.

    Args:
        place: the directories.
        runs: rounds.
        count: how often each operation is done in one round.
        progress: told what happens.
    """
    try:
        program = sydctl()
        with started(place) as path:
            return [
                _starts(place, program, path, runs, progress),
                _calls(place, program, path, runs, count, progress),
                _memory(place, program, path, min(runs, 3), progress),
            ]
    except (AbsentError, RunError) as error:
        return [Grid("The daemon", "ms", [], absent={SYDD: str(error)})]


def _starts(place: Place, program: list[str], path: str, runs: int, progress: Callable[[str], None]) -> Grid:
    """Milliseconds for a program that does nothing: `over` as whoever started it sees it."""
    work = place.work(place.user)

    def once(name: str) -> dict[str, float]:
        if name in PAUSES:
            script = os.path.join(HERE, "daemon_run.py")
            command = [sys.executable, "-P", script, path, str(STARTS), str(PAUSES[name]), TRUE]
            values: dict[str, float] = json.loads(run(command, place.user, work, seconds=60).stdout)
            return values
        words = [TRUE] if name == NATIVE else [*program, *OPTIONS[name], "build", "--", TRUE]
        taken = run(words, place.user, work, seconds=60, variables={"SYDD_SOCKET": path})
        return {"over": 1000 * taken.seconds}

    grid = Grid("Starts through the daemon", "ms", ["begun", "ended", "over"])
    grid.cells = in_turn((NATIVE, EMBEDDED, LAUNCHED, *PAUSES), once, runs, progress)
    shutil.rmtree(work)
    return grid


def _calls(
    place: Place, program: list[str], path: str, runs: int, count: int, progress: Callable[[str], None]
) -> Grid:
    """Nanoseconds for supervised calls, served by the command's own sydctl or by the daemon's worker.

    The programs of a round are there together and have their turns one after the other: a difference of a
    twentieth is less than what the machine does from one second to the next. APART is as the daemon's worker
    and a command are: to the kernel two groups of tasks, which it takes longer to go between.
    """
    ops = place.program("ops")
    turns = max(1, count // IN_A_TURN)

    def player(name: str) -> Player:
        work = place.work(place.user)
        words = [ops, work, place.refused, str(min(count, IN_A_TURN)), str(turns)]
        if name == APART:
            words = ["setsid", "--wait", *words]
        if name != NATIVE:
            words = [
                *program,
                *OPTIONS[EMBEDDED if name == APART else name],
                "--quiet",
                "build",
                "--",
                *words,
            ]
        return Player(words, place.user, work, {"SYDD_SOCKET": path})

    grid = Grid("Supervised calls, embedded and by the daemon's worker", "ns", operations.COLUMNS, digits=3)
    grid.cells = in_short_turns(
        (NATIVE, EMBEDDED, APART, LAUNCHED, STARTED), player, grid.columns, turns, runs, progress
    )
    del grid.cells[NATIVE]["open_refused"]
    return grid


def _memory(place: Place, program: list[str], path: str, runs: int, progress: Callable[[str], None]) -> Grid:
    """Private memory, in MB, of the processes that stand around a command that waits."""
    columns = ["worker", "keeper", "of a session"]
    grid = Grid("Private memory of an idle session of the daemon", "MB", columns)
    if os.geteuid() != 0:
        grid.absent = {SYDD: "only root may look"}
        return grid
    work = place.work(place.user)

    def once(name: str) -> dict[str, float]:
        with contextlib.ExitStack() as stack:
            for _ in range(IDLE):
                command = [*program, *OPTIONS[name], "build", "--", "sh", "-c", "echo ready; cat"]
                stack.enter_context(_waiting(command, place, work, path))
            with Client(path) as client:
                workers = {session["worker"] for session in client.list_sessions()}
            if len(workers) != IDLE:
                raise RunError(f"{len(workers)} workers of {IDLE} sessions")
            others = [other for parent in workers for other in _forks(parent)]
            worker = sum(map(_private, workers)) / IDLE
            keeper = sum(map(_private, others)) / IDLE
        return {"worker": worker, "of a session": worker + keeper} | ({"keeper": keeper} if others else {})

    grid.cells = in_turn((LAUNCHED, STARTED), once, runs, progress)
    shutil.rmtree(work)
    return grid


@contextlib.contextmanager
def _waiting(command: list[str], place: Place, work: str, path: str) -> Iterator[None]:
    """A command that has said that it is there, and waits for the end of its input."""
    with subprocess.Popen(
        command,
        cwd=work,
        env={**place.user.environment(work), "SYDD_SOCKET": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **place.user.identity(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() != b"ready\n":
                raise RunError("the command did not run")
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def _forks(pid: int) -> Iterator[int]:
    """The processes below one that run the same program as it."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
    for child in children:
        if os.path.samefile(f"/proc/{child}/exe", f"/proc/{pid}/exe"):
            yield child
            yield from _forks(child)


def _private(pid: int) -> float:
    """Memory in MB that a process shares with no other one."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as file:
        values = dict(line.split(":", 1) for line in file.readlines()[1:])
    return (int(values["Private_Clean"].split()[0]) + int(values["Private_Dirty"].split()[0])) / 1024
