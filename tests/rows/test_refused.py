"""Calls that no session may make, and those that change who makes them."""

from __future__ import annotations

import errno
import os

import pytest

from sydd.plan.plan import Engine
from sydd.supervisor.event import REFUSED
from sydd.syscalls.row import Operation
from sydd.syscalls.rows import ROWS
from sydd.syscalls.table import rows_by_name
from tests.rows.acts32 import ACTS_OF, REFUSED_OF, RUN, label
from tests.rows.cases import Act, Case
from tests.rows.forms import Form
from tests.rows.run import Runner
from tests.rows.script import call, do, number
from tests.rows.test_denied import ENGINES

EVERYTHING = ("allow write /**", "allow net any")
HOLES = ("allow write ${cwd}/**", "deny write ${cwd}/*/never")


def case_of(row: str, *script: str) -> Case:
    """A case with a script of its own."""
    return Case(row, row, script, Act(row, b"file", ""), Form(row, ""))


def test_every_row_has_its_cases() -> None:
    """The tables of cases and the table of rows name the same calls."""
    known = {name for abi in ACTS_OF for name in (*ACTS_OF[abi], *REFUSED_OF[abi])}
    assert {row.name for row in ROWS} == known


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
@pytest.mark.parametrize(
    ("abi", "row"),
    [
        pytest.param(abi, row.name, id=label(abi, row.name))
        for abi in RUN
        for row in rows_by_name(abi).values()
        if row.operation is Operation.REFUSED
    ],
)
def test_refused_and_explained(abi: str, row: str, engine: Engine, runner: Runner) -> None:
    """A policy that allows everything does not allow these: EPERM, and an event that says why."""
    case = case_of(row, call(row, *REFUSED_OF[abi][row].split()))
    session = runner.confined([case], EVERYTHING, engine)
    assert session.reports[0].lines == (f"call -1 {errno.EPERM}",)
    ((event,),) = session.events
    assert (event.errno, event.rule, event.allow, event.count) == ("EPERM", REFUSED, "", 1)


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
def test_each_thread_has_its_own_credentials(engine: Engine, runner: Runner) -> None:
    """After one thread alone has become nobody, its files are nobody's and the other thread's are root's."""
    case = case_of(
        "openat", do("umask", "#0"), do("fchmodat", number(-100), "=64", "#0777"), f"ids {b'd/own'.hex()}"
    )
    native = runner.native([case])[0]
    assert "own 0 errno 0 owner 65534 group 65534" in native.lines
    assert "other 0 errno 0 owner 0 group 0" in native.lines
    rules = (*HOLES, "allow write ${cwd}/*/d/**")
    assert runner.confined([case], rules, engine).reports[0] == native


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
def test_privileges_given_up_are_not_given_back(engine: Engine, runner: Runner) -> None:
    """What nobody may not do natively, a thread that became nobody cannot do through the supervisor."""
    nobody = f"{number(65534)} {number(65534)} {number(65534)}".split()
    script = (
        do("setresgid", *nobody),
        do("setresuid", *nobody),
        call("openat", number(-100), f"={b'd/new'.hex()}", number(os.O_CREAT | os.O_WRONLY), number(0o666)),
    )
    case = case_of("openat", *script)
    native = runner.native([case])[0]
    assert native.errno == errno.EACCES
    assert runner.confined([case], HOLES, engine).reports[0] == native


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.value)
def test_a_fifo_waits_for_its_peer(engine: Engine, runner: Runner) -> None:
    """An open of a FIFO blocks until the other end is opened, and holds up nobody meanwhile."""
    case = case_of(
        "openat",
        do("mknodat", number(-100), f"={b'd/pipe'.hex()}", number(0o010600), number(0)),
        f"fork do openat {number(-100)} ={b'd/pipe'.hex()} {number(os.O_WRONLY)}",
        call("openat", number(-100), f"={b'd/pipe'.hex()}", number(os.O_RDONLY)),
        "fd",
    )
    native = runner.native([case])[0]
    assert native.errno == 0
    session = runner.confined([case], ("allow write ${cwd}/*/**", "deny write ${cwd}/*/**/never"), engine)
    assert session.reports[0] == native
