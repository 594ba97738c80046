"""User and group ids of a caller in a user namespace of its own, as the worker says them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sydd.supervisor.failure import CallerGone, NaturalFailure

if TYPE_CHECKING:
    from sydd.supervisor.request import Request

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


def _translated(tid: int, name: str, number: int) -> int:
    if number == UNCHANGED:
        return UNCHANGED
    wanted = number & 0xFFFF_FFFF
    try:
        with open(f"/proc/{tid}/{name}", encoding="ascii") as file:
            # Of the second column the kernel says what it is in the reader's namespace.
            for line in file:
                inside, outside, count = map(int, line.split())
                if inside <= wanted < inside + count:
                    return outside + wanted - inside
    except FileNotFoundError:
        raise CallerGone from None
    raise NaturalFailure(errno.EINVAL)
