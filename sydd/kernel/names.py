"""renameat2(2): what `os.rename` cannot say.

Source: rename(2); include/uapi/linux/fs.h.
"""

from __future__ import annotations

import ctypes

from sydd.kernel._gate import bind, check

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

_renameat2 = bind("renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def renameat2(old_dirfd: int, old: bytes, new_dirfd: int, new: bytes, flags: int) -> None:
    """Rename *old* to *new*.

    Args:
        old_dirfd: directory that *old* is relative to.
        old: the old name.
        new_dirfd: directory that *new* is relative to.
        new: the new name.
        flags: RENAME_*.

    Raises:
        OSError: as rename(2) lists them; EINVAL for unknown flags.
    """
    check(_renameat2(old_dirfd, old, new_dirfd, new, flags), "renameat2", old)
