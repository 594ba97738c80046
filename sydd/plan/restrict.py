"""From `[restrict]` and the engine to groups of the filter, and what the supervisor judges by registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.plan.engine import Engine
from sydd.syscalls.restricted import DEFAULT_GROUPS
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from sydd.policy.restrict import Restrict


@dataclass(frozen=True, slots=True)
class RestrictPlan:
    """How the calls are restricted that no path rule speaks of.

    Attributes:
        groups: of ``restricted.py``, which the filter refuses by itself.
        judged: operations on processes, the caller or others, and IPC objects that the supervisor looks at.
        keeps_identity: whether the supervisor refuses modes by which a program runs as its owner.
        own_namespaces: whether processes of the session can be in namespaces of their own.
    """

    groups: frozenset[str]
    judged: frozenset[Operation]
    keeps_identity: bool = False
    own_namespaces: bool = False


def plan_restrict(
    restrict: Restrict, engine: Engine, *, privileged: bool, signals_scoped: bool
) -> RestrictPlan:
    """What *restrict* comes to under *engine*.

    Args:
        restrict: of the policy.
        engine: the layers in use.
        privileged: whether processes of the session may come to have different credentials.
        signals_scoped: whether Landlock keeps signals in the session.

    Raises:
        ValueError: it allows something that nothing here would confine.
    """
    if engine is Engine.AUDIT:
        return RestrictPlan(frozenset(), frozenset({Operation.IDENTITY}) if privileged else frozenset())
    without_landlock = engine is Engine.SUPERVISOR
    _check(restrict, without_landlock=without_landlock, privileged=privileged)
    groups = set(DEFAULT_GROUPS)
    judged = {Operation.PROCESS, Operation.CONFINE}
    if privileged:
        judged.add(Operation.IDENTITY)
    if not signals_scoped:
        judged.add(Operation.SIGNAL)
    further = {
        "owners": not signals_scoped,
        "dumpable": not privileged,
        "landlock": without_landlock,
        "trace": without_landlock or restrict.says("ptrace") == "deny",
    }
    groups |= {name for name, holds in further.items() if holds}
    namespaces = restrict.says("user_namespaces") == "allow"
    if namespaces:
        groups.remove("namespaces")
    keeps_identity = restrict.says("setuid_bits") == "deny"
    if keeps_identity:
        groups.add("setuid_bits")
    ipc = restrict.says("ipc")
    if ipc == "deny":
        groups.add("sysv_ipc")
    elif ipc == "allow":
        groups.remove("mqueues")
    else:
        judged |= {Operation.IPC_GET, Operation.IPC_USE}
    if engine is Engine.NESTED:
        # Nobody judges by this session's bounds: who belongs to whom is the outer session's to say.
        judged.clear()
        groups.add("limits")
        groups.discard("dumpable")
        if keeps_identity:
            groups.add("setuid_chmod")
    return RestrictPlan(frozenset(groups), frozenset(judged), keeps_identity, namespaces)


def _check(restrict: Restrict, *, without_landlock: bool, privileged: bool) -> None:
    """Refuse what nothing would confine."""
    if restrict.ptrace == "session" and without_landlock:
        msg = (
            '[restrict] ptrace = "session" needs Landlock, which keeps tracing inside the session; '
            "without it tracing is refused: leave the key out, or use another engine"
        )
        raise ValueError(msg)
    if restrict.says("user_namespaces") == "allow" and without_landlock:
        msg = (
            '[restrict] user_namespaces = "allow" needs Landlock, which refuses mounts in them; '
            "leave the key out, or use another engine"
        )
        raise ValueError(msg)
    if restrict.says("user_namespaces") == "allow" and privileged:
        msg = (
            '[restrict] user_namespaces = "allow" is for sessions without privileges: capabilities in a '
            "namespace cannot be told from one's own; run it as a user"
        )
        raise ValueError(msg)
