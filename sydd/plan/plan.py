"""A policy compiled for one session: the three layers and who decides what, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from sydd.kernel.landlock import Scope
from sydd.plan.coverage import Coverage
from sydd.plan.engine import Engine, pick_engine
from sydd.plan.filter import FilterPlan, plan_filter
from sydd.plan.landlock import LandlockPlan, plan_landlock, renaming_gains
from sydd.plan.network import NetworkPlan, plan_network
from sydd.plan.restrict import RestrictPlan, plan_restrict
from sydd.plan.rights import NONE, REQUIRED
from sydd.plan.sockets import NO_SOCKETS, SocketPlan, plan_sockets
from sydd.plan.survey import speaking
from sydd.policy.access import DEFAULT_ALLOWED, FILE_ACCESSES, UNPERFORMED, Access, Action, bits, names
from sydd.policy.policy import Policy

__all__ = ["AccessPlan", "Enforcement", "Engine", "Plan", "compile_plan", "pick_engine"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.kernel.landlock import FsRight
    from sydd.plan.tree import Tree
    from sydd.policy.bind import BoundRule
    from sydd.policy.matcher import Matcher


class Enforcement(Enum):
    """Who enforces one access."""

    FREE = "free"
    KERNEL = "kernel"
    BOTH = "kernel + supervisor"
    SUPERVISOR = "supervisor"
    ADVISORY = "advisory"
    FILTER = "filter"
    RECORDED = "recorded"

    @property
    def meaning(self) -> str:
        """One sentence for people."""
        return _MEANING[self]


_MEANING = {
    Enforcement.FREE: "allowed everywhere; not looked at",
    Enforcement.KERNEL: "decided by Landlock alone, at native speed; denials are not reported",
    Enforcement.BOTH: "held by Landlock, explained by the supervisor, which does what no ruleset can express",
    Enforcement.SUPERVISOR: "performed by the supervisor on the object that it judged",
    Enforcement.ADVISORY: "judged by the supervisor, whose answer a racing thread can evade",
    Enforcement.FILTER: "refused before it begins, by the seccomp filter, alone or with the supervisor",
    Enforcement.RECORDED: "goes on and is recorded",
}


@dataclass(frozen=True, slots=True)
class AccessPlan:
    """How one access is enforced, and why in that way."""

    access: Access
    enforcement: Enforcement
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a session needs to start, comparable and printable.

    Attributes:
        profile: name of the profile.
        engine: the layers in use.
        arch: machine that the filter is for, as uname(2) says it.
        accesses: one entry per access.
        landlock: the ruleset; None when there is none.
        filter: the seccomp filter, before it is compiled to BPF.
        restrict: the calls that no path rule speaks of.
        sockets: how sockets are held; None where all are free, or nobody judges addresses.
        network: whether the network is the session's own.
    """

    profile: str
    engine: Engine
    arch: str
    accesses: tuple[AccessPlan, ...]
    landlock: LandlockPlan | None
    filter: FilterPlan
    restrict: RestrictPlan
    sockets: SocketPlan | None = None
    network: NetworkPlan = field(default=NetworkPlan())

    @property
    def takes_datagrams(self) -> bool:
        """Whether a socket that sends to another address with each message is held, should there be one.

        Where the filter lets none be made, messages are not looked at.
        """
        return self.enforcement(Access.SEND) is not Enforcement.FILTER

    def coverage(self) -> Coverage:
        """What the kernel enforces by itself."""
        if self.landlock is not None:
            return self.landlock.coverage()
        free = NONE
        for right, mask in REQUIRED.items():
            if all(self.enforcement(bit) is Enforcement.FREE for bit in bits(mask)):
                free |= right
        return Coverage(NONE, free, {}, {})

    def enforcement(self, access: Access) -> Enforcement:
        """How the single *access* is enforced."""
        return next(entry.enforcement for entry in self.accesses if entry.access == access)


