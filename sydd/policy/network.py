"""Network patterns: addresses with ports, and sockets that have no address.

`ADDR[/LEN][!PORT[-PORT]]`, `HOST[!PORT…]`, `loopback[!PORT…]`, `local[!PORT…]`, `any`, `unix:PATHGLOB`,
`@GLOB` (abstract), `unix:unnamed`, `netlink:NAME`, `family:NAME`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from sydd.policy.address import BITS, ip_text, needs_scope, unmapped
from sydd.policy.errors import PolicyError, Source
from sydd.policy.families import ADDRESSED, FAMILIES, NETLINK_PROTOCOLS
from sydd.policy.glob import NameGlob, PathGlob
from sydd.policy.globsyntax import check, problem
from sydd.policy.variables import VARIABLE, check_references, substitute
from sydd.policy.words import did_you_mean

ALL_PORTS: Final = (0, 65535)
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_BRACKETS = re.compile(r"\[([^\]]*)\]((?:/.*)?)")
_SCOPE = re.compile(r"%([^/]*)")
_LABEL: Final = r"(?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# The last label begins with a letter: `127.1` and `0x7f.1` are numbers to getaddrinfo(3).
_HOST = re.compile(rf"(?:[a-z0-9_]{_LABEL}\.)*[a-z]{_LABEL}\.?")
_LONGEST_HOST: Final = 253
_NAMED: Final = ("any", "loopback", "local", "localhost", "unix:unnamed")
_FORMS: Final = (
    "write ADDRESS[/LENGTH][!PORT[-PORT]], a host name, loopback, local, any, unix:PATH, @NAME, netlink:NAME"
    " or family:NAME"
)


class NetKind(Enum):
    """What a pattern is about."""

    ANY = "any"
    INET = "inet"
    UNIX = "unix"
    ABSTRACT = "abstract"
    UNNAMED = "unnamed"
    NETLINK = "netlink"
    FAMILY = "family"


class Network(NamedTuple):
    """Addresses with a common prefix.

    Attributes:
        version: 4 or 6.
        number: the first of them.
        length: bits of the prefix.
        scope: index of the interface; 0 for every one.
    """

    version: int
    number: int
    length: int
    scope: int = 0

    def __str__(self) -> str:
        return f"{ip_text(self.version, self.number, self.scope)}/{self.length}"

    def covers(self, other: Network) -> bool:
        """Whether every address of *other* is one of these."""
        shift = BITS[self.version] - self.length
        return (
            self.version == other.version
            and self.length <= other.length
            and self.number >> shift == other.number >> shift
            and self.scope in (0, other.scope)
        )


LOOPBACK: Final = (Network(4, 127 << 24, 8), Network(6, 1, 128))
LOCAL: Final = (
    *LOOPBACK,
    Network(4, 10 << 24, 8),
    Network(4, 172 << 24 | 16 << 16, 12),
    Network(4, 192 << 24 | 168 << 16, 16),
    Network(4, 169 << 24 | 254 << 16, 16),
    Network(6, 0xFE80 << 112, 10),
    Network(6, 0xFC00 << 112, 7),
)
"""Loopback, RFC 1918, link-local and unique local addresses."""

GROUPS: Final = {"loopback": LOOPBACK, "local": LOCAL}
"""Numbers, not text: they are what profiles name most, and so need no `ipaddress`, which takes its time."""


@dataclass(frozen=True, slots=True)
class NetPattern:
    """One network pattern.

    Attributes:
        text: as written, with variables put in.
        kind: which of the other attributes count.
        networks: INET: any of these.
        ports: INET: lowest and highest port.
        host: INET: the name whose addresses the networks are; empty where addresses were written.
        globs: UNIX: canonical path patterns, any of these.
        name: ABSTRACT: matches the name without the NUL.
        family: NETLINK: the protocol; FAMILY: the family; by number.
    """

    text: str
    kind: NetKind
    networks: tuple[Network, ...] = ()
    ports: tuple[int, int] = ALL_PORTS
    host: str = ""
    globs: tuple[PathGlob, ...] = ()
    name: NameGlob | None = None
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
    look_up: Callable[[str], Sequence[str]] = lambda _host: (),
) -> NetPattern:
    """Read a network pattern.

    Args:
        text: the pattern.
        variables: values by name, for socket paths and abstract names.
        environment: what `${env:NAME}` looks in.
        source: where *text* begins.
        realpath: see `bind.bind_rules`; for socket paths.
        look_up: see `bind.bind_rules`; for host names.

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
        return NetPattern(text, NetKind.ABSTRACT, name=NameGlob(text[1:], inside))
    if text.startswith("netlink:"):
        return NetPattern(text, NetKind.NETLINK, family=_netlink(text, source))
    if text.startswith("family:"):
        return NetPattern(text, NetKind.FAMILY, family=_family(text, source))
    address, mark, ports = text.partition("!")
    host = _host(address)
    if host:
        networks = tuple(dict.fromkeys(_resolved(found) for found in look_up(host)))
    else:
        networks = _networks(address, source)
    low_high = _ports(ports, source, len(address) + 1) if mark else ALL_PORTS
    return NetPattern(text, NetKind.INET, networks, low_high, host)


