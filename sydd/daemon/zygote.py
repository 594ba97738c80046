"""The process that those of all sessions are forked from: it does nothing else, so its memory stays as it is.

Whoever is forked from a process shares its memory until one of them writes. Main writes all the time: each
page that it changes after a fork is copied by main, and the old one is left to the fork alone. So main is
forked once, when all that sessions need is imported; the zygote sleeps between its forks.

Main says (`type`: "prepare", "serve" or "go on"; what `spawn.obey` takes; descriptors: what the session is to
be, then those of the process) and is answered, by `id`: pid and a pidfd, or `errno`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import select
import signal
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sydd.daemon import identity, preload
from sydd.daemon.birth import EXIT_BROKEN
from sydd.daemon.channel import Channel, document, read_document
from sydd.daemon.link import Link
from sydd.daemon.spawn import ForkerDiedError, obey
from sydd.daemon.spec import SessionSpec
from sydd.kernel import pidfd
from sydd.kernel.fd import FdSet, FileDescriptor

QUIET = 2000
"""Milliseconds without an order after which what is hardly ever needed is imported, too."""


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
        poll = select.poll()
        poll.register(channel.fileno(), select.POLLIN)
        if not poll.poll(QUIET):
            preload.rest()
        while True:
            poll.poll()
            received = channel.receive()
            if received is None:
                break
            message, descriptors = received
            with descriptors:
                _fork(channel, message, descriptors)
    finally:
        os._exit(0)


def _collect(_number: int, _frame: object) -> None:
    """Collect whoever has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _fork(channel: Channel, message: dict[str, Any], descriptors: FdSet) -> None:
    """Fork as main has said, and answer it."""
    # Until there is a pidfd nobody is collected, so that the number is no other process's.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
    try:
        pid = os.fork()
        if not pid:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                channel.close()
                spec = SessionSpec.from_json(json.loads(read_document(descriptors[0])))
                obey(message, spec, [descriptors.steal(at).steal() for at in range(1, len(descriptors))])
            finally:
                os._exit(EXIT_BROKEN)
        with FileDescriptor(pidfd.pidfd_open(pid)) as handle:
            channel.send({"id": message["id"], "pid": pid}, [handle.fileno()])
    except OSError as error:
        channel.send({"id": message["id"], "errno": error.errno})
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
