"""Becoming the owner of a session, for good: ids, groups, capabilities, and nothing of others' in reach."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

from sydd.kernel import capabilities, prctl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sydd.daemon.spec import Identity

PTRACE = 1 << capabilities.SYS_PTRACE
"""By which a worker reads memory and descriptors of its session's processes, which are not its children."""

UMASK = 0o022
"""Of processes that the daemon starts, and so of commands whose profile does not say."""


class IdentityError(Exception):
    """The process is not what it was to become, and must not go on."""


def shed(keep: Iterable[int]) -> None:
    """Let go of what a fork has of its parent: descriptors, signal handlers, session, working directory.

    Args:
        keep: descriptors above 2 that stay open; 0 to 2 lead nowhere afterwards.
    """
    signal.set_wakeup_fd(-1)
    for handled in range(1, signal.NSIG):
        if callable(signal.getsignal(handled)):
            signal.signal(handled, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    shut_all_but(*keep)
    os.setsid()
    os.chdir("/")
    os.umask(UMASK)


def shut_all_but(*keep: int) -> None:
    """Close every descriptor above 2 but these."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 2**31 - 1)


def become(identity: Identity) -> None:
    """Take the ids of *identity*; of the capabilities a user keeps SYS_PTRACE alone, root all until `limit`.

    That one is kept for `seeing`, and is not in effect before: by it the kernel follows /proc/<pid>/cwd and
    the like of every user's processes, and what a worker prepares has paths that its owner has chosen.

    Raises:
        IdentityError: this process is not root, and not that user either.
        OSError: the kernel refused.
    """
    if os.geteuid():
        if os.geteuid() != identity.uid:
            raise IdentityError(f"a daemon of user {os.geteuid()} serves no session of user {identity.uid}")
    else:
        if identity.uid:
            prctl.set_keep_capabilities()
        os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        if identity.uid:
            prctl.set_keep_capabilities(on=False)
            kept = capabilities.read()[1] & PTRACE
            capabilities.write(0, kept, 0)
        if (os.getresuid(), os.getresgid()) != ((identity.uid,) * 3, (identity.gid,) * 3):
            raise IdentityError(f"the process did not become user {identity.uid}")
    # Last, as each change of ids sets it anew.
    prctl.set_dumpable(on=False)


@contextlib.contextmanager
def seeing() -> Iterator[None]:
    """Have SYS_PTRACE in effect in this thread, where it was kept, for the time of the block.

    Nothing there may look up a path that is not the supervisor's own, or held to `sydd.supervisor.procfs`.
    """
    before, permitted, inheritable = capabilities.read()
    capabilities.write(before | permitted & PTRACE, permitted, inheritable)
    try:
        yield
    finally:
        _, permitted, inheritable = capabilities.read()
        capabilities.write(before & permitted, permitted, inheritable)


def limit(kept: int) -> None:
    """Give up all capabilities of this thread but SYS_PTRACE and those that the command keeps.

    Args:
        kept: of the launch, -1 for all.
    """
    capabilities.limit(kept | PTRACE if kept >= 0 else kept)
