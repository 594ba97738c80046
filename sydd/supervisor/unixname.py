"""Binding a unix socket to a name in the file system, in the directory that was judged and nowhere else.

bind(2) takes no directory's descriptor, and getsockname(2) tells for ever what it was given. So it is given
what the caller wrote, from the caller's working directory, by a thread that Landlock lets make sockets in
the judged directory alone: whatever is renamed on the way, the name cannot come to be elsewhere. Where that
is not to be had, the thread goes to the directory, and the socket has its last component for a name.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sydd.kernel import landlock_calls, namespaces, sockets
from sydd.policy.access import Access, Action
from sydd.policy.network import NetKind
from sydd.supervisor.apart import confine, in_thread
from sydd.supervisor.rights import MAKE_BY_TYPE

if TYPE_CHECKING:
    from sydd.policy.matcher import Matcher
    from sydd.supervisor.found import Found

_MAKE_SOCK = MAKE_BY_TYPE[0o140000]
_FAMILY = (1).to_bytes(2, "little")  # AF_UNIX; both machines are little-endian


def bind_name(fd: int, raw: bytes, place: Found, cwd: int, umask: int, *, alike: bool) -> int:
    """Bind a socket to a name.

    Args:
        fd: the socket.
        raw: the address as the caller gave it.
        place: the judged entry.
        cwd: a descriptor of the caller's working directory.
        umask: the caller's.
        alike: whether the policy says the same about everything below the directory: Landlock cannot tell
            that from the directory itself.

    Returns:
        0 or a negative errno.
    """
    result = -errno.EACCES
    here = _FAMILY + place.name
    simple = b"/" not in raw[2:].partition(b"\0")[0]

    def as_given() -> None:
        nonlocal result
        with contextlib.suppress(OSError):
            namespaces.unshare(namespaces.CLONE_FS)
            os.umask(umask)
            os.fchdir(cwd)
            confine(_MAKE_SOCK, place.parent, _MAKE_SOCK)
            result = sockets.bind(fd, raw)

    def by_last_component() -> None:
        nonlocal result
        with contextlib.suppress(OSError):
            namespaces.unshare(namespaces.CLONE_FS)
            os.umask(umask)
            os.fchdir(place.parent)
            result = sockets.bind(fd, here)

    if not simple and alike and landlock_calls.abi():
        in_thread(as_given)
        if result in (0, -errno.EADDRINUSE):
            return result
    in_thread(by_last_component)
    return result


def alike_below(matcher: Matcher, directory: str) -> bool:
    """Whether unix sockets may be bound to every name at or below *directory*."""
    if matcher.uniform(Access.MKNOD, directory) is not Action.ALLOW:
        return False
    for rule in reversed(matcher.rules):
        if rule.net is None or Access.BIND not in rule.access:
            continue
        if rule.net.is_any:
            return rule.action is Action.ALLOW
        if rule.net.kind is not NetKind.UNIX:
            continue
        if any(glob.covers_subtree(directory) for glob in rule.net.globs):
            return rule.action is Action.ALLOW
        if any(glob.may_match_below(directory) for glob in rule.net.globs):
            return False
    return False
