"""Something small that another process does with another identity: main itself touches nothing of a user's.

The process is forked, takes the identity, works, and sends its answer as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

from sydd.daemon.spec import Identity
from sydd.kernel import capabilities, prctl
from sydd.kernel.fd import FileDescriptor
from sydd.kernel.pidfd import pidfd_open, pidfd_send_signal

MAXIMUM = 4 << 20
"""Bytes of an answer."""

SECONDS = 20
"""How long it may take, in seconds; half of that of a processor."""


LINGER = 2
"""Seconds that one may take to end: a file system that does not answer keeps it, not this process."""


class ErrandError(Exception):
    """It could not be done; the message says why."""


async def run_errand(work: Callable[[], Any], identity: Identity | None = None) -> Any:
    """Have *work* done.

    Args:
        work: called in the other process; returns what JSON can hold.
        identity: whose it is then; None for this process's own. Capabilities are root's alone.

    Raises:
        ErrandError: the process could not be made, did not come to an end, or *work* raised.
    """
    try:
        reader, writer = map(FileDescriptor, os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        raise ErrandError(f"no pipe: {error.strerror}") from None
    with reader, writer:
        try:
            pid = os.fork()
        except OSError as error:
            raise ErrandError(f"no process: {error.strerror}") from None
        if not pid:
            _do(work, identity, writer.fileno())
        try:
            process = FileDescriptor(pidfd_open(pid))
        except OSError as error:
            os.kill(pid, signal.SIGKILL)  # nobody has collected it: whoever does waits for a turn of the loop
            raise ErrandError(f"no handle of its process: {error.strerror}") from None
        writer.close()
        with process:
            try:
                answer = await asyncio.wait_for(_read(reader.fileno()), SECONDS)
            except TimeoutError:
                raise ErrandError(f"it took more than {SECONDS} s") from None
            finally:
                await _end(process.fileno())
    try:
        value = json.loads(answer)
    except ValueError:
        raise ErrandError("it ended without an answer") from None
    if "failed" in value:
        raise ErrandError(value["failed"])
    return value["done"]


async def _end(process: int) -> None:
    """End and collect it; one that the kernel does not let end is collected whenever it does."""
    with contextlib.suppress(ProcessLookupError):
        pidfd_send_signal(process, signal.SIGKILL)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(process, settle, ended)
    try:
        await asyncio.wait([ended], timeout=LINGER)
    finally:
        loop.remove_reader(process)
        _collect(process)


def _collect(process: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOHANG)


def _do(work: Callable[[], Any], identity: Identity | None, writer: int) -> None:
    """In the child: take the identity, work, answer, end."""
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.closerange(3, writer)
        os.closerange(writer + 1, 2**31 - 1)
        os.set_blocking(writer, True)
        if identity is not None and os.geteuid() == 0:
            os.setgroups(identity.groups)
            os.setresgid(identity.gid, identity.gid, identity.gid)
            os.setresuid(identity.uid, identity.uid, identity.uid)
        if identity is None or identity.uid:
            capabilities.limit(0)
        prctl.set_no_new_privs()
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS // 2, SECONDS // 2))
        answer = json.dumps({"done": work()})
    except BaseException as error:  # noqa: BLE001  # told to main; nothing may return into its code
        answer = json.dumps({"failed": f"{type(error).__name__}: {error}"})
    try:
        data = answer.encode()
        while data:
            data = data[os.write(writer, data) :]
    finally:
        os._exit(0)


async def _read(reader: int) -> bytes:
    """Everything up to the end, MAXIMUM bytes at most."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) <= MAXIMUM:
        ready = loop.create_future()
        loop.add_reader(reader, settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(reader)
        try:
            more = os.read(reader, 1 << 16)
        except BlockingIOError:
            continue
        if not more:
            return data
        data += more
    return b""


def settle(future: asyncio.Future[None]) -> None:
    """Have those go on who wait for *future*; a second time is fine."""
    if not future.done():
        future.set_result(None)
