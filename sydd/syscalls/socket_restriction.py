"""What is refused where addresses are judged: ways to reach another address than the one that was named."""

from __future__ import annotations

from errno import EACCES, EPERM

from sydd.syscalls.argument import equals
from sydd.syscalls.restriction import ArgumentRule, Restriction

REDIRECTING: dict[str, tuple[int, int]] = {
    "SO_BINDTODEVICE": (1, 25),
    "SO_BINDTOIFINDEX": (1, 62),
    "IP_OPTIONS": (0, 4),
    "IP_UNICAST_IF": (0, 50),
    "IPV6_2292PKTOPTIONS": (41, 6),
    "IPV6_RTHDR": (41, 57),
    "IPV6_UNICAST_IF": (41, 76),
}
"""Level and name of options of setsockopt(2) by which packets go another way: by an interface of the caller's
choice, or, with a source route, first to another host (ip(7), ipv6(7), linux/in.h, linux/in6.h)."""

_SETSOCKOPT = 14
"""Of socketcall(2), which would have to be looked at; see `rows32.MULTIPLEXERS`."""

SOCKETS = Restriction(
    name="sockets",
    reason="a source route or an interface leads elsewhere than the address says. Of socketcall, which keeps "
    "its arguments in memory, every setsockopt",
    errno=EPERM,
    rules=(
        ArgumentRule(
            call="setsockopt",
            forms=tuple(((equals(1, level), equals(2, name)), EPERM) for level, name in REDIRECTING.values()),
            otherwise=0,
        ),
        ArgumentRule(call="socketcall", forms=(((equals(0, _SETSOCKOPT),), EACCES),), otherwise=0),
    ),
    by_default=False,
)
