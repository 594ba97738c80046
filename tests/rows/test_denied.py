"""What a policy denies is not done: the right errno, one event that tells all, a line that allows it."""

from __future__ import annotations

import errno
import os

import pytest

from sydd.plan.plan import Engine
from sydd.policy.access import names
from sydd.supervisor.event import NO_RULE, Event
from sydd.syscalls.row import Operation, Row
from sydd.syscalls.table import NUMBERS, native, rows_by_name
from tests.rows.acts32 import ACTS_OF, RUN, label
from tests.rows.cases import Act, Case, cases
from tests.rows.forms import MAIN, Form
from tests.rows.run import INHERITED, TOP, Report, Runner
from tests.rows.script import call, number
from tests.rows.test_allowed import CWD_QUIRK, differences, is_known

ENGINES = [Engine.HYBRID, Engine.SUPERVISOR]

PRECEDENT = {
    errno.EEXIST,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.EFAULT,
    errno.EBADF,
    errno.ENAMETOOLONG,
}
"""What the kernel finds out before it asks for permission."""

PREPARING = (
    "allow create,delete ${cwd}/*/gone",
    "allow rename ${cwd}/*/movable",
    "allow create ${cwd}/*/moved",
    "allow rename,link,modify ${cwd}/*/d/exe",
)
"""What the cases do before their call, and the other name of renames and links."""

OBJECTS = (
    "${cwd}/*/{d,other,moved}/{file,empty,exe,new,to-*,far-*,chain-*}",
    "${cwd}/*/l*/**/{file,empty,exe,new}",
)
"""What the calls are about; the directories on the way are not among it."""

LOOKS = {
    Operation.OPEN: "read,list,stat",
    Operation.LIST: "list",
    Operation.CHDIR: "chdir",
    Operation.EXEC: "exec",
    Operation.WATCH: "list,stat",
    **dict.fromkeys(
        (
            Operation.ACCESS,
            Operation.STAT,
            Operation.READLINK,
            Operation.GETXATTR,
            Operation.LISTXATTR,
            Operation.HANDLE,
        ),
        "stat",
    ),
}
"""Accesses that are allowed where no rule speaks, by the operations that ask for them."""

HARMLESS = ("fanotify_mark", "getdents", "getdents64", "readdir", "oldstat", "oldlstat", "oldfstat")
"""Rows without a case here that succeeds natively: no group to mark for; a directory that is open; inodes
with numbers of more than 16 bits."""

NOT_DENIABLE = (Operation.SOCKET, Operation.SEND, Operation.MULTIPLEX)
"""Sockets have no path."""

DENIABLE = [row for row in rows_by_name(native()).values() if row.asks and row.operation not in NOT_DENIABLE]

DENIABLE_BY = [
    # The other ABI has the same rows, and a decoder that test_allowed shows to be right.
    pytest.param(abi, row, id=label(abi, row.name), marks=[pytest.mark.slow] if abi != RUN[0] else [])
    for abi in RUN
    for row in rows_by_name(abi).values()
    if row.asks and row.operation not in NOT_DENIABLE
]

OPERATIONS = {
    operation: [row for row in DENIABLE if row.operation is operation and row.name not in HARMLESS]
    for operation in Operation
    if any(row.operation is operation and row.name not in HARMLESS for row in DENIABLE)
}


def rules_for(row: Row, action: str = "deny") -> tuple[str, ...]:
    """A policy under which *row* is denied for the objects of the cases, and what prepares is not."""
    words = LOOKS.get(row.operation, "")
    if action != "deny":
        words = names(row.asks)
    return (*PREPARING, *(f"{action} {words} {pattern}" for pattern in OBJECTS if words))


def prelude(case: Case) -> Case:
    """The same without the call."""
    return case._replace(script=tuple(line for line in case.script if line.startswith("do ")))


def mistakes(
    case: Case, native: Report, untouched: Report, got: Report, events: list[Event], top: str
) -> list[str]:
    """What is wrong about a denied call, one line for each thing."""
    found = differences(Report((), untouched.tree), Report((), got.tree))
    number = got.errno
    if is_early(case, native.errno):
        if number != native.errno:
            found.append(f"{name_of(number)} instead of {name_of(native.errno)}")
        return found + [f"an event: {event.allow}" for event in events]
    if native.errno > 0 and number == native.errno:
        return found
    if native.errno <= 0 and not is_covered(case) and not events and number <= 0:
        return []  # about something else, which may be allowed
    if number != errno.EACCES:
        found.append(f"told {got.lines} instead of EACCES")
    if len(events) != 1:
        return [*found, f"{len(events)} events instead of one"]
    return found + [f"event: {line}" for line in _mistakes_of(case, events[0], top)]


