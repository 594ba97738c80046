"""Suite: what a filter costs in calls that it lets pass: sydd's, and the least that there can be.

Without a supervisor, on sockets that are connected already. All ways run in one program, by turns.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable

from benchmarks.measure import NATIVE, Cell, Grid, RunError, run
from benchmarks.network import FEW, profile
from benchmarks.peers import SYDD
from benchmarks.place import Place
from sydd.kernel import seccomp
from sydd.plan.bpf import compile_filter
from sydd.profiles import store
from sydd.session import prepare
from sydd.syscalls.table import AUDIT_ARCH, native, number

COLUMNS = ["recv_nowhere", "send_nowhere", "tcp", "tcp_8k", "udp"]
"""As filter.c calls them. Nowhere is no descriptor, so that the call fails at once; the others are pairs of a
send and a recv."""

ALL = "a filter that allows all"
LOOKS = "one that looks at sendto"
"""The least that can tell a sendto with a destination from others, in the native ABI."""

_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NUMBER, _ARCHITECTURE, _NAME_SIZE = 0, 4, 16 + 5 * 8  # struct seccomp_data
_EVERYTHING = [(_RETURN, 0, 0, seccomp.RET_ALLOW)]


def _looking() -> list[tuple[int, int, int, int]]:
    """The instructions of `LOOKS`: code, jt, jf, k."""
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, 5, AUDIT_ARCH[native()]),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_EQUAL, 0, 2, number(native(), "sendto")),
        (_LOAD, 0, 0, _NAME_SIZE),
        (_IF_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, seccomp.RET_ALLOW),
        (_RETURN, 0, 0, seccomp.RET_KILL_PROCESS),
    ]


def _own(place: Place) -> bytes:
    """The filter of a session under the rules that the suite of the network has."""
    path = os.path.join(place.base, "filter.toml")
    with open(path, "w", encoding="ascii") as file:
        file.write(profile(FEW))
    where = prepare.Place(place.base, place.user.home, place.base, place.user.name)
    prepared = prepare.prepare(store.load(path, {}), where, {}, terminals=(), fixed_credentials=True)
    return compile_filter(prepared.plan.filter)


def measure(place: Place, runs: int, count: int, progress: Callable[[str], None]) -> Grid:
    """Nanoseconds for each operation under each filter.

    Args:
        place: the directories.
        runs: how often the program is run.
        count: how often each operation is done in one run.
        progress: told each run.
    """
    packed = [b"".join(struct.pack("=HBBI", *each) for each in code) for code in (_EVERYTHING, _looking())]
    programs = {NATIVE: b"", ALL: packed[0], LOOKS: packed[1], SYDD: _own(place)}
    files = []
    for which, program in enumerate(programs.values()):
        files.append(os.path.join(place.base, f"filter-{which}"))
        with open(files[-1], "wb") as file:
            file.write(program)
    samples: dict[str, dict[str, list[float]]] = {way: {name: [] for name in COLUMNS} for way in programs}
    grid = Grid("Filters alone", "ns", COLUMNS, digits=3)
    for turn in range(runs):
        try:
            output = run([place.program("filter"), str(count), *files], place.user, place.base).stdout
        except RunError as error:
            return Grid(grid.title, grid.unit, COLUMNS, absent=dict.fromkeys(programs, str(error)))
        for columns, values in zip(samples.values(), json.loads(output), strict=True):
            for name, value in values.items():
                columns[name].append(value)
        progress(f"round {turn + 1} of {runs}")
    grid.cells = {
        way: {name: Cell(tuple(values)) for name, values in columns.items()}
        for way, columns in samples.items()
    }
    return grid
