"""Whether a new name would give an object more than its old one had.

The policy speaks of names, so moving or linking an object is a way to change what the policy says about
it. Landlock refuses with EXDEV what would gain rights by a reparenting; the supervisor does the same for
all accesses. mv(1) then copies, for which the content has to be readable.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from sydd.policy.access import FILE_ACCESSES, OF_AN_OBJECT, Access, Action
from sydd.supervisor.verdict import Verdict, singles

if TYPE_CHECKING:
    from sydd.policy.matcher import Matcher
    from sydd.supervisor.request import Request
    from sydd.supervisor.target import Target


def gains(matcher: Matcher, restricted: Access, old: str, new: str, *, directory: bool) -> bool:
    """Whether the object at *old* could be used for more under the name *new*.

    Args:
        matcher: the policy.
        restricted: accesses that the policy does not allow everywhere; others cannot be gained.
        old: canonical name that it has.
        new: canonical name that it is to have.
        directory: whether everything below moves along.
    """
    # Accesses about entries (create, delete …) go by the name; a directory brings those below it along.
    asked = FILE_ACCESSES if directory else OF_AN_OBJECT
    for access in singles(int(asked & restricted)):
        if directory:
            before, after = matcher.uniform(access, old), matcher.uniform(access, new)
            nothing_more = (before and before.permits) or (after and not after.permits)
            if not nothing_more and not matcher.alike(access, old, new):
                return True
        elif matcher.decide(access, new).action.permits and not matcher.decide(access, old).action.permits:
            return True
    return False


def same_action(matcher: Matcher, restricted: Access, old: str, new: str) -> bool:
    """Whether the policy says one and the same about everything below both directories."""
    for access in singles(int(FILE_ACCESSES & restricted)):
        action: Action | None = matcher.uniform(access, new)
        if action is None or action is not matcher.uniform(access, old):
            return False
    return True


def gives_identity(request: Request, target: Target) -> bool:
    """Whether a chmod would make a program run as its owner or group; of a directory the bits mean else."""
    if not request.mode & (stat.S_ISUID | stat.S_ISGID):
        return False
    return not stat.S_ISDIR(os.fstat(target.demands[0].found.fd).st_mode)


def freed_device(matcher: Matcher, target: Target) -> Verdict | None:
    """The denial of an open that would free a device from a rule about its ioctl calls; None for others.

    Landlock goes by who opened a device: it confines no descriptor that the worker made, and nobody else
    judges what is asked of one.
    """
    demand = target.demands[0]
    if demand.found.fd < 0:
        return None
    mode = os.fstat(demand.found.fd).st_mode
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        return None
    action, rule = matcher.decide(Access.IOCTL, demand.found.path)
    return None if action.permits else Verdict(action, Access.IOCTL, demand, rule, Access.IOCTL)
