"""The control socket's server: who may come in, whose call is performed next, and what each user may take.

No peer can hold up another. Whatever waits is bounded by user; calls go shortest first, a few milliseconds at
a time; of connections that are too many, those go first that have begun a call and not ended it, or have
never made one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import socket
from collections import defaultdict

from asyncvarlink import VarlinkInterfaceRegistry, VarlinkMethodCall
from asyncvarlink.serviceinterface import VarlinkServiceInterface

import sydd
from sydd.control.backend import Backend
from sydd.control.call import HungUpError, answer
from sydd.control.connection import Connection, Frame
from sydd.control.frame import parse
from sydd.control.interface import Sydd
from sydd.control.limits import Limits
from sydd.control.peer import peer_of
from sydd.wire.errors import ControlError, LimitReached

BACKLOG = 4096
"""For listen(2): what waits there is not refused."""

_ACCEPTS = 32
"""Connections that are accepted in one turn."""
_TURN_SECONDS = 0.005
"""How long calls are begun before others have their turn."""
_PAUSE_SECONDS = 0.1
"""How long nobody is accepted when there are no descriptors."""

_log = logging.getLogger("sydd.control")


class _User:
    """What one user has of the socket."""

    __slots__ = ("connections", "descriptors", "size")

    def __init__(self) -> None:
        self.connections: dict[Connection, None] = {}
        self.size = 0
        self.descriptors = 0


class ControlServer:
    """Serves `org.sydd` and `org.varlink.service` on listening sockets.

    Args:
        backend: the daemon.
        own_uid: the user that the daemon runs as.
        limits: what is allowed.
    """

    def __init__(self, backend: Backend, own_uid: int, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._backend = backend
        self._own_uid = own_uid
        self._listening: list[socket.socket] = []
        self._users: defaultdict[int, _User] = defaultdict(_User)
        self._count = 0
        self._numbers = itertools.count(1)
        self._ready: list[tuple[float, int, Connection]] = []
        self._turns = itertools.count()
        self._turning = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._registries: dict[Connection, VarlinkInterfaceRegistry] = {}

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._count

    def listen(self, sock: socket.socket) -> None:
        """Accept from a listening unix socket, which belongs to the server from now on."""
        sock.setblocking(False)
        self._listening.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    async def close(self) -> None:
        """Close the listening sockets and every connection; calls that are performed are cancelled."""
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock)
            sock.close()
        self._listening.clear()
        for user in list(self._users.values()):
            for connection in list(user.connections):
                connection.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            self._welcome(sock)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """There are no descriptors or no memory: make room, and go on in a moment."""
        _log.warning("cannot accept a connection: %s", error.strerror)
        everybody = (connection for user in self._users.values() for connection in user.connections)
        victim = next((connection for connection in everybody if connection.doubtful), None)
        if victim is not None:
            victim.close()
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_PAUSE_SECONDS, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _welcome(self, sock: socket.socket) -> None:
        try:
            peer = peer_of(sock, next(self._numbers))
        except OSError as error:
            _log.warning("cannot tell who connects: %s", error.strerror)
            sock.close()
            return
        connection = Connection(sock, peer, self.limits, self)
        self._count += 1
        user = self._users[peer.uid]
        user.connections[connection] = None
        try:
            self._make_room(user, peer.uid)
        except LimitReached as error:
            connection.refuse(error)
            return
        # Most have sent their call already: whoever is no trouble is through before anybody is in its way.
        connection.read()

    def _make_room(self, user: _User, uid: int) -> None:
        """Close a doubtful connection where there are too many; the newest is never the first to go.

        Raises:
            LimitReached: all of them are in good use.
        """
        if uid != self._own_uid and len(user.connections) > self.limits.user_connections:
            crowd, error = user, LimitReached("connections of one user", self.limits.user_connections)
        elif self._count > self.limits.connections:
            crowd = max(self._users.values(), key=lambda one: len(one.connections))
            error = LimitReached("connections", self.limits.connections)
        else:
            return
        *older, _newest = crowd.connections
        victim = next((connection for connection in older if connection.doubtful), None)
        if victim is None:
            raise error
        victim.refuse(error)

    def took(self, connection: Connection, size: int, descriptors: int) -> None:
        """See Owner: count it; where it is too much, the connection with most of it has to go.

        Raises:
            LimitReached: that is this one.
        """
        user = self._users[connection.peer.uid]
        user.size += size
        user.descriptors += descriptors
        if size > 0 and user.size > self.limits.user_bytes:
            victim = max(user.connections, key=lambda one: one.size)
            error = LimitReached("bytes of one user's calls", self.limits.user_bytes)
        elif descriptors > 0 and user.descriptors > self.limits.user_descriptors:
            victim = max(user.connections, key=lambda one: one.descriptors)
            error = LimitReached("descriptors with one user's calls", self.limits.user_descriptors)
        else:
            return
        if victim is connection:
            raise error
        victim.refuse(error)

    def ended(self, connection: Connection) -> None:
        """See Owner."""
        self._count -= 1
        self._registries.pop(connection, None)
        user = self._users[connection.peer.uid]
        del user.connections[connection]
        if not user.connections:
            del self._users[connection.peer.uid]

    def frame_arrived(self, connection: Connection) -> None:
        """See Owner."""
        if connection.scheduled:
            return
        connection.scheduled = True
        heapq.heappush(self._ready, (connection.cost(), next(self._turns), connection))
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Begin calls, cheapest first, for a moment."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _TURN_SECONDS
        while self._ready and loop.time() < end:
            connection = heapq.heappop(self._ready)[2]
            connection.scheduled = False
            if connection.waiting:
                self._begin(connection)
        self._turning = bool(self._ready)
        if self._turning:
            loop.call_soon(self._turn)

    def _begin(self, connection: Connection) -> None:
        frame = connection.begin()
        try:
            call = parse(frame.data, self.limits.nesting)
        except ControlError as error:
            frame.descriptors.close()
            connection.refuse(error)
            return
        connection.prove(streaming=call.more)
        task = asyncio.get_running_loop().create_task(self._perform(connection, frame, call))
        connection.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # For a task that is cancelled before it begins.
        task.add_done_callback(lambda _task: frame.descriptors.close())

    async def _perform(self, connection: Connection, frame: Frame, call: VarlinkMethodCall) -> None:
        try:
            await answer(self._registry(connection), call, frame.descriptors, connection.send)
        except HungUpError:
            connection.close()
        finally:
            frame.descriptors.close()
            connection.finish()
            if connection.waiting:
                self.frame_arrived(connection)

    def _registry(self, connection: Connection) -> VarlinkInterfaceRegistry:
        """The interfaces as this connection's peer sees them."""
        found = self._registries.get(connection)
        if found is None:
            found = self._registries[connection] = VarlinkInterfaceRegistry()
            url = "https://varlink.org"
            found.register_interface(Sydd(self._backend, connection.peer))
            service = VarlinkServiceInterface("sydd", "sydd", sydd.__version__, url, found)
            found.register_interface(service)
        return found
