"""Each act comes to the same natively and in a session: what it says, how it ends, what it leaves."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from tests.transparency.acts import AS_ROOT, MODULES, all_acts
from tests.transparency.conftest import WAYS, Stage

pytestmark = pytest.mark.timeout(600)


KNOWN = {
    **dict.fromkeys(
        ((way, "processes.terminal_taken_by_opening") for way in WAYS),
        "the worker cannot take a terminal for somebody else",
    ),
    (
        "holes",
        "sockets.families",
    ): "sockets that no rule speaks of are refused before the kernel says that it has none",
}
"""What differs, and is said so in docs/security.md."""


def cases(modules: tuple[str, ...]) -> list[ParameterSet]:
    """Each act in each way."""
    found = []
    for act in all_acts(modules):
        for way in WAYS:
            known = KNOWN.get((way, act))
            marks = [pytest.mark.xfail(reason=known)] if known else []
            if way == "holes":  # the worker performs there as under `supervisor`, beside the kernel's rules
                marks.append(pytest.mark.slow)
            found.append(pytest.param(way, act, marks=marks, id=f"{way}-{act}"))
    return found


def compare(stage: Stage, way: str, act: str) -> None:
    """Compare what came of an act."""
    module = act.partition(".")[0]
    natively = stage.outcomes(module, "natively")[act]
    confined = stage.outcomes(module, way)[act]
    assert isinstance(natively.status, int), natively.output
    assert natively.status not in (98, 99), natively.output
    assert confined.output.splitlines() == natively.output.splitlines()
    assert confined.status == natively.status
    assert confined.tree == natively.tree


@pytest.mark.parametrize(("way", "act"), cases(MODULES))
def test_as_natively(stage: Stage, way: str, act: str) -> None:
    """As a user without privileges."""
    compare(stage, way, act)


@pytest.mark.root
@pytest.mark.parametrize(("way", "act"), cases(AS_ROOT))
def test_of_root_as_natively(stage_of_root: Stage, way: str, act: str) -> None:
    """As root, in whose sessions who a process is may change."""
    compare(stage_of_root, way, act)
