"""Sizes and durations as a profile writes them: `2G`, `90min`, or a plain integer."""

from __future__ import annotations

import re
from typing import Final

UNLIMITED: Final = -1
"""No limit; what RLIM_INFINITY is in `resource`."""

MOST: Final = (1 << 63) - 1
"""The largest number that a limit may be."""

_QUANTITY: Final = re.compile(r"(\d+)([A-Za-z]+)")
SIZES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
"""Units of a size, in bytes."""
DURATIONS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
"""Units of a duration, in seconds."""


def read_quantity(value: object, units: dict[str, int]) -> int | None:
    """The number that *value* stands for.

    Args:
        value: as TOML has it: an integer, `unlimited`, or a string of a number and a unit.
        units: the units that may be used, and what each is worth.

    Returns:
        UNLIMITED for `unlimited`; None when it is nothing of the kind, negative or larger than MOST.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= MOST else None
    if value == "unlimited":
        return UNLIMITED
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2] not in units:
        return None
    number = int(found[1]) * units[found[2]]
    return number if number <= MOST else None
