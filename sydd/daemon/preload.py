"""What workers, keepers and errands import: main does so before it forks the zygote; they start at once."""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Final

from sydd.daemon import layout

MODULES: Final = (
    "difflib",
    "ipaddress",
    "pickle",
    "pwd",
    "sydd.daemon.blank",
    "sydd.kernel.sockdiag",
    "sydd.plan.bpf",
    "sydd.plan.filter",
    "sydd.plan.landlock",
    "sydd.policy.addresstable",
    "sydd.policy.lint",
    "sydd.policy.profile",
    "sydd.profiles.store",
    "sydd.session.hosts",
    "sydd.session.launching",
    "sydd.session.prepare",
    "sydd.session.sockdiag",
    "sydd.session.temporary",
    "sydd.supervisor.worker",
)

MISTAKES: Final = ("sydd.policy.model",)
"""What a profile with a mistake needs besides: it takes as long as all the rest."""


def everything() -> None:
    """Import them, and have what they compute once computed.

    With `rest` nothing is left that a process forked from this one might import from sydd's files, in the
    place of which another version may have been installed meanwhile.
    """
    for name in MODULES:
        importlib.import_module(name)
    from sydd.daemon import rehearsal
    from sydd.kernel import landlock_calls
    from sydd.kernel.probe import probe
    from sydd.syscalls.table import rows_by_arch

    landlock_calls.abi()
    probe()
    rows_by_arch(os.uname().machine)
    _warm_up()
    rehearsal.sample()
    layout.settle()


def rest() -> None:
    """Import what is hardly ever needed, once there is time for it; without memory for it, do without."""
    with contextlib.suppress(ImportError, MemoryError):
        for name in MISTAKES:
            importlib.import_module(name)
    with contextlib.suppress(MemoryError):
        layout.settle()


def _warm_up() -> None:
    """Prepare what every session of a system's profile has in common: what is parsed and compiled is kept.

    Only pure functions keep something, by all that they are given: no session gets another one's plan. Users'
    profiles are read by their own preparers.
    """
    from sydd.policy.errors import PolicyError
    from sydd.profiles.store import available, load
    from sydd.session.launching import LaunchSpec
    from sydd.session.prepare import Place, prepare

    place = Place("/nonexistent/work", "/nonexistent/home", "/nonexistent/tmp", "nobody")
    for info in available():
        if info.origin == "user":
            continue
        with contextlib.suppress(PolicyError, ValueError, OSError):
            policy = load(info.name, {})
            if info.origin == "shipped":  # others may name hosts, which would be looked up
                LaunchSpec.of(prepare(policy, place, {}, terminals=(), fixed_credentials=True))
