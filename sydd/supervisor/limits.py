"""Limits of the caller that the kernel does not apply to what is done for it: they are the worker's there.

Source: setrlimit(2); fs/file.c (alloc_fd), fs/attr.c (inode_newsize_ok).
"""

from __future__ import annotations

import os
import resource


def table_is_full(tid: int) -> bool:
    """Whether a thread may have no more descriptors, so that its open is EMFILE.

    Before Linux 6.2 the kernel does not tell how many there are; the answer is then no.
    """
    used = os.stat(f"/proc/{tid}/fd").st_size
    if not used:
        return False
    most = _soft_limit(tid, resource.RLIMIT_NOFILE, b"Max open files")
    if used < most:
        return False
    # Some may lie above a limit that was lowered later, and leave room below it.
    return all(os.path.lexists(f"/proc/{tid}/fd/{number}") for number in range(most))


def exceeds_size(tid: int, size: int, length: int) -> bool:
    """Whether a file of *size* bytes may not become *length* bytes long: EFBIG, with SIGXFSZ."""
    if length <= size:
        return False
    most = _soft_limit(tid, resource.RLIMIT_FSIZE, b"Max file size")
    return most != resource.RLIM_INFINITY and length > most


def _soft_limit(tid: int, number: int, label: bytes) -> int:
    try:
        return resource.prlimit(tid, number)[0]
    except PermissionError:
        # Of another user, in a session of root: the worker has its credentials now, but not its real uid.
        with open(f"/proc/{tid}/limits", "rb") as file:
            (line,) = (line for line in file if line.startswith(label))
        word = line[len(label) :].split()[0]
        return resource.RLIM_INFINITY if word == b"unlimited" else int(word)
