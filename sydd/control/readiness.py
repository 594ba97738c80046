"""Which connections have something to read, so many at a time and each in its turn.

asyncio would call back for every ready socket before it does anything else: a thousand peers that never stop
sending would have a thousand reads between a call and its reply. Here they are behind one epoll(7) of their
own, which tells them in turns, and only for a moment at a time.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

_AT_ONCE = 8


class Readiness:
    """Calls back for sockets that can be read, or whose peer has gone.

    Args:
        seconds: how long it calls back before others have their turn.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._loop.add_reader(self._epoll, self._turn)

    def watch(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        """Call back while *sock* can be read."""
        self._callbacks[sock.fileno()] = callback
        self._epoll.register(sock, select.EPOLLIN)

    def watch_end(self, sock: socket.socket, callback: Callable[[], None]) -> None:
        """Call back when the peer of *sock* has closed both directions, and not for what there is to read."""
        self._callbacks[sock.fileno()] = callback
        self._epoll.modify(sock, 0)

    def forget(self, sock: socket.socket) -> None:
        """Call back no more; before it is closed."""
        if self._callbacks.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    def close(self) -> None:
        """Watch nothing any more."""
        self._loop.remove_reader(self._epoll)
        self._epoll.close()

    def _turn(self) -> None:
        end = self._loop.time() + self._seconds
        while True:
            ready = self._epoll.poll(0, _AT_ONCE)
            for fd, _events in ready:
                # One before it may have closed it.
                if callback := self._callbacks.get(fd):
                    callback()
            if len(ready) < _AT_ONCE or self._loop.time() >= end:
                return
