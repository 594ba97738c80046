"""Addresses as people write them when they ask about one."""

from __future__ import annotations

import os

from sydd.policy.address import BITS, UNNAMED, Address, AddressKind, inet
from sydd.policy.errors import PolicyError, Source
from sydd.policy.network import NetKind, parse_net_pattern


def read_address(text: str) -> Address:
    """The one address that *text*, in the form of a network pattern, stands for.

    Raises:
        PolicyError: it is none, or many.
    """
    if text.startswith("unix:") and text != "unix:unnamed":
        return Address(AddressKind.UNIX, os.path.realpath(text.removeprefix("unix:")))
    if text.startswith("@"):
        return Address(AddressKind.ABSTRACT, text[1:])
    pattern = parse_net_pattern(text, {}, {}, Source("the address"))
    if pattern.kind is NetKind.UNNAMED:
        return UNNAMED
    if pattern.kind is NetKind.NETLINK:
        return Address(AddressKind.NETLINK, number=pattern.family)
    if pattern.kind is NetKind.FAMILY:
        return Address(AddressKind.FAMILY, number=pattern.family)
    if len(pattern.networks) == 1 and pattern.ports[0] == pattern.ports[1]:
        (network,) = pattern.networks
        if network.length == BITS[network.version]:
            return inet(network.version, network.number, pattern.ports[0], network.scope)
    hint = "write ADDRESS!PORT, unix:PATH, @NAME, netlink:NAME or family:NAME"
    raise PolicyError(f"'{text}' is not one address: no name, range or word like loopback is", None, hint)