def is_early(case: Case, number: int) -> bool:
    """Whether the kernel gives this errno before it asks for permission."""
    if case.row == "fanotify_mark":
        return False  # the first descriptor is not looked at
    if case.act.label.startswith(("over a", "a directory", "create only")):
        return False  # of two names, whether they fit; and what a file system says of its attributes
    return number in PRECEDENT


def is_covered(case: Case) -> bool:
    """Whether the policy of these tests speaks about the object for certain."""
    return bool(case.act.access) and case.form.canonical is not None


def name_of(number: int) -> str:
    """An errno in words."""
    return errno.errorcode.get(number, str(number))


def _mistakes_of(case: Case, event: Event, top: str) -> list[str]:
    found = []
    act, form = case.act, case.form
    if event.count != 1 or event.errno != "EACCES" or event.action != "deny" or not event.allow:
        found.append(f"{event.count} times {event.action} with {event.errno}, allowed by '{event.allow}'")
    if event.rule != NO_RULE and not event.rule.startswith("deny "):
        found.append(f"rule {event.rule}")
    if not is_covered(case):
        return found
    if event.access != act.access:
        found.append(f"access {event.access} instead of {act.access}")
    given = os.fsdecode(form.given or b"").replace(TOP, top)
    if "P" in act.arguments.split() and event.given != given:
        found.append(f"given {event.given!r} instead of {given!r}")
    if form.canonical is not None and ("P" in act.arguments.split() or act.held):
        path = f"{top}/{os.fsdecode(form.canonical[act.follow])}"
        if act.follow and act.name.startswith(b"to-"):
            path = path.replace("/to-", "/")
        if act.label.startswith("O_TMPFILE"):
            path += "/#tmpfile"
        if event.path != path:
            found.append(f"path {event.path[-200:]} instead of {path[-200:]}")
    return found


def denied_acts(row: Row, abi: str) -> list[Act]:
    """The acts of a row, without those that a policy about d/ and other/ does not reach."""
    return [act for act in ACTS_OF[abi][row.name] if not act.special and act.name != b"\xff\xfe"]


@pytest.fixture(scope="module")
def untouched() -> Untouched:
    """What preparing alone leaves."""
    return Untouched()


