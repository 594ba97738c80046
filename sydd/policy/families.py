"""Socket families and netlink protocols by number and by the name that rules use.

Source: include/linux/socket.h, include/uapi/linux/netlink.h. The policy is pure, so the numbers are here and
not taken from `socket`; a test compares them.
"""

from __future__ import annotations

from typing import Final

UNSPEC: Final = 0
UNIX: Final = 1
INET: Final = 2
INET6: Final = 10
NETLINK: Final = 16

FAMILIES: Final = {
    "ax25": 3,
    "ipx": 4,
    "appletalk": 5,
    "netrom": 6,
    "bridge": 7,
    "atmpvc": 8,
    "x25": 9,
    "rose": 11,
    "key": 15,
    "packet": 17,
    "atmsvc": 20,
    "rds": 21,
    "irda": 23,
    "pppox": 24,
    "wanpipe": 25,
    "llc": 26,
    "ib": 27,
    "mpls": 28,
    "can": 29,
    "tipc": 30,
    "bluetooth": 31,
    "iucv": 32,
    "rxrpc": 33,
    "isdn": 34,
    "phonet": 35,
    "ieee802154": 36,
    "caif": 37,
    "alg": 38,
    "nfc": 39,
    "vsock": 40,
    "kcm": 41,
    "qipcrtr": 42,
    "smc": 43,
    "xdp": 44,
    "mctp": 45,
}
"""Families that have no pattern for their addresses: a rule is about the whole family."""

ADDRESSED: Final = {
    "unix": (UNIX, "unix:/**"),
    "inet": (INET, "0.0.0.0/0"),
    "inet6": (INET6, "::/0"),
    "netlink": (NETLINK, "netlink:route"),
}
"""Families that have one, and a pattern as an example."""

NETLINK_PROTOCOLS: Final = {
    "route": 0,
    "usersock": 2,
    "sock_diag": 4,
    "nflog": 5,
    "xfrm": 6,
    "selinux": 7,
    "iscsi": 8,
    "audit": 9,
    "fib_lookup": 10,
    "connector": 11,
    "netfilter": 12,
    "dnrtmsg": 14,
    "kobject_uevent": 15,
    "generic": 16,
    "scsitransport": 18,
    "ecryptfs": 19,
    "rdma": 20,
    "crypto": 21,
    "smc": 22,
}

_FAMILY_NAMES: Final = {number: name for name, number in FAMILIES.items()}
_NETLINK_NAMES: Final = {number: name for name, number in NETLINK_PROTOCOLS.items()}


def family_name(number: int) -> str:
    """The name of a family of `FAMILIES`; the number where it has none."""
    return _FAMILY_NAMES.get(number, str(number))


def netlink_name(number: int) -> str:
    """The name of a netlink protocol; the number where it has none."""
    return _NETLINK_NAMES.get(number, str(number))
