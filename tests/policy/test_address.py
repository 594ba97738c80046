"""Addresses, and which rule decides about one: against trying every rule with `ipaddress`."""

from __future__ import annotations

import fnmatch
import ipaddress
import socket
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sydd.policy import families
from sydd.policy.access import Access, Action
from sydd.policy.address import NOBODY, UNNAMED, Address, AddressKind, inet
from sydd.policy.addresstable import CACHED_ADDRESSES
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.rule import parse_rule

UNIX, ABSTRACT = AddressKind.UNIX, AddressKind.ABSTRACT
HOSTS = {"pypi.example": ("192.0.2.7", "2001:db8::7"), "localhost": ("127.0.0.1", "::1")}


def matcher(*texts: str) -> Matcher:
    """Rules bound without variables and links; hosts are those above."""
    rules = [parse_rule(text, Source("test", line, 1)) for line, text in enumerate(texts, 1)]
    return Matcher(bind_rules(rules, {}, {}, lambda path: path, look_up=lambda host: HOSTS.get(host, ())))


def ip(text: str, port: int = 80, scope: int = 0) -> Address:
    """An internet address from text."""
    address = ipaddress.ip_address(text)
    return inet(address.version, int(address), port, scope)


def allows(decided: Matcher, access: Access, address: Address) -> bool:
    """Whether the access goes ahead, whichever way it is asked."""
    first = decided.decide_address(access, address)
    assert decided.decide_address(access, address) is first
    return first.action.permits


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (ip("127.0.0.1", 8080), "127.0.0.1!8080"),
        (ip("::1"), "[::1]!80"),
        (ip("::ffff:10.1.2.3"), "10.1.2.3!80"),
        (ip("fe80::1", 80, 2), "[fe80::1%2]!80"),
        (ip("ff02::fb", 5353, 3), "[ff02::fb%3]!5353"),
        (ip("2001:db8::1", 80, 2), "[2001:db8::1]!80"),
        (ip("ff05::1", 80, 2), "[ff05::1]!80"),
        (Address(UNIX, "/run/x"), "unix:/run/x"),
        (Address(ABSTRACT, "/tmp/.X11-unix/X0"), "@/tmp/.X11-unix/X0"),
        (UNNAMED, "unix:unnamed"),
        (Address(AddressKind.NETLINK, number=0, groups=1), "netlink:route"),
        (Address(AddressKind.NETLINK, number=30), "netlink:30"),
        (Address(AddressKind.FAMILY, number=17), "family:packet"),
        (Address(AddressKind.FAMILY, number=99), "family:99"),
        (NOBODY, "nobody"),
    ],
)
def test_text(address: Address, text: str) -> None:
    """An address is written as a rule names it: mapped ones as IPv4, scopes where the kernel reads them."""
    assert str(address) == text


