"""What the registers of socket(2) tell, in words, and which rule would let such a socket be made.

Source: socket(2), include/linux/socket.h.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from sydd.policy.access import Access, bits
from sydd.policy.address import Address, AddressKind
from sydd.policy.families import family_name, netlink_name

if TYPE_CHECKING:
    from sydd.policy.decision import Decision
    from sydd.policy.matcher import Matcher

TYPE_MASK = 0xF
_STREAM_QUIET = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
_ADDRESSED = (socket.AF_UNSPEC, socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)


def describe_socket(registers: tuple[int, ...]) -> str:
    """Family and type in words, as in "inet stream", "netlink:route raw"."""
    family, kind = registers[0] & 0xFFFFFFFF, registers[1] & TYPE_MASK
    try:
        family_word = socket.AddressFamily(family).name.removeprefix("AF_").lower()
    except ValueError:
        family_word = f"family {family}"
    try:
        kind_word = socket.SocketKind(kind).name.removeprefix("SOCK_").lower()
    except ValueError:
        kind_word = f"type {kind}"
    if family == socket.AF_NETLINK:
        family_word = f"netlink:{netlink_name(registers[2] & 0xFFFFFFFF)}"
    return f"{family_word} {kind_word}"


def allowing_socket(registers: tuple[int, ...]) -> str:
    """A rule line by which such a socket is made; of those that would do for addresses, the widest."""
    family, protocol = registers[0] & 0xFFFFFFFF, registers[2] & 0xFFFFFFFF
    if family == socket.AF_NETLINK:
        return f"allow net netlink:{netlink_name(protocol)}"
    return "allow net any" if family in _ADDRESSED else f"allow net family:{family_name(family)}"


def refuses_family(matcher: Matcher, registers: tuple[int, ...]) -> tuple[Access, Decision] | None:
    """What refuses a socket of a protocol or family that rules are about as a whole.

    Args:
        matcher: the policy.
        registers: of socket(2) or socketpair(2).

    Returns:
        The access that is not permitted, and what says so; None for sockets with addresses, and where the
        rules are not the reason.
    """
    family, protocol = registers[0] & 0xFFFFFFFF, registers[2] & 0xFFFFFFFF
    if family in _ADDRESSED:
        return None
    whole = Address(AddressKind.FAMILY, number=family)
    if family == socket.AF_NETLINK:
        whole = Address(AddressKind.NETLINK, number=protocol)
    for access in bits(Access.NET):
        decision = matcher.decide_address(access, whole)
        if not decision.action.permits:
            return access, decision
    return None


def descriptor_errno(tid: int, register: int) -> int:
    """What the kernel finds wrong with the descriptor of connect(2) or bind(2) before it reads the address.

    Returns:
        EBADF, ENOTSOCK, or 0 for a socket and for what cannot be seen.
    """
    try:
        link = os.readlink(f"/proc/{tid}/fd/{register & 0xFFFFFFFF}")
    except FileNotFoundError:
        return errno.EBADF
    except OSError:
        return 0
    return 0 if link.startswith("socket:") else errno.ENOTSOCK


def is_name_service(registers: tuple[int, ...]) -> bool:
    """Whether this is the socket by which the C library looks for a name service cache, for every `ls -l`.

    Refused, the library reads the files itself. That says nothing about the build, so there is no event.
    """
    return (registers[0] & 0xFFFFFFFF, registers[1] & 0xFFFFFFFF, registers[2] & 0xFFFFFFFF) == (
        socket.AF_UNIX,
        _STREAM_QUIET,
        0,
    )
