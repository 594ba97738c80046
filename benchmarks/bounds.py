"""The bounds that sydd has set itself, and whether the measured medians keep them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.measure import NATIVE, Grid
from benchmarks.peers import FLOOR, SANDLOCK, SYDD
from benchmarks.workloads import Configure, PipInstall, Untar


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound on sydd.

    Attributes:
        what: for the reader.
        column: of some grid.
        limit: the highest allowed value.
        to: the way that the value is a ratio to; None: the median itself.
    """

    what: str
    column: str
    limit: float
    to: str | None = NATIVE


BOUNDS = [
    Bound("allowed open for writing, to the C supervisor", "open_write", 2.5, FLOOR),
    Bound("open for reading", "open_read", 1.5),
    Bound("configure && make", Configure.title, 1.10),
    Bound("untar + rm -rf as a user", Untar.title, 3.5),
    Bound("untar + rm -rf as a user, to sandlock", Untar.title, 1.0, SANDLOCK),
    Bound("untar + rm -rf as root", f"{Untar.title}, as root", 5.0),
    Bound("pip install", PipInstall.title, 1.6),
    Bound("start of /bin/true, ms", "/bin/true", 200, None),
    Bound("memory of the worker, MB", "largest process", 40, None),
]


def markdown(grids: list[Grid]) -> str:
    """A table of the bounds that something was measured for; empty if there is none.

    Args:
        grids: everything that was measured.
    """
    lines: list[str] = []
    for bound in BOUNDS:
        for grid in grids:
            value = grid.ratio(SYDD, bound.column, bound.to) if bound.to else grid.median(SYDD, bound.column)
            if value is not None:
                kept = "yes" if value <= bound.limit else "**no**"
                lines.append(f"| {bound.what} | {bound.limit:g} | {value:.2f} | {kept} |")
    if not lines:
        return ""
    heading = ["### Bounds", "", "| | at most | measured | kept |", "|---|---|---|---|"]
    return "\n".join([*heading, *lines]) + "\n"
