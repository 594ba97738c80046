"""The real control socket in front of a backend that only remembers: for tests of server and clients."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sydd.control.limits import Limits
from sydd.control.server import BACKLOG, ControlServer
from tests.support.fakebackend import FakeBackend


class FakeDaemon:
    """A control socket that is served by a thread, for the length of a `with`.

    Args:
        limits: of the server.
        own_uid: whom the server takes for its own user; nobody at all, so that limits hold for whoever tests.

    Attributes:
        path: of the socket.
        backend: what is behind it.
        server: what serves it.
        errors: what escaped into the event loop.
        spare: descriptors that it can do without.
    """

    def __init__(self, limits: Limits | None = None, own_uid: int = -1) -> None:
        self._limits = limits
        self._own_uid = own_uid
        self._directory = tempfile.mkdtemp(prefix="control-")
        self.path = os.path.join(self._directory, "sydd.sock")
        self.errors: list[dict[str, Any]] = []
        self.spare: list[int] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake daemon")

    def __enter__(self) -> Self:
        os.chmod(self._directory, 0o755)
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        os.unlink(self.path)
        os.rmdir(self._directory)
        assert self.errors == []

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(lambda _loop, context: self.errors.append(context))
        self._stop = asyncio.Event()
        self.backend = FakeBackend()
        self.server = ControlServer(self.backend, self._own_uid, self._limits, self._close_spare)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.path)
        os.chmod(self.path, 0o666)
        listening.listen(BACKLOG)
        self.server.listen(listening)
        self._ready.set()
        await self._stop.wait()
        await self.server.close()

    def _close_spare(self) -> None:
        while self.spare:
            os.close(self.spare.pop())

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, as the daemon's own thread sees it."""

        async def turn() -> None:
            while not condition():  # noqa: ASYNC110  # sockets have no event for it
                await asyncio.sleep(0.001)

        asyncio.run_coroutine_threadsafe(asyncio.wait_for(turn(), 10), self.loop).result(15)

    def finish(self) -> None:
        """The session ends."""
        self.loop.call_soon_threadsafe(self.backend.over.set)
