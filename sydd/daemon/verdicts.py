"""What a session that runs would say about an access."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sydd.policy.access import NAMES, Access, bits, names
from sydd.policy.errors import PolicyError
from sydd.policy.words import did_you_mean
from sydd.session.address import read_address
from sydd.supervisor.event import NO_RULE

if TYPE_CHECKING:
    from sydd.policy.decision import Decision
    from sydd.policy.matcher import Matcher
    from sydd.session.prepare import Prepared


def verdicts(prepared: Prepared, matcher: Matcher, access: str, target: str) -> list[dict[str, Any]]:
    """The verdict about each single access that *access* names.

    Args:
        prepared: the session.
        matcher: the rules that hold now.
        access: as in a rule.
        target: a path, which may be relative to the session's directory, or an address.

    Raises:
        PolicyError: there is no such access, or no such address.
    """
    asked = Access(0)
    for word in access.split(","):
        if word not in NAMES:
            hint = did_you_mean(word, NAMES, f"accesses are {', '.join(NAMES)}")
            raise PolicyError(f"unknown access '{word}'", None, hint)
        asked |= NAMES[word]
    return [_verdict(prepared, matcher, bit, target) for bit in bits(asked)]


def _verdict(prepared: Prepared, matcher: Matcher, access: Access, target: str) -> dict[str, Any]:
    plan = prepared.plan
    if access not in Access.NET:
        path = os.path.realpath(os.path.join(prepared.place.cwd, target))
        allow = prepared.suggest(access, path)
        return _plain(prepared, access, path, matcher.decide(access, path), allow)
    if plan.sockets is None or plan.sockets.makes_none:
        # Sockets are decided when they are made, by what the policy says about connect.
        return _plain(prepared, access, target, matcher.decide(Access.CONNECT, ""), "allow net any")
    address = read_address(target).meant(access)
    allow = prepared.suggest_address(access, address)
    return _plain(prepared, access, str(address), matcher.decide_address(access, address), allow)


def _plain(prepared: Prepared, access: Access, judged: str, decision: Decision, allow: str) -> dict[str, Any]:
    permitted = decision.action.permits
    rule = decision.rule
    return {
        "allowed": permitted or prepared.plan.engine.value == "audit",
        "action": decision.action.value,
        "access": names(access),
        "object": judged,
        "rule": rule.rule.text if rule else NO_RULE,
        "source": str(rule.rule.source) if rule else "",
        "allow": "" if permitted else allow,
    }