def compile_plan(
    policy: Policy,
    matcher: Matcher,
    tree: Tree,
    *,
    engine: Engine,
    rights: FsRight,
    scoped: int,
    arch: str,
    privileged: bool = False,
    terminals: Sequence[str] = (),
    administers: bool = False,
    ceiling: Sequence[BoundRule] = (),
) -> Plan:
    """Compile *policy* for one session.

    Args:
        policy: what the profile says.
        matcher: its rules, bound to this session's variables.
        tree: the file system at launch, for the expansion of the Landlock rules.
        engine: from pick_engine.
        rights: file system rights that the kernel's Landlock knows.
        scoped: Landlock scopes to ask for.
        arch: machine, as uname(2) says it.
        privileged: whether processes of the session may come to have different credentials.
        terminals: names of those that the launch has.
        administers: whether sydd may make namespaces without a user namespace (CAP_SYS_ADMIN).
        ceiling: what rules at run time may allow, bound: the accesses that it names are supervised.

    Raises:
        ValueError: the policy asks for something that nothing would enforce under *engine*.
    """
    network = plan_network(policy.network, engine, administers=administers)
    landlock = None
    if engine in (Engine.HYBRID, Engine.LANDLOCK, Engine.NESTED):
        landlock = plan_landlock(matcher, tree, rights, scoped, terminals)
    signals_scoped = landlock is not None and bool(landlock.scoped & Scope.SIGNAL)
    restrict = plan_restrict(policy.restrict, engine, privileged=privileged, signals_scoped=signals_scoped)
    coming = Access(0)
    if engine is not Engine.NESTED:  # where nobody could put a rule in force
        for rule in ceiling:
            coming |= rule.access
    sockets = None
    if engine not in (Engine.AUDIT, Engine.NESTED) and (
        coming & Access.NET or not matcher.universal(Access.NET)
    ):
        follow_bind = bool(policy.network.follow_bind)
        sockets = plan_sockets(matcher, follow_bind=follow_bind, ceiling=ceiling)
    if sockets is not None:
        restrict = replace(restrict, groups=restrict.groups | {"sockets"})
    accesses = tuple(
        _with_ceiling(
            _plan_access(access, matcher, landlock, engine, coming)
            if sockets is None or access not in Access.NET
            else _plan_network(access, matcher, sockets, coming),
            coming,
        )
        for access in bits(FILE_ACCESSES | Access.NET)
    )
    if engine is Engine.NESTED:
        return _nested(policy, arch, accesses, landlock, restrict)
    notified = Access(0)
    if restrict.keeps_identity:
        notified |= Access.ATTRIBUTES
    for entry in accesses:
        if entry.enforcement not in (Enforcement.FREE, Enforcement.KERNEL):
            notified |= entry.access
    if Access.LIST in notified:
        # A directory can be opened without O_DIRECTORY. Without Landlock a racing thread swaps descriptors
        # under getdents; with it the kernel refuses what only the supervisor could open.
        notified |= Access.READ
        accesses = tuple(
            AccessPlan(Access.READ, Enforcement.BOTH, "a directory can be opened as a file is")
            if entry.access is Access.READ and entry.enforcement is Enforcement.KERNEL
            else entry
            for entry in accesses
        )
    return Plan(
        profile=policy.name,
        engine=engine,
        arch=arch,
        accesses=accesses,
        landlock=landlock,
        filter=plan_filter(
            arch,
            notified,
            notify_refused=True,
            restrictions=restrict.groups | network.groups,
            judged=restrict.judged,
            sockets=sockets,
        ),
        restrict=restrict,
        sockets=sockets,
        network=network,
    )


def _nested(
    policy: Policy,
    arch: str,
    accesses: tuple[AccessPlan, ...],
    landlock: LandlockPlan | None,
    restrict: RestrictPlan,
) -> Plan:
    """The plan of a session inside one that is supervised: what the kernel alone enforces, or none.

    Landlock grants less than the policy where it cannot express it, so the kernel may refuse more, and never
    allows more.

    Raises:
        ValueError: a restriction would not be enforced.
    """
    unheld = Access(0)
    for entry in accesses:
        if entry.enforcement in (Enforcement.SUPERVISOR, Enforcement.ADVISORY):
            unheld |= entry.access
    if unheld:
        msg = (
            f"this process is supervised already, and without a supervisor of its own the profile's rules on "
            f"{names(unheld)} would not be enforced; to leave these to the outer session, add "
            f"--rule 'allow {names(unheld)} /**'"
        )
        raise ValueError(msg)
    held = AccessPlan(Access(0), Enforcement.KERNEL, "held by Landlock, which refuses what it cannot express")
    network = Access(0)
    for entry in accesses:
        if entry.enforcement is Enforcement.FILTER:
            network |= entry.access
    return Plan(
        profile=policy.name,
        engine=Engine.NESTED,
        arch=arch,
        accesses=tuple(
            replace(held, access=entry.access) if entry.enforcement is Enforcement.BOTH else entry
            for entry in accesses
        ),
        landlock=landlock,
        filter=plan_filter(
            arch,
            network,
            notify_refused=False,
            restrictions=restrict.groups,
            sockets=NO_SOCKETS,
            supervised_here=False,
        ),
        restrict=restrict,
    )


