"""The keeper of a session whose command the daemon started: parent and subreaper of the command.

It has nothing else to do, so that it outlives the worker, and main, and takes little memory. Its child is the
preparer, which prepares the session and then becomes the command. What it says to main, each with `type`:

- `here` (descriptors: pidfds of the keeper and of the preparer): they begin.
- `started` (`pid`, `keeper`; descriptors: pidfds of the command and of the keeper).
- `failed` (`message`, `died`: whether because a process of the session was killed): the command cannot be
  started; the keeper ends.
- `status` (`status`: exit status, 128 + N when signal N ended it): the command has ended.
- `map` (`pid`; descriptor: a pidfd of it): the owner's ids are to be mapped in the user namespace of what
  will be the command; answered by `mapped` (`error`: an errno, or 0).
- `empty`: the session's last process has gone; the keeper ends.

What main says: `kill`: end every process of the session; `go`, where the session has a control group: the
command is in it.

Between it and the worker, until the command goes: `command` (`command`: pid of what will be it), then
`listener` (descriptor: the listener), or `failed` (`message`) to the worker, `go` from it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, Any, NoReturn

from sydd.daemon import identity, preparer
from sydd.daemon.channel import Channel, ChannelError
from sydd.kernel import capabilities, pidfd
from sydd.kernel.fd import FdSet
from sydd.kernel.reason import reason
from sydd.session.launching import LaunchError, let_go, take_listener
from sydd.session.privatenet import write_own_maps
from sydd.session.tree import kill_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.daemon.spec import SessionSpec

PATIENCE = 20
"""Seconds that main may take to map ids."""

KILL = 5
"""CAP_KILL: root's sessions may have processes of other users."""


def keep(
    spec: SessionSpec,
    main: Channel,
    worker: Channel,
    preparers: socket.socket,
    command: int,
    *,
    mains: bool,
    problem: str,
) -> NoReturn:
    """Be the keeper, in a process of its own that is a subreaper.

    Args:
        spec: the session.
        main: channel to main.
        worker: channel to the worker, its parent.
        preparers: to its child, which prepares the session and becomes the command.
        command: pid of that.
        mains: whether main alone may look into what it has forked, so that it has to map ids there.
        problem: why there is no such child; empty where there is.
    """
    root = not spec.identity.uid
    try:
        if problem:
            raise LaunchError(problem)
        with FdSet() as handles:
            for pid in (os.getpid(), command):
                handles.add(pidfd.pidfd_open(pid))
            main.send({"type": "here"}, list(handles))
        identity.become(spec.identity)
        if not root:
            capabilities.limit(0)
        waker, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        keeper = _Keeper(main, waker, command)
        try:
            keeper.start(worker, preparers, root=root, mains=mains, grouped=spec.grouped)
            keeper.wait()
        except BaseException:
            keeper.kill()
            raise
    except (identity.IdentityError, LaunchError, OSError, ChannelError) as error:
        lost = isinstance(error, BrokenPipeError | ConnectionResetError)
        message = "a process that begins the session has ended" if lost else reason(error)
        for channel in (worker, main):
            said = {"type": "failed", "message": message, "died": lost or isinstance(error, _DiedError)}
            _tell(channel, said)
        os._exit(1)
    os._exit(0)


class _DiedError(LaunchError):
    """A process of the session was killed before its command was there."""


