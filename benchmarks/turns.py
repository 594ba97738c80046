"""Programs that do a part of their work in turn, while the others wait.

What changes on the machine within seconds falls on all of them alike: so small differences can be told, by
the ratio of two programs in the same turn. What is a process's own luck, as where its memory lies, changes
from round to round.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

from benchmarks.measure import Cell, RunError, User


class Player:
    """A program that begins a turn with a byte that it reads, and ends it with a line that is a number.

    Args:
        command: program and arguments.
        user: whom it runs as.
        work: its work directory, which is removed in the end.
        variables: further ones of its environment.
    """

    def __init__(self, command: Sequence[str], user: User, work: str, variables: Mapping[str, str]) -> None:
        self._work = work
        self._process = subprocess.Popen(
            command,
            cwd=work,
            env=user.environment(work) | dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            **user.identity(),
        )

    def turn(self) -> float:
        """Have it take its turn; the number.

        Raises:
            RunError: it has ended.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            last = process.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RunError(last[0][:100] if last else "it has ended without a word")
        return float(line)

    def close(self) -> None:
        """Wait for its end, which the end of its input is."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        shutil.rmtree(self._work)


def in_short_turns(
    ways: Sequence[str],
    begin: Callable[[str], Player],
    columns: Sequence[str],
    turns: int,
    runs: int,
    progress: Callable[[str], None],
) -> dict[str, dict[str, Cell]]:
    """Measure every way in turn, each thing so many times, with other processes in each round.

    Args:
        ways: their names.
        begin: starts the program of one way.
        columns: what each program does, in order.
        turns: how often one after the other it does each.
        runs: how many rounds.
        progress: told each round.

    Returns:
        The cells by way and column: a sample for each turn, those of the same turn at the same place.

    Raises:
        RunError: a program has failed.
    """
    samples: dict[str, dict[str, list[float]]] = {way: {column: [] for column in columns} for way in ways}
    for round_ in range(runs):
        with contextlib.ExitStack() as stack:
            players = {way: stack.enter_context(contextlib.closing(begin(way))) for way in ways}
            for column in columns:
                for _ in range(turns):
                    # Who comes after whom is not to be the same each time.
                    for way in random.sample(ways, len(ways)):
                        samples[way][column].append(players[way].turn())
        progress(f"round {round_ + 1} of {runs}")
    return {
        way: {column: Cell(tuple(values)) for column, values in found.items()}
        for way, found in samples.items()
    }
