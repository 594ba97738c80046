"""What processes do before it is known what for, so that they are quicker then.

Memory that a process shares with others is its own once it has written there: that is what a rehearsal is
for. Nothing of a user's is in it: the profile is one that came with sydd, and the places are none.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
from typing import TYPE_CHECKING

from sydd.daemon.channel import document, read_document
from sydd.daemon.preparing import State
from sydd.policy.errors import PolicyError
from sydd.profiles.store import available, load
from sydd.session.launching import LaunchSpec
from sydd.session.prepare import Place, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE = "build"
"""What is rehearsed, where it is the one that came with sydd."""

PLACE = Place("/nonexistent/work", "/nonexistent/home", "/nonexistent/tmp", "nobody")


@functools.cache
def sample() -> bytes:
    """What a preparer writes down, of a session that there is not; empty where the profile is another one.

    It is kept: whoever is forked from this process has it, too.
    """
    state = _prepared(lambda: False)
    if state is None:
        return b""
    fd = state.saved()
    try:
        return read_document(fd)
    finally:
        os.close(fd)


def prepare_nothing(wanted: Callable[[], bool]) -> None:
    """Prepare a session as a preparer does.

    Args:
        wanted: whether there is something to do by now; then this ends soon.
    """
    gc.disable()  # it has not long to live
    state = _prepared(wanted)
    if state is not None:
        os.close(state.saved())


def know_nothing(wanted: Callable[[], bool]) -> None:
    """Take in what a preparer has written down, as a worker does.

    Args:
        wanted: whether there is something to do by now; then there is no time for this.
    """
    if sample() and not wanted():
        fd = document("sydd-state", sample())
        State.load(fd)
        os.close(fd)


def _prepared(wanted: Callable[[], bool]) -> State | None:
    if wanted() or not any((info.name, info.origin) == (PROFILE, "shipped") for info in available()):
        return None
    with contextlib.suppress(PolicyError, ValueError, OSError):  # as in `preload`
        policy = load(PROFILE, {})
        if not wanted():
            prepared = prepare(policy, PLACE, {}, terminals=(), fixed_credentials=True)
            return None if wanted() else State(prepared, LaunchSpec.of(prepared))
    return None
