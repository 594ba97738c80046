"""What a worker knows of its session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sydd.policy.sessionlimits import ASK_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sydd.plan.plan import Plan
    from sydd.policy.access import Access
    from sydd.policy.address import Address
    from sydd.policy.matcher import Matcher
    from sydd.supervisor.slot import Slot
    from sydd.syscalls.row import Row


def nothing() -> None:
    """Do nothing: a worker that shares nothing with others."""


def forgotten(*_what: Any) -> None:
    """Note nothing: a worker without successor."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a worker knows of its session.

    Attributes:
        session: its name.
        profile: name of its profile.
        plan: how it is enforced.
        matcher: its policy.
        rows: the syscall table, for each ABI that seccomp_data.arch can name.
        suggest: makes the rule line that would allow an access to a path.
        suggest_address: the same for an address.
        command: pid of the launched command; its first exec is the launch and is not judged.
        directory: where it is launched, canonical.
        patience: seconds that somebody has to answer a question.
        diagnosis: a netlink socket by which the kernel is asked about sockets of the session's network; None
            where the worker is in it, or its own is meant.
        terminals: names of those that the launch has; None where the worker has them as well.
        note: writes down what a successor has to know, before the call that it was learned from is answered.
        slot: the memory that a successor takes over; None for a worker without.
        forked: called in a process that is forked to wait: lets go of what is the worker's alone.
    """

    session: str
    profile: str
    plan: Plan
    matcher: Matcher
    rows: Mapping[int, Mapping[int, Row]]
    suggest: Callable[[Access, str], str]
    suggest_address: Callable[[Access, Address], str]
    command: int
    directory: str
    patience: int = ASK_TIMEOUT
    diagnosis: int | None = None
    terminals: Sequence[str] | None = None
    note: Callable[..., None] = forgotten
    slot: Slot | None = None
    forked: Callable[[], None] = nothing
