"""The process that those of all sessions are forked from: it does nothing else, so its memory stays as it is.

Whoever is forked from a process shares its memory until one of them writes. Main writes all the time: each
page that it changes after a fork is copied by main, and the old one is left to the fork alone. So main is
forked once, when all that sessions need is imported; the zygote sleeps between its forks.

Main says (`type`: "go on"; what `spawn.obey` takes; descriptors: what the session is to be, then those of the
process) and is answered, by `id`: pid and a pidfd, or `errno`; for `blank` (`kind`): pid, and main's sides of
the channels to such processes.

These are forked ahead, once they were asked for: shortly after main has used some it wants others (`blank`
without `id`: `ahead`, with the `kind`, is the answer, or none).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import select
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from sydd.daemon import blank, identity, preload
from sydd.daemon.birth import EXIT_BROKEN
from sydd.daemon.blank import Blank, Kind
from sydd.daemon.channel import Channel, read_document
from sydd.daemon.link import Link
from sydd.daemon.spawn import ForkerDiedError, obey, written
from sydd.daemon.spec import SessionSpec
from sydd.kernel import pidfd
from sydd.kernel.fd import FdSet, FileDescriptor

QUIET = 2000
"""Milliseconds without an order after which what is hardly ever needed is imported, too."""

AHEAD = {Kind.COMMAND: 0.015, Kind.WORKER: 0.05, Kind.PREPARER: 0.05}
"""Seconds without an order after which processes are forked ahead: until then those of the last one have
the processors, which who launches a command itself needs for longer."""


class Zygote:
    """Main's side. When it has died, there is another one for the next fork."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[tuple[int, FdSet]]] = {}
        self._number = 0
        self._link: Link | None = None
        self._ahead: dict[Kind, Blank] = {}
        self._wanting: dict[Kind, asyncio.TimerHandle] = {}  # until some are forked ahead
        with contextlib.suppress(OSError):  # then it is tried again, and said, when it is needed
            self._begin()

    async def fork(
        self, order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]
    ) -> tuple[int, FileDescriptor]:
        """See `spawn.Forker`."""
        with FileDescriptor(written(spec)) as said:
            pid, given = await self._order(order, [said.fileno(), *descriptors])
        return pid, given.steal(0)

    async def blank(self, kind: Kind) -> Blank:
        """See `spawn.Forker`."""
        ready = self._ahead.pop(kind, None)
        if ready is not None:
            self._unwatch(ready)
        else:
            ready = Blank(*await self._order({"type": "blank", "kind": kind}, ()))
        self._want(kind)
        return ready

    async def _order(self, order: Mapping[str, Any], descriptors: Sequence[int]) -> tuple[int, FdSet]:
        """Have something forked: its pid, and what came along.

        Raises:
            ForkerDiedError, OSError: as `spawn.Forker.fork`.
        """
        link = self._link
        if link is None or _has_gone(link):
            link = self._begin()
        for kind in self._wanting:
            self._want(kind)  # later
        self._number += 1
        number = self._number
        future: asyncio.Future[tuple[int, FdSet]] = self._loop.create_future()
        self._waiting[number] = future
        try:
            link.post({**order, "id": number}, descriptors)
            return await future
        finally:
            del self._waiting[number]

    def _want(self, kind: Kind) -> None:
        """Have others forked ahead as soon as there was no order for a moment."""
        if kind in self._wanting:
            self._wanting[kind].cancel()
        self._wanting[kind] = self._loop.call_later(AHEAD[kind], self._fork_ahead, kind)

    def _fork_ahead(self, kind: Kind) -> None:
        del self._wanting[kind]
        if self._link is not None and kind not in self._ahead:
            self._link.post({"type": "blank", "kind": kind})

    def _keep(self, kind: Kind, ready: Blank) -> None:
        """Have some at hand until they are used, or one of them ends."""
        self._drop(kind)
        self._ahead[kind] = ready
        for fd in ready.filenos():
            self._loop.add_reader(fd, self._drop, kind)

    def _unwatch(self, ready: Blank) -> None:
        for fd in ready.filenos():
            self._loop.remove_reader(fd)

    def _drop(self, kind: Kind) -> None:
        """Let those end that are at hand; one that dies is no reason to fork another one."""
        ready = self._ahead.pop(kind, None)
        if ready is not None:
            self._unwatch(ready)
            ready.close()

    def make_room(self) -> None:
        """Have nothing forked ahead, until there is an order again."""
        for timer in self._wanting.values():
            timer.cancel()
        self._wanting.clear()
        self._drop_all()

    def close(self) -> None:
        """Have it end, and what it has forked ahead."""
        self.make_room()
        if self._link is not None:
            self._link.close()

    def _begin(self) -> Link:
        ours, theirs = Channel.pair()
        try:
            if not os.fork():
                _live(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        if self._link is not None:
            self._link.close()
            self._gone("")  # a closed link does not say so any more
        self._link = Link(ours, self._hear, self._gone)
        return self._link

    def _hear(self, message: dict[str, Any], descriptors: FdSet) -> None:
        if message.get("type") == "ahead":
            self._keep(Kind(message["kind"]), Blank(int(message["pid"]), descriptors))
            return
        future = self._waiting.get(int(message.get("id", 0)))
        if future is None or future.done():
            return
        if "errno" in message:
            number = int(message["errno"])
            future.set_exception(OSError(number, os.strerror(number)))
        else:
            future.set_result((int(message["pid"]), FdSet(descriptors.steal_from())))

    def _drop_all(self) -> None:
        for kind in list(self._ahead):
            self._drop(kind)

    def _gone(self, _reason: str) -> None:
        self._drop_all()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ForkerDiedError(errno.EAGAIN, "the process that forks has died"))


