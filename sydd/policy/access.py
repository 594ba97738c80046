"""What a rule can speak about: accesses, their names and groups, and what holds where no rule speaks."""

from __future__ import annotations

import functools
from enum import Enum, IntFlag


class Access(IntFlag):
    """One bit per access; a request asks for one or several of them on one object."""

    READ = 1 << 0  # the content of a file
    LIST = 1 << 1  # the names in a directory
    STAT = 1 << 2  # metadata and existence, also readlink, access(2), O_PATH and extended attributes
    EXEC = 1 << 3
    CHDIR = 1 << 4
    CREATE = 1 << 5  # a new file, directory, symbolic link, or the new name of a rename
    MODIFY = 1 << 6  # the content of an existing (or just created) file
    DELETE = 1 << 7
    RENAME = 1 << 8  # the old name of a rename
    LINK = 1 << 9  # a further hard link: asked of the old name
    TRUNCATE = 1 << 10
    ATTRIBUTES = 1 << 11  # mode, owner, times, extended attributes, inode flags
    MKNOD = 1 << 12  # device nodes, FIFOs and socket files made with mknod(2)
    IOCTL = 1 << 13  # ioctl(2) on a device file
    CONNECT = 1 << 14
    BIND = 1 << 15
    SEND = 1 << 16

    WRITE = CREATE | MODIFY | DELETE | RENAME | LINK | TRUNCATE | ATTRIBUTES | MKNOD
    NET = CONNECT | BIND | SEND


FILE_ACCESSES = (
    Access.READ | Access.LIST | Access.STAT | Access.EXEC | Access.CHDIR | Access.WRITE | Access.IOCTL
)

OF_AN_OBJECT = (
    Access.READ
    | Access.LIST
    | Access.STAT
    | Access.EXEC
    | Access.MODIFY
    | Access.TRUNCATE
    | Access.ATTRIBUTES
)
"""Accesses about an object itself, which go along when it gets another name; the others are about entries."""

UNPERFORMED = Access.EXEC | Access.IOCTL
"""Accesses that nobody can make for another process: what the kernel does not grant does not happen."""

GROUPS: dict[str, Access] = {"write": Access.WRITE, "net": Access.NET}
"""Names that stand for several accesses."""

NAMES: dict[str, Access] = {bit.name.lower(): bit for bit in Access if bit.name} | GROUPS
"""Every name that a rule may use, in lower case."""


class Action(Enum):
    """What a matching rule says."""

    ALLOW = "allow"
    WARN = "warn"  # allow and report
    DENY = "deny"
    FILTER = "filter"  # deny, unreported
    HIDE = "hide"  # as if it were not there
    KILL = "kill"  # end the process that asks
    ASK = "ask"  # a client on the control socket decides; nobody there: denied

    @property
    def permits(self) -> bool:
        """Whether the access goes ahead."""
        return self in (Action.ALLOW, Action.WARN)

    @property
    def forbids(self) -> bool:
        """Whether the access never goes ahead; what a client is asked about may."""
        return self in (Action.DENY, Action.FILTER, Action.HIDE, Action.KILL)

    @property
    def reports(self) -> bool:
        """Whether an event is made."""
        return self not in (Action.ALLOW, Action.FILTER)


DEFAULT_ALLOWED = Access.READ | Access.LIST | Access.STAT | Access.EXEC | Access.CHDIR | Access.IOCTL
"""Accesses that are allowed where no rule matches. All others are denied there: write and net."""


@functools.cache
def bits(mask: Access) -> tuple[Access, ...]:
    """The single accesses in *mask*, lowest first."""
    return tuple(bit for bit in Access if bit in mask and bit.bit_count() == 1)


def names(mask: Access) -> str:
    """*mask* as a rule writes it: groups where they are complete, comma-separated."""
    words: list[str] = []
    for word, group in GROUPS.items():
        if mask & group == group:
            words.append(word)
            mask &= ~group
    words[:0] = [bit.name.lower() for bit in bits(mask) if bit.name]
    return ",".join(words)
