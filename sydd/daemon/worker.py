"""The worker process of one session: serves its listener as its owner, answers main.

What it says to main, each with `type`:

- `serving` (`command`: pid; descriptor: the listener, where a keeper had the command started): every call
  has somebody who answers it.
- `failed` (`kind`, `message`): it cannot, and the worker ends.
- `event` (`event`), `repeated` (`sequence`, `count`), `trouble` (`message`), `lost` (`count`: of these).
- `ask` (`question`: id; `event`; `seconds`): a caller waits for a decision; `settled` (`question`,
  `decision`): it waits no longer.
- `ended` (`handled`, `events`, `failure`, `left`: whether the private directory is there still, though the
  worker has removed what it could): the listener has hung up, and the worker ends.
- `reply` (`id`, and `error` or what was asked for).

What main says, each with `type`, and `id` where a reply is wanted:

- `state` (descriptor: what the preparer wrote down).
- `attach` (`command`, `keeper`: pids; descriptor: the listener).
- `rules` (`lines`), `mode` (`mode`), `check` (`access`, `object`), `decision` (`question`,
  `allow`), `statistics`; `questions`: those that are open are to be put again, to another main.
- `finish`: end every process that makes a call.
- `end`: stop serving; the kernel answers ENOSYS to whoever is left, unless main still holds the listener.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

from sydd.daemon import identity
from sydd.daemon.birth import EXIT_BROKEN
from sydd.daemon.channel import Channel, ChannelError
from sydd.daemon.outbox import Outbox
from sydd.daemon.preparing import State
from sydd.daemon.record import Record
from sydd.daemon.serving import Serving
from sydd.kernel.fd import FdSet, FileDescriptor
from sydd.kernel.reason import reason
from sydd.session.temporary import remove_tree
from sydd.supervisor.notes import Notes
from sydd.supervisor.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.daemon.spawn import Held
    from sydd.daemon.spec import SessionSpec

SAYS = frozenset({"serving", "failed", "event", "repeated", "trouble", "lost", "ask", "settled", "ended"})
"""The types of what it says, but for replies; main has a method for each."""

COUNTS_SECONDS = 0.5
"""How long repetitions of events are gathered before main is told of them."""

LAST_WORDS_SECONDS = 5
"""How long a worker that ends waits for main to read what it says."""


def begin(
    spec: SessionSpec, channel: Channel, slot: int, notes: int, child: tuple[int, Channel] | None
) -> int:
    """Be the worker of a new session, in a process of its own; its exit status.

    Args:
        spec: the session.
        channel: to main.
        slot: memfd of the request that is held.
        notes: memfd of what must not be forgotten.
        child: pid of the keeper, and the channel to it; None where somebody else keeps the command.

    Raises:
        OSError, IdentityError, ChannelError: it cannot go on.
    """
    identity.become(spec.identity)
    return _Process(spec, channel, slot, notes).begin(child)


def go_on(spec: SessionSpec, channel: Channel, held: Held) -> int:
    """Be the worker in place of one that has died, in a process of its own; its exit status.

    Args:
        spec: the session.
        channel: to main.
        held: what main has of it.

    Raises:
        OSError, IdentityError, ChannelError: it cannot go on.
    """
    identity.become(spec.identity)
    return _Process(spec, channel, held.slot, held.notes).go_on(held)


class _Process:
    """The main thread of a worker: it listens to main and tells it; a second thread serves.

    Args:
        spec: the session.
        channel: to main.
        slot: memfd of the request that is held.
        notes: memfd of what must not be forgotten.
    """

    def __init__(self, spec: SessionSpec, channel: Channel, slot: int, notes: int) -> None:
        self._spec = spec
        self._channel = channel
        self._outbox = Outbox(channel)
        self._slot = Slot(slot)
        self._notes = Notes(notes)
        self._record = Record(self._notes, self._slot, self._outbox)
        self._state: State | None = None
        self._keeper: Channel | None = None
        self._parent = 0
        self._command = 0  # of the daemon's: what will be it
        self._ready: Serving | None = None  # who will serve that
        self._serving: Serving | None = None
        self._main_listens = True
        self._ending = False
        self._attached: tuple[int, int, FileDescriptor] | None = None
        self._counted_at = 0.0
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        self._poll.register(self._outbox.wake, select.POLLIN)

    # Its two beginnings

    def begin(self, child: tuple[int, Channel] | None) -> int:
        """Wait for the session's state and for a command, and serve it; the exit status.

        Args:
            child: pid of the keeper, and the channel to it; None where somebody else keeps the command.
        """
        if child is not None:
            self._parent, self._keeper = child
        try:
            return self._work()
        finally:
            if self._state is not None and not (self._serving and self._serving.failure):
                remove_tree(self._state.prepared.place.tmp)
                self._tell_end()

    def go_on(self, held: Held) -> int:
        """Serve a session whose worker has died; the exit status."""
        state = self._state = State.load(held.state)
        os.close(held.state)
        command, parent = held.command, held.parent
        notes = list(self._notes.read())
        for kind, values in notes:
            if kind == "attached":
                command, parent = values
            elif kind == "event":
                self._record.recall(values)
        self._serve(self._made(command, parent, recalled=notes), FileDescriptor(held.listener))
        self._outbox.put({"type": "serving", "command": command})
        status = self._work()
        if not status:
            remove_tree(state.prepared.place.tmp)
            self._tell_end()
        return status

    def _made(
        self,
        command: int,
        parent: int,
        recalled: Sequence[tuple[str, tuple[Any, ...]]] | None = None,
    ) -> Serving:
        """What will serve the session.

        Args:
            command: pid of the command, or of what will be it.
            parent: pid of the process below which the session's processes are.
            recalled: notes of the worker before; None when this is the first.

        Raises:
            ChannelError: there is nothing to serve.
        """
        if self._state is None:
            raise ChannelError("there is no session to serve")
        return Serving(
            self._spec,
            self._state,
            command=command,
            parent=parent,
            slot=self._slot,
            notes=self._notes,
            record=self._record,
            on_end=self._outbox.ring,
            forked=self._channel.close,  # its end tells main that this process has ended
            recalled=recalled,
        )

    def _serve(self, serving: Serving, listener: FileDescriptor) -> None:
        if self._state is None or self._serving is not None:
            raise ChannelError("there is no session to serve, or it is served already")
        serving.start(listener)
        self._serving = serving
        identity.limit(self._state.launch.capabilities)  # as the other thread does for itself

    # Its turns

    def _work(self) -> int:
        """Listen and tell until there is nothing to serve any more."""
        while not self._ending:
            for fd, _ in self._poll.poll(self._patience()):
                if fd == self._channel.fileno():
                    self._hear_main()
                elif self._keeper is not None and fd == self._keeper.fileno():
                    self._hear_keeper(self._keeper)
            self._tell()
            if self._serving is not None and self._serving.has_ended:
                self._serving.join()
                if self._serving.failure:
                    self._outbox.tell("trouble", message=f"the supervision failed: {self._serving.failure}")
                    self._last_words()
                    return EXIT_BROKEN
                break
        return 0

    def _patience(self) -> int | None:
        """Milliseconds until repetitions are to be told; None when there are none."""
        if not self._record.repeated:
            return None
        if not self._counted_at:
            self._counted_at = time.monotonic() + COUNTS_SECONDS
        return max(0, int((self._counted_at - time.monotonic()) * 1000))

    def _tell(self) -> None:
        """Send what there is to say, as far as main takes it."""
        if self._counted_at and time.monotonic() >= self._counted_at:
            self._counted_at = 0.0
            self._record.tell_counts()
        more = self._outbox.flush()
        if self._main_listens:
            self._poll.modify(self._channel.fileno(), select.POLLIN | (select.POLLOUT if more else 0))

    def _tell_end(self) -> None:
        """Tell main how it went."""
        self._record.tell_counts()
        handled = self._serving.handled if self._serving else 0
        self._outbox.put(
            {
                "type": "ended",
                "handled": handled,
                "events": self._record.summary(),
                "failure": "",
                "left": self._state is None or os.path.lexists(self._state.prepared.place.tmp),
            }
        )
        self._last_words()

    def _last_words(self) -> None:
        end = time.monotonic() + LAST_WORDS_SECONDS
        while self._outbox.flush() and (rest := end - time.monotonic()) > 0:
            select.select([], [self._channel.fileno()], [], rest)
        os.sched_yield()  # main, where it was woken on this processor, need not wait for the exit

    # What it is told

    def _hear_main(self) -> None:
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return
        if received is None:
            # Main has gone. What is served is served to its end; nobody else would begin anything.
            self._main_listens = False
            self._poll.unregister(self._channel.fileno())
            self._ending = self._serving is None and (self._keeper is None or self._state is None)
            return
        message, descriptors = received
        with descriptors:
            self._take(message, descriptors)

    def _take(self, message: dict[str, Any], descriptors: FdSet) -> None:
        reply: dict[str, Any] = {}
        try:
            kind = message.get("type")
            if kind == "state":
                self._know(descriptors[0])
            elif kind == "attach" and self._serving is not None:
                # As in `_know`.
                self._outbox.put({"type": "serving", "command": int(message["command"])})
            elif kind == "attach":
                self._attached = int(message["command"]), int(message["keeper"]), descriptors.steal(0)
                self._attach()
            elif kind == "end":
                self._ending = True
            elif self._serving is None:
                raise ValueError("the session has not begun")
            else:
                reply = self._serving.answer(message)
        except (KeyError, TypeError, ValueError, OSError, ChannelError) as error:
            reply = {"error": reason(error)}
            if message.get("type") in ("attach", "state"):
                self._outbox.put({"type": "failed", "kind": "setup", "message": reason(error)})
                self._ending = True
        if isinstance(message.get("id"), int):
            self._outbox.put({**reply, "type": "reply", "id": message["id"]})

    def _know(self, state: int) -> None:
        """Take in what there is to serve, and serve who waits for it."""
        if self._state is not None:
            return  # a main that was started anew says again what it may not have said
        self._state = State.load(state)
        self._attach()
        if self._keeper is not None:
            self._poll.register(self._keeper.fileno(), select.POLLIN)

    def _attach(self) -> None:
        """Serve who was attached, as soon as it is known how."""
        if self._state is None or self._attached is None:
            return
        (command, parent, listener), self._attached = self._attached, None
        self._notes.write("attached", command, parent)
        self._serve(self._made(command, parent), listener)
        self._outbox.put({"type": "serving", "command": command})

    def _hear_keeper(self, channel: Channel) -> None:
        """What will be the command, then the keeper's listener, or why there is none."""
        received = channel.receive()
        if received is None:
            received = {"type": "failed", "message": "the keeper died"}, FdSet()
        message, descriptors = received
        with descriptors:
            if message.get("type") == "command":
                self._command = int(message["command"])
                if self._state is not None and not self._state.prepared.plan.network.user_namespace:
                    self._ready = self._made(self._command, self._parent)  # else it has to look in there
                return
            self._poll.unregister(channel.fileno())
            if message.get("type") != "listener" or not len(descriptors):
                self._outbox.put(
                    {"type": "failed", "kind": "setup", "message": str(message.get("message", ""))}
                )
                self._ending = True
                return
            listener = descriptors.steal(0)
            duplicate = listener.dup().steal()
            self._notes.write("attached", self._command, self._parent)
            self._serve(self._ready or self._made(self._command, self._parent), listener)
        # Main has the listener, too, before the command makes its first call.
        self._outbox.put({"type": "serving", "command": self._command}, [duplicate])
        self._outbox.flush()
        channel.send({"type": "go"})
        channel.close()
        self._keeper = None
