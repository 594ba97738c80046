"""What a worker learns of its session and must not forget, in memory that outlives it.

One line of JSON for each thing, written before the answer to the call that it was learned from. A worker that
takes the place of another reads them all. A line that the writer did not finish is of a call that was not
answered, and comes again.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAXIMUM = 64 * 1024 * 1024
"""Bytes of notes."""


def create() -> int:
    """New notes: a memfd (close-on-exec), which the caller closes."""
    return os.memfd_create("sydd-notes", os.MFD_CLOEXEC)


class Notes:
    """The notes of one session.

    Args:
        fd: from `create`; stays the caller's to close.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._end = os.fstat(fd).st_size
        self._lock = threading.Lock()  # rules are noted by another thread than events are

    def write(self, kind: str, *values: Any) -> None:
        """Note something.

        Args:
            kind: what it is about.
            values: what JSON can hold.

        Raises:
            OSError: there is no room; the call that it was learned from then fails.
        """
        line = json.dumps((kind, *values), separators=(",", ":")).encode("ascii") + b"\n"
        with self._lock:
            if self._end + len(line) > MAXIMUM or os.pwrite(self._fd, line, self._end) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._end += len(line)

    def read(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Everything that was noted, in order; what is half written is cut off."""
        content = b""
        while block := os.pread(self._fd, 1 << 20, len(content)):
            content += block
        self._end = content.rfind(b"\n") + 1
        os.ftruncate(self._fd, self._end)
        for line in content[: self._end].splitlines():
            kind, *values = json.loads(line)
            yield kind, tuple(values)
