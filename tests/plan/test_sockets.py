"""Which sockets the filter lets a program make, by what the rules may allow."""

from __future__ import annotations

import errno
import socket

import pytest

from sydd.plan.bpf import compile_filter
from sydd.plan.filter import Disposition, Outcome, plan_filter
from sydd.plan.sockets import NO_SOCKETS, plan_sockets
from sydd.policy.access import Access
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.rule import parse_rule
from sydd.syscalls.abi import ABIS
from sydd.syscalls.numbers import HIGHEST
from sydd.syscalls.restricted import DEFAULT_GROUPS
from sydd.syscalls.table import AUDIT_ARCH, NUMBERS, number
from tests.syscalls import bpf

FLAGS = int(socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
RUBBISH = 0xDEAD_BEEF << 32
STREAM, DGRAM, RAW, PACKETS = 1, 2, 3, 5
PROTOCOLS = (0, 1, 6, 17, 58, 132, 136, 262)
ALLOW, NOTIFY = Outcome(Disposition.ALLOW), Outcome(Disposition.NOTIFY)
ANSWERS = {ALLOW: bpf.RET_ALLOW, NOTIFY: bpf.RET_USER_NOTIF}
CARRYING = (
    *("read", "write", "readv", "writev", "recvfrom", "recvmsg", "recvmmsg", "sendfile", "splice"),
    *("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "accept4", "shutdown"),
)
"""What a connection is used by, besides sends."""


def matcher(*rules: str) -> Matcher:
    """Rules, compiled."""
    return Matcher(
        bind_rules([parse_rule(rule, Source("test")) for rule in rules], {}, {}, lambda path: path)
    )


def made(*rules: str, follow_bind: bool = False) -> set[tuple[int, int, int]]:
    """The sockets that can be made: family, type, protocol."""
    sockets = plan_sockets(matcher(*rules), follow_bind=follow_bind)
    plan = plan_filter("x86_64", Access.NET, sockets=sockets)
    tried = [
        (family, kind, protocol)
        for family in (1, 2, 10, 16, 17, 40)
        for kind in (STREAM, DGRAM, RAW, PACKETS)
        for protocol in PROTOCOLS
    ]
    return {
        call
        for call in tried
        if plan.decide(number("x86_64", "socket"), (call[0] | RUBBISH, call[1] | FLAGS, call[2], 0, 0, 0))
        == ALLOW
    }


TCP = {(2, STREAM, 0), (2, STREAM, 6), (10, STREAM, 0), (10, STREAM, 6)}
UDP = {(2, DGRAM, 0), (2, DGRAM, 17), (10, DGRAM, 0), (10, DGRAM, 17)}
PING = {(2, DGRAM, 1), (10, DGRAM, 58)}
LITE = {(family, DGRAM, 136) for family in (2, 10)}
UNIX_DATAGRAMS = {(1, kind, p) for kind in (DGRAM, RAW) for p in PROTOCOLS}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), set()),
        (("deny net any",), set()),
        (("allow send loopback",), UDP | PING | LITE),
        (("allow send [::1]!53",), {call for call in UDP | PING | LITE if call[0] == 10}),
        (("allow send unix:/x",), UNIX_DATAGRAMS),
        (("allow connect 10.0.0.0/8!80",), TCP),
        (("allow bind [::1]!0",), {call for call in TCP if call[0] == 10}),
        (("allow send any", "allow connect 10.0.0.1"), TCP | UDP | PING | LITE | UNIX_DATAGRAMS),
        (("allow net netlink:route",), {(16, kind, 0) for kind in (STREAM, DGRAM, RAW, PACKETS)}),
        (("allow connect netlink:route",), set()),
        (
            ("allow connect @x",),
            {(1, kind, p) for kind in (STREAM, PACKETS) for p in PROTOCOLS},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_made(rules: tuple[str, ...], expected: set[tuple[int, int, int]]) -> None:
    """A socket is made where all that it can do is judged, or allowed."""
    assert made(*rules) == expected


def test_connect_of_datagrams() -> None:
    """Where every connect is allowed, it is notified for the messages that would follow, where judged."""
    for rules, expected in (((), ALLOW), (("allow send 10.0.0.1",), NOTIFY)):
        sockets = plan_sockets(matcher("allow connect any", *rules), follow_bind=False)
        plan = plan_filter("x86_64", Access.BIND | Access.SEND, sockets=sockets)
        assert plan.decide(number("x86_64", "connect")) == expected


def test_made_for_servers() -> None:
    """Where what is bound is followed, sockets for datagrams are made to be bound, too; not for ICMP."""
    assert made("allow bind loopback!0", follow_bind=True) == TCP | UDP
    streams = {(1, kind, p) for kind in (STREAM, PACKETS) for p in PROTOCOLS}
    assert made("allow bind unix:/x", follow_bind=True) == streams | UNIX_DATAGRAMS
    assert made("allow bind unix:/x") == streams


def test_everything_but() -> None:
    """Where a rule takes something away from everything, all is made that can be judged."""
    assert made("allow net any", "deny net 10.0.0.0/8") >= TCP | UDP | PING
    assert not {call for call in made("allow net any", "deny net 10.0.0.0/8") if call[0] == 17}
    assert made("warn net any") > made("allow net any", "deny connect 10.0.0.0/8") >= TCP | UDP


@pytest.mark.parametrize(
    ("rules", "judged"),
    [
        (("deny net any",), False),
        (("allow connect loopback",), False),
        (("allow connect loopback", "allow send any"), False),
        (("allow net netlink:route",), False),
        (("allow connect loopback", "allow send 10.0.0.1!53"), True),
        (("allow net any", "deny send 10.0.0.1"), True),
        (("warn net any",), True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_messages(rules: tuple[str, ...], judged: bool, arch: str) -> None:
    """Notified where their destinations are judged; by what the registers say there is none, native.

    MSG_FASTOPEN, which connects, is notified in any case.
    """
    plan = plan_filter(arch, Access.NET, sockets=plan_sockets(matcher(*rules), follow_bind=False))

    def decide(name: str, *args: int) -> Outcome:
        return plan.decide(number(arch, name), (*args, *(0,) * (6 - len(args))))

    expected = NOTIFY if judged else ALLOW
    assert decide("sendto", 3, 1, 1, 0x40, 1, 16) == decide("sendto", 3, 1, 1, 0, 0, 16) == expected
    assert (
        decide("sendto", 3, 1, 1, 0, 1, 16 | RUBBISH) == decide("sendto", 3, 1, 1, 0, 0, 1 << 31) == expected
    )
    assert decide("sendto", 3, 1, 1, 0x40, 1, 0) == decide("sendto", 3, 1, 1, 0, 0, RUBBISH) == ALLOW
    assert decide("sendmsg", 3, 1, 0x40) == decide("sendmmsg", 3, 1, 1, 0x40) == expected
    assert decide("sendto", 3, 1, 1, 0x2000_0040, 1, 16) == decide("sendmsg", 3, 1, 0x2000_0000) == NOTIFY
    assert decide("sendmmsg", 3, 1, 1, 0x2000_0000 | RUBBISH) == NOTIFY
    if "socketcall" in NUMBERS[arch]:
        assert all(decide("socketcall", which) == NOTIFY for which in (11, 16, 20))
        assert decide("socketcall", 9) == ALLOW


@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_nobody_judges(arch: str) -> None:
    """In a session inside another one no inherited stream is connected, or bound, by another call."""
    plan = plan_filter(arch, Access.NET, sockets=NO_SOCKETS, supervised_here=False)
    refused = Outcome(Disposition.ERRNO, errno.EACCES)

    def decide(name: str, *args: int) -> Outcome:
        return plan.decide(number(arch, name), (*args, *(0,) * (6 - len(args))))

    assert decide("connect") == decide("bind") == decide("listen") == refused
    assert decide("sendto", 3, 1, 1, 0x2000_0000, 1, 16) == decide("sendmsg", 3, 1, 0x2000_0000) == refused
    assert decide("sendmmsg", 3, 1, 1, 0x2000_0000) == refused
    assert decide("sendto", 3, 1, 1, 0, 1, 16) == decide("sendmsg", 3, 1) == ALLOW
    if "socketcall" in NUMBERS[arch]:
        assert all(decide("socketcall", which) == refused for which in (3, 4, 11, 16, 20))


@pytest.mark.parametrize("arch", sorted(AUDIT_ARCH))
def test_refused_beside(arch: str) -> None:
    """Ways around an address, and what socketcall hides, where addresses are judged."""
    sockets = plan_sockets(matcher("allow connect loopback"), follow_bind=True)
    groups = DEFAULT_GROUPS | {"sockets"}
    plan = plan_filter(arch, Access.NET, sockets=sockets, restrictions=groups)

    def decide(name: str, *args: int) -> Outcome:
        return plan.decide(number(arch, name), (*args, *(0,) * (6 - len(args))))

    assert decide("setsockopt", 3 | RUBBISH, 1 | RUBBISH, 25 | RUBBISH) == Outcome(
        Disposition.ERRNO, errno.EPERM
    )
    assert decide("setsockopt", 3, 1, 2) == decide("setsockopt", 3, 6, 25) == ALLOW
    assert decide("connect") == decide("bind") == decide("listen") == NOTIFY
    if "socketcall" in NUMBERS[arch]:
        assert decide("socketcall", 14) == Outcome(Disposition.ERRNO, errno.EACCES)
        assert all(decide("socketcall", which) == NOTIFY for which in (1, 2, 3, 4, 8))


@pytest.mark.parametrize("machine", [abi.name for abi in ABIS.values() if not abi.narrow])
@pytest.mark.parametrize(
    "rules", [("allow connect loopback",), ("allow connect,send loopback",), ("allow net any",)], ids=str
)
def test_program(rules: tuple[str, ...], machine: str) -> None:
    """The program says of every number what the plan does, with sendto in front of them all."""
    plan = plan_filter(machine, Access.NET, sockets=plan_sockets(matcher(*rules), follow_bind=False))
    program = bpf.parse(compile_filter(plan))
    for part in plan.parts:
        for nr in range(HIGHEST + 2):
            for args in ((0,) * 6, (1,) * 6, (0x2000_0000 | RUBBISH,) * 6, (RUBBISH,) * 6):
                result, _ = bpf.run(program, bpf.seccomp_data(nr, AUDIT_ARCH[part.arch], args))
                outcome = part.decide(nr, args)
                assert result == ANSWERS.get(outcome, bpf.RET_ERRNO | outcome.errno), (part.arch, nr, args)


@pytest.mark.parametrize("machine", [abi.name for abi in ABIS.values() if not abi.narrow])
def test_what_carries_data_is_not_looked_at(machine: str) -> None:
    """The kernel finds out when the filter is loaded that these are allowed, and does not run it for them."""
    sockets = plan_sockets(matcher("allow connect,send loopback"), follow_bind=True)
    plan = plan_filter(machine, ~Access(0), sockets=sockets)
    program = bpf.parse(compile_filter(plan))
    for part in plan.parts:
        for nr in (NUMBERS[part.arch][name] for name in CARRYING if name in NUMBERS[part.arch]):
            data = bpf.seccomp_data(nr, AUDIT_ARCH[part.arch], (0,) * 6)
            assert bpf.run(program, data) == (bpf.RET_ALLOW, False), (part.arch, nr)
