"""Descriptors with an owner: who holds one of these closes it, or hands it over."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from errno import EBADF
from types import TracebackType
from typing import Self


class FileDescriptor:
    """One open descriptor, closed exactly once.

    One that is forgotten is closed when it is collected, with a ResourceWarning.

    Args:
        fd: the descriptor; it belongs to the object from now on.

    Raises:
        ValueError: a negative number is no descriptor.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = -1
        if fd < 0:
            raise ValueError(f"no descriptor: {fd}")
        self._fd = fd

    def fileno(self) -> int:
        """The number, for select, fcntl and the like; still owned by this object.

        Raises:
            OSError: EBADF when it was closed or handed over.
        """
        if self._fd < 0:
            raise OSError(EBADF, "the descriptor was closed or handed over")
        return self._fd

    @property
    def closed(self) -> bool:
        """Whether it was closed or handed over."""
        return self._fd < 0

    def close(self) -> None:
        """Close it; a second time is fine.

        Raises:
            OSError: what close(2) reports about data that was written; the descriptor is closed all the same.
        """
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def steal(self) -> int:
        """Hand the descriptor over to the caller, who closes it from now on.

        Raises:
            OSError: EBADF when it was closed or handed over.
        """
        fd = self.fileno()
        self._fd = -1
        return fd

    def dup(self) -> Self:
        """Another descriptor (close-on-exec) of the same open file.

        Raises:
            OSError: EBADF when it was closed; EMFILE.
        """
        return type(self)(os.dup(self.fileno()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._fd if self._fd >= 0 else 'closed'})"

    def __del__(self) -> None:
        if self._fd >= 0:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=1, source=self)
            self.close()


class FdSet:
    """Descriptors that came together, such as those of one SCM_RIGHTS message.

    Args:
        fds: the descriptors; they belong to the set from now on.

    Raises:
        ValueError: one of them is negative; the others are closed.
    """

    __slots__ = ("_fds",)

    def __init__(self, fds: Iterable[int] = ()) -> None:
        self._fds: list[FileDescriptor | None] = []
        numbers = list(fds)
        for fd in numbers:
            if fd < 0:
                for other in numbers:
                    if other >= 0:
                        os.close(other)
                raise ValueError(f"no descriptor: {fd}")
        self._fds = [FileDescriptor(fd) for fd in numbers]

    def __len__(self) -> int:
        """How many came, those that were handed over included: positions do not move."""
        return len(self._fds)

    def __iter__(self) -> Iterator[int]:
        return (fd.fileno() for fd in self._fds if fd is not None)

    def __getitem__(self, index: int) -> int:
        """The number of one, still owned by the set.

        Raises:
            IndexError: there are fewer, or it was handed over.
        """
        return self._at(index).fileno()

    def _at(self, index: int) -> FileDescriptor:
        fd = self._fds[index] if 0 <= index < len(self._fds) else None
        if fd is None:
            raise IndexError(f"no descriptor at position {index}")
        return fd

    def add(self, fd: int) -> int:
        """Take one more; its position."""
        self._fds.append(FileDescriptor(fd))
        return len(self._fds) - 1

    def steal(self, index: int) -> FileDescriptor:
        """Hand one over to the caller.

        Args:
            index: its position.

        Raises:
            IndexError: there are fewer, or it was handed over.
        """
        fd = self._at(index)
        self._fds[index] = None
        return fd

    def steal_from(self, index: int = 0) -> list[int]:
        """Hand over all from one position on, as numbers, which the caller closes.

        Args:
            index: position of the first.

        Raises:
            IndexError: one of them was handed over.
        """
        return [self.steal(place).steal() for place in range(index, len(self._fds))]

    def close(self) -> None:
        """Close those that were not handed over; a second time is fine."""
        fds, self._fds = self._fds, []
        for fd in fds:
            if fd is not None:
                fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