def test_families_are_those_of_the_kernel() -> None:
    """The numbers are those that Python's socket module has from the C library."""
    for name, number in families.FAMILIES.items():
        known = getattr(socket, f"AF_{name.upper()}", number)
        assert (name, known) == (name, number)
    for name, number in families.NETLINK_PROTOCOLS.items():
        known = getattr(socket, f"NETLINK_{name.upper()}", number)
        assert (name, known) == (name, number)
    numbers = (families.UNSPEC, families.UNIX, families.INET, families.INET6, families.NETLINK)
    expected = (socket.AF_UNSPEC, socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
    assert numbers == expected


@pytest.mark.parametrize(
    ("rule", "allowed", "denied"),
    [
        ("allow connect loopback!80", [ip("127.9.9.9"), ip("::1"), ip("::ffff:127.0.0.1")], [ip("::1", 81)]),
        ("allow connect loopback", [ip("0.0.0.0"), ip("::"), ip("::ffff:0.0.0.0")], [ip("10.0.0.1")]),
        ("allow send loopback", [ip("0.0.0.0"), ip("::")], [ip("128.0.0.1")]),
        ("allow bind loopback", [ip("127.0.0.1", 0)], [ip("0.0.0.0"), ip("::")]),
        ("allow bind local", [ip("192.168.1.1", 0)], [ip("0.0.0.0"), ip("::")]),
        ("allow bind 0.0.0.0", [ip("0.0.0.0")], [ip("::"), ip("127.0.0.1")]),
        ("allow bind ::!1-65535", [ip("::")], [ip("::", 0), ip("0.0.0.0")]),
        ("allow bind loopback!0", [ip("127.0.0.1", 0)], [ip("127.0.0.1", 1)]),
        ("allow connect 0.0.0.0", [], [ip("0.0.0.0"), ip("127.0.0.1")]),
        ("allow connect ::ffff:10.0.0.0/104", [ip("10.1.2.3")], [ip("11.0.0.1"), ip("::10.1.2.3")]),
        ("allow connect ::/0", [ip("2001:db8::1")], [ip("10.0.0.1"), ip("::ffff:10.0.0.1")]),
        ("allow connect 0.0.0.0/0", [ip("::ffff:10.0.0.1")], [ip("::1")]),
        (
            "allow connect fe80::/10",
            [ip("fe80::1", 80, 2), ip("fe80::1"), ip("febf::1", 80, 9)],
            [ip("fec0::")],
        ),
        ("allow connect [fe80::%2]/10!80", [ip("fe80::1", 80, 2)], [ip("fe80::1"), ip("fe80::1", 80, 3)]),
        ("allow connect PyPI.example!80", [ip("192.0.2.7"), ip("2001:db8::7")], [ip("192.0.2.7", 81)]),
        ("allow connect localhost", [ip("127.0.0.1"), ip("::1")], [ip("127.0.0.2")]),
        ("allow connect unix:/run/*/s", [Address(UNIX, "/run/a/s")], [Address(UNIX, "/run/s"), UNNAMED]),
        ("allow connect @*", [Address(ABSTRACT, ""), Address(ABSTRACT, "/t/\0x\n")], [Address(UNIX, "/t")]),
        ("allow connect @a/b", [Address(ABSTRACT, "a/b")], [Address(ABSTRACT, "a/bc")]),
        ("allow connect @a?{b,c}", [Address(ABSTRACT, "a/c")], [Address(ABSTRACT, "ab")]),
        ("allow bind unix:unnamed", [UNNAMED], [Address(ABSTRACT, "00000")]),
        (
            "allow send netlink:route",
            [Address(AddressKind.NETLINK, groups=5)],
            [Address(AddressKind.NETLINK, number=9), Address(AddressKind.FAMILY)],
        ),
        (
            "allow bind family:packet",
            [Address(AddressKind.FAMILY, number=17)],
            [Address(AddressKind.FAMILY, number=9), Address(AddressKind.NETLINK, number=17)],
        ),
        (
            "allow connect any",
            [ip("1.2.3.4"), ip("::"), Address(AddressKind.FAMILY, number=99), UNNAMED, Address(UNIX, "/x")],
            [],
        ),
    ],
)
def test_one_rule(rule: str, allowed: list[Address], denied: list[Address]) -> None:
    """A rule allows what it names, and nothing beside it."""
    decided = matcher(rule)
    access = parse_rule(rule, Source("test")).access
    assert [address for address in allowed if not allows(decided, access, address)] == []
    assert [address for address in denied if allows(decided, access, address)] == []


def test_only_the_named_access() -> None:
    """A rule about one access says nothing of the others, and without a rule all are denied."""
    decided = matcher("allow connect loopback")
    assert not allows(decided, Access.BIND, ip("127.0.0.1"))
    assert not allows(decided, Access.SEND, ip("127.0.0.1"))
    assert matcher().decide_address(Access.CONNECT, ip("127.0.0.1")).rule is None


def test_nobody_is_reached_by_dissolving() -> None:
    """Whatever the rules say, a connection may be dissolved."""
    assert allows(matcher("deny net any"), Access.CONNECT, NOBODY)


def test_the_last_rule_decides() -> None:
    """Prefix length does not matter, the place does; the rule is in the answer."""
    decided = matcher(
        "deny connect 10.1.2.3",
        "allow connect any",
        "deny connect 10.0.0.0/8!1-99",
        "allow connect 10.1.0.0/16",
    )
    found = {
        text: decided.decide_address(Access.CONNECT, ip(text)).rule
        for text in ("10.1.2.3", "10.2.0.1", "::5")
    }
    assert {text: rule and rule.index for text, rule in found.items()} == {
        "10.1.2.3": 3,
        "10.2.0.1": 2,
        "::5": 1,
    }


def test_forbidden_on_an_interface() -> None:
    """Who names no interface gets to any, so what is forbidden on one is forbidden there."""
    decided = matcher("allow connect fe80::/10", "deny connect [fe80::%2]/10")
    assert not allows(decided, Access.CONNECT, ip("fe80::1", 80, 2))
    assert not allows(decided, Access.CONNECT, ip("fe80::1", 80))
    assert allows(decided, Access.CONNECT, ip("fe80::1", 80, 3))


def test_cache_is_bounded() -> None:
    """More addresses than the cache holds, and very long names, do not grow it."""
    decided = matcher("allow connect 10.0.0.0/8")
    for number in range(CACHED_ADDRESSES + 10):
        decided.decide_address(Access.CONNECT, inet(4, number, 80))
    decided.decide_address(Access.CONNECT, Address(UNIX, "/a" * 1000))
    cache = decided._addresses[Access.CONNECT.bit_length()]._cache
    assert len(cache) <= CACHED_ADDRESSES
    assert all(len(address.name) < 300 for address in cache)


def _networks() -> st.SearchStrategy[str]:
    """Networks near the addresses below, so that rules meet them."""
    four = st.tuples(
        st.sampled_from(["10.0.0.0", "10.0.0.1", "10.0.3.0", "0.0.0.0", "127.0.0.1"]), st.integers(0, 32)
    )
    six = st.tuples(
        st.sampled_from(["::", "::1", "2001:db8::", "2001:db8::1", "::ffff:10.0.0.1", "fe80::"]),
        st.sampled_from([0, 1, 10, 32, 64, 96, 100, 104, 127, 128]),
    )
    return st.one_of(four, six).map(
        lambda pair: str(ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False))
    )