def _netlink(text: str, source: Source) -> int:
    """The netlink protocol of `netlink:NAME` or `netlink:NUMBER`."""
    name = text.removeprefix("netlink:")
    if name.isascii() and name.isdigit() and int(name) < 32:  # MAX_LINKS
        return int(name)
    if name not in NETLINK_PROTOCOLS:
        hint = did_you_mean(name, NETLINK_PROTOCOLS, f"families are {', '.join(NETLINK_PROTOCOLS)}")
        raise problem(f"unknown netlink family '{name}'", source, len("netlink:"), hint)
    return NETLINK_PROTOCOLS[name]


def _family(text: str, source: Source) -> int:
    """The family of `family:NAME` or `family:NUMBER`."""
    name = text.removeprefix("family:")
    number = int(name) if name.isascii() and name.isdigit() else FAMILIES.get(name, 0)
    for word, (addressed, example) in ADDRESSED.items():
        if name == word or number == addressed:
            message = f"family '{name}' has patterns for its addresses"
            raise problem(message, source, len("family:"), f"as in '{example}'")
    if not 0 < number <= 0xFFFF:  # sa_family_t
        hint = did_you_mean(name, FAMILIES, f"families are {', '.join(FAMILIES)}, or a number")
        raise problem(f"unknown socket family '{name}'", source, len("family:"), hint)
    return number


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


def _host(address: str) -> str:
    """The host name that *address* is, in lower case; empty if it is none.

    It has a dot, or is `localhost`: a word without one is a misspelt keyword more often than a host.
    """
    name = address.lower()
    if "." not in name and name != "localhost":
        return ""
    return name if len(name.removesuffix(".")) <= _LONGEST_HOST and _HOST.fullmatch(name) else ""


def _resolved(text: str) -> Network:
    """The network of the one address that a host name stands for."""
    import ipaddress

    ip = ipaddress.ip_address(text)
    version, number = unmapped(ip.version, int(ip))
    return Network(version, number, BITS[version])


def _networks(address: str, source: Source) -> tuple[Network, ...]:
    """The networks that the part before `!` stands for."""
    if address in GROUPS:
        return GROUPS[address]
    found = _BRACKETS.fullmatch(address)
    bare = found[1] + found[2] if found else address
    scope = _SCOPE.search(bare)
    if scope is not None:
        bare = bare[: scope.start()] + bare[scope.end() :]
    try:
        network = _network(bare)
    except ValueError:
        raise _no_network(address, bare, source) from None
    return (network._replace(scope=_scope(scope[1], network, address, source)) if scope else network,)


@functools.lru_cache(maxsize=4096)  # each is read when its rule is checked, and again when it is bound
def _network(text: str) -> Network:
    """The network *text*; an IPv4 one where all its addresses are IPv4-mapped.

    Raises:
        ValueError: it is none.
    """
    import ipaddress  # here: profiles that name no address start without it

    network = ipaddress.ip_network(text)
    number, length = int(network.network_address), network.prefixlen
    if length < BITS[6] - BITS[4]:
        return Network(network.version, number, length)
    version, number = unmapped(network.version, number)
    return Network(version, number, length - BITS[network.version] + BITS[version])


def _scope(text: str, network: Network, address: str, source: Source) -> int:
    """The interface's index behind `%`."""
    offset = address.find("%") + 1
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 32):
        hint = "write the index that 'ip link' shows; names are not looked up"
        raise problem(f"'{text}' is no index of an interface", source, offset, hint)
    if network.version == 4 or network.length < 10 or not needs_scope(network.number):
        hint = "they are fe80::/10 and the multicast addresses of a link"
        raise problem("only link-local addresses have an interface", source, offset, hint)
    return int(text)


def _no_network(address: str, bare: str, source: Source) -> PolicyError:
    """What is wrong with *address*; *bare* is it without brackets and interface."""
    import ipaddress

    plain, _, length = bare.partition("/")
    try:
        ip = ipaddress.ip_address(plain)
    except ValueError:
        hint = did_you_mean(address, _NAMED)
        if not address.isascii():
            hint = "write a host name in its ASCII form, which begins with 'xn--'"
        elif _host(plain):
            hint = "a host name has no prefix length"
        elif re.fullmatch(r"[\w.-]*[a-z][\w.-]*:[\d-]+|[\d.]+:[\d-]+", address):
            hint = f"a port comes after '!': '{address.replace(':', '!')}'"
        elif not hint:
            single = re.fullmatch(r"[a-z][a-z0-9-]*", address)
            hint = f"for a host of that name write '{address}.', with a dot behind it" if single else _FORMS
        return PolicyError(f"'{address}' is no network address", source, hint)
    if not length.isdigit() or int(length) > ip.max_prefixlen:
        hint = f"0 to {ip.max_prefixlen}"
        return problem(f"'{length}' is no prefix length", source, address.find("/") + 1, hint)
    network = ipaddress.ip_network(bare, strict=False)
    return PolicyError(f"'{address}' has bits after its prefix", source, f"did you mean '{network}'?")


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
