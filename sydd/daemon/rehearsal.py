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

from sydd.daemon.channel import Channel, document, read_document
from sydd.daemon.outbox import Outbox
from sydd.daemon.precedent import Precedent
from sydd.daemon.preparing import Ready, State
from sydd.daemon.record import Record
from sydd.daemon.serving import Serving
from sydd.daemon.spec import Identity, SessionSpec
from sydd.kernel.fd import FileDescriptor
from sydd.plan.tree import HostTree
from sydd.policy.errors import PolicyError
from sydd.profiles.store import available, load, unchanged
from sydd.session.prepare import Place, prepare
from sydd.supervisor import notes, slot
from sydd.supervisor.notes import Notes
from sydd.supervisor.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.profiles.store import Read

PROFILE = "build"
"""What is rehearsed, where it is the one that came with sydd."""

PLACE = Place("/nonexistent/work", "/nonexistent/home", "/nonexistent/tmp", "nobody")


SPEC = SessionSpec(
    id="",
    identity=Identity(0, 0, (), PLACE.user, PLACE.home),
    profile=PROFILE,
    sets={},
    rules=(),
    mode=None,
    engine=None,
    directory=PLACE.cwd,
    environment={},
)


@functools.cache
def sample() -> bytes:
    """What a preparer writes down, of a session that there is not; empty where the profile is another one.

    It is kept: whoever is forked from this process has it, too.
    """
    ready = _prepared(lambda: False)
    if ready is None or ready.state is None:
        return b""
    fd = ready.state.saved()
    try:
        return read_document(fd)
    finally:
        os.close(fd)


def prepare_nothing(wanted: Callable[[], bool]) -> None:
    """Prepare a session as a preparer does, and look at what an earlier one has left.

    Args:
        wanted: whether there is something to do by now; then this ends soon.
    """
    gc.disable()  # it has not long to live
    ready = _prepared(wanted)
    if ready is None or ready.state is None or ready.precedent is None:
        return
    os.close(ready.state.saved())
    if wanted():
        return
    fd = ready.precedent.saved()
    precedent = Precedent.load(fd)
    os.close(fd)
    if unchanged(precedent.reads):
        HostTree().has(precedent.facts)


def serve_nobody(wanted: Callable[[], bool]) -> None:
    """Take in what a preparer has written down, and make ready to serve by it, as a worker does.

    Args:
        wanted: whether there is something to do by now; then this ends soon.
    """
    if not sample() or wanted():
        return
    with contextlib.ExitStack() as stack:

        def held(fd: int) -> int:
            return stack.enter_context(FileDescriptor(fd)).fileno()

        state = State.load(held(document("sydd-state", sample())))
        if wanted():
            return
        ours, theirs = Channel.pair()
        stack.callback(ours.close)
        stack.callback(theirs.close)
        outbox = Outbox(ours)
        stack.callback(outbox.close)
        memory, noted = Slot(held(slot.create())), Notes(held(notes.create()))
        serving = Serving(
            SPEC,
            state,
            command=os.getpid(),
            parent=0,
            slot=memory,
            notes=noted,
            record=Record(noted, memory, outbox),
            on_end=outbox.ring,
            forked=ours.close,
        )
        serving.discard()
    del serving, memory
    gc.collect()  # they know each other


def _prepared(wanted: Callable[[], bool]) -> Ready | None:
    if wanted() or not any((info.name, info.origin) == (PROFILE, "shipped") for info in available()):
        return None
    with contextlib.suppress(PolicyError, ValueError, OSError):  # as in `preload`
        reads: list[Read] = []
        policy = load(PROFILE, {}, reads=reads)
        if not wanted():
            tree = HostTree()
            prepared = prepare(policy, PLACE, {}, terminals=(), fixed_credentials=True, tree=tree)
            return None if wanted() else Ready.of(prepared, reads, tree, {})
    return None