def _tell(channel: Channel, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Say something to whoever may have gone."""
    with contextlib.suppress(OSError):
        channel.send(message, descriptors)


class _Keeper:
    """Waits for the session's processes.

    Args:
        main: channel to main.
        waker: becomes readable when a child has changed state.
        command: pid of what will be the command.
    """

    def __init__(self, main: Channel, waker: int, command: int) -> None:
        self._main = main
        self._waker = waker
        self._command = command
        self._alone = False

    def start(
        self, worker: Channel, channel: socket.socket, *, root: bool, mains: bool, grouped: bool
    ) -> None:
        """Have the command go, once it is there and the worker serves it.

        Args:
            worker: channel to the worker; closed.
            channel: to the command that will be; closed.
            root: whether it is a session of root's.
            mains: whether main alone may look into what it has forked, so that it has to map ids there.
            grouped: whether main moves the command to a control group first.

        Raises:
            LaunchError: it cannot be started, or nobody is there to serve it, or wants it any more.
        """
        with channel:
            worker.send({"type": "command", "command": self._command})
            ready, _, _ = select.select([channel.fileno(), self._main.fileno(), worker.fileno()], [], [])
            if channel.fileno() not in ready:
                wanted = self._main.fileno() not in ready
                error = _DiedError if wanted else LaunchError
                raise error("the session has ended before its command was there")
            network = preparer.Network.read(channel)
            if network is None:
                raise self._ended_early("what was to be the command")
            listener = take_listener(
                channel,
                self._command,
                private_network=network.private,
                user_namespace=network.user_namespace,
                map_ids=self._have_mapped if mains else write_own_maps,
            )
            capabilities.limit(1 << KILL if root else 0)  # a network was set up before
            if listener < 0:
                raise self._ended_early("the launcher")
            try:
                worker.send({"type": "listener"}, [listener])
            finally:
                os.close(listener)
            select.select([worker], [], [])
            if worker.receive() is None:
                raise _DiedError("the worker died")
            if os.waitid(os.P_PID, self._command, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                raise self._ended_early("the launcher")
            own = os.getpid()
            with FdSet() as handles:
                for pid in (self._command, own):
                    handles.add(pidfd.pidfd_open(pid))
                _tell(self._main, {"type": "started", "pid": self._command, "keeper": own}, list(handles))
            if grouped:
                self._await_group()
            let_go(channel)
        worker.close()

    def _await_group(self) -> None:
        """Wait until main has moved the command to its group, or has gone.

        Raises:
            LaunchError: the session is to end.
        """
        while True:
            select.select([self._main], [], [])
            received = self._main.receive()
            if received is None:
                return
            received[1].close()
            if received[0].get("type") == "go":
                return
            if received[0].get("type") == "kill":
                raise LaunchError("the session has ended before its command was there")

    def _ended_early(self, who: str) -> LaunchError:
        """Why there is no command: what was to be it has ended.

        Args:
            who: what it was.
        """
        _, status = os.waitpid(self._command, 0)
        if os.WIFSIGNALED(status):
            return _DiedError(f"{who} was killed before it was supervised")
        return LaunchError(f"{who} ended before it was supervised; it has said why")

    def _have_mapped(self, pid: int) -> None:
        """Have main map the owner's ids in the user namespace of a process.

        Raises:
            OSError: it cannot.
            LaunchError: it does not answer, or wants no command any more.
        """
        with FdSet() as handles:
            handles.add(pidfd.pidfd_open(pid))
            self._main.send({"type": "map", "pid": pid}, list(handles))
        ready, _, _ = select.select([self._main], [], [], PATIENCE)
        received = self._main.receive() if ready else None
        if received is None or received[0].get("type") != "mapped":
            raise LaunchError("nobody mapped ids in the user namespace of the command")
        error = int(received[0]["error"])
        if error:
            raise OSError(error, os.strerror(error))

    def wait(self) -> None:
        """Until the last process of the session has gone, tell main what happens and do what it says."""
        poll = select.poll()
        poll.register(self._main.fileno(), select.POLLIN)
        poll.register(self._waker, select.POLLIN)
        while not self._alone:
            for fd, _ in poll.poll():
                if fd == self._waker:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._waker, 4096)
                elif not self._listen():
                    poll.unregister(fd)
            self._reap()
        _tell(self._main, {"type": "empty"})

    def _listen(self) -> bool:
        """Do what main says; False when it has gone."""
        try:
            received = self._main.receive()
        except BlockingIOError:
            return True
        except (ChannelError, OSError):
            return False
        if received is None:
            return False
        message, descriptors = received
        descriptors.close()
        if message.get("type") == "kill":
            self.kill()
        return True

    def kill(self) -> None:
        """End every process of the session, those that lost their parent included."""
        kill_tree(self._reap)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._alone = True
                return
            if not pid:
                return
            if pid == self._command:
                self._command = 0
                code = os.waitstatus_to_exitcode(status)
                _tell(self._main, {"type": "status", "status": code if code >= 0 else 128 - code})
