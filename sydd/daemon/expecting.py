"""Waiting for what a worker or a keeper says, by name."""

from __future__ import annotations

import asyncio


class SessionFailedError(Exception):
    """The session cannot begin, or go on.

    Args:
        message: why.
        kind: "policy" where the profile or a rule is wrong, else "setup".
        place: file, line, column and hint of a policy error.
    """

    def __init__(
        self, message: str, kind: str = "setup", place: tuple[str, int, int, str] = ("", 0, 0, "")
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.place = place


class Expecting:
    """Who waits for something to be said."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def _expect(self, name: str) -> asyncio.Future[None]:
        return self._waiting.setdefault(name, self._loop.create_future())

    async def _wait_for(self, name: str, seconds: float, future: asyncio.Future[None] | None = None) -> None:
        """Wait for something to be said.

        Raises:
            SessionFailedError: it was not, or the contrary was.
        """
        future = future or self._expect(name)
        try:
            await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            raise SessionFailedError(f"not {name} within {seconds:g} s") from None
        finally:
            if self._waiting.get(name) is future:
                del self._waiting[name]

    def _resolve(self, name: str, error: SessionFailedError | None = None) -> bool:
        """Let who waits for something go on; False when nobody does."""
        future = self._waiting.get(name)
        if future is None or future.done():
            return False
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()  # asyncio would complain where nobody waits for this one any more
        return True

    def _fail_waiting(self, error: SessionFailedError) -> bool:
        """Tell everybody who waits for something that it will not come; False when nobody does."""
        told = [self._resolve(name, error) for name in list(self._waiting)]
        return any(told)
