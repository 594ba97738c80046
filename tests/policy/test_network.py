"""Network patterns: what they are read as, and what is said about wrong ones."""

from __future__ import annotations

import pytest

from sydd.policy.errors import PolicyError, Source
from sydd.policy.network import NetKind, parse_net_pattern
from sydd.policy.rule import parse_rule


@pytest.mark.parametrize(
    ("text", "kind", "networks", "ports"),
    [
        ("any", NetKind.ANY, [], (0, 65535)),
        ("127.0.0.0/8!1024-65535", NetKind.INET, ["127.0.0.0/8"], (1024, 65535)),
        ("10.1.2.3", NetKind.INET, ["10.1.2.3/32"], (0, 65535)),
        ("::1!80", NetKind.INET, ["::1/128"], (80, 80)),
        ("[2001:db8::]/32!443", NetKind.INET, ["2001:db8::/32"], (443, 443)),
        (
            "local",
            NetKind.INET,
            [
                *(
                    "127.0.0.0/8",
                    "::1/128",
                    "10.0.0.0/8",
                    "172.16.0.0/12",
                    "192.168.0.0/16",
                    "169.254.0.0/16",
                ),
                *("fe80::/10", "fc00::/7"),
            ],
            (0, 65535),
        ),
        ("loopback!0", NetKind.INET, ["127.0.0.0/8", "::1/128"], (0, 0)),
        ("unix:unnamed", NetKind.UNNAMED, [], (0, 65535)),
        ("unix:/run/*/socket", NetKind.UNIX, [], (0, 65535)),
        ("unix:${tmp}/**", NetKind.UNIX, [], (0, 65535)),
        ("@dbus-*", NetKind.ABSTRACT, [], (0, 65535)),
        ("netlink:route", NetKind.NETLINK, [], (0, 65535)),
        ("family:packet", NetKind.FAMILY, [], (0, 65535)),
        ("::ffff:10.0.0.0/104!80", NetKind.INET, ["10.0.0.0/8"], (80, 80)),
        ("::ffff:0:0/96", NetKind.INET, ["0.0.0.0/0"], (0, 65535)),
        ("fe80::1%2!80", NetKind.INET, ["fe80::1%2/128"], (80, 80)),
        ("[fe80::%2/10]!80", NetKind.INET, ["fe80::%2/10"], (80, 80)),
        ("[ff02::%3]/16", NetKind.INET, ["ff02::%3/16"], (0, 65535)),
        ("pypi.org!443", NetKind.INET, [], (443, 443)),
        ("registry.", NetKind.INET, [], (0, 65535)),
        ("localhost", NetKind.INET, [], (0, 65535)),
    ],
)
def test_parse(text: str, kind: NetKind, networks: list[str], ports: tuple[int, int]) -> None:
    """Each form is read into its parts, in a rule too."""
    pattern = parse_net_pattern(text, {"tmp": "/tmp/x"}, {}, Source("f", 1, 1))
    assert (pattern.kind, [str(network) for network in pattern.networks], pattern.ports) == (
        kind,
        networks,
        ports,
    )
    assert parse_rule(f"allow connect {text}", Source("f", 1, 1)).pattern == text


def test_abstract_name_is_a_glob() -> None:
    """The name of an abstract socket, slashes aside, is matched as a whole."""
    pattern = parse_net_pattern("@dbus-${user}*", {"user": "m*"}, {}, Source("f"))
    assert pattern.name is not None
    assert pattern.name.fullmatch("dbus-m*1")
    assert not pattern.name.fullmatch("dbus-me")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("PyPI.org", "pypi.org"),
        ("xn--bcher-kva.example.", "xn--bcher-kva.example."),
        ("_srv.example.org!80", "_srv.example.org"),
        ("localhost!80", "localhost"),
        ("a-1.b2", "a-1.b2"),
        ("10.0.0.1", ""),
        ("loopback", ""),
    ],
)
def test_host_names(text: str, host: str) -> None:
    """What is a name is kept, in lower case; nobody is asked for it here."""
    assert parse_net_pattern(text, {}, {}, Source("f")).host == host


