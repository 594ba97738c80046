"""What rules call the terminals of a session.

/dev/pts holds the terminals of everybody who is logged in, under numbers that say nothing. So a terminal of
the session's own, whatever its number, is judged as `/dev/pts/self/NAME`, as a process's own directory in
/proc is judged as /proc/self. In /dev/pts itself there is no such name, only
numbers and `ptmx`.
"""

from __future__ import annotations

from typing import Final

PSEUDO_TERMINALS: Final = "/dev/pts"
"""Where they are (pts(4))."""

OWN_TERMINALS: Final = f"{PSEUDO_TERMINALS}/self"
"""The directory that the session's own seem to be in."""


def own_name(path: str) -> str:
    """The name by which a terminal of the session's own is judged.

    Args:
        path: its canonical name: /dev/pts/3, or /dev/tty1.
    """
    return f"{OWN_TERMINALS}/{path.rpartition('/')[2]}"
