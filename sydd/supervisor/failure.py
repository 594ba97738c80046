"""What a request fails with by itself, whatever the policy says."""

from __future__ import annotations

import os


class NaturalFailure(Exception):  # noqa: N818  # it is an outcome, not an error of the supervisor
    """The call would fail natively, too, before access is even asked for: a bad pointer, a loop, ENOENT.

    Args:
        number: the errno that the kernel gives; 0 where it succeeds and there is nothing to do.
    """

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.errno = number


class CallerGone(Exception):  # noqa: N818
    """The calling thread ended while its request was being looked at. There is nobody left to answer."""


class Stranger(Exception):  # noqa: N818
    """The object is the inside of a process that is not of the session: memory, environment, descriptors.

    Args:
        path: its canonical name.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class MayStall(Exception):  # noqa: N818
    """To go on may mean to wait for a file system that does not answer: a page of memory, or a path, is its.

    Nothing was done for the request yet.
    """