@pytest.mark.parametrize(
    "text",
    [
        "127.1",
        "1.2.3",
        "10.0.0.256",
        "0x7f.0x1",
        "1.2.3.",
        "a..b",
        ".a",
        "-a.b",
        "a-.b",
        "a.b-",
        "a." + "b" * 64,
    ],
)
def test_what_is_no_host_name(text: str) -> None:
    """Numbers that getaddrinfo(3) would take for addresses, and what DNS does not know, are errors."""
    with pytest.raises(PolicyError, match="is no network address"):
        parse_net_pattern(text, {}, {}, Source("f"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("lopback", "f:1:15: 'lopback' is no network address (did you mean 'loopback'?)"),
        (
            "registry!80",
            (
                "f:1:15: 'registry' is no network address"
                " (for a host of that name write 'registry.', with a dot behind it)"
            ),
        ),
        (
            "example.org/24",
            "f:1:15: 'example.org/24' is no network address (a host name has no prefix length)",
        ),
        (
            "example.org:80",
            "f:1:15: 'example.org:80' is no network address (a port comes after '!': 'example.org!80')",
        ),
        (
            "bücher.example",
            (
                "f:1:15: 'bücher.example' is no network address"
                " (write a host name in its ASCII form, which begins with 'xn--')"
            ),
        ),
        (
            "fe80::1%eth0",
            (
                "f:1:23: 'eth0' is no index of an interface"
                " (write the index that 'ip link' shows; names are not looked up)"
            ),
        ),
        (
            "2001:db8::%2/32!80",
            (
                "f:1:26: only link-local addresses have an interface"
                " (they are fe80::/10 and the multicast addresses of a link)"
            ),
        ),
        ("family:pakcet", "f:1:22: unknown socket family 'pakcet' (did you mean 'packet'?)"),
        ("family:2", "f:1:22: family '2' has patterns for its addresses (as in '0.0.0.0/0')"),
        ("family:unix", "f:1:22: family 'unix' has patterns for its addresses (as in 'unix:/**')"),
        (
            "10.0.0.1:80",
            "f:1:15: '10.0.0.1:80' is no network address (a port comes after '!': '10.0.0.1!80')",
        ),
        ("10.0.0.1/8", "f:1:15: '10.0.0.1/8' has bits after its prefix (did you mean '10.0.0.0/8'?)"),
        ("10.0.0.0/33", "f:1:24: '33' is no prefix length (0 to 32)"),
        (
            "loopback!http",
            (
                "f:1:24: 'http' is no port"
                " (write a number, or two with '-' between; names of services are not looked up)"
            ),
        ),
        ("loopback!70000", "f:1:24: port 70000 is too high (the last port is 65535)"),
        ("loopback!9-1", "f:1:24: port range '9-1' is backwards (write '1-9')"),
        (
            "unix:run/x",
            (
                "f:1:20: 'run/x' is not an absolute path"
                " (write 'unix:/path', '@name' for an abstract socket, 'unix:unnamed' for one without name)"
            ),
        ),
        ("unix:/run/[x", "f:1:25: '[' is never closed (write '\\[' for the character itself)"),
        ("@", "f:1:15: no name after '@' (write '@*' for every abstract socket)"),
        ("netlink:rote", "f:1:23: unknown netlink family 'rote' (did you mean 'route'?)"),
        ("${host}!80", "f:1:15: '${host}' in an address (variables go into unix: and @ patterns)"),
    ],
)
def test_errors(text: str, error: str) -> None:
    """A wrong part is quoted, pointed at, and put right."""
    with pytest.raises(PolicyError) as caught:
        parse_rule(f"allow connect {text}", Source("f", 1, 1))
    assert str(caught.value) == error
