"""Every group of refused calls stands in docs/security.md with its calls and errnos."""

from __future__ import annotations

from errno import errorcode
from pathlib import Path

import pytest

from sydd.syscalls.restricted import RESTRICTIONS
from sydd.syscalls.restriction import Restriction
from sydd.syscalls.row import Operation
from sydd.syscalls.rows import ROWS

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("group", RESTRICTIONS, ids=lambda group: group.name)
def test_group(group: Restriction) -> None:
    """One row, with the name, every call and every errno."""
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{group.name}` |")]
    _, _, calls, errnos, _, why, _ = row.split(" | ".strip())
    for call in (*group.calls, *(rule.call for rule in group.rules)):
        assert f"`{call}`" in calls
    numbers = {group.errno} if group.calls else set()
    for rule in group.rules:
        numbers |= {number for _, number in rule.forms} | {rule.otherwise}
    assert set(errnos.replace(",", " ").split()) == {errorcode[number] for number in numbers - {0}}
    assert why.strip() == group.reason


@pytest.mark.parametrize("row", [row.name for row in ROWS if row.operation is Operation.REFUSED])
def test_refused_row(row: str) -> None:
    """Those that the supervisor refuses are named as well."""
    assert f" {row}," in TEXT.replace("\n", " ") or f" {row}." in TEXT
