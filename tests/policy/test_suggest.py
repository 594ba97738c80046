"""The rule that would allow what was denied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.policy.access import FILE_ACCESSES, Access, Action
from sydd.policy.address import NOBODY, UNNAMED, Address, AddressKind, inet
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.rule import parse_rule
from sydd.policy.suggest import allowing_address_rule, allowing_rule

VALUES = {"cwd": "/home/me/src", "home": "/home/me", "tmp": "/tmp/s-1", "user": "me"}


@pytest.mark.parametrize(
    ("access", "path", "rule"),
    [
        (Access.CREATE, "/etc/x", "allow create /etc/x"),
        (Access.WRITE, "/home/me/.bashrc", "allow write ${home}/.bashrc"),
        (Access.CREATE | Access.MODIFY, "/home/me/src/a b", "allow create,modify ${cwd}/a b"),
        (Access.READ, "/home/me/src", "allow read ${cwd}"),
        (Access.READ, "/home/me2/x", "allow read /home/me2/x"),
        (Access.READ, "/tmp/s-1/a", "allow read ${tmp}/a"),
        (Access.READ, "/a*[b]{c}", "allow read /a\\*\\[b\\]\\{c\\}"),
        (Access.READ, "/a ", 'allow read "/a "'),
        (Access.READ, "/a #b", 'allow read "/a #b"'),
        (Access.READ, "/a\udcff\n", "allow read /a??"),
        (Access.READ, "/${home}", "allow read /$\\{home\\}"),
    ],
)
def test_shortest_good_form(access: Access, path: str, rule: str) -> None:
    """Variables stand where they fit, the path itself is named, wildcard characters are escaped."""
    assert allowing_rule(access, path, VALUES) == rule


def test_root_as_a_variable_is_not_used() -> None:
    """A home of / says nothing."""
    assert allowing_rule(Access.READ, "/etc/x", {"home": "/", "cwd": ""}) == "allow read /etc/x"


@given(
    st.sampled_from([Access(bit) for bit in Access if bit in FILE_ACCESSES]),
    st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), min_size=1),
    st.sampled_from(["", "/home/me", "/home/me/src", "/tmp/s-1"]),
)
def test_suggestion_allows(access: Access, names: list[str], start: str) -> None:
    """Added behind a denial of everything, the suggested rule allows the very access and no path below it."""
    names = [name for name in names if name not in (".", "..")] or ["a"]
    path = start + "/" + "/".join(names)
    rules = [parse_rule("deny " + access.name.lower() + " /**", Source("f"))] if access.name else []
    rules.append(parse_rule(allowing_rule(access, path, VALUES), Source("f")))
    matcher = Matcher(bind_rules(rules, VALUES, {}, lambda text: text))
    assert matcher.decide(access, path).action is Action.ALLOW
    assert matcher.decide(access, path + "/x").action is Action.DENY


@pytest.mark.parametrize(
    ("access", "address", "rule"),
    [
        (Access.CONNECT, inet(4, 0x7F000001, 80), "allow connect 127.0.0.1!80"),
        (Access.CONNECT | Access.SEND, inet(6, 1, 80), "allow connect,send [::1]!80"),
        (Access.CONNECT, inet(4, 0, 80), "allow connect 127.0.0.1!80"),
        (Access.BIND, inet(4, 0, 0), "allow bind 0.0.0.0!0"),
        (Access.CONNECT, Address(AddressKind.UNIX, "/home/me/s*"), "allow connect unix:${home}/s\\*"),
        (
            Access.CONNECT,
            Address(AddressKind.ABSTRACT, "/tmp/.X11-unix/X0"),
            "allow connect @/tmp/.X11-unix/X0",
        ),
        (Access.CONNECT, Address(AddressKind.ABSTRACT, "a "), 'allow connect "@a "'),
        (Access.CONNECT, Address(AddressKind.ABSTRACT, ""), "allow connect @{,}"),
        (Access.BIND, UNNAMED, "allow bind unix:unnamed"),
        (Access.SEND, Address(AddressKind.NETLINK, groups=1), "allow send netlink:route"),
        (Access.BIND, Address(AddressKind.FAMILY, number=40), "allow bind family:vsock"),
        (Access.CONNECT, NOBODY, ""),
    ],
)
def test_addresses(access: Access, address: Address, rule: str) -> None:
    """An address is named as the kernel understands it, by itself."""
    assert allowing_address_rule(access, address, VALUES) == rule


def _addresses() -> st.SearchStrategy[Address]:
    """Addresses that a call can name."""
    ports, scopes = st.integers(0, 65535), st.integers(0, (1 << 32) - 1)
    link_local = st.integers(0, (1 << 64) - 1).map((0xFE80 << 112).__or__)
    name = st.text(st.characters(exclude_characters="/\0"), min_size=1)
    path = st.lists(name.filter(lambda part: part not in (".", "..")), min_size=1).map("/".join)
    return st.one_of(
        st.builds(inet, st.just(4), st.integers(0, (1 << 32) - 1), ports),
        st.builds(inet, st.just(6), st.integers(0, (1 << 128) - 1) | link_local, ports, scopes),
        st.builds(Address, st.just(AddressKind.UNIX), path.map("/".__add__)),
        st.builds(Address, st.just(AddressKind.ABSTRACT), st.text()),
        st.builds(Address, st.just(AddressKind.NETLINK), st.just(""), st.integers(0, 31)),
        st.builds(Address, st.just(AddressKind.FAMILY), st.just(""), st.integers(17, 0xFFFF)),
        st.just(UNNAMED),
    )


@given(st.sampled_from([Access.CONNECT, Access.BIND, Access.SEND]), _addresses())
def test_suggestion_allows_an_address(access: Access, address: Address) -> None:
    """The suggested rule can be read, and allows the very access."""
    texts = ["deny net any", allowing_address_rule(access, address, VALUES)]
    rules = [parse_rule(text, Source("f")) for text in texts]
    matcher = Matcher(bind_rules(rules, VALUES, {}, lambda text: text))
    assert matcher.decide_address(access, address).action is Action.ALLOW
