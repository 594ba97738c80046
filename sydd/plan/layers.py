"""The layers of a plan, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sydd.plan.plan import Plan


def layers(plan: Plan) -> str:
    """The layers that *plan* uses, in one line."""
    words = ["seccomp filter"]
    if plan.landlock is not None and plan.landlock.handled:
        count = len(plan.landlock.rules)
        words.append(f"Landlock ({count} rule{'' if count == 1 else 's'})")
    if any(entry.enforcement.value not in ("free", "kernel") for entry in plan.accesses):
        words.append("supervisor")
    if plan.network.private:
        words.append("network namespace")
    return " + ".join(words)
