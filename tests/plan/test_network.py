"""`[network]` in a plan: whose network it is, what the filter refuses for it, where there is none."""

from __future__ import annotations

import errno
import socket

import pytest

from sydd.kernel.landlock import rights_of_abi
from sydd.plan.filter import Disposition, Outcome
from sydd.plan.plan import Engine, Plan, compile_plan
from sydd.policy.bind import bind_rules
from sydd.policy.errors import Source
from sydd.policy.matcher import Matcher
from sydd.policy.netsettings import NetSettings
from sydd.policy.policy import Policy
from sydd.policy.rule import parse_rule
from sydd.syscalls.table import number
from tests.plan.faketree import FakeTree

RULES = (parse_rule("allow net any", Source("test")), parse_rule("allow attributes /**", Source("test")))
SUPERVISED = (Engine.HYBRID, Engine.SUPERVISOR, Engine.LANDLOCK)


def planned(namespace: str | None, engine: Engine, *, administers: bool = False) -> Plan:
    """The plan of a policy that allows every socket."""
    tree = FakeTree({})
    return compile_plan(
        Policy("test", rules=RULES, network=NetSettings(namespace)),
        Matcher(bind_rules(RULES, {}, {}, tree.realpath)),
        tree,
        engine=engine,
        rights=rights_of_abi(7),
        scoped=0,
        arch="x86_64",
        administers=administers,
    )


@pytest.mark.parametrize("engine", SUPERVISED)
@pytest.mark.parametrize("administers", [False, True])
def test_private(engine: Engine, administers: bool) -> None:
    """By a user namespace where it takes one; sockets of four families, and no others."""
    plan = planned("private", engine, administers=administers)
    assert plan.network.private
    assert plan.network.user_namespace is not administers
    assert ("user namespace" in plan.network.why) is not administers
    allowed, call = Outcome(Disposition.ALLOW), number("x86_64", "socket")
    made = {family for family in range(64) if plan.filter.decide(call, (family, 1, 0, 0, 0, 0)) == allowed}
    assert made == {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    (narrow,) = [part for part in plan.filter.beside if part.arch == "i386"]
    refused = Outcome(Disposition.ERRNO, errno.EAFNOSUPPORT)
    assert narrow.decide(number("i386", "socketcall"), (1, 0, 0, 0, 0, 0)) == refused
    assert narrow.decide(number("i386", "socketcall"), (3, 0, 0, 0, 0, 0)) != refused


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("namespace", [None, "host"])
def test_host(engine: Engine, namespace: str | None) -> None:
    """Nothing is made and nothing refused for it."""
    plan = planned(namespace, engine)
    assert not plan.network.private
    vsock = plan.filter.decide(number("x86_64", "socket"), (40, 1, 0, 0, 0, 0))
    assert vsock == Outcome(Disposition.ALLOW)


def test_audit() -> None:
    """What stops nothing makes no wall; the plan says so."""
    plan = planned("private", Engine.AUDIT)
    assert not plan.network.private
    assert not plan.network.groups
    assert "audit" in plan.network.why


def test_nested() -> None:
    """There is none inside a session: refused, not left out."""
    with pytest.raises(ValueError, match="cannot be had inside a session"):
        planned("private", Engine.NESTED, administers=True)
