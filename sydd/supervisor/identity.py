"""Whether all processes of a session still have the worker's credentials.

They begin with them, and a call that may change them is notified. Shells make such calls also where they
change nothing: bash gives up what a set-user-id bit gave, which was nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sydd.syscalls.row import Row

_UNCHANGED = 0xFFFFFFFF
"""An id of -1 (setresuid(2)); to setuid(2) and setfsuid(2) it is invalid, which changes nothing either."""


def keeps(row: Row, registers: tuple[int, ...]) -> bool:
    """Whether a call of IDENTITY leaves the credentials of a process with the worker's ids as they are.

    Args:
        row: the call.
        registers: its arguments.
    """
    if not row.extra:  # groups or capabilities
        return False
    own = set(os.getresgid() if "gid" in row.name else os.getresuid())
    return len(own) == 1 and all(registers[place] & 0xFFFFFFFF in own | {_UNCHANGED} for place in row.extra)