def _has_gone(link: Link) -> bool:
    """Whether the other side has, though that may not have been seen yet."""
    if link.ended:
        return True
    poll = select.poll()
    poll.register(link.fileno(), 0)
    return bool(poll.poll(0))


def _live(channel: Channel) -> NoReturn:
    """Be the zygote."""
    try:
        identity.shed((channel.fileno(),))
        signal.signal(signal.SIGCHLD, _collect)
        _Forker(channel).work()
    finally:
        os._exit(0)


def _collect(_number: int, _frame: object) -> None:
    """Collect whoever has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


@contextlib.contextmanager
def _nobody_collected() -> Iterator[None]:
    """Until there is a pidfd of a process, so that its number is no other one's."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))


class _Forker:
    """The zygote's own side.

    Args:
        channel: to main.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def work(self) -> None:
        """Fork as main says, until it has gone."""
        if not self._ordered(QUIET):
            preload.rest()
        while True:
            self._ordered(None)
            received = self._channel.receive()
            if received is None:
                break
            message, descriptors = received
            with descriptors:
                try:
                    (self._blank if message["type"] == "blank" else self._fork)(message, descriptors)
                except OSError as error:
                    if "id" in message:
                        self._channel.send({"id": message["id"], "errno": error.errno})

    def _ordered(self, patience: int | None) -> bool:
        """Wait for an order; whether there is one.

        Args:
            patience: milliseconds; None for ever.
        """
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        return bool(poll.poll(patience))

    def _blank(self, message: dict[str, Any], _: FdSet) -> None:
        """Fork the processes of a session of which nothing is known."""
        kind = Kind(message["kind"])
        said = {"id": message["id"]} if "id" in message else {"type": "ahead", "kind": kind}
        with _nobody_collected():
            pid, channels = blank.fork(kind)
            with channels:
                self._channel.send({**said, "pid": pid}, list(channels))

    def _fork(self, message: dict[str, Any], descriptors: FdSet) -> None:
        """Fork as main has said."""
        with _nobody_collected():
            pid = os.fork()
            if not pid:
                try:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    self._channel.close()
                    spec = SessionSpec.from_json(json.loads(read_document(descriptors[0])))
                    obey(message, spec, descriptors.steal_from(1))
                finally:
                    os._exit(EXIT_BROKEN)
            with FileDescriptor(pidfd.pidfd_open(pid)) as handle:
                self._channel.send({"id": message["id"], "pid": pid}, [handle.fileno()])
