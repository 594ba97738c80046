"""Forms of opening a file that the filter tells apart."""

from __future__ import annotations

from enum import Flag, auto

from sydd.policy.access import Access


class OpenTraps(Flag):
    """Forms of open(2) and openat(2) that are notified, told apart by their flags."""

    NONE = 0
    PATH = auto()  # O_PATH, which makes the kernel ignore all but O_DIRECTORY, O_NOFOLLOW and O_CLOEXEC
    READ = auto()  # O_RDONLY without anything that writes
    DIRECTORY = auto()  # the same with O_DIRECTORY
    WRITE = auto()  # any write mode, O_CREAT, O_TRUNC, O_TMPFILE


def open_traps(supervised: Access) -> OpenTraps:
    """The forms of open that ask for some of *supervised*.

    A directory can also be opened for reading without O_DIRECTORY. Where LIST alone is supervised that is
    left to getdents, which is notified then; so reading files stays native.
    """
    traps = OpenTraps.NONE
    if supervised & Access.STAT:
        traps |= OpenTraps.PATH
    if supervised & Access.LIST:
        traps |= OpenTraps.DIRECTORY
    if supervised & Access.READ:
        # O_RDWR reads as well. O_DIRECTORY opens nothing but directories, which are LIST's.
        traps |= OpenTraps.READ | OpenTraps.WRITE
    if supervised & (Access.CREATE | Access.MODIFY | Access.TRUNCATE):
        traps |= OpenTraps.WRITE
    return traps
