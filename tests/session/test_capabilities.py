"""Sessions of root: which capabilities the command has, and what becomes of a worker that lost its own."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace

import pytest

from sydd.kernel import capabilities, credentials
from sydd.plan.capabilities import KEPT_MASK
from sydd.plan.plan import Engine
from sydd.policy.policy import Mode
from sydd.profiles.store import load
from sydd.session import embedded
from sydd.session.prepare import Place, prepare
from sydd.supervisor.journal import Journal
from tests.support.forked import in_child

ENGINES = [Engine.HYBRID, Engine.SUPERVISOR]


def session(
    code: str, journal: Journal, engine: Engine | None, directory: str, mode: Mode = Mode.ENFORCE
) -> embedded.Outcome:
    """Run Python code under `build` in a directory."""
    tmp = f"{directory}/tmp"
    os.mkdir(tmp)
    place = Place(directory, "/root", tmp, "root")
    ready = prepare(replace(load("build", {}, []), mode=mode), place, dict(os.environ), engine=engine)
    return embedded.run(ready, [sys.executable, "-I", "-S", "-c", code], journal, name="test")


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES)
def test_what_root_keeps(engine: Engine) -> None:
    """In every set, and after an exec, and for a program that asks for more."""
    with tempfile.TemporaryDirectory() as directory:
        code = """
import os
def sets(): return [l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')]
seen = [sets()]
os.setresuid(1, 1, 0); os.setresuid(0, 0, 0)
seen.append(sets())
open('seen', 'w').write(repr(seen))
"""
        outcome = in_child(session, code, Journal(), engine, os.path.realpath(directory))
        assert outcome.status == 0
        with open(f"{directory}/seen", encoding="ascii") as file:
            for inheritable, permitted, effective, bounding, ambient in eval(file.read()):  # noqa: S307
                assert int(inheritable, 16) == int(ambient, 16) == 0
                for found in (permitted, effective, bounding):
                    assert not int(found, 16) & ~KEPT_MASK
                    assert int(found, 16)


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_that_cannot_get_back(engine: Engine) -> None:
    """It has a caller's credentials and lost what it needs to give them up: it ends, with the session."""

    def lose(_event: object) -> None:
        capabilities.limit(0)

    with tempfile.TemporaryDirectory() as directory:
        code = """
import os
os.chmod('.', 0o777)
os.setresuid(1, 1, 1)
for path in ('/usr/denied', 'allowed'):
    try: os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except OSError: pass
"""
        place = os.path.realpath(directory)
        outcome = in_child(session, code, Journal(listener=lose), engine, place)
        assert "credentials of its own" in outcome.failure
        assert not os.path.exists(f"{directory}/allowed")
        assert not os.path.exists("/usr/denied")


@pytest.mark.root
def test_restoring_without_the_means() -> None:
    """No Exception: what goes on after mistakes must not go on after this."""

    def run() -> bool:
        nobody = credentials.current()._replace(fsuid=54321, cap_effective=0)
        credentials.assume(nobody)
        capabilities.limit(0)
        try:
            credentials.restore()
        except credentials.Stuck as error:
            return not isinstance(error, Exception)
        return False

    assert in_child(run)


def test_limits() -> None:
    """Given up for good, in all sets; nothing is done where nothing is to be given up."""

    def run() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        before = capabilities.read()
        kept = before[1] & KEPT_MASK
        capabilities.limit_bounding(kept)
        capabilities.limit(kept)
        return before, capabilities.read()

    before, after = in_child(run)
    assert after == tuple(found & KEPT_MASK for found in before)


@pytest.mark.root
def test_recording_changes_nothing() -> None:
    """In audit mode the command has what it would have natively."""
    with tempfile.TemporaryDirectory() as directory:
        code = "open('seen', 'w').write(next(l for l in open('/proc/self/status') if l.startswith('CapEff')))"
        in_child(session, code, Journal(), None, os.path.realpath(directory), Mode.AUDIT)
        with open(f"{directory}/seen", encoding="ascii") as file:
            assert int(file.read().split()[1], 16) == credentials.current().cap_effective
