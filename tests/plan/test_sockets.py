"""Which sockets the filter lets a program make, by what the rules may allow."""

from __future__ import annotations

import errno
import socket

import pytest

from sydd.plan.filter import Disposition, Outcome, plan_filter
from sydd.plan.sockets import plan_sockets
from sydd.policy.access import Access
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.rule import parse_rule
from sydd.syscalls.argument import WORD
from sydd.syscalls.restricted import DEFAULT_GROUPS
from sydd.syscalls.table import AUDIT_ARCH, NUMBERS, number

FLAGS = int(socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
RUBBISH = 0xDEAD_BEEF << 32
STREAM, DGRAM, RAW, PACKETS = 1, 2, 3, 5
ALLOW, NOTIFY = Outcome(Disposition.ALLOW), Outcome(Disposition.NOTIFY)


def matcher(*rules: str) -> Matcher:
    """Rules, compiled."""
    return Matcher(
        bind_rules([parse_rule(rule, Source("test")) for rule in rules], {}, {}, lambda path: path)
    )


def made(*rules: str) -> set[tuple[int, int, int]]:
    """The sockets that can be made: family, type, protocol."""
    sockets = plan_sockets(matcher(*rules), follow_bind=False)
    plan = plan_filter("x86_64", Access.NET, sockets=sockets)
    tried = [
        (family, kind, protocol)
        for family in (1, 2, 10, 16, 17, 40)
        for kind in (STREAM, DGRAM, RAW, PACKETS)
        for protocol in (0, 1, 6, 17, 132, 262)
    ]
    return {
        call
        for call in tried
        if plan.decide(number("x86_64", "socket"), (call[0] | RUBBISH, call[1] | FLAGS, call[2], 0, 0, 0))
        == ALLOW
    }


TCP = {(2, STREAM, 0), (2, STREAM, 6), (10, STREAM, 0), (10, STREAM, 6)}
UDP = {(2, DGRAM, 0), (2, DGRAM, 17), (10, DGRAM, 0), (10, DGRAM, 17)}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), set()),
        (("deny net any",), set()),
        (("allow send loopback",), set()),
        (("allow connect 10.0.0.0/8!80",), TCP),
        (("allow bind [::1]!0",), {call for call in TCP if call[0] == 10}),
        (("allow send any", "allow connect 10.0.0.1"), TCP | UDP),
        (("allow net netlink:route",), {(16, kind, 0) for kind in (STREAM, DGRAM, RAW, PACKETS)}),
        (("allow connect netlink:route",), set()),
        (
            ("allow connect @x",),
            {(1, kind, p) for kind in (STREAM, PACKETS) for p in (0, 1, 6, 17, 132, 262)},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_made(rules: tuple[str, ...], expected: set[tuple[int, int, int]]) -> None:
    """A socket is made where all that it can do is judged, or allowed."""
    assert made(*rules) == expected


def test_everything_but() -> None:
    """Where a rule takes something away from everything, what sends by itself is not made."""
    assert made("allow net any", "deny net 10.0.0.0/8") >= TCP
    assert not made("allow net any", "deny net 10.0.0.0/8") & UDP
    assert made("allow net any", "deny connect 10.0.0.0/8") >= TCP | UDP


@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_refused_beside(arch: str) -> None:
    """Fast open and ways around an address, and what socketcall hides, where addresses are judged."""
    sockets = plan_sockets(matcher("allow connect loopback"), follow_bind=True)
    groups = DEFAULT_GROUPS | {"sockets"}
    plan = plan_filter(arch, Access.NET, sockets=sockets, restrictions=groups)

    def decide(name: str, *args: int) -> Outcome:
        return plan.decide(number(arch, name), (*args, *(0,) * (6 - len(args))))

    unsupported = Outcome(Disposition.ERRNO, errno.EOPNOTSUPP)
    assert decide("sendto", 3, 0, 0, 0x2000_0040) == decide("sendmsg", 3, 0, 0x2000_0000) == unsupported
    assert decide("sendmmsg", 3, 0, 0, 0x2000_0000) == unsupported
    assert decide("sendto", 3, 0, 0, 0x40) == decide("sendmsg", 3, 0, 0x40) == ALLOW
    assert decide("setsockopt", 3 | RUBBISH, 1 | RUBBISH, 25 | RUBBISH) == Outcome(
        Disposition.ERRNO, errno.EPERM
    )
    assert decide("setsockopt", 3, 1, 2) == decide("setsockopt", 3, 6, 25) == ALLOW
    assert decide("connect") == decide("bind") == decide("listen") == NOTIFY
    if "socketcall" in NUMBERS[arch]:
        assert {which: decide("socketcall", which & WORD) for which in (11, 14, 16, 20)} == dict.fromkeys(
            (11, 14, 16, 20), Outcome(Disposition.ERRNO, errno.EACCES)
        )
        assert all(decide("socketcall", which) == NOTIFY for which in (1, 2, 3, 4, 8))
