"""Which sockets a session may make, and that their addresses are judged."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.policy.access import Access, bits
from sydd.policy.address import Address, AddressKind
from sydd.policy.families import INET, INET6, NETLINK, NETLINK_PROTOCOLS, UNIX
from sydd.policy.reach import reach as reach_of
from sydd.syscalls.argument import ArgTest, equals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.policy.bind import BoundRule
    from sydd.policy.matcher import Matcher
    from sydd.syscalls.row import Row

_TYPE_MASK = 0xF  # SOCK_TYPE_MASK, linux/net.h; above it stand flags
_TCP, _UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP

Form = tuple[ArgTest, ...]
"""Tests on the registers of socket(2)."""


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """How sockets are held where some address may be allowed, and some not.

    Attributes:
        forms: the sockets that the filter lets a program make: whatever they do is judged, or allowed.
        datagrams: whether sockets that send to any address are among them.
        follow_bind: whether what the session binds may be connected to.
    """

    forms: tuple[Form, ...]
    datagrams: bool
    follow_bind: bool

    @property
    def unjudged(self) -> bool:
        """Whether sockets of all kinds are made: some reach addresses by calls that nobody judges."""
        return () in self.forms


def plan_sockets(
    matcher: Matcher, *, follow_bind: bool, ceiling: Sequence[BoundRule] = ()
) -> SocketPlan | None:
    """How the sockets of a session are held.

    A stream is bound, listens and is connected, all by calls that are judged; what it then carries stays
    native. A datagram may go anywhere with each message, so such sockets are made only where every `send` is
    permitted. TCP is the one stream protocol: SCTP and MPTCP add addresses by other calls, or by themselves.

    Args:
        matcher: the policy.
        follow_bind: whether what the session binds may be connected to.
        ceiling: what rules at run time may allow: the sockets for it are made from the beginning, and judged.

    Returns:
        None when no address may be allowed: then no socket is made.
    """
    reach = reach_of((*matcher.rules, *ceiling), Access.CONNECT | Access.BIND)
    sends = _permitted(matcher, Access.SEND)
    rules_may_come = any(rule.access & Access.NET for rule in ceiling)
    if (
        not rules_may_come
        and sends
        and _permitted(matcher, Access.CONNECT)
        and _permitted(matcher, Access.BIND)
    ):
        return SocketPlan(((),), datagrams=True, follow_bind=follow_bind)
    forms: list[Form] = []
    for family in (INET, INET6):
        if reach.possible(family):
            forms += [_form(family, socket.SOCK_STREAM, protocol) for protocol in (0, _TCP)]
            if sends:
                forms += [_form(family, socket.SOCK_DGRAM, protocol) for protocol in (0, _UDP)]
    if reach.possible(UNIX):
        kinds = [socket.SOCK_STREAM, socket.SOCK_SEQPACKET]
        if sends:
            kinds += [socket.SOCK_DGRAM, socket.SOCK_RAW]  # which is the same to unix sockets
        forms += [_form(UNIX, kind) for kind in kinds]
    forms += [
        (equals(0, NETLINK), equals(2, protocol))
        for protocol in sorted({*reach.netlink, *(NETLINK_PROTOCOLS.values() if reach.rest else ())})
        if _allowed(matcher, Address(AddressKind.NETLINK, number=protocol))
    ]
    # Only families that a rule names: SMC, RDS and others take internet addresses, which nobody would judge.
    forms += [
        (equals(0, family),)
        for family in reach.families
        if family not in (UNIX, INET, INET6) and _allowed(matcher, Address(AddressKind.FAMILY, number=family))
    ]
    return SocketPlan(tuple(forms), datagrams=sends, follow_bind=follow_bind) if forms else None


def is_heard(row: Row, supervised: Access, sockets: SocketPlan | None) -> bool:
    """Whether some form of a call is notified; listen(2) only where there can be sockets."""
    return bool(row.asks & supervised) and (row.name != "listen" or sockets is not None)


def socket_forms(row: Row, supervised: Access, sockets: SocketPlan | None) -> tuple[list[Form], list[Form]]:
    """The forms of a call about sockets that pass, which are tried first, and those that are notified.

    Args:
        row: the call, an Operation.SOCKET.
        supervised: accesses that the supervisor decides.
        sockets: how sockets are held; None where none are made.
    """
    if not is_heard(row, supervised, sockets):
        return [], []
    if row.name == "socketpair":
        # These are connected for good; by the end of any other pair another address may be reached. Of unix
        # sockets SOCK_RAW means datagrams, too.
        kinds = [socket.SOCK_STREAM, socket.SOCK_SEQPACKET]
        if sockets is not None and sockets.datagrams:
            kinds += [socket.SOCK_DGRAM, socket.SOCK_RAW]
        return [_form(UNIX, kind) for kind in kinds], [()]
    made = list(sockets.forms) if row.name == "socket" and sockets is not None else []
    return made, [()]


def _permitted(matcher: Matcher, access: Access) -> bool:
    """Whether *access* to every address goes ahead."""
    action = matcher.uniform(access, "/")
    return action is not None and action.permits


def _allowed(matcher: Matcher, whole: Address) -> bool:
    """Whether everything that a protocol or family does is allowed; a rule is about all of it."""
    return all(matcher.decide_address(access, whole).action.permits for access in bits(Access.NET))


def _form(family: int, kind: int, protocol: int | None = None) -> Form:
    tests = (equals(0, family), ArgTest(1, _TYPE_MASK, kind))
    return tests if protocol is None else (*tests, equals(2, protocol))
