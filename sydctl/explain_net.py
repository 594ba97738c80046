"""`sydctl explain` for `connect`, `bind` and `send`: what a profile says about one access to one address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydctl.explain import Explanation

if TYPE_CHECKING:
    from sydd.policy.access import Access
    from sydd.policy.decision import Decision
    from sydd.session.prepare import Prepared


def explain_net(ready: Prepared, access: Access, text: str) -> Explanation:
    """The answer about *access* to the address that *text* is.

    Where no address may be allowed, or all may, sockets are decided when they are made, by what the policy
    says about connect.

    Raises:
        PolicyError: it is no address.
    """
    from sydd.policy.access import Access as Accesses
    from sydd.session.address import read_address

    if ready.plan.sockets is None or ready.plan.sockets.makes_none:
        decision = ready.matcher.decide(Accesses.CONNECT, "")
        allowed = decision.action.permits or ready.plan.engine.value == "audit"
        layer = "a socket can be made" if allowed else "a socket cannot be made"
        return _explanation(ready, access, decision, "", layer, allowed=allowed, allow="allow net any")
    address = read_address(text).meant(access)
    decision = ready.matcher.decide_address(access, address)
    allowed = decision.action.permits
    if access is Accesses.SEND and not ready.plan.sockets.datagrams:
        layer = "a socket that sends without a connection cannot be made"
        return _explanation(
            ready,
            access,
            decision,
            str(address),
            layer,
            allowed=False,
            allow=ready.suggest_address(access, address),
        )
    layer = "done by the supervisor" if allowed else "refused by the supervisor"
    if not allowed and access is not Accesses.BIND and ready.plan.sockets.follow_bind:
        layer += ", unless a socket of the session is bound to it"
    allow = ready.suggest_address(access, address)
    return _explanation(ready, access, decision, str(address), layer, allowed=allowed, allow=allow)


def _explanation(
    ready: Prepared,
    access: Access,
    decision: Decision,
    path: str,
    layer: str,
    *,
    allowed: bool,
    allow: str,
) -> Explanation:
    from sydd.policy.access import names
    from sydd.supervisor.event import NO_RULE

    entry = next(entry for entry in ready.plan.accesses if entry.access == access)
    rule = decision.rule
    return Explanation(
        access=names(access),
        path=path,
        exists=True,
        action=decision.action.value,
        allowed=allowed,
        rule=rule.rule.text if rule else NO_RULE,
        rule_source=str(rule.rule.source) if rule else "",
        enforcement=entry.enforcement.value,
        why=entry.why,
        layer=layer,
        allow="" if allowed else allow,
    )
