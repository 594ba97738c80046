"""A plan for people, and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum, Flag
from typing import TYPE_CHECKING, Any

from sydctl.text import printable
from sydd.plan.layers import layers
from sydd.policy.access import Access, names

if TYPE_CHECKING:
    from sydd.plan.plan import Plan
    from sydd.session.prepare import Prepared

RULES_SHOWN = 30


def show(ready: Prepared, *, as_json: bool) -> None:
    """Print the plan of *ready*."""
    if as_json:
        import json

        print(json.dumps(as_plain(ready), indent=2, ensure_ascii=False))
    else:
        print(as_text(ready), end="")


def as_text(ready: Prepared) -> str:
    """Who enforces what, the ruleset, and the filter."""
    plan = ready.plan
    place, mode = ready.place, ready.policy.mode.value
    lines = [
        f"profile {printable(plan.profile)}, mode {mode}, engine {plan.engine.value}, for {plan.arch}",
        f"layers: {layers(plan)}",
        f"cwd {printable(place.cwd)}, home {printable(place.home)}, tmp {printable(place.tmp)}",
        "",
        "who enforces what:",
    ]
    lines[3:3] = [f"network: {plan.network.why}"]
    width = max(len(names(entry.access)) for entry in plan.accesses)
    by = max(len(entry.enforcement.value) for entry in plan.accesses)
    for entry in plan.accesses:
        access, enforcement = names(entry.access), entry.enforcement.value
        lines.append(f"  {access:<{width}}  {enforcement:<{by}}  {printable(entry.why)}")
    used = dict.fromkeys(entry.enforcement for entry in plan.accesses)
    lines += ["", *(f"  {enforcement.value}: {enforcement.meaning}" for enforcement in used)]
    if plan.landlock is not None:
        lines += ["", *_ruleset(plan)]
    lines += ["", "seccomp filter:"]
    lines += [f"  {line}" for line in plan.filter.describe()]
    return "\n".join(lines) + "\n"


def _ruleset(plan: Plan) -> list[str]:
    ruleset = plan.landlock
    if ruleset is None:
        return []
    lines = [f"Landlock ruleset: handles {_rights(ruleset.handled)}; free {_rights(ruleset.free)}"]
    lines += [
        f"  {printable(rule.path)}{'/**' if rule.directory else ''}: {_rights(rule.rights)}"
        for rule in ruleset.rules[:RULES_SHOWN]
    ]
    if len(ruleset.rules) > RULES_SHOWN:
        lines.append(f"  … and {len(ruleset.rules) - RULES_SHOWN} more; --json has all")
    return lines


def _rights(rights: Flag) -> str:
    return ", ".join(str(right.name).lower() for right in rights) or "nothing"


def as_plain(ready: Prepared) -> dict[str, Any]:
    """The plan as values that JSON has."""
    plan = ready.plan
    value = {field.name: plain(getattr(plan, field.name)) for field in dataclasses.fields(plan)}
    for entry, item in zip(plan.accesses, value["accesses"], strict=True):
        item["meaning"] = entry.enforcement.meaning
    value["mode"] = ready.policy.mode.value
    value["place"] = plain(ready.place)
    value["layers"] = layers(plan)
    return value


def plain(value: Any) -> Any:
    """A value of plans, policies or features as JSON can hold it."""
    if isinstance(value, Access):
        return names(value)
    if isinstance(value, Flag):
        return [str(bit.name).lower() for bit in value]
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(item) for name, item in zip(value._fields, value, strict=True)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, str):
        # Bytes of a path that are not UTF-8: valid JSON needs them escaped.
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value if value is None or isinstance(value, bool | int | float) else str(value)
