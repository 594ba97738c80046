"""What a worker knows of its session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.policy.sessionlimits import ASK_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sydd.plan.plan import Plan
    from sydd.policy.access import Access
    from sydd.policy.address import Address
    from sydd.policy.matcher import Matcher
    from sydd.syscalls.row import Row


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
        patience: seconds that somebody has to answer a question.
        diagnosis: a netlink socket by which the kernel is asked about sockets of the session's network; None
            where the worker is in it, or its own is meant.
    """

    session: str
    profile: str
    plan: Plan
    matcher: Matcher
    rows: Mapping[int, Mapping[int, Row]]
    suggest: Callable[[Access, str], str]
    suggest_address: Callable[[Access, Address], str]
    command: int
    patience: int = ASK_TIMEOUT
    diagnosis: int | None = None
