"""Network patterns: addresses with ports, and sockets that have no address.

`ADDR[/LEN][!PORT[-PORT]]`, `loopback[!PORT…]`, `local[!PORT…]`, `any`, `unix:PATHGLOB`, `@GLOB` (abstract),
`unix:unnamed`, `netlink:NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from sydd.policy.errors import PolicyError, Source
from sydd.policy.glob import PathGlob, name_matcher
from sydd.policy.globsyntax import check, problem
from sydd.policy.variables import VARIABLE, check_references, substitute
from sydd.policy.words import did_you_mean

if TYPE_CHECKING:
    import ipaddress

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ALL_PORTS: Final = (0, 65535)
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
LOCAL: Final = (
    *LOOPBACK,
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fe80::/10",
    "fc00::/7",
)
GROUPS: Final = {"loopback": LOOPBACK, "local": LOCAL}
NETLINK: Final = {
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
"""Families of linux/netlink.h."""

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_BRACKETS = re.compile(r"\[([^\]]*)\]((?:/.*)?)")
_NAMED: Final = ("any", "loopback", "local", "unix:unnamed")


class NetKind(Enum):
    """What a pattern is about."""

    ANY = "any"
    INET = "inet"
    UNIX = "unix"
    ABSTRACT = "abstract"
    UNNAMED = "unnamed"
    NETLINK = "netlink"


@dataclass(frozen=True, slots=True)
class NetPattern:
    """One network pattern.

    Attributes:
        text: as written, with variables put in.
        kind: which of the other attributes count.
        networks: INET: any of these.
        ports: INET: lowest and highest port.
        globs: UNIX: canonical path patterns, any of these.
        name: ABSTRACT: an expression for `fullmatch` on the name without the NUL.
        family: NETLINK: its number.
    """

    text: str
    kind: NetKind
    networks: tuple[Network, ...] = ()
    ports: tuple[int, int] = ALL_PORTS
    globs: tuple[PathGlob, ...] = ()
    name: re.Pattern[str] | None = None
    family: int = -1

    @property
    def is_any(self) -> bool:
        """Whether it matches everything."""
        return self.kind is NetKind.ANY


def check_net_pattern(text: str, source: Source) -> None:
    """Report what is wrong with a network pattern as it was written, variables unresolved.

    Raises:
        PolicyError: pointing at the wrong part.
    """
    check_references(text, source)
    if not text.startswith(("unix:", "@")):
        _check_plain(text, source)
        return
    # a variable is a name here, as long as it is written, so that columns stay
    plain = VARIABLE.sub(lambda found: found[1] or "_" * len(found[0]), text)
    if text.startswith("unix:${"):
        plain = plain.replace("unix:_", "unix:/", 1)
    parse_net_pattern(plain, {}, {}, source)


def _check_plain(text: str, source: Source) -> None:
    """Report wrong syntax of a pattern that holds no path."""
    found = VARIABLE.search(text)
    if found is not None:
        hint = "variables go into unix: and @ patterns"
        raise problem(f"'{found[0]}' in an address", source, found.start(), hint)
    parse_net_pattern(text, {}, {}, source)


def parse_net_pattern(
    text: str,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    source: Source,
    realpath: Callable[[str], str] = lambda path: path,
) -> NetPattern:
    """Read a network pattern.

    Args:
        text: the pattern.
        variables: values by name, for socket paths and abstract names.
        environment: what `${env:NAME}` looks in.
        source: where *text* begins.
        realpath: see `bind.bind_rules`; for socket paths.

    Raises:
        PolicyError: pointing at the wrong part.
    """
    if text == "any":
        return NetPattern(text, NetKind.ANY)
    if text == "unix:unnamed":
        return NetPattern(text, NetKind.UNNAMED)
    if text.startswith("unix:"):
        return _unix(text, variables, environment, source, realpath)
    if text.startswith("@"):
        # not at the start of the text, so that a name need not look like a path
        text = substitute(text, variables, environment, source)
        if text == "@":
            raise PolicyError("no name after '@'", source, "write '@*' for every abstract socket")
        inside = Source(source.file, source.line, source.column + 1 if source.column else 0)
        return NetPattern(text, NetKind.ABSTRACT, name=name_matcher(text[1:], inside))
    if text.startswith("netlink:"):
        name = text.removeprefix("netlink:")
        if name not in NETLINK:
            hint = did_you_mean(name, NETLINK, f"families are {', '.join(NETLINK)}")
            raise problem(f"unknown netlink family '{name}'", source, len("netlink:"), hint)
        return NetPattern(text, NetKind.NETLINK, family=NETLINK[name])
    address, mark, ports = text.partition("!")
    networks = _networks(address, source)
    return NetPattern(
        text, NetKind.INET, networks, _ports(ports, source, len(address) + 1) if mark else ALL_PORTS
    )


def _unix(
    text: str,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    source: Source,
    realpath: Callable[[str], str],
) -> NetPattern:
    """A socket in the file system."""
    from sydd.policy.bind import canonical_globs  # here: bind imports this module too

    offset = len("unix:")
    inside = Source(source.file, source.line, source.column + offset if source.column else 0)
    path = substitute(text[offset:], variables, environment, inside)
    if not path.startswith("/"):
        hint = "write 'unix:/path', '@name' for an abstract socket, 'unix:unnamed' for one without name"
        raise PolicyError(f"'{path}' is not an absolute path", inside, hint)
    check(path.rstrip("/") or "/", inside)
    return NetPattern("unix:" + path, NetKind.UNIX, globs=canonical_globs(path, realpath))


def _networks(address: str, source: Source) -> tuple[Network, ...]:
    """The networks that the part before `!` stands for."""
    import ipaddress  # here: profiles whose only network rule is `any` start without it

    if address in GROUPS:
        return tuple(ipaddress.ip_network(text) for text in GROUPS[address])
    found = _BRACKETS.fullmatch(address)
    bare = found[1] + found[2] if found else address
    try:
        return (ipaddress.ip_network(bare),)
    except ValueError:
        pass
    plain, _, length = bare.partition("/")
    try:
        ip = ipaddress.ip_address(plain)
    except ValueError:
        hint = did_you_mean(address, _NAMED)
        if not hint and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}", address):
            hint = "names are not resolved; write the address"
        elif not hint and re.fullmatch(r"[\d.]+:[\d-]+", address):
            hint = f"a port comes after '!': '{address.replace(':', '!')}'"
        elif not hint:
            hint = (
                "write ADDRESS[/LENGTH][!PORT[-PORT]], loopback, local, any, unix:PATH, @NAME or netlink:NAME"
            )
        raise PolicyError(f"'{address}' is no network address", source, hint) from None
    if not length.isdigit() or int(length) > ip.max_prefixlen:
        hint = f"0 to {ip.max_prefixlen}"
        raise problem(f"'{length}' is no prefix length", source, address.find("/") + 1, hint)
    network = ipaddress.ip_network(bare, strict=False)
    raise PolicyError(f"'{address}' has bits after its prefix", source, f"did you mean '{network}'?")


def _ports(text: str, source: Source, offset: int) -> tuple[int, int]:
    """The lowest and the highest port of the part after `!`."""
    found = _PORTS.fullmatch(text)
    if found is None:
        hint = "write a number, or two with '-' between; names of services are not looked up"
        raise problem(f"'{text}' is no port", source, offset, hint)
    low = int(found[1])
    high = int(found[2] or low)
    if max(low, high) > ALL_PORTS[1]:
        raise problem(f"port {max(low, high)} is too high", source, offset, "the last port is 65535")
    if low > high:
        raise problem(f"port range '{text}' is backwards", source, offset, f"write '{high}-{low}'")
    return low, high
