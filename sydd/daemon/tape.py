"""Lines that outlive the process: two memory files, written in turn, which a service manager keeps.

A line is whole when its newline is there. When the file that is written has its full length, the other one is
emptied and written from then on, so the older half of what is kept goes at once.
"""

from __future__ import annotations

import os

from sydd.kernel.fd import FileDescriptor

LENGTH = 1 << 20
"""Bytes of one file."""


class Tape:
    """The pair of files.

    Args:
        files: two descriptors of memory files, now the tape's; None to make new ones.

    Raises:
        OSError: they cannot be made.
    """

    def __init__(self, files: tuple[FileDescriptor, FileDescriptor] | None = None) -> None:
        if files is None:
            first = FileDescriptor(os.memfd_create("sydd-tape", os.MFD_CLOEXEC))
            try:
                files = first, FileDescriptor(os.memfd_create("sydd-tape", os.MFD_CLOEXEC))
            except OSError:
                first.close()
                raise
        self.files = files
        states = [os.fstat(file.fileno()) for file in files]
        # Written last is the current one; at one and the same tick, it was emptied just now.
        self._current = max((0, 1), key=lambda index: (states[index].st_mtime_ns, -states[index].st_size))
        # What follows the last newline was cut off.
        self._sizes = [self._read(index, states[index].st_size).rfind(b"\n") + 1 for index in (0, 1)]

    def _read(self, index: int, size: int) -> bytes:
        return os.pread(self.files[index].fileno(), size, 0)

    def append(self, line: bytes) -> None:
        """Write a line; one for which there is no memory is not kept.

        Args:
            line: with its newline.
        """
        if self._sizes[self._current] + len(line) > LENGTH:
            self._current = 1 - self._current
            os.ftruncate(self.files[self._current].fileno(), 0)
            self._sizes[self._current] = 0
        file = self.files[self._current].fileno()
        try:
            written = os.pwrite(file, line, self._sizes[self._current])
        except OSError:
            return
        if written == len(line):
            self._sizes[self._current] += written

    def lines(self) -> list[bytes]:
        """Every line that is whole, oldest first."""
        return [
            line
            for index in (1 - self._current, self._current)
            for line in self._read(index, self._sizes[index]).splitlines()
        ]

    def close(self) -> None:
        """Close both."""
        for file in self.files:
            file.close()
