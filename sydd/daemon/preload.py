"""What workers, keepers and errands import: main does so before it forks any, and they start at once."""

from __future__ import annotations

import contextlib
import importlib
from typing import Final

MODULES: Final = (
    "pickle",
    "pwd",
    "sydd.daemon.keeper",
    "sydd.daemon.worker",
    "sydd.plan.bpf",
    "sydd.plan.filter",
    "sydd.plan.landlock",
    "sydd.policy.lint",
    "sydd.policy.profile",
    "sydd.profiles.store",
    "sydd.session.hosts",
    "sydd.session.launching",
    "sydd.session.prepare",
    "sydd.session.temporary",
    "sydd.supervisor.worker",
)


def everything() -> None:
    """Import them, and have what they compute once computed."""
    for name in MODULES:
        importlib.import_module(name)
    from sydd.kernel import landlock_calls
    from sydd.kernel.probe import probe

    with contextlib.suppress(OSError):  # a kernel without Landlock
        landlock_calls.abi()
    probe()
