"""Resource limits as a profile writes them: a number, a size, "unlimited", or soft and hard as a pair."""

from __future__ import annotations

from typing import Final

from sydd.policy.errors import PolicyError, Source
from sydd.policy.quantities import SIZES, UNLIMITED, read_quantity

_SIZES: Final = frozenset({"as", "core", "data", "fsize", "memlock", "stack"})


def parse_limit(name: str, value: object, source: Source) -> tuple[int, int]:
    """The soft and the hard limit that *value* stands for; one value is both.

    Args:
        name: one of LIMITS.
        value: as TOML has it.
        source: where it stands.

    Raises:
        PolicyError: it is none, or soft is above hard.
    """
    if not isinstance(value, list):
        limit = _single(name, value, source)
        return limit, limit
    if len(value) != 2:
        raise PolicyError(f"limit '{name}' has {len(value)} values", source, "write one, or [soft, hard]")
    soft, hard = (_single(name, item, source) for item in value)
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise PolicyError(
            f"limit '{name}': soft {value[0]} is above hard {value[1]}", source, "write [soft, hard]"
        )
    return soft, hard


def _single(name: str, value: object, source: Source) -> int:
    """One limit in bytes, seconds or pieces."""
    limit = read_quantity(value, SIZES if name in _SIZES else {})
    if limit is not None:
        return limit
    if name in _SIZES:
        hint = "write bytes as an integer, a size such as '2G' (K, M, G, T), or 'unlimited'"
    else:
        unit = "seconds" if name == "cpu" else "a count"
        hint = f"write {unit} as an integer, or 'unlimited'"
    raise PolicyError(f"limit '{name}' cannot be '{value}'", source, hint)
