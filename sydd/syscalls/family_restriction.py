"""What is refused where the network is the session's own: sockets that no network namespace confines."""

from __future__ import annotations

from errno import EAFNOSUPPORT

from sydd.syscalls.argument import equals
from sydd.syscalls.restriction import ArgumentRule, Restriction

_CONFINED = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK of linux/socket.h: each socket belongs to one namespace."""

_FAMILIES = 64
"""More than any kernel has (AF_MAX is 46 in Linux 6.18; socket(2) refuses what is not below it)."""

_SOCKET = 1
"""SYS_SOCKET of linux/net.h, for socketcall(2)."""

FAMILIES = Restriction(
    name="families",
    reason="families that know no network namespaces, of virtual machines for one, reach out of a private "
    "one; that of socketcall lies behind a pointer",
    errno=EAFNOSUPPORT,
    rules=(
        ArgumentRule(
            call="socket",
            forms=tuple(
                ((equals(0, family),), EAFNOSUPPORT) for family in range(_FAMILIES) if family not in _CONFINED
            ),
            otherwise=0,
        ),
        ArgumentRule(call="socketcall", forms=(((equals(0, _SOCKET),), EAFNOSUPPORT),), otherwise=0),
    ),
    by_default=False,
)