_PORTS = st.sampled_from(["", "!0", "!1", "!80", "!0-80", "!2-3", "!80-65535", "!0-65535", "!3-443"])
_PATTERNS = st.one_of(
    st.tuples(_networks(), _PORTS).map("".join),
    st.tuples(st.sampled_from(["loopback", "local"]), _PORTS).map("".join),
    st.sampled_from(["any", "unix:/a/*", "unix:/**", "unix:/a", "@*", "@a", "@a*", "@?", "unix:unnamed"]),
    st.sampled_from(["netlink:route", "netlink:9", "family:vsock"]),
)
_RULES = st.tuples(
    st.sampled_from(["allow", "deny", "warn", "hide"]),
    st.sampled_from(["connect", "bind", "send", "net", "connect,send"]),
    _PATTERNS,
).map(" ".join)
UNIVERSE = [
    *(
        ip(text, port)
        for text in (
            "10.0.0.0",
            "10.0.0.1",
            "10.0.2.9",
            "127.0.0.1",
            "127.3.2.1",
            "0.0.0.0",
            "192.168.0.1",
            "8.8.8.8",
        )
        for port in (0, 1, 3, 80, 65535)
    ),
    *(
        ip(text, port)
        for text in (
            "::",
            "::1",
            "::2",
            "2001:db8::",
            "2001:db8::1",
            "2001:db9::",
            "fe80::9",
            "::ffff:10.0.0.1",
            "fc00::1",
        )
        for port in (0, 2, 80, 443)
    ),
    *(Address(UNIX, path) for path in ("/", "/a", "/a/b", "/a/b/c")),
    *(Address(ABSTRACT, name) for name in ("", "a", "ab", "b", "/a")),
    UNNAMED,
    *(Address(AddressKind.NETLINK, number=number) for number in (0, 9, 10)),
    *(Address(AddressKind.FAMILY, number=number) for number in (9, 40)),
]
GROUPS = {
    "loopback": ["127.0.0.0/8", "::1"],
    "local": [
        *("127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("fe80::/10", "fc00::/7"),
    ],
}


def _oracle(pattern: str, access: Access, address: Address) -> bool:
    """Whether *pattern* matches, the slow and obvious way."""
    kind = address.kind
    if pattern == "any":
        return True
    if pattern == "unix:unnamed":
        return kind is AddressKind.UNNAMED
    if pattern.startswith("unix:"):
        wanted = {"unix:/**": True, "unix:/a": address.name == "/a"}
        in_a = address.name.startswith("/a/") and address.name.count("/") == 2
        return kind is UNIX and wanted.get(pattern, in_a)
    if pattern.startswith("@"):
        return kind is ABSTRACT and fnmatch.fnmatchcase(address.name, pattern[1:])
    if ":" in pattern and pattern.partition(":")[0] in ("netlink", "family"):
        return str(address) == pattern.replace("netlink:9", "netlink:audit")
    if kind is not AddressKind.INET:
        return False
    text, _, ports = pattern.partition("!")
    low, _, high = (ports or "0-65535").partition("-")
    if not int(low) <= address.port <= int(high or low):
        return False
    asked: ipaddress.IPv4Address | ipaddress.IPv6Address = (
        ipaddress.IPv4Address(address.number)
        if address.version == 4
        else ipaddress.IPv6Address(address.number)
    )
    if access is not Access.BIND and asked.is_unspecified:
        asked = ipaddress.ip_address("127.0.0.1" if asked.version == 4 else "::1")
    for network in map(ipaddress.ip_network, GROUPS.get(text, [text])):
        if asked in network:
            return True
        mapped = ipaddress.ip_address(f"::ffff:{asked}") if asked.version == 4 else asked
        if asked.version == 4 and network.version == 6 and network.prefixlen >= 96 and mapped in network:
            return True
    return False


@settings(max_examples=200)
@given(st.lists(_RULES, max_size=8))
def test_decides_as_trying_every_rule(texts: list[str]) -> None:
    """Every decision is that of the last rule that matches; what reach and uniform promise holds."""
    decided = matcher(*texts)
    rules = [parse_rule(text, Source("test")) for text in texts]
    for access in (Access.CONNECT, Access.BIND, Access.SEND):
        reach, uniform = decided.reach(access), decided.uniform(access, "/")
        for address in UNIVERSE:
            expected = None
            for index, rule in enumerate(rules):
                if access in rule.access and _oracle(rule.pattern, access, address):
                    expected = index
            decision = decided.decide_address(access, address)
            assert (decision.rule.index if decision.rule else None) == expected, (access, str(address))
            assert decision.action is (Action.DENY if expected is None else rules[expected].action)
            assert uniform in (None, decision.action)
            if decision.action.permits:
                assert reach.possible(*_family(address))


def _family(address: Address) -> tuple[int, int]:
    """Family and protocol of the socket that names *address*."""
    if address.kind is AddressKind.INET:
        return (socket.AF_INET if address.version == 4 else socket.AF_INET6), 0
    if address.kind is AddressKind.NETLINK:
        return socket.AF_NETLINK, address.number
    return (address.number if address.kind is AddressKind.FAMILY else socket.AF_UNIX), 0


@pytest.mark.parametrize(
    ("texts", "possible", "impossible"),
    [
        ([], [], [(1, 0), (2, 0), (10, 0), (16, 0), (17, 0)]),
        (["allow net any"], [(1, 0), (2, 0), (10, 0), (16, 0), (17, 0), (99, 0)], []),
        (["allow connect 10.0.0.0/8!80"], [(2, 0), (10, 0)], [(1, 0), (16, 0), (17, 0)]),
        (["allow connect ::1"], [(10, 0)], [(2, 0)]),
        (["allow bind unix:unnamed"], [(1, 0)], [(2, 0)]),
        (["allow bind netlink:route"], [(16, 0)], [(16, 9), (1, 0)]),
        (
            ["allow net any", "deny net family:packet", "deny net netlink:audit"],
            [(2, 0), (16, 0)],
            [(17, 0), (16, 9)],
        ),
        (["allow net any", "deny net 0.0.0.0/0"], [(10, 0), (1, 0)], [(2, 0)]),
        (["allow net any", "deny net 0.0.0.0/0!1-65535"], [(2, 0)], []),
        (["allow net unix:/run/**", "deny net unix:/**"], [], [(1, 0)]),
        (["allow net @a*", "deny net @*"], [], [(1, 0)]),
        (["allow net @a*", "deny net unix:/**"], [(1, 0)], []),
        (["allow net @a*", "deny connect any"], [(1, 0)], [(2, 0)]),
        (["ask net loopback"], [(2, 0), (10, 0)], [(1, 0)]),
        (["allow connect gone.example"], [], [(2, 0), (10, 0)]),
    ],
)
def test_reach(texts: list[str], possible: list[tuple[int, int]], impossible: list[tuple[int, int]]) -> None:
    """What the static filter builds on is found, not only never wrong."""
    reach = matcher(*texts).reach(Access.NET)
    assert [pair for pair in possible if not reach.possible(*pair)] == []
    assert [pair for pair in impossible if reach.possible(*pair)] == []


def _worst(decided: Matcher, addresses: list[Address]) -> float:
    """Seconds for 2,000 decisions without the cache, the best of several."""
    table = decided._addresses[Access.CONNECT.bit_length()]
    return min(
        timeit.repeat(
            lambda: [table.find(address) for address in addresses], number=2000 // len(addresses), repeat=9
        )
    )


def test_many_rules_cost_as_few() -> None:
    """A thousand rules, by prefix, port, path and name, decide about as quickly as ten (generous: twice)."""

    def rules(count: int) -> list[str]:
        texts = []
        for number in range(count // 5):
            texts += [
                f"allow connect 10.{number // 250}.{number % 250}.0/24!443",
                f"allow connect 127.0.0.1!{1000 + number}",
                f"allow connect [2001:db8:{number:x}::]/48",
                f"allow connect unix:/run/user/{number}/socket",
                f"allow connect @name-{number}",
            ]
        return texts

    asked = [ip("10.0.1.5", 443), ip("127.0.0.1", 1001), ip("2001:db8:1::5"), ip("8.8.8.8")]
    asked += [Address(UNIX, "/run/user/1/socket"), Address(ABSTRACT, "name-1"), ip("127.0.0.1", 9)]
    few, many = matcher(*rules(10)), matcher(*rules(1000))
    for decided in (few, many):
        assert [allows(decided, Access.CONNECT, address) for address in asked] == [
            *(True, True, True, False),
            *(True, True, False),
        ]
    assert _worst(many, asked) < 2 * _worst(few, asked)
