"""From `[network]` and the engine to the namespace that the command's sockets are in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sydd.plan.engine import Engine

if TYPE_CHECKING:
    from sydd.policy.netsettings import NetSettings

_HOST = "the caller's"


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """Whose network the command has.

    Attributes:
        private: whether it gets a network namespace of its own, with loopback alone.
        user_namespace: whether that takes a user namespace, since who launches it may make no other.
        groups: of ``restricted.py``, which the filter refuses because of it.
        why: for people.
    """

    private: bool = False
    user_namespace: bool = False
    groups: frozenset[str] = frozenset()
    why: str = _HOST


def plan_network(network: NetSettings, engine: Engine, *, administers: bool) -> NetworkPlan:
    """What *network* comes to under *engine*.

    Args:
        network: of the policy.
        engine: the layers in use.
        administers: whether sydd may make namespaces without a user namespace (CAP_SYS_ADMIN).

    Raises:
        ValueError: a session inside another one cannot have a network of its own.
    """
    if not network.private:
        return NetworkPlan()
    if engine is Engine.AUDIT:
        return NetworkPlan(why=f"{_HOST}; audit mode makes no private one, which would stop everything")
    if engine is Engine.NESTED:
        msg = (
            '[network] namespace = "private" cannot be had inside a session, which may make no namespaces: '
            "let the outer profile say it"
        )
        raise ValueError(msg)
    how = "" if administers else ", by a user namespace"
    return NetworkPlan(
        private=True,
        user_namespace=not administers,
        groups=frozenset({"families"}),
        why=f"its own, with loopback alone{how}",
    )
