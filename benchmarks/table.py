"""Grids as Markdown tables and as JSON."""

from __future__ import annotations

from typing import Any

from benchmarks.measure import NATIVE, Cell, Grid

DIGITS = {"s": 2, "ms": 1, "ns": 0, "MB": 1}
"""Decimals that are worth printing, by unit."""


def markdown(grid: Grid) -> str:
    """A heading, a table of medians with their ratio to native, and what is not in it.

    Args:
        grid: what was measured.
    """
    with_ratio = NATIVE in grid.cells
    meaning = f"Median in {grid.unit}" + (", ratio to native" if with_ratio else "")
    if _with_range(grid):
        meaning += ", lowest–highest"
    lines = [f"### {grid.title}", "", f"{meaning}.", ""]
    lines.append(f"| | {' | '.join(grid.columns)} |")
    lines.append("|---" * (len(grid.columns) + 1) + "|")
    failures: list[str] = []
    for way, cells in grid.cells.items():
        row = [_cell(grid, way, column, cells.get(column)) for column in grid.columns]
        lines.append(f"| {way} | {' | '.join(row)} |")
        failures += [
            f"{way}{', ' + column if column else ''}: {cell.failure}"
            for column, cell in cells.items()
            if cell.failure
        ]
    if failures:
        lines += ["", "Failed: " + "; ".join(failures) + "."]
    if grid.absent:
        lines += ["", "Not measured: " + "; ".join(f"{k} ({v})" for k, v in grid.absent.items()) + "."]
    return "\n".join(lines) + "\n"


def _with_range(grid: Grid) -> bool:
    """Whether there is room for the range in each cell; as_json has it always."""
    return len(grid.columns) <= 3


def _cell(grid: Grid, way: str, column: str, cell: Cell | None) -> str:
    """One cell of the table."""
    if cell is None or not cell.samples:
        return "–"
    digits = DIGITS[grid.unit]
    text = f"{cell.median:,.{digits}f}"
    ratio = grid.ratio(way, column)
    if ratio is not None and way != NATIVE:
        text = f"{text}, **{ratio:.{grid.digits}f}**"
    if _with_range(grid):
        text = f"{text}, {min(cell.samples):,.{digits}f}–{max(cell.samples):,.{digits}f}"
    return text


def as_json(grid: Grid) -> dict[str, Any]:
    """Everything that was measured, every sample included.

    Args:
        grid: what was measured.
    """
    return {
        "title": grid.title,
        "unit": grid.unit,
        "columns": grid.columns,
        "absent": grid.absent,
        "ways": {
            way: {
                column: {"failure": cell.failure}
                if cell.failure
                else {
                    "median": cell.median,
                    "min": min(cell.samples),
                    "max": max(cell.samples),
                    "ratio": grid.ratio(way, column),
                    "samples": list(cell.samples),
                }
                for column, cell in cells.items()
            }
            for way, cells in grid.cells.items()
        },
    }
