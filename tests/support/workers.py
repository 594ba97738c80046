"""What main does with one session, for tests: spawn a worker, have a command run, replace who dies."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, TypeVar, cast

from sydd.daemon import blank
from sydd.daemon.blank import Blank, Kind
from sydd.daemon.channel import Channel, document
from sydd.daemon.identity import shut_all_but
from sydd.daemon.spawn import Child, Held, Process, obey, respawn, spawn
from sydd.daemon.spec import Identity, SessionSpec
from sydd.kernel import prctl
from sydd.kernel.fd import FdSet, FileDescriptor
from tests.support.leaks import children

T = TypeVar("T")

PATIENCE = 40
"""Seconds after which something that was waited for will not come."""


class Refused(Exception):  # noqa: N818
    """A worker could not prepare the session: what it said."""


class _Forker:
    """Forks from this process, so that what a test has changed of sydd is so in the worker, too."""

    async def fork(
        self, order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]
    ) -> tuple[int, FileDescriptor]:
        """See `spawn.Forker`."""
        pid = os.fork()
        if not pid:
            try:
                shut_all_but(*descriptors)  # as a zygote has none of main's
                obey(order, spec, descriptors)
            finally:
                os._exit(1)
        return pid, FileDescriptor(os.pidfd_open(pid))

    async def blank(self, kind: Kind) -> Blank:
        """See `spawn.Forker`."""
        return Blank(*blank.fork(kind))


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """What comes of something that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    raise AssertionError("it waits")


