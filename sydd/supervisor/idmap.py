"""User and group ids of a caller in a user namespace of its own, as the worker says them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sydd.supervisor.failure import CallerGone, NaturalFailure

if TYPE_CHECKING:
    from sydd.supervisor.request import Request

OVERFLOW_ID = 65534
"""Stands for every id that a user namespace does not map."""

UNCHANGED = -1
"""To chown(2): this one stays as it is."""


def in_own_ids(request: Request) -> Request:
    """A chown with its ids translated from the caller's user namespace to the worker's.

    Raises:
        NaturalFailure: EINVAL where the caller's namespace does not map an id (user_namespaces(7)).
        CallerGone: the caller has ended.
    """
    tid = request.notification.tid
    uid, gid = request.extra
    return request._replace(extra=(_translated(tid, "uid_map", uid), _translated(tid, "gid_map", gid)))


def own_ids(tid: int, uid: int, gid: int) -> tuple[int, int]:
    """A user and a group of the worker's user namespace as the caller's has them.

    Raises:
        CallerGone: the caller has ended.
    """
    return _seen(tid, "uid_map", uid), _seen(tid, "gid_map", gid)


def _seen(tid: int, name: str, number: int) -> int:
    for inside, outside, count in _map(tid, name):
        if outside <= number < outside + count:
            return inside + number - outside
    return OVERFLOW_ID


def _map(tid: int, name: str) -> list[tuple[int, int, int]]:
    """The lines of an id map; of the second column the kernel says what it is in the reader's namespace."""
    try:
        with open(f"/proc/{tid}/{name}", encoding="ascii") as file:
            return [(int(first), int(second), int(third)) for first, second, third in map(str.split, file)]
    except FileNotFoundError:
        raise CallerGone from None


def _translated(tid: int, name: str, number: int) -> int:
    if number == UNCHANGED:
        return UNCHANGED
    wanted = number & 0xFFFF_FFFF
    for inside, outside, count in _map(tid, name):
        if inside <= wanted < inside + count:
            return outside + wanted - inside
    raise NaturalFailure(errno.EINVAL)
