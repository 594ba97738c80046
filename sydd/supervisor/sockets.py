"""What the registers of socket(2) tell. Sockets are all or nothing: a policy allows `net any`, or none.

Source: socket(2), include/linux/socket.h.
"""

from __future__ import annotations

import errno
import os
import socket

TYPE_MASK = 0xF
_STREAM_QUIET = socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
ALLOWING_RULE = "allow net any"


def describe_socket(registers: tuple[int, ...]) -> str:
    """Family and type in words, as in "inet stream"."""
    family, kind = registers[0] & 0xFFFFFFFF, registers[1] & TYPE_MASK
    try:
        family_word = socket.AddressFamily(family).name.removeprefix("AF_").lower()
    except ValueError:
        family_word = f"family {family}"
    try:
        kind_word = socket.SocketKind(kind).name.removeprefix("SOCK_").lower()
    except ValueError:
        kind_word = f"type {kind}"
    return f"{family_word} {kind_word}"


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
