"""What is refused where addresses are judged: ways to reach another address than the one that was named."""

from __future__ import annotations

from errno import EACCES, EOPNOTSUPP, EPERM

from sydd.syscalls.argument import ArgTest, equals
from sydd.syscalls.restriction import ArgumentRule, Restriction

MSG_FASTOPEN = 0x2000_0000
"""linux/socket.h: the first message connects."""

_FLAGS = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""The registers of the flags."""

REDIRECTING: dict[str, tuple[int, int]] = {
    "SO_BINDTODEVICE": (1, 25),
    "SO_BINDTOIFINDEX": (1, 62),
    "IP_OPTIONS": (0, 4),
    "IPV6_2292PKTOPTIONS": (41, 6),
    "IPV6_RTHDR": (41, 57),
}
"""Level and name of options of setsockopt(2) by which packets go another way: by an interface of the caller's
choice, or, with a source route, first to another host (ip(7), ipv6(7), linux/in.h, linux/in6.h)."""

_BEHIND_POINTERS = {11: "sendto", 14: "setsockopt", 16: "sendmsg", 20: "sendmmsg"}
"""Parts of socketcall(2) whose arguments would have to be looked at; see `rows32.MULTIPLEXERS`."""

SOCKETS = Restriction(
    name="sockets",
    reason="a source route or an interface leads elsewhere than the address says; the first message of TCP "
    "Fast Open connects, which programs do in two steps where a kernel does not offer it. Of socketcall, "
    "which keeps its arguments in memory, every such call",
    errno=EPERM,
    rules=(
        *(
            ArgumentRule(
                call=call,
                forms=(((ArgTest(register, MSG_FASTOPEN, MSG_FASTOPEN),), EOPNOTSUPP),),
                otherwise=0,
            )
            for call, register in _FLAGS.items()
        ),
        ArgumentRule(
            call="setsockopt",
            forms=tuple(((equals(1, level), equals(2, name)), EPERM) for level, name in REDIRECTING.values()),
            otherwise=0,
        ),
        ArgumentRule(
            call="socketcall",
            forms=tuple(((equals(0, which),), EACCES) for which in _BEHIND_POINTERS),
            otherwise=0,
        ),
    ),
    by_default=False,
)