def _plan_access(
    access: Access,
    matcher: Matcher,
    landlock: LandlockPlan | None,
    engine: Engine,
    coming: Access,
) -> AccessPlan:
    """How one access is enforced.

    Args:
        access: which.
        matcher: the policy.
        landlock: the ruleset; None for none.
        engine: the layers in use.
        coming: accesses that rules at run time may speak of.
    """
    beyond = ""
    if matcher.universal(access):
        beyond = _beyond_rules(access, matcher, landlock, engine) or _at_run_time(access, coming)
        if not beyond:
            return AccessPlan(access, Enforcement.FREE, "every rule that speaks of it allows it")
    if engine is Engine.AUDIT:
        return AccessPlan(access, Enforcement.RECORDED, "mode is audit")
    if access in Access.NET:
        return AccessPlan(access, Enforcement.FILTER, "sockets are all or nothing")
    unknown = _UNKNOWN_TO_LANDLOCK.get(access)
    if unknown is not None:
        return AccessPlan(access, unknown[0], beyond or unknown[1])
    held = landlock is not None and all(
        right in landlock.handled or right in landlock.free
        for right, mask in REQUIRED.items()
        if access in mask
    )
    if landlock is None or not held:
        why = (
            "there is no Landlock here"
            if landlock is None
            else "this kernel's Landlock does not know the right"
        )
        if access in UNPERFORMED:
            return AccessPlan(access, Enforcement.ADVISORY, why)
        return AccessPlan(access, Enforcement.SUPERVISOR, beyond or why)
    gap = dict(landlock.gaps).get(access, "")
    exact = access in _EXACT_IN_KERNEL and not gap
    special = _needs_supervisor(access, matcher) or _at_run_time(access, coming)
    if access is Access.IOCTL:
        return AccessPlan(access, Enforcement.KERNEL, gap or "the rules are exact subtrees and files")
    if exact and not special and (engine is Engine.LANDLOCK or not _wants_report(access, matcher)):
        return AccessPlan(access, Enforcement.KERNEL, "the rules are exact subtrees and files")
    return AccessPlan(access, Enforcement.BOTH, beyond or gap or special or "denials are explained")


def _beyond_rules(access: Access, matcher: Matcher, landlock: LandlockPlan | None, engine: Engine) -> str:
    """Why an access that all rules allow is not free; empty when it is."""
    if engine is Engine.SUPERVISOR and access in _OPENING:
        return "memory and descriptors of processes outside are opened as files are"
    naming = access in (_HELD_BY_NAMING if landlock else _NAMING)
    if engine is not Engine.AUDIT and naming and renaming_gains(matcher):
        return "another name may allow more"
    return ""


_NAMED = "[limits] runtime names it"


def _with_ceiling(entry: AccessPlan, coming: Access) -> AccessPlan:
    """The same, saying that rules at run time may speak of it."""
    if entry.access not in coming or _NAMED in entry.why:
        return entry
    return replace(entry, why=f"{entry.why}; {_NAMED}")


def _at_run_time(access: Access, coming: Access) -> str:
    """Why rules that may come need *access* to be supervised; empty when they do not."""
    if access & coming:
        return _NAMED
    if access in _NAMING and coming & FILE_ACCESSES:
        return "a rule at run time may make another name worth it"
    return ""


_OPENING = Access.READ | Access.MODIFY | Access.TRUNCATE
"""Accesses by which /proc/<pid> gives what is another process's; no domain of Landlock guards it there."""
_UNKNOWN_TO_LANDLOCK = {
    Access.STAT: (Enforcement.SUPERVISOR, "Landlock does not know it"),
    Access.ATTRIBUTES: (Enforcement.SUPERVISOR, "Landlock does not know metadata"),
    # The working directory is the caller's own.
    Access.CHDIR: (Enforcement.ADVISORY, "Landlock does not know it"),
}


def _plan_network(access: Access, matcher: Matcher, sockets: SocketPlan, coming: Access) -> AccessPlan:
    if sockets.makes_none:
        return AccessPlan(access, Enforcement.FILTER, "no sockets are made")
    connects = matcher.universal(Access.CONNECT) and not coming & Access.CONNECT
    followed = access is Access.BIND and sockets.follow_bind and not connects
    if matcher.universal(access) and not followed and not access & coming:
        return AccessPlan(access, Enforcement.FREE, "every rule that speaks of it allows it")
    if access is Access.SEND and not sockets.datagrams:
        return AccessPlan(access, Enforcement.FILTER, "sockets that send without a connection are not made")
    why = "what is bound may be connected to" if followed else "addresses are judged"
    return AccessPlan(access, Enforcement.SUPERVISOR, why)


_NAMING = Access.RENAME | Access.LINK
"""Accesses by which an object gets another name."""

_HELD_BY_NAMING = _NAMING | Access.CREATE | Access.DELETE | Access.MKNOD
"""Accesses that need a right of Landlock by which an object could get another name."""

_EXACT_IN_KERNEL = Access.READ | Access.LIST | Access.EXEC | Access.MODIFY | Access.TRUNCATE
"""Accesses that one right of Landlock expresses alone."""


def _wants_report(access: Access, matcher: Matcher) -> bool:
    """Whether some denial of *access* has to be explained; `filter` rules want none."""
    if access not in DEFAULT_ALLOWED:
        return True
    return any(rule.action.reports for rule in speaking(matcher, access))


def _needs_supervisor(access: Access, matcher: Matcher) -> str:
    """Why the kernel cannot do what some rule asks; empty when it can."""
    for rule in speaking(matcher, access):
        if rule.action in (Action.WARN, Action.HIDE, Action.KILL, Action.ASK):
            return f"a rule says {rule.action.value}"
    return ""
