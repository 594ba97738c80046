"""The process that those of all sessions are forked from: it does nothing else, so its memory stays as it is.

Whoever is forked from a process shares its memory until one of them writes. Main writes all the time: each
page that it changes after a fork is copied by main, and the old one is left to the fork alone. So main is
forked once, when all that sessions need is imported; the zygote sleeps between its forks.

Main says (`type`: "prepare", "serve", "go on" or "run"; what `spawn.obey` takes; descriptors: what the
session is to be, then those of the process) and is answered, by `id`: pid and a pidfd, or `errno`.

What "run" takes is forked ahead, once it was asked for: shortly after it there is what the next one takes.
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

from sydd.daemon import identity, preload
from sydd.daemon.birth import EXIT_BROKEN
from sydd.daemon.blank import Blank
from sydd.daemon.channel import Channel, document, read_document
from sydd.daemon.link import Link
from sydd.daemon.spawn import ForkerDiedError, obey
from sydd.daemon.spec import SessionSpec
from sydd.kernel import pidfd
from sydd.kernel.fd import FdSet, FileDescriptor

QUIET = 2000
"""Milliseconds without an order after which what is hardly ever needed is imported, too."""

AHEAD = 15
"""Milliseconds without an order after which processes are forked ahead: until then those of the last one have
the processors."""


class Zygote:
    """Main's side. When it has died, there is another one for the next fork."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[tuple[int, FileDescriptor]]] = {}
        self._number = 0
        self._link: Link | None = None
        with contextlib.suppress(OSError):  # then it is tried again, and said, when it is needed
            self._begin()

    async def fork(
        self, order: Mapping[str, Any], spec: SessionSpec, descriptors: Sequence[int]
    ) -> tuple[int, FileDescriptor]:
        """See `spawn.Fork`."""
        link = self._link
        if link is None or _has_gone(link):
            link = self._begin()
        self._number += 1
        number = self._number
        said = document("sydd-spec", json.dumps(spec.as_json()).encode("ascii"))
        future: asyncio.Future[tuple[int, FileDescriptor]] = self._loop.create_future()
        self._waiting[number] = future
        try:
            link.post({**order, "id": number}, [said, *descriptors])
            return await future
        finally:
            del self._waiting[number]
            os.close(said)

    def close(self) -> None:
        """Have it end."""
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
        future = self._waiting.get(int(message.get("id", 0)))
        if future is None or future.done():
            return
        if "errno" in message:
            number = int(message["errno"])
            future.set_exception(OSError(number, os.strerror(number)))
        else:
            future.set_result((int(message["pid"]), descriptors.steal(0)))

    def _gone(self, _reason: str) -> None:
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
        self._blank: Blank | None = None
        self._wanted = False  # whether there is to be a blank one

    def work(self) -> None:
        """Fork as main says, until it has gone."""
        if not self._idle(QUIET):
            preload.rest()
        while True:
            if self._wanted and not self._idle(AHEAD):
                self._wanted = False  # one that dies is no reason to fork another one
                with contextlib.suppress(OSError), _nobody_collected():
                    self._blank = Blank()
            self._idle(None)
            received = self._channel.receive()
            if received is None:
                break
            message, descriptors = received
            with descriptors:
                try:
                    with _nobody_collected():
                        (self._run if message["type"] == "run" else self._fork)(message, descriptors)
                except OSError as error:
                    self._channel.send({"id": message["id"], "errno": error.errno})

    def _idle(self, patience: int | None) -> bool:
        """Wait for an order; whether there is one.

        Args:
            patience: milliseconds; None for ever.
        """
        while True:
            poll = select.poll()
            poll.register(self._channel.fileno(), select.POLLIN)
            for fd in self._blank.filenos() if self._blank is not None else ():
                poll.register(fd, 0)
            ready = [fd for fd, _ in poll.poll(patience)]
            if self._blank is not None and set(ready).intersection(self._blank.filenos()):
                self._drop()  # one of them has ended: the others go, too
            elif ready or patience is not None:
                return bool(ready)

    def _drop(self) -> None:
        if self._blank is not None:
            self._blank.close()
            self._blank = None

    def _answer(self, message: dict[str, Any], pid: int, handle: FileDescriptor) -> None:
        self._channel.send({"id": message["id"], "pid": pid}, [handle.fileno()])

    def _run(self, message: dict[str, Any], descriptors: FdSet) -> None:
        """Have a session's processes begin, those that are there if there are any."""
        self._wanted = True
        spec, *given = descriptors
        while True:
            ahead = self._blank is not None
            self._blank = self._blank or Blank()
            try:
                self._blank.tell(spec, given[:3], given[3:])
                self._answer(message, self._blank.pid, self._blank.pidfd)
            except BrokenPipeError:
                if not ahead:
                    raise
            else:
                return
            finally:
                self._drop()

    def _fork(self, message: dict[str, Any], descriptors: FdSet) -> None:
        """Fork as main has said."""
        pid = os.fork()
        if not pid:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                self._channel.close()
                spec = SessionSpec.from_json(json.loads(read_document(descriptors[0])))
                obey(message, spec, [descriptors.steal(at).steal() for at in range(1, len(descriptors))])
            finally:
                os._exit(EXIT_BROKEN)
        with FileDescriptor(pidfd.pidfd_open(pid)) as handle:
            self._answer(message, pid, handle)
