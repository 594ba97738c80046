"""The control socket's server: who may come in, whose call is performed next, and what each user may take.

No peer can hold up another. Whatever waits is bounded by user; calls go shortest first, a few milliseconds at
a time; of connections that are too many, those go first that have begun a call and not ended it, or have
never made one that was right, then those that have been idle for the longest time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import heapq
import itertools
import logging
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

from asyncvarlink import VarlinkInterfaceRegistry, VarlinkMethodCall
from asyncvarlink.serviceinterface import VarlinkServiceInterface

import sydd
from sydd.control.backend import Backend
from sydd.control.call import HungUpError, answer, error_reply
from sydd.control.connection import Connection, Frame
from sydd.control.frame import encode, parse
from sydd.control.interface import Sydd
from sydd.control.limits import Limits
from sydd.control.peer import Peer, ask_for_writers, peer_of
from sydd.control.readiness import Readiness
from sydd.kernel import prompt
from sydd.wire.errors import BadFrame, Failed, LimitReached

BACKLOG = 4096
"""For listen(2): what waits there is not refused."""

_ACCEPT_SECONDS = 0.05
"""How long connections are accepted before others have their turn: who is honest may be the last of many."""
_READ_SECONDS = 0.003
"""How long connections are read."""
_TURN_SECONDS = 0.005
"""How long calls are begun."""
_OTHERS = 16
"""Of a user's connections one in so many is for other processes than the one that has most."""
_PAUSE_SECONDS = 0.1
"""How long nobody is accepted when there are no descriptors."""

_log = logging.getLogger("sydd.control")


class _User:
    """What one user has of the socket.

    Attributes:
        doubtful: connections without a call that was right, oldest first.
        proven: the others, the one that was used last comes last.
        processes: how many each process has.
        size: bytes that wait in them.
        descriptors: descriptors likewise.
    """

    __slots__ = ("descriptors", "doubtful", "processes", "proven", "size")

    def __init__(self) -> None:
        self.doubtful: dict[Connection, None] = {}
        self.proven: dict[Connection, None] = {}
        self.processes: Counter[int] = Counter()
        self.size = 0
        self.descriptors = 0

    def __len__(self) -> int:
        return len(self.doubtful) + len(self.proven)

    def __iter__(self) -> Iterator[Connection]:
        """Whose end does the least harm comes first."""
        return itertools.chain(self.doubtful, self.proven)

    def idle(self, process: int | None = None) -> Iterator[Connection]:
        """Those for which nothing is performed, in the same order.

        Args:
            process: whose; None for all.
        """
        return (
            connection
            for connection in self
            if connection.idle and (process is None or connection.peer.pid == process)
        )


