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
from sydd.syscalls.row import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.policy.bind import BoundRule
    from sydd.policy.matcher import Matcher
    from sydd.syscalls.row import Row

_TYPE_MASK = 0xF  # SOCK_TYPE_MASK, linux/net.h; above it stand flags
_TCP, _UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
_ICMP = {INET: socket.IPPROTO_ICMP, INET6: socket.IPPROTO_ICMPV6}
_UNIX_DATAGRAMS = (socket.SOCK_DGRAM, socket.SOCK_RAW)  # which to unix sockets are the same

MSG_FASTOPEN = 0x2000_0000
"""linux/socket.h: the first message connects."""

_NAME_SIZE = 5
"""The register of sendto(2) with the length of the destination, an int."""

Form = tuple[ArgTest, ...]
"""Tests on the registers of socket(2)."""


@dataclass(frozen=True, slots=True)
class SocketPlan:
    """How sockets are held where not every address is allowed.

    Attributes:
        forms: the sockets that the filter lets a program make: whatever they do is judged, or allowed. There
            may be none; but streams are inherited, and could be connected.
        datagrams: whether sockets that send to another address with each message are among them.
        sends: whether these addresses are judged.
        follow_bind: whether what the session binds may be connected to.
    """

    forms: tuple[Form, ...]
    datagrams: bool
    sends: bool
    follow_bind: bool

    @property
    def unjudged(self) -> bool:
        """Whether sockets of all kinds are made: some reach addresses by calls that nobody judges."""
        return () in self.forms

    @property
    def makes_none(self) -> bool:
        """Whether no address may be allowed, so that no socket is made."""
        return not self.forms


NO_SOCKETS = SocketPlan((), datagrams=False, sends=False, follow_bind=False)
"""No address is allowed."""


def plan_sockets(matcher: Matcher, *, follow_bind: bool, ceiling: Sequence[BoundRule] = ()) -> SocketPlan:
    """How the sockets of a session are held.

    A stream is bound, listens and is connected, all by calls that are judged; what it then carries stays
    native. A datagram may go anywhere with each message. Where there can be sockets for them, messages that
    name a destination are judged, and so are all whose destination, if any, lies behind a pointer. TCP is the
    one stream protocol: SCTP and MPTCP add addresses by other calls, or by themselves.

    Args:
        matcher: the policy.
        follow_bind: whether what the session binds may be connected to.
        ceiling: what rules at run time may allow: the sockets for it are made from the beginning, and judged.
    """
    rules_may_come = any(rule.access & Access.NET for rule in ceiling)
    judged = not matcher.universal(Access.SEND) or any(rule.access & Access.SEND for rule in ceiling)
    if not rules_may_come and all(_permitted(matcher, access) for access in bits(Access.NET)):
        return SocketPlan(((),), datagrams=True, sends=judged, follow_bind=follow_bind)
    rules = (*matcher.rules, *ceiling)
    reach = reach_of(rules, Access.CONNECT | Access.BIND)
    sends, binds = reach_of(rules, Access.SEND), reach_of(rules, Access.BIND)
    forms: list[Form] = []
    datagrams: list[Form] = []
    for family in (INET, INET6):
        if reach.possible(family):
            forms += [_form(family, socket.SOCK_STREAM, protocol) for protocol in (0, _TCP)]
        if sends.possible(family) or (follow_bind and binds.possible(family)):
            datagrams += [_form(family, socket.SOCK_DGRAM, protocol) for protocol in (0, _UDP)]
        if sends.possible(family):
            others = (_ICMP[family], socket.IPPROTO_UDPLITE)
            datagrams += [_form(family, socket.SOCK_DGRAM, protocol) for protocol in others]
    if reach.possible(UNIX):
        forms += [_form(UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)]
    if sends.possible(UNIX) or (follow_bind and binds.possible(UNIX)):
        datagrams += [_form(UNIX, kind) for kind in _UNIX_DATAGRAMS]
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
    return SocketPlan(
        (*forms, *datagrams),
        datagrams=bool(datagrams),
        sends=bool(datagrams) and judged,
        follow_bind=follow_bind,
    )


def is_heard(row: Row, supervised: Access, sockets: SocketPlan | None) -> bool:
    """Whether some form of a call is notified; listen(2) and messages only where addresses are judged."""
    if sockets is None and (row.name == "listen" or row.operation is Operation.SEND):
        return False
    if row.name == "connect" and sockets is not None and not sockets.sends:
        supervised &= ~Access.SEND  # that of datagrams alone
    return bool(row.asks & supervised)


def socket_forms(row: Row, supervised: Access, sockets: SocketPlan | None) -> tuple[list[Form], list[Form]]:
    """The forms of a call about sockets that pass, which are tried first, and those that are notified.

    Args:
        row: the call, an Operation.SOCKET or SEND.
        supervised: accesses that the supervisor decides.
        sockets: how sockets are held; None where addresses are not judged.
    """
    if not is_heard(row, supervised, sockets):
        return [], []
    if row.name == "socketpair":
        # These are connected for good; by the end of any other pair another address may be reached. Of unix
        # sockets SOCK_RAW means datagrams, too.
        kinds: tuple[int, ...] = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
        if sockets is not None and sockets.datagrams:
            kinds += _UNIX_DATAGRAMS
        return [_form(UNIX, kind) for kind in kinds], [()]
    if row.operation is Operation.SEND:
        return _messages(row, sockets)
    made = list(sockets.forms) if row.name == "socket" and sockets is not None else []
    return made, [()]


def _messages(row: Row, sockets: SocketPlan | None) -> tuple[list[Form], list[Form]]:
    """The forms of a call that sends: without a destination, if a register says so, it stays native.

    To every protocol a name of no length is none, wherever it is. The C library's send(3) is such a sendto.
    """
    if sockets is not None and sockets.sends:
        return [(equals(_NAME_SIZE, 0),)] if row.name == "sendto" else [], [()]
    return [], [(ArgTest(row.flags or 0, MSG_FASTOPEN, MSG_FASTOPEN),)]


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
