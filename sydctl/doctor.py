"""`sydctl doctor`: what this kernel has for sydd, what each feature gives, and what is lost without it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sydctl.text import printable

if TYPE_CHECKING:
    from sydd.kernel.probe import Feature, Features

EXIT_UNUSABLE = 1

DESCRIPTION = """\
Ask the kernel for everything that sydd uses, as far as this user may use it, and tell which engine a session
will have here."""

EPILOG = """\
exit status: 0 when sydd can run here, 1 when it cannot, 2 for bad arguments.

examples:
  sydctl doctor
  sydctl doctor --json
"""

REQUIRED = ("user_notification", "wait_killable", "addfd", "openat2", "process_vm_readv")
"""Without one of these no session starts."""

YAMA_FOR_ROOT = 2
"""From this level of ptrace_scope on, a parent may not read its child's memory."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl doctor`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl doctor`."""
    from sydd.kernel.probe import probe

    features = probe()
    problems = _problems(features)
    engine = _engine(features)
    if arguments.json:
        import json

        print(json.dumps(_as_plain(features, engine, problems), indent=2))
    else:
        print("\n".join(_lines(features, engine, problems)))
    return EXIT_UNUSABLE if problems else 0


def _engine(features: Features) -> str:
    from sydd.plan.plan import pick_engine
    from sydd.policy.policy import Mode
    from sydd.session.inside import is_supervised

    landlock = bool(features.landlock_abi)
    return pick_engine(Mode.ENFORCE, None, landlock, supervised=landlock and is_supervised()).value


def _problems(features: Features) -> list[str]:
    """Why no session can start here; empty when one can."""
    import os

    from sydd.syscalls.table import native

    by_name = {feature.name: feature for feature in features}
    problems = [
        f"{name} is missing: Linux {by_name[name].kernel}, or a container's filter that allows it, is needed"
        for name in REQUIRED
        if not by_name[name]
    ]
    level = features.yama_scope.value
    if isinstance(level, int) and level >= YAMA_FOR_ROOT and os.geteuid() != 0:
        problems.append(
            f"kernel.yama.ptrace_scope is {level}: only root may supervise here (set it to 1 with sysctl)"
        )
    try:
        native()
    except NotImplementedError as error:
        problems.append(str(error))
    return problems


def _value(feature: Feature) -> str:
    if isinstance(feature.value, bool):
        return "yes" if feature.value else "no"
    return str(feature.value) if feature.value != "" else "no"


def _lines(features: Features, engine: str, problems: list[str]) -> list[str]:
    width = max(len(feature.name) for feature in features)
    lines = [f"Linux {features.release}, {features.machine}", ""]
    for feature in features:
        needed = f"Linux {feature.kernel}" if feature.kernel else ""
        lines.append(f"{feature.name:<{width}}  {_value(feature):<14}  {needed:<10}  {feature.gives}")
        pad = " " * (width + 2)
        if feature.detail:
            lines.append(f"{pad}{feature.detail}")
        if not feature and feature.name != "yama_scope":
            lines.append(f"{pad}without it: {feature.lost}")
        elif feature.name == "yama_scope":
            lines.append(f"{pad}lost: {feature.lost}")
    lines.append("")
    if problems:
        lines.append("sydd cannot run here:")
        lines += [f"  {problem}" for problem in problems]
    else:
        lines.append(f"sydd runs here, with the {engine} engine.")
    return [printable(line) for line in lines]


def _as_plain(features: Features, engine: str, problems: list[str]) -> dict[str, Any]:
    from sydctl.planview import plain

    return {
        "release": features.release,
        "machine": features.machine,
        "landlock_rights": plain(features.landlock_rights),
        "landlock_scopes": plain(features.landlock_scopes),
        "features": [{**plain(feature), "present": bool(feature)} for feature in features],
        "engine": None if problems else engine,
        "problems": problems,
    }