class ControlServer:
    """Serves `org.sydd` and `org.varlink.service` on listening sockets; made in the loop that serves.

    Args:
        backend: the daemon.
        own_uid: the user that the daemon runs as.
        limits: what is allowed.
        close_spare: closes what is only kept open so that something to come is quicker; called where there
            are no descriptors.
    """

    def __init__(
        self,
        backend: Backend,
        own_uid: int,
        limits: Limits | None = None,
        close_spare: Callable[[], None] = lambda: None,
    ) -> None:
        self.limits = limits or Limits()
        self._close_spare = close_spare
        self._backend = backend
        self._own_uid = own_uid
        self._listening: list[socket.socket] = []
        self._readiness = Readiness(_READ_SECONDS)
        self._users: defaultdict[int, _User] = defaultdict(_User)
        self._count = 0
        self._numbers = itertools.count(1)
        self._ready: list[tuple[float, int, Connection]] = []
        self._turns = itertools.count()
        self._turning = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._interfaces: dict[Connection, tuple[VarlinkInterfaceRegistry, Sydd]] = {}

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._count

    def listen(self, sock: socket.socket) -> None:
        """Accept from a listening unix socket, which belongs to the server from now on."""
        sock.setblocking(False)
        ask_for_writers(sock)
        self._listening.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    async def close(self) -> None:
        """Close the listening sockets and every connection; calls that are performed are cancelled."""
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock)
            sock.close()
        self._listening.clear()
        for connection in [connection for user in self._users.values() for connection in user]:
            connection.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._readiness.close()

    def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _ACCEPT_SECONDS
        while loop.time() < end:
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
        self._close_spare()
        crowd = max(self._users.values(), key=len, default=_User())
        if victim := next(crowd.idle(), None):
            victim.close()
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_PAUSE_SECONDS, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _welcome(self, sock: socket.socket) -> None:
        try:
            ask_for_writers(sock)  # of one that was made before anybody asked there
            peer = self._know(sock)
        except OSError as error:
            _log.warning("cannot tell who connects: %s", error.strerror)
            with contextlib.suppress(OSError):
                sock.setblocking(False)
                sock.send(encode(error_reply(Failed(f"cannot tell who connects: {error.strerror}")).tojson()))
            with prompt.closing():
                sock.close()
            return
        connection = Connection(sock, peer, self.limits, self, self._readiness)
        self._count += 1
        user = self._users[peer.uid]
        user.doubtful[connection] = None
        user.processes[peer.pid] += 1
        try:
            self._make_room(user, connection)
        except LimitReached as error:
            connection.refuse(error)
            return
        # Most have sent their call already: whoever is no trouble is through before anybody is in its way.
        connection.read()

    def _know(self, sock: socket.socket) -> Peer:
        """Who connects.

        Raises:
            OSError: it cannot be told; with EMFILE, also without what is only kept.
        """
        number = next(self._numbers)
        try:
            return peer_of(sock, number)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._close_spare()
            return peer_of(sock, number)

    def _make_room(self, user: _User, newest: Connection) -> None:
        """Close an idle connection where there are too many, but not the newest.

        Where one process has nearly all that its user may have, it is one of that process's.

        Clients of sydd make a new connection when theirs was closed, so that nobody is worse off for it.

        Raises:
            LimitReached: calls are performed on all of them.
        """
        crowd, process = user, None
        counted, most = newest.peer.uid != self._own_uid, self.limits.user_connections
        others = most // _OTHERS
        if counted and others and user.processes[newest.peer.pid] > most - others:
            process, error = newest.peer.pid, LimitReached("connections of one process", most - others)
        elif counted and len(user) > most:
            error = LimitReached("connections of one user", most)
        elif self._count > self.limits.connections:
            crowd = max(self._users.values(), key=len)
            error = LimitReached("connections", self.limits.connections)
        else:
            return
        while True:
            victim = next((idle for idle in crowd.idle(process) if idle is not newest), None)
            if victim is None:
                raise error
            if victim.waiting:
                # Its call has its turn now: a bad one is the end of it, and a good one is not idle any more.
                self._begin(victim)
            else:
                victim.refuse(error)
            if victim.closed:
                return

    def took(self, connection: Connection, size: int, descriptors: int) -> None:
        """See Owner: count it; where it is too much, the connection with most of it has to go.

        Raises:
            LimitReached: that is this one.
        """
        user = self._users[connection.peer.uid]
        user.size += size
        user.descriptors += descriptors
        if size > 0 and user.size > self.limits.user_bytes:
            victim = max(user, key=lambda one: one.size)
            error = LimitReached("bytes of one user's calls", self.limits.user_bytes)
        elif descriptors > 0 and user.descriptors > self.limits.user_descriptors:
            victim = max(user, key=lambda one: one.descriptors)
            error = LimitReached("descriptors with one user's calls", self.limits.user_descriptors)
        else:
            return
        if victim is connection:
            raise error
        victim.refuse(error)

    def ended(self, connection: Connection) -> None:
        """See Owner."""
        self._count -= 1
        self._interfaces.pop(connection, None)
        user = self._users[connection.peer.uid]
        user.doubtful.pop(connection, None)
        user.proven.pop(connection, None)
        user.processes[connection.peer.pid] -= 1
        if not user.processes[connection.peer.pid]:
            del user.processes[connection.peer.pid]
        if not user:
            del self._users[connection.peer.uid]

    def used(self, connection: Connection) -> None:
        """See Owner."""
        user = self._users[connection.peer.uid]
        user.doubtful.pop(connection, None)
        user.proven.pop(connection, None)
        user.proven[connection] = None

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
        except BadFrame as error:
            frame.close()
            connection.refuse(error)
            return
        connection.understand(streaming=call.more)
        task = asyncio.get_running_loop().create_task(self._perform(connection, frame, call))
        connection.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # For a task that is cancelled before it begins.
        task.add_done_callback(lambda _task: frame.close())

    async def _perform(self, connection: Connection, frame: Frame, call: VarlinkMethodCall) -> None:
        good = False
        try:
            registry = self._registry(connection, frame)
            good = await answer(registry, call, frame.descriptors, connection.send)
        except HungUpError:
            connection.close()
        except Exception:  # noqa: BLE001  # a mistake of sydd's own that could not even be told
            _log.exception("the call %s could not be answered", call.method)
            connection.close()
        finally:
            frame.close()
            connection.finish(proven=good)
            if connection.waiting:
                self.frame_arrived(connection)

    def _registry(self, connection: Connection, frame: Frame) -> VarlinkInterfaceRegistry:
        """The interfaces for one call: a connection has one call at a time."""
        found = self._interfaces.get(connection)
        if found is None:
            registry = VarlinkInterfaceRegistry()
            found = self._interfaces[connection] = registry, Sydd(self._backend, connection.peer)
            url = "https://varlink.org"
            registry.register_interface(found[1])
            service = VarlinkServiceInterface("sydd", "sydd", sydd.__version__, url, registry)
            registry.register_interface(service)
        registry, interface = found
        interface.peer = replace(connection.peer, writer=frame.writer)
        return registry
