"""The bounds that sydd has set itself, and whether the measured medians keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.daemon import AT_TIMES, EMBEDDED, LAUNCHED, STARTED
from benchmarks.measure import NATIVE, Grid
from benchmarks.network import FOLLOWED, MANY_RULES
from benchmarks.peers import FLOOR, SANDLOCK, SYDD
from benchmarks.workloads import Configure, PipInstall, Untar


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound on sydd.

    Attributes:
        what: for the reader.
        column: of some grid.
        limit: the highest allowed value.
        to: the way that the value is compared with.
        by: how it is: by the ratio of the medians, by the median of the rounds' ratios, by the difference of
            the medians in thousands (ns to µs), or not at all: the median itself.
        way: which way it is a bound on.
    """

    what: str
    column: str
    limit: float
    to: str = NATIVE
    by: Literal["ratio", "rounds", "over", "median"] = "ratio"
    way: str = SYDD

    def value(self, grid: Grid) -> float | None:
        """What was measured; None if it was not."""
        if self.by == "median":
            return grid.median(self.way, self.column)
        if self.by == "over":
            over = grid.over(self.way, self.column, self.to)
            return None if over is None else over / 1000
        compare = grid.ratio if self.by == "ratio" else grid.paired
        return compare(self.way, self.column, self.to)


BOUNDS = [
    Bound("allowed open for writing, to the C supervisor", "open_write", 2.5, FLOOR),
    Bound("open for reading", "open_read", 1.5),
    Bound("configure && make", Configure.title, 1.10),
    Bound("untar + rm -rf as a user", Untar.title, 3.5),
    Bound("untar + rm -rf as a user, to sandlock", Untar.title, 1.0, SANDLOCK),
    Bound("untar + rm -rf as root", f"{Untar.title}, as root", 5.0),
    Bound("pip install", PipInstall.title, 1.6),
    Bound("allowed connect on loopback, µs over native", "connect", 60, by="over"),
    Bound("connect to a port of the session's own, µs over native", "connect", 60, by="over", way=FOLLOWED),
    Bound("send and recv on a connection, 64 bytes", "send_recv", 1.02, by="rounds"),
    Bound("send and recv on a connection, 8 KiB", "send_recv_8k", 1.02, by="rounds"),
    Bound("send and recv on a connected socket for datagrams, 64 bytes", "send_recv_udp", 1.02, by="rounds"),
    Bound("sendmsg and recvmsg on a connection, 64 bytes", "sendmsg_recvmsg", 1.02, by="rounds"),
    Bound("connect under 1,000 rules, to 10", "connect", 1.10, SYDD, "rounds", MANY_RULES),
    Bound("start of /bin/true, ms", "/bin/true", 200, by="median"),
    Bound("memory of the worker, MB", "largest process", 40, by="median"),
    Bound("sydctl launch /bin/true through the daemon, ms", "over", 80, by="median", way=LAUNCHED),
    *(
        Bound(
            f"Run of /bin/true through the client, {turns}, until {what}, ms",
            column,
            15,
            by="median",
            way=way,
        )
        for turns, way in (("one after the other", STARTED), ("at times", AT_TIMES))
        for what, column in (
            ("it is answered", "begun"),
            ("the command has ended", "ended"),
            ("that is told", "over"),
        )
    ),
    *(
        Bound(f"{what} by the daemon's worker, to embedded", column, 1.05, EMBEDDED, "rounds", LAUNCHED)
        for what, column in (("open for writing", "open_write"), ("chmod", "chmod"), ("rename", "rename"))
    ),
    Bound("private memory of an idle session by launch, MB", "of a session", 8, by="median", way=LAUNCHED),
    Bound("private memory of an idle session by Run, MB", "of a session", 8, by="median", way=STARTED),
]


def markdown(grids: list[Grid]) -> str:
    """A table of the bounds that something was measured for; empty if there is none.

    Args:
        grids: everything that was measured.
    """
    lines: list[str] = []
    for bound in BOUNDS:
        for grid in grids:
            value = bound.value(grid)
            if value is not None:
                kept = "yes" if value <= bound.limit else "**no**"
                digits = 3 if bound.by == "rounds" else 2  # which are worth it there
                lines.append(f"| {bound.what} | {bound.limit:g} | {value:.{digits}f} | {kept} |")
    if not lines:
        return ""
    heading = ["### Bounds", "", "| | at most | measured | kept |", "|---|---|---|---|"]
    return "\n".join([*heading, *lines]) + "\n"
