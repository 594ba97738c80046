"""What a policy allows behaves as natively: result, errno, descriptor, and the tree that is left."""

from __future__ import annotations

import errno
import os

import pytest

from sydd.plan.plan import Engine
from sydd.syscalls.row import Operation
from sydd.syscalls.table import rows_by_name
from tests.rows.acts32 import ACTS_OF, RUN, label
from tests.rows.cases import Case, cases
from tests.rows.run import TOP, Report, Runner

EXACT = (
    "allow write ${cwd}/**",
    "allow write /dev/null",
    "allow net any",
    "deny read,list,stat,exec,chdir ${home}/hidden/**",
)
"""The area is exactly allowed: with Landlock below, the kernel does it. All look-ups are judged, too."""

HOLES = (
    "allow write ${cwd}/*/**",
    "allow write /dev/null",
    "allow net any",
    "deny write,read,list,stat,chdir ${cwd}/*/**/never/**",
)
"""A pattern that Landlock cannot express: the supervisor does it."""

HELD = tuple(rule.replace("read,", "") for rule in HOLES)
"""The same for programs: the kernel wants a right to read what it executes, which such a hole takes away."""

SETTINGS: dict[str, tuple[tuple[str, ...], Engine]] = {
    "exactly allowed": (EXACT, Engine.HYBRID),
    "allowed with holes": (HOLES, Engine.HYBRID),
    "without Landlock": (EXACT, Engine.SUPERVISOR),
}

ALLOWED = [
    pytest.param(abi, row.name, id=label(abi, row.name))
    for abi in RUN
    for row in rows_by_name(abi).values()
    if row.operation is not Operation.REFUSED
]

NO_DESCRIPTOR = "nothing made without a descriptor, relative"
"""The supervisor makes the file before the caller's table is found to be full: EMFILE, and a file."""

CWD_QUIRK = "file, AT_FDCWD"
ON_CWD = ("fsetxattr", "fremovexattr", "fgetxattr", "flistxattr")
"""These take AT_FDCWD on some kernels; here it is no descriptor."""


def is_known(setting: str, case: Case, got: Report) -> bool:
    """Whether a difference is one that is meant, or that cannot be helped."""
    emulated = setting != "exactly allowed"
    if case.label == NO_DESCRIPTOR:
        return emulated and got.errno == errno.EMFILE
    if case.label == CWD_QUIRK:
        return case.row in ON_CWD and got.errno == errno.EBADF
    if case.row == "landlock_restrict_self" and setting == "without Landlock":
        # Nobody would look at the domains of programs (restricted.py).
        return got.errno == errno.ENOSYS
    if case.row == "landlock_restrict_self" and os.geteuid():
        # Natively the privilege is missing: sessions have no_new_privs.
        return got.errno == errno.EBADF
    if case.row == "openat2" and setting == "without Landlock":
        # An O_PATH descriptor cannot be given to another process.
        return case.act.label.startswith("O_PATH") and got.errno == errno.ENOSYS
    # A rename anywhere on the machine makes the kernel give up on a limited look-up (openat2(2), EAGAIN).
    return case.row == "openat2" and got.errno == errno.EAGAIN


def differences(native: Report, ours: Report) -> list[str]:
    """What is not as natively, one line for each thing."""
    found = []
    if native.lines != ours.lines:
        found.append(f"told {ours.lines} instead of {native.lines}")
    return found + [
        f"{path!r} is {ours.tree.get(path)} instead of {native.tree.get(path)}"
        for path in sorted(native.tree.keys() | ours.tree.keys())
        if native.tree.get(path) != ours.tree.get(path)
    ]


@pytest.mark.parametrize(("abi", "row"), ALLOWED)
def test_as_natively(abi: str, row: str, runner: Runner) -> None:
    """Every form of every act gives the same, and leaves the same, as without sydd."""
    batch = list(cases(row, TOP, ACTS_OF[abi][row], main=abi != RUN[0]))
    native = runner.native(batch)
    found = []
    for setting, (rules, engine) in SETTINGS.items():
        exact = HELD if rules is HOLES and row.startswith("exec") else rules
        session = runner.confined(batch, exact, engine)
        for case, expected, got, events in zip(batch, native, session.reports, session.events, strict=True):
            wrong = differences(expected, got) + [f"an event: {event.allow}" for event in events]
            if wrong and is_known(setting, case, got):
                continue
            found += [f"{setting}: {case.label}: {line}" for line in wrong]
    assert not found, f"{len(found)} differ:\n" + "\n".join(found)
