"""The keeper of a session whose command the daemon started: parent and subreaper of the command.

It has nothing else to do, so that it outlives the worker, and main. What it says to main, each with `type`:

- `started` (`pid`, `keeper`; descriptors: pidfds of the command and of the keeper).
- `failed` (`message`): the command cannot be started; the keeper ends.
- `status` (`status`: exit status, 128 + N when signal N ended it): the command has ended.
- `empty`: the session's last process has gone; the keeper ends.

What main says: `kill`: end every process of the session; `signal` (`number`): send it to the command.

Between it and the worker, until the command goes: `listener` (`command`: pid; descriptor: the listener) and
`failed` (`message`) to the worker, `go` from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, Any, NoReturn

from sydd.daemon import nofile
from sydd.daemon.channel import Channel, ChannelError
from sydd.kernel import capabilities, pidfd, prctl
from sydd.kernel.fd import FdSet
from sydd.session.launching import LaunchError, LaunchSpec, let_go, start, take_listener
from sydd.session.tree import kill_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HIGH = 256
"""Descriptors of the keeper's own are not below; numbers of the command's are."""

KILL = 5
"""CAP_KILL: root's sessions may have processes of other users."""


def fork(
    spec: LaunchSpec,
    argv: Sequence[str],
    numbers: Sequence[int],
    descriptors: Sequence[int],
    *,
    root: bool,
) -> tuple[int, Channel]:
    """Fork the keeper from a worker that has prepared the session.

    Args:
        spec: what the command is started under.
        argv: the command and its arguments.
        numbers: what the command's descriptors are called.
        descriptors: the channel to main, and the command's; all stay the caller's.
        root: whether it is a session of root's.

    Returns:
        Its pid, and the channel to it.

    Raises:
        ValueError: a number is none that a command can have.
        OSError: it cannot be forked.
    """
    if len(numbers) != len(descriptors) - 1 or not all(0 <= number < HIGH for number in numbers):
        raise ValueError(f"descriptors {list(numbers)}: {len(descriptors) - 1} came")
    ours, theirs = Channel.pair()
    try:
        pid = os.fork()
        if not pid:
            try:
                given = dict(zip(numbers, descriptors[1:], strict=True))
                _keep(spec, argv, (descriptors[0], theirs.fileno()), given, root=root)
            finally:
                os._exit(1)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, ours


def _keep(
    spec: LaunchSpec,
    argv: Sequence[str],
    channels: tuple[int, int],
    given: Mapping[int, int],
    *,
    root: bool,
) -> NoReturn:
    """Be the keeper."""
    main, worker = _arrange(channels, given)
    waker, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    prctl.set_child_subreaper()
    nofile.restore()
    if not root:
        capabilities.limit(0)  # root's launcher gives up its own by itself
    keeper = _Keeper(main, waker)
    try:
        keeper.start(spec, argv, worker, given, root=root)
        keeper.wait()
    except (LaunchError, OSError, ChannelError) as error:
        keeper.kill()
        for channel in (worker, main):
            _tell(channel, {"type": "failed", "message": str(error)})
        os._exit(1)
    os._exit(0)


def _arrange(channels: tuple[int, int], given: Mapping[int, int]) -> tuple[Channel, Channel]:
    """Put the command's descriptors where it expects them, own ones above, and close all others."""
    lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH) for fd in (*channels, *given.values())]
    os.closerange(3, HIGH)
    low = HIGH
    for fd in sorted(lifted):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 2**31 - 1)
    main, worker, *others = lifted
    for number, fd in zip(given, others, strict=True):
        os.dup2(fd, number)
        os.close(fd)
    return Channel.of(main), Channel.of(worker)


def _let_go_of(given: Iterable[int]) -> None:
    """Close what is the command's alone: whoever reads its output waits for the end of all writers."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in given:
        if number < 3:
            os.dup2(nowhere, number)
        else:
            os.close(number)
    os.close(nowhere)


def _tell(channel: Channel, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Say something to whoever may have gone."""
    with contextlib.suppress(OSError):
        channel.send(message, descriptors)


class _Keeper:
    """Waits for the session's processes.

    Args:
        main: channel to main.
        waker: becomes readable when a child has changed state.
    """

    def __init__(self, main: Channel, waker: int) -> None:
        self._main = main
        self._waker = waker
        self._command = 0
        self._alone = False

    def start(
        self,
        spec: LaunchSpec,
        argv: Sequence[str],
        worker: Channel,
        given: Iterable[int],
        *,
        root: bool,
    ) -> None:
        """Start the command, once the worker serves it.

        Args:
            spec: what it is started under.
            argv: the command and its arguments.
            worker: channel to the worker.
            given: numbers of the command's descriptors.
            root: whether it is a session of root's.

        Raises:
            LaunchError: it cannot be started, or nobody is there to serve it.
        """
        if spec.user_namespace:
            # Only who may look into the launcher can write its maps, and into this process's fork nobody may.
            raise LaunchError(
                '[network] namespace = "private" takes a user namespace here, which the daemon cannot set '
                "up: use 'sydctl launch'"
            )
        if not spec.supervised:
            raise LaunchError("a session that nobody supervises is not the daemon's")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            with theirs:
                self._command = start(spec, argv, theirs, own_session=True)
            _let_go_of(given)
            listener = take_listener(spec, ours, self._command)
            capabilities.limit(1 << KILL if root else 0)  # a network was set up before
            if listener < 0:
                raise LaunchError("the launcher ended before it was supervised; it has said why")
            try:
                worker.send({"type": "listener", "command": self._command}, [listener])
            finally:
                os.close(listener)
            select.select([worker], [], [])
            if worker.receive() is None:
                raise LaunchError("the worker died")
            own = os.getpid()
            with FdSet() as handles:
                for pid in (self._command, own):
                    handles.add(pidfd.pidfd_open(pid))
                _tell(self._main, {"type": "started", "pid": self._command, "keeper": own}, list(handles))
            let_go(ours)
        worker.close()

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
        elif message.get("type") == "signal" and self._command:
            number = message.get("number")
            if isinstance(number, int):
                with contextlib.suppress(OSError, ValueError):
                    os.kill(self._command, number)
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
