"""Running cases in fresh trees, natively and in a session, and what came of each."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from sydd.plan.plan import Engine
from sydd.policy.errors import Source
from sydd.policy.policy import Policy
from sydd.policy.rule import parse_rule
from sydd.session import embedded
from sydd.session.prepare import Place, prepare
from sydd.supervisor.event import Event
from sydd.supervisor.journal import Journal
from tests.rows.cases import Case
from tests.rows.script import chdir, numbered
from tests.rows.tree import Seen, look, make
from tests.support.forked import in_child

INHERITED = 50
"""A descriptor that a session may be given."""

TOP = "/@TOP@"
"""Stands in scripts for the top of the tree, which is known only when they run."""


class Report(NamedTuple):
    """What one case came to.

    Attributes:
        lines: what the program told.
        tree: what there was afterwards.
    """

    lines: tuple[str, ...]
    tree: Mapping[bytes, Seen]

    @property
    def errno(self) -> int:
        """Of the call; -1 when the program did not come to tell it (it executes another one)."""
        for line in self.lines:
            if line.startswith("call "):
                return int(line.split()[2])
        return -1


class Session(NamedTuple):
    """What a session with many cases came to.

    Attributes:
        reports: one per case.
        events: of each case, those of its own call.
        tops: the top of each case's tree.
    """

    reports: list[Report]
    events: list[list[Event]]
    tops: list[str]


class Runner:
    """Runs cases below a directory, which it fills and empties.

    Args:
        program: call.c, compiled for an ABI.
        directory: exists.
        abi: name of that ABI.
    """

    def __init__(self, program: str, directory: str, abi: str) -> None:
        self._program = program
        self._directory = directory
        self.abi = abi

    def native(self, cases: Sequence[Case]) -> list[Report]:
        """Run them without sydd."""
        with self._trees(cases) as (area, tops):
            result = subprocess.run(
                [self._program],
                input=_script(cases, tops, self.abi),
                capture_output=True,
                check=True,
                cwd=area,
            )
            return _reports(cases, tops, result.stdout)

    def confined(
        self, cases: Sequence[Case], rules: Sequence[str], engine: Engine, *, inherited: str = ""
    ) -> Session:
        """Run them in one session under *rules*, in which `${cwd}` is the directory of their trees.

        Args:
            cases: what to run.
            rules: the policy.
            engine: the layers.
            inherited: what descriptor INHERITED is in the session, below the first tree.
        """
        with self._trees(cases) as (area, tops):
            output, events = self._session(
                _script(cases, tops, self.abi), rules, engine, area, inherited and f"{tops[0]}/{inherited}"
            )
            own: list[list[Event]] = [[] for _ in cases]
            for event in events:
                # A tree is told by its name, whether the path is that of the file or of the process.
                place = _index(event.path, area) or _index(event.process.cwd, area)
                case = cases[place - 1]
                if place and event.syscall in (case.row, case.act.stands_for):
                    own[place - 1].append(event)
            return Session(_reports(cases, tops, output), own, tops)

    @contextmanager
    def _trees(self, cases: Sequence[Case]) -> Iterator[tuple[str, list[str]]]:
        before = os.umask(0)
        area = f"{self._directory}/area"
        os.mkdir(area, 0o755)
        try:
            tops = [f"{area}/c{place:05}" for place in range(1, len(cases) + 1)]
            for case, top in zip(cases, tops, strict=True):
                make(top, case.act.name, deep=case.form.deep, special=case.act.special)
            yield area, tops
        finally:
            os.umask(before)
            try:
                shutil.rmtree(area)
            except PermissionError:
                subprocess.run(["chmod", "-R", "u+rwX", area], check=True)
                shutil.rmtree(area)

    def _session(
        self, script: bytes, rules: Sequence[str], engine: Engine, area: str, inherited: str
    ) -> tuple[bytes, tuple[Event, ...]]:
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
            source.write(script)
            source.seek(0)
            outcome, events = in_child(
                _run_session,
                self._program,
                source.fileno(),
                output.fileno(),
                list(rules),
                engine,
                area,
                inherited,
            )
            output.seek(0)
            assert (outcome.status, outcome.failure) == (0, "")
            return output.read(), events


def _run_session(
    program: str, source: int, output: int, rules: list[str], engine: Engine, area: str, inherited: str
) -> tuple[embedded.Outcome, tuple[Event, ...]]:
    os.dup2(source, 0)
    os.dup2(output, 1)
    keep: tuple[int, ...] = ()
    if inherited:
        os.dup2(os.open(inherited, os.O_RDONLY), INHERITED)
        keep = (INHERITED,)
    parsed = tuple(parse_rule(text, Source("rows", line, 1)) for line, text in enumerate(rules, 1))
    place = Place(area, os.path.dirname(area), "/nonexistent", "somebody")
    prepared = prepare(Policy("rows", rules=parsed, keep_descriptors=keep), place, os.environ, engine=engine)
    journal = Journal()
    outcome = embedded.run(prepared, [program], journal, name="rows")
    assert not journal.dropped
    return outcome, journal.events()


def _script(cases: Sequence[Case], tops: list[str], abi: str) -> bytes:
    lines = []
    mark = TOP.encode().hex()
    for place, (case, top) in enumerate(zip(cases, tops, strict=True), 1):
        raw = os.fsencode(top).hex()
        lines += [f"case {place}", numbered(chdir(os.fsencode(top)), abi)]
        lines += [numbered(line, abi).replace(mark, raw) for line in case.script]
    return "\n".join([*lines, ""]).encode()


def _reports(cases: Sequence[Case], tops: list[str], output: bytes) -> list[Report]:
    told: list[list[str]] = [[] for _ in cases]
    for line in output.decode("utf-8", "backslashreplace").splitlines():
        place, _, rest = line.partition(" ")
        top = tops[int(place) - 1]
        rest = rest.replace(top, TOP).replace(top.encode().hex(), TOP.encode().hex())
        told[int(place) - 1].append(rest)
    return [
        Report(tuple(lines), look(top, times=case.act.times))
        for case, lines, top in zip(cases, told, tops, strict=True)
    ]


def _index(path: str, area: str) -> int:
    """Number of the case whose tree *path* is in; 0 for none."""
    if not path.startswith(area + "/c"):
        return 0
    digits = path[len(area) + 2 :].partition("/")[0]
    return int(digits) if digits.isdigit() else 0
