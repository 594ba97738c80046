"""What a process has before others are forked from it, so laid out that they copy little of it.

A page that forks share is copied whole by each that writes to it. So what a fork writes to should lie
together, and not here and there among what nobody touches.
"""

from __future__ import annotations

import functools
import gc
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_POOL: Final = 16 * 1024
"""Bytes in which the interpreter keeps objects of one size (POOL_SIZE of its Objects/obmalloc.c)."""

_HEAD: Final = 48
"""Bytes of a pool before its first object."""

_LARGEST: Final = 512
"""Bytes of the largest object that is kept in a pool; larger ones are few."""

_STEP: Final = 16
"""Bytes by which the sizes differ."""

_EMPTY: Final = sys.getsizeof(b"")

_RUN: Final = 5
"""Objects one behind the other, from a pool's start, by which it is known as a new one."""

_MOST: Final = 5000
"""Gaps of one size that are filled. Where so many objects find no new pool, the interpreter has none."""

_filling: list[object] = []


def settle() -> None:
    """Have forks write to few pages; to be called when all is there that they will share.

    - The interpreter's cache of attributes is emptied. Each entry that is replaced there is a write to the
      name that it was of, wherever that is.
    - Gaps between objects, left by what was needed for the start alone, are filled with what stays: else a
      fork would put what it makes there, each object into another page.
    - What is there is exempt from garbage collection.
    """
    clear: Callable[[], None] = getattr(sys, "_clear_internal_caches", sys._clear_type_cache)  # noqa: SLF001
    clear()
    gc.collect()  # which lets go, too, of objects that are kept to be used again
    _fill(_STEP, object)
    for size in range(3 * _STEP, _LARGEST + 1, _STEP):
        _fill(size, functools.partial(bytes, size - _EMPTY))
    gc.freeze()


def _fill(size: int, make: Callable[[], object]) -> None:
    """Fill the gaps of one size.

    Args:
        size: in bytes.
        make: makes an object of that size.
    """
    made: list[object] = []
    last = run = 0
    while run < _RUN:
        if len(made) == _MOST:
            return
        made.append(make())
        place = id(made[-1])
        if place // _POOL != last // _POOL:
            run = int(place % _POOL <= _HEAD + size)
        elif place > last and run:
            run += 1
        else:
            run = 0
        last = place
    _filling.extend(made[:-_RUN])
