"""Suite a: what one file system call costs, allowed and refused."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Sequence

from benchmarks.measure import Grid, RunError, in_turn, run
from benchmarks.peers import Way
from benchmarks.place import Place

COLUMNS = ["open_read", "open_write", "open_new", "open_refused", "mkdir_rmdir", "chmod", "stat", "rename"]
"""As ops.c calls them."""


def measure(
    ways: Sequence[Way], place: Place, runs: int, count: int, progress: Callable[[str], None]
) -> Grid:
    """Nanoseconds for each operation in each way.

    Args:
        ways: those that can be had here.
        place: the directories.
        runs: rounds.
        count: how often each operation is done in one round.
        progress: told what happens.
    """
    program = place.program("ops")
    by_name = {way.name: way for way in ways}
    unrefused: set[str] = set()

    def once(name: str) -> dict[str, float]:
        wrap = by_name[name].wrap
        work = place.work(place.user)
        try:
            command = wrap([program, work, place.refused, str(count)], work)
            values: dict[str, float] = json.loads(run(command, place.user, work).stdout)
        except json.JSONDecodeError as error:
            raise RunError(f"ops printed no JSON: {error}") from error
        finally:
            shutil.rmtree(work)
        if values.pop("refused_errno") not in (errno.EACCES, errno.EPERM, errno.EROFS):
            unrefused.add(name)
        return values

    grid = Grid("Single operations", "ns", COLUMNS)
    grid.cells = in_turn(by_name, once, runs, progress)
    for name in unrefused:
        # A number for a refusal that did not happen would be compared with one that did.
        grid.cells[name].pop("open_refused", None)
    return grid