class Untouched:
    """What a tree looks like when all but the call has been done."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Report] = {}

    def of(self, batch: list[Case], runner: Runner) -> list[Report]:
        """The trees of cases, each kind made once."""
        keys = [self._key(case) for case in batch]
        new = {key: case for key, case in zip(keys, batch, strict=True) if key not in self._known}
        reports = runner.native([prelude(case) for case in new.values()])
        self._known.update(zip(new, reports, strict=True))
        return [self._known[key] for key in keys]

    @staticmethod
    def _key(case: Case) -> tuple[object, ...]:
        changed = case.form.label if "renamed" in case.form.label or "deleted" in case.form.label else ""
        return case.act.name, case.act.held, case.act.times, case.act.before, case.form.deep, changed


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
@pytest.mark.parametrize(("abi", "row"), DENIABLE_BY)
def test_nothing_is_done(abi: str, row: Row, engine: Engine, runner: Runner, untouched: Untouched) -> None:
    """A denied call changes nothing, fails as it should, and makes one event; failing natively makes none."""
    batch = [
        case
        for case in cases(row.name, TOP, denied_acts(row, abi))
        if case.act.held or case.form.label in MAIN
    ]
    native = runner.native(batch)
    before = untouched.of(batch, runner)
    session = runner.confined(batch, rules_for(row), engine)
    found = []
    judged = 0
    for case, expected, same, got, events, top in zip(
        batch, native, before, session.reports, session.events, session.tops, strict=True
    ):
        if (
            any(line.startswith("prepare") for line in got.lines)
            or case.form.magic
            or case.label == CWD_QUIRK
        ):
            continue
        judged += expected.errno <= 0 and is_covered(case)
        wrong = mistakes(case, expected, same, got, events, top)
        found += [f"{case.label}: {line}" for line in wrong]
    assert not found, f"{len(found)} mistakes:\n" + "\n".join(found)
    assert judged or row.name in HARMLESS, "no case of this row succeeds natively: it shows nothing"


def plain_cases(rows: list[Row], runner: Runner) -> tuple[list[Case], list[Report]]:
    """The cases by relative path or descriptor that succeed natively, and what they come to."""
    batch = [
        case
        for row in rows
        for case in cases(row.name, TOP, denied_acts(row, runner.abi))
        if is_covered(case) and (case.form.label == "relative" or case.act.held)
    ]
    native = runner.native(batch)
    good = [place for place, report in enumerate(native) if report.errno <= 0]
    return [batch[place] for place in good], [native[place] for place in good]


def was_prepared(report: Report) -> bool:
    """Whether the case came to its call."""
    return not any(line.startswith("prepare") for line in report.lines)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name.lower())
def test_the_line_of_the_event_allows_it(operation: Operation, engine: Engine, runner: Runner) -> None:
    """With the lines that the events name, and no others, the denied calls are as natively."""
    rows = OPERATIONS[operation]
    batch, native = plain_cases(rows, runner)
    rules = list(rules_for(rows[0]))
    for _ in range(3):  # a call about several objects is denied for one of them at a time
        session = runner.confined(batch, rules, engine)
        lines = [event.allow for events in session.events for event in events]
        if not lines:
            break
        rules += lines
    reports = session.reports
    if operation is Operation.OPEN:
        # By fstat(2), which the policy of open denies as well, the program tells about what it opened.
        assert {got.errno for got in reports if was_prepared(got)} <= {0, errno.ENOSYS}
        reports = runner.confined(
            batch, [*rules, *(f"allow stat {where}" for where in OBJECTS)], engine
        ).reports
    found = [
        f"{case.label}: {line}"
        for case, expected, got in zip(batch, native, reports, strict=True)
        for line in differences(expected, got)
        if was_prepared(got)
        and not is_known("allowed with holes", case, got)
        and not (engine is Engine.SUPERVISOR and is_known("without Landlock", case, got))
    ]
    assert not found, f"{len(found)} differ:\n" + "\n".join(found)


@pytest.mark.parametrize(("action", "expected"), [("hide", errno.ENOENT), ("filter", errno.EACCES)])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name.lower())
def test_hide_and_filter(operation: Operation, action: str, expected: int, runner: Runner) -> None:
    """What is hidden is ENOENT, with an event; what is filtered is EACCES, without."""
    rows = OPERATIONS[operation]
    batch, _ = plain_cases(rows, runner)
    session = runner.confined(batch, rules_for(rows[0], action), Engine.HYBRID)
    found = []
    for case, got, events in zip(batch, session.reports, session.events, strict=True):
        if not was_prepared(got) or case.act.label.startswith("O_TMPFILE"):
            continue  # the nameless file is at a path of its own
        told = [(event.action, event.errno) for event in events]
        right = [("hide", "ENOENT")] if action == "hide" else []
        if got.errno != expected or told != right:
            found.append(f"{case.row}: {case.label}: {got.lines} and {told}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
@pytest.mark.parametrize(
    ("abi", "row"),
    [
        pytest.param(abi, row, id=label(abi, row))
        for abi in RUN
        for row in ("getdents", "getdents64", "readdir")
        if row in NUMBERS[abi]
    ],
)
def test_an_inherited_directory(abi: str, row: str, engine: Engine, runner: Runner) -> None:
    """A directory that is open already is listed only where that is allowed, whoever opened it."""
    assert runner.abi == abi
    act = Act("inherited", b"file", f"{number(INHERITED)} @1024 #1024", "list")
    case = Case(row, "inherited", (call(row, *act.arguments.split()),), act, Form("inherited", ""))
    denied = runner.confined([case], ["deny list ${cwd}/*/d/empty"], engine, inherited="d/empty")
    assert denied.reports[0].errno == errno.EACCES
    ((event,),) = denied.events
    assert (event.access, event.path) == ("list", f"{denied.tops[0]}/d/empty")
    allowed = runner.confined([case], ["deny list ${cwd}/*/d/full"], engine, inherited="d/empty")
    assert allowed.reports[0].errno == 0


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
@pytest.mark.parametrize(
    ("abi", "row", "act"),
    [
        pytest.param(abi, row, act, id=label(abi, f"{row}-{act.label}"))
        for abi in RUN
        for row in ("socket", "socketpair", "connect", "bind", "socketcall")
        if row in NUMBERS[abi]
        for act in ACTS_OF[abi][row]
        if act.access
    ],
)
def test_sockets(abi: str, row: str, act: Act, engine: Engine, runner: Runner) -> None:
    """Without a rule about the network no socket is made, connected or bound, and an event says so."""
    assert runner.abi == abi
    (case,) = cases(row, TOP, [act])
    session = runner.confined([case], [], engine)
    native = runner.native([case])[0]
    if native.errno in (errno.EBADF, errno.ENOTSOCK):  # which is found out first
        assert (session.reports[0].lines, session.events) == (native.lines, [[]])
        return
    assert session.reports[0].errno == errno.EACCES
    ((event,),) = session.events
    assert (event.action, event.access, event.syscall) == ("deny", act.access, act.stands_for or row)
    allowed = runner.confined([case], [event.allow], engine)
    assert allowed.reports[0].lines == runner.native([case])[0].lines
