"""Rules bound to a session."""

from __future__ import annotations

import pytest

from sydd.policy.access import Access, Action
from sydd.policy.bind import bind_rules
from sydd.policy.errors import PolicyError, Source
from sydd.policy.matcher import Matcher
from sydd.policy.network import NetKind
from sydd.policy.rule import parse_rule

LINKS = {"/bin": "/usr/bin", "/home": "/data/home", "/run/app": "/run/app-1"}


def realpath(path: str) -> str:
    """A file system with the links above."""
    for link, target in LINKS.items():
        if path == link or path.startswith(link + "/"):
            return target + path[len(link) :]
    return path


def globs(text: str, **variables: str) -> list[str]:
    """The patterns that a rule comes to."""
    (bound,) = bind_rules([parse_rule(text, Source("f", 1, 1))], variables, {}, realpath)
    return [glob.text for glob in bound.globs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deny read /etc/passwd", ["/etc/passwd"]),
        ("deny read /bin/**", ["/usr/bin/**", "/bin/**"]),
        ("deny read /bin", ["/usr/bin", "/bin"]),
        ("deny read /bin/sh", ["/usr/bin/sh"]),
        ("deny read /bin/py*/**", ["/usr/bin/py*/**", "/bin/py*/**"]),
        ("deny read ${home}/.{a,b/**}", ["/data/home/me/.a", "/data/home/me/.b/**"]),
        ("deny read /**", ["/**"]),
        ("deny read /", ["/"]),
        ("deny read /{bin,usr/bin}/**", ["/usr/bin/**", "/bin/**"]),
        ("deny read ${odd}/x", ["/w/../x/x"]),
        ("deny read /dev/fd/*", ["/dev/fd/*"]),
        ("deny read /proc/self/mem", ["/proc/self/mem"]),
    ],
)
def test_canonical(text: str, expected: list[str]) -> None:
    """Links on the way are followed, the name as written stays, braces are written out."""
    assert globs(text, home="/home/me", odd="/w/../x") == expected


def test_link_itself_is_covered() -> None:
    """A denied link can be reached neither by its target's name nor by its own."""
    rules = [parse_rule("deny write /run/app/**", Source("f")), parse_rule("allow write /x", Source("f"))]
    matcher = Matcher(bind_rules(rules, {}, {}, realpath))
    for path in ("/run/app", "/run/app-1", "/run/app-1/x"):
        decision = matcher.decide(Access.DELETE, path)
        assert decision.action is Action.DENY
        assert decision.rule is not None


def test_wildcards_in_link_targets_are_literal() -> None:
    """A link to a name with wildcard characters makes no wider rule."""
    rule = parse_rule("allow write /a/**", Source("f"))
    (bound,) = bind_rules([rule], {}, {}, lambda path: "/odd*" if path == "/a" else path)
    assert [glob.literal_prefix for glob in bound.globs] == ["/odd*", "/a"]


def test_index_and_net() -> None:
    """A bound rule knows its place; a network rule has its pattern instead of globs."""
    rules = [parse_rule(text, Source("f")) for text in ("deny read /a", "allow connect unix:/bin/s*")]
    file, net = bind_rules(rules, {}, {}, realpath)
    assert (file.index, file.net) == (0, None)
    assert (net.index, net.globs) == (1, ())
    assert net.net is not None
    assert net.net.kind is NetKind.UNIX
    assert [glob.text for glob in net.net.globs] == ["/usr/bin/s*", "/bin/s*"]


def test_error_points_into_the_pattern() -> None:
    """An unknown variable is pointed at in its rule."""
    with pytest.raises(PolicyError) as caught:
        globs("deny read /x/${hoem}", home="/h")
    assert str(caught.value) == "f:1:14: unknown variable '${hoem}' (did you mean 'home'?)"


def test_hosts_are_looked_up_once() -> None:
    """All rules about a host mean the same addresses; one that is IPv4-mapped is the IPv4 address."""
    asked = []

    def look_up(host: str) -> tuple[str, ...]:
        asked.append(host)
        return ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1")

    rules = [parse_rule(text, Source("f")) for text in ("allow connect a.example!80", "deny send A.example")]
    first, second = bind_rules(rules, {}, {}, realpath, look_up=look_up)
    assert asked == ["a.example"]
    assert first.net is not None
    assert second.net is not None
    assert first.net.networks == second.net.networks
    assert [str(network) for network in first.net.networks] == ["192.0.2.1/32", "2001:db8::1/128"]


def test_a_host_that_does_not_resolve() -> None:
    """A rule that permits it allows nothing; one that forbids it would let everything pass: an error."""
    (bound,) = bind_rules([parse_rule("allow connect a.example", Source("f"))], {}, {}, realpath)
    assert bound.net is not None
    assert bound.net.networks == ()
    with pytest.raises(PolicyError) as caught:
        bind_rules([parse_rule("deny connect a.example", Source("f", 1, 1))], {}, {}, realpath)
    expected = "f:1:14: 'a.example' does not resolve (what it forbids cannot be known; write the address)"
    assert str(caught.value) == expected
