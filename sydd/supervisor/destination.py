"""What people call an address: the host that a rule named, and the service that has the port (services(5)).

Nothing is judged by it. The file is read as it is, without the C library's name service: that may ask others,
and an event must not wait for them.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from sydd.policy.address import BITS, AddressKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.policy.address import Address
    from sydd.policy.bind import BoundRule

SERVICES: Final = "/etc/services"
_LARGEST: Final = 1 << 20
"""Bytes of it that are read; Debian's has 13,000."""


class Destination(NamedTuple):
    """Names of an address, each empty where there is none.

    Attributes:
        host: names of hosts, as rules have them, that it was an address of when the session began.
        service: of the port.
    """

    host: str
    service: str


NOWHERE: Final = Destination("", "")


class Destinations:
    """Knows the names of one session.

    Args:
        rules: the session's.
    """

    def __init__(self, rules: Sequence[BoundRule]) -> None:
        self._rules = rules
        self._hosts: dict[tuple[int, int], str] | None = None
        self._services: dict[tuple[int, str], str] | None = None

    def of(self, address: Address, kind: int) -> Destination:
        """What *address* is called.

        Args:
            address: of any kind; only those of the internet have such names.
            kind: the socket's type (SO_TYPE).
        """
        if address.kind is not AddressKind.INET:
            return NOWHERE
        if self._hosts is None:
            self._hosts = _hosts(self._rules)
        if self._services is None:
            self._services = services()
        protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
        host = self._hosts.get((address.version, address.number), "")
        return Destination(host, self._services.get((address.port, protocol), ""))


def services(path: str = SERVICES) -> dict[tuple[int, str], str]:
    """The names of ports, by number and protocol; none where the file cannot be read.

    Args:
        path: a file in the form of services(5).
    """
    found: dict[tuple[int, str], str] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST)
    except OSError:
        return found
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        number, _, protocol = words[1].partition("/")
        with contextlib.suppress(ValueError):
            found.setdefault((int(number), protocol), words[0])
    return found


def _hosts(rules: Sequence[BoundRule]) -> dict[tuple[int, int], str]:
    """The names that rules have for single addresses, by version and number."""
    names: dict[tuple[int, int], dict[str, None]] = {}
    for rule in rules:
        if rule.net is None or not rule.net.host:
            continue
        for network in rule.net.networks:
            if network.length == BITS[network.version]:
                names.setdefault((network.version, network.number), {})[rule.net.host] = None
    return {key: ", ".join(found) for key, found in names.items()}