class Session:
    """A session whose main is the test.

    Args:
        identity: whose it is.
        directory: its working directory, of that user's.
        profile: name, or path.
        how: further fields of the specification.

    Attributes:
        said: everything that workers and keeper said, but for replies.
        child: the worker that there is now.
        prepared: what the first worker said.
        command: pid of the command.
        status: its status, once it has ended.
        replaced: how many workers were replaced.
    """

    def __init__(self, identity: Identity, directory: str, profile: str = "build", **how: Any) -> None:
        environment = {"HOME": identity.home, "PATH": os.environ["PATH"], **how.pop("environment", {})}
        rules = tuple(how.pop("rules", ()))
        self.spec = SessionSpec(
            id="test",
            identity=identity,
            profile=profile,
            sets={},
            rules=rules,
            mode=how.pop("mode", None),
            engine=how.pop("engine", None),
            directory=directory,
            environment=environment,
            origin="run",
            **how,
        )
        self.said: list[dict[str, Any]] = []
        self.command = 0
        self.status: int | None = None
        self.replaced = 0
        self._replies: dict[int, dict[str, Any]] = {}
        self._listener: FileDescriptor | None = None
        self._handle: FileDescriptor | None = None
        self._state: FileDescriptor | None = None
        self._asked = 0
        self._before = children().keys()
        prctl.set_child_subreaper()
        self.child: Child = _at_once(spawn(_Forker(), self.spec))
        assert self.child.others
        self._keeper: Channel | None = self.child.others[0]
        self._preparer: Channel | None = self.child.others[1]

    def __enter__(self) -> Self:
        try:
            self.until(lambda: self.has("prepared"))
        except BaseException:
            self.__exit__()
            raise
        self.prepared = self.last("prepared")
        return self

    def __exit__(self, *_: object) -> None:
        if self._keeper is not None and self.status is None:
            with contextlib.suppress(OSError):
                self._keeper.send({"type": "kill"})
        self.child.close()
        owned = (self._preparer, self._keeper, self._listener, self._handle, self._state)
        for held in owned:
            if held is not None:
                held.close()
        self.reap()
        prctl.set_child_subreaper(on=False)

    def reap(self) -> None:
        """Wait for every child that has come: worker, keeper, and what they left."""
        deadline = time.monotonic() + PATIENCE
        while (ours := children().keys() - self._before) and time.monotonic() < deadline:
            for pid in ours:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
            select.select([], [], [], 0.005)

    # What is said

    def has(self, kind: str) -> bool:
        """Whether *kind* was said."""
        return any(message["type"] == kind for message in self.said)

    def last(self, kind: str) -> dict[str, Any]:
        """The last message of *kind*."""
        return next(message for message in reversed(self.said) if message["type"] == kind)

    def events(self) -> list[dict[str, Any]]:
        """Every event once, as main knows them."""
        found = {
            message["event"]["sequence"]: message["event"] for message in self.said if "event" in message
        }
        return list(found.values())

    def count(self, kind: str) -> int:
        """How often *kind* was said."""
        return sum(message["type"] == kind for message in self.said)

    def until(self, ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Listen until *ready*.

        Args:
            ready: asked after each message.
            seconds: how long that may take.

        Raises:
            Refused: a worker failed.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            # A preparer first: when it fails, the keeper says only that it has gone.
            channels = [self._preparer] if self._preparer else []
            channels += [] if self.has("ended") else [self.child.channel]
            channels += [self._keeper] if self._keeper else []
            found = select.select(channels, [], [], deadline - time.monotonic())[0]
            assert found, f"it did not come; there was {self.said}"
            for channel in found:
                self.hear(channel)

    def hear(self, channel: Channel) -> None:
        """Take one message; replace a worker that has died."""
        received = channel.receive()
        if received is None:
            if channel is self._keeper:
                channel.close()
                self._keeper = None
            elif channel is self._preparer:
                channel.close()
                self._preparer = None
            else:
                self.replace()
            return
        message, descriptors = received
        with descriptors:
            self._take(message, descriptors)

    def _take(self, message: dict[str, Any], descriptors: FdSet) -> None:
        kind = message["type"]
        if kind == "reply":
            self._replies[message["id"]] = message
            return
        self.said.append(message)
        if kind == "failed":
            raise Refused(message)
        if kind == "state":
            self._state = descriptors.steal(0)
            self.child.channel.send(message, [self._state.fileno()])
        elif kind == "serving" and len(descriptors):
            self._listener = descriptors.steal(0)
        elif kind == "started":
            self.command, self._handle = message["pid"], descriptors.steal(0)
        elif kind == "status":
            self.status = message["status"]

    # What is done

    def start(self, *argv: str, descriptors: Sequence[int] | None = None) -> None:
        """Start the command, and wait until it runs."""
        assert self._preparer
        given = list(descriptors) if descriptors is not None else [0, 1, 2]
        with FileDescriptor(document("sydd-argv", json.dumps(argv).encode("ascii"))) as words:
            message = {"type": "start", "numbers": list(range(len(given)))}
            self._preparer.send(message, [words.fileno(), *given])
        self.until(lambda: self.has("started") and self.has("serving"))

    def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Ask the worker something; its reply."""
        self._asked += 1
        number = self._asked
        self.child.channel.send({"type": kind, "id": number, **values})
        self.until(lambda: number in self._replies)
        return self._replies[number]

    def held(self) -> Held:
        """What main holds."""
        assert self._listener
        assert self._state
        return Held(
            self._listener.fileno(),
            self._state.fileno(),
            self.child.slot.fileno(),
            self.child.notes.fileno(),
        )

    def kill(self) -> None:
        """SIGKILL the worker, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.child.pidfd.fileno(), signal.SIGKILL)
        assert select.select([self.child.pidfd], [], [], PATIENCE)[0]

    def replace(self) -> None:
        """Put another worker in the place of the dead one."""
        dead = self.child
        os.waitpid(dead.pid, 0)
        process = self.forked()
        process.channel.send({"type": "begin"})
        self.child = replace(dead, pid=process.pid, pidfd=process.pidfd, channel=process.channel, others=None)
        dead.pidfd.close()
        dead.channel.close()
        self.replaced += 1

    def forked(self) -> Process:
        """A worker in the place of the dead one, which has not begun."""
        return _at_once(respawn(_Forker(), self.spec, self.held()))

    def end(self) -> int:
        """Wait for the end of the session; the command's status."""
        self.until(lambda: self.has("ended") and self.status is not None)
        assert self.status is not None
        return self.status
