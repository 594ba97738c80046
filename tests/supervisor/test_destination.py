"""What addresses are called."""

from __future__ import annotations

import socket
from pathlib import Path

from sydd.policy.address import UNNAMED, inet
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.rule import parse_rule
from sydd.supervisor.destination import NOWHERE, Destinations, services

TEXT = """
# comment
http\t80/tcp\twww   # World Wide Web
domain 53/udp
domain 53/tcp
broken
odd x/tcp
late 80/tcp
"""
HOSTS = {"pypi.example": ("192.0.2.7", "2001:db8::7"), "other.example": ("192.0.2.7",)}


def test_services(tmp_path: Path) -> None:
    """The first name counts; what is no service is passed over, and so is a file that is not there."""
    path = tmp_path / "services"
    path.write_text(TEXT, encoding="ascii")
    assert services(str(path)) == {(80, "tcp"): "http", (53, "udp"): "domain", (53, "tcp"): "domain"}
    assert services(str(tmp_path / "missing")) == {}


def test_hosts() -> None:
    """Every name that a rule has for an address; networks have none, and other kinds of addresses neither."""
    texts = ("allow connect pypi.example!443", "deny send other.example", "allow connect 192.0.2.0/24")
    rules = [parse_rule(text, Source("test", 1, 1)) for text in texts]
    bound = bind_rules(rules, {}, {}, lambda path: path, look_up=lambda host: HOSTS.get(host, ()))
    names = Destinations(bound)
    assert names.of(inet(4, 0xC0000207, 40001), socket.SOCK_STREAM).host == "pypi.example, other.example"
    assert names.of(inet(6, 0x20010DB8 << 96 | 7, 40001), socket.SOCK_STREAM).host == "pypi.example"
    assert names.of(inet(4, 0xC0000208, 40001), socket.SOCK_STREAM).host == ""
    assert names.of(UNNAMED, socket.SOCK_STREAM) == NOWHERE
