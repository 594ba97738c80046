"""The process that prepares a session as its owner: what that takes of memory is gone with it.

Where the daemon starts the command, it then becomes the command itself. What it says to main, each with
`type`:

- `prepared` (`profile`, `engine`, `mode`, `layers`, `variables`, `rules` and `ceiling`: the lines, `limits`:
  of the session as a whole, `private_network`, `tmp`: the private directory, `mark`: of its processes,
  `as_before`: whether it is as its precedent, so that workers get that one's state; descriptor, where
  somebody else starts the command: launch spec): a command can be started now.
- `state` (descriptor: for the session's workers).
- `precedent` (descriptor: for the next session that is to be the same).
- `failed` (`kind`: "policy" or "setup"; `message`, `file`, `line`, `column`, `hint`): it cannot.

What main says where the daemon starts the command: `start` (`numbers`; descriptors: its arguments, as a
document, then the command's, in the order of `numbers`, which are what it calls them). To its parent, the
keeper, it says by another channel what kind of network there will be (`Network`); what follows there is the
launcher's.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import select
import socket
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from sydd.daemon import identity, nofile
from sydd.daemon.birth import tell_failure
from sydd.daemon.channel import Channel, ChannelError, document, read_document
from sydd.daemon.precedent import Precedent
from sydd.daemon.preparing import PrepareError, prepare_session
from sydd.kernel import capabilities, prctl
from sydd.kernel.reason import reason
from sydd.launcher import become
from sydd.session.launching import LaunchError, made_ready
from sydd.session.temporary import remove_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.daemon.preparing import Ready
    from sydd.daemon.spec import SessionSpec
    from sydd.session.launching import LaunchSpec

HIGH = 256
"""Descriptors of the process's own are not below; numbers of the command's are."""


class Network(NamedTuple):
    """What the keeper has to know beforehand of the network that the command gets.

    Attributes:
        private: whether it is its own.
        user_namespace: whether that takes a user namespace.
    """

    private: bool
    user_namespace: bool

    def write(self, channel: socket.socket) -> None:
        """Send it."""
        channel.sendall(bytes(self))

    @classmethod
    def read(cls, channel: socket.socket) -> Network | None:
        """Receive it; None from a process that has ended."""
        data = channel.recv(2)
        return cls(*map(bool, data)) if len(data) == len(cls._fields) else None


def begin(spec: SessionSpec, channel: Channel, precedent: int) -> int:
    """Prepare a session for a command that somebody else starts, in a process of its own; its exit status.

    Args:
        spec: the session.
        channel: to main.
        precedent: memfd of an earlier session's; -1 for none.

    Raises:
        OSError, IdentityError, ChannelError: it cannot go on.
    """
    _take_identity(spec)
    return 1 if _prepare(spec, channel, precedent) is None else 0


def become_command(spec: SessionSpec, channel: Channel, keeper: int, precedent: int) -> NoReturn:
    """Prepare a session and become its command, in a process of its own.

    Args:
        spec: the session.
        channel: to main.
        keeper: socket to the keeper; this process's.
        precedent: memfd of an earlier session's; -1 for none.
    """
    users = os.geteuid() == spec.identity.uid
    try:
        channel.move(lifted(channel.fileno()))
        low, keeper = keeper, lifted(keeper)
        os.close(low)
        _take_identity(spec)
        nofile.restore()
        ready = _prepare(spec, channel, precedent)
        if ready is not None:
            with socket.socket(fileno=keeper) as keepers:
                _become(ready.launch, channel, keepers, users=users)
            remove_tree(ready.about["tmp"])  # main has gone, or begins with others
    except (identity.IdentityError, LaunchError, OSError, ChannelError) as error:
        tell_failure(channel, {"kind": "setup", "message": reason(error)})
    except BaseException as error:  # noqa: BLE001  # as in `live`
        tell_failure(channel, {"kind": "setup", "message": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(1)


def _take_identity(spec: SessionSpec) -> None:
    identity.become(spec.identity)
    if spec.identity.uid:
        capabilities.limit(0)  # paths that the owner has chosen are looked up by the owner's rights alone


def _become(spec: LaunchSpec, channel: Channel, keeper: socket.socket, *, users: bool) -> None:
    """Become the command that main tells, if it still wants one.

    Args:
        spec: under what.
        channel: to main.
        keeper: to the keeper.
        users: whether main is the owner's own, so that nothing in this process has to be hidden.
    """
    if not spec.supervised:
        raise LaunchError("a session that nobody supervises is not the daemon's")
    if spec.user_namespace and users:
        prctl.set_dumpable(on=True)  # for the keeper, which writes its maps; else main does
    select.select([channel], [], [])
    received = channel.receive()
    if received is None:
        return
    message, descriptors = received
    with descriptors:
        argv = [str(word) for word in json.loads(read_document(descriptors[0]))]
        given = descriptors.steal_from(1)
    arrange([int(number) for number in message["numbers"]], given)
    launch = made_ready(spec, argv, keeper)
    Network(spec.private_network, spec.user_namespace).write(keeper)
    become(launch)


def lifted(fd: int) -> int:
    """A duplicate that is in no number's way.

    Raises:
        OSError: EMFILE.
    """
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError as error:
        # EINVAL: the lowest number that will do is beyond RLIMIT_NOFILE.
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error


def arrange(numbers: Sequence[int], descriptors: Sequence[int]) -> None:
    """Put descriptors where a command expects them.

    Args:
        numbers: what they are to be called.
        descriptors: closed afterwards.

    Raises:
        ValueError: a number is none that a command can have.
    """
    if len(numbers) != len(descriptors) or not all(0 <= number < HIGH for number in numbers):
        raise ValueError(f"descriptors {list(numbers)}: {len(descriptors)} came")
    high = [lifted(fd) for fd in descriptors]
    for fd in descriptors:
        os.close(fd)
    for number, fd in zip(numbers, high, strict=True):
        os.dup2(fd, number)
        os.close(fd)


def _prepare(spec: SessionSpec, channel: Channel, precedent: int) -> Ready | None:
    """Prepare a session, and tell main; None where that has failed, which is told as well."""
    gc.disable()  # it has not long to live
    try:
        ready = prepare_session(spec, Precedent.load(precedent) if precedent >= 0 else None)
    except PrepareError as error:
        tell_failure(channel, error.as_json())
        return None
    try:
        _tell(spec, ready, channel)
    except BaseException:
        remove_tree(ready.about["tmp"])
        raise
    return ready


def _tell(spec: SessionSpec, ready: Ready, channel: Channel) -> None:
    """Tell main, first what a launch needs: the rest is written down while others have something to do."""
    launch = [document("sydd-launch", ready.launch.as_document())] if spec.origin == "launch" else []
    channel.send({"type": "prepared", **ready.about, "as_before": ready.state is None}, launch)
    if ready.state is not None:
        channel.send({"type": "state"}, [ready.state.saved()])
    if ready.precedent is not None:
        channel.send({"type": "precedent"}, [ready.precedent.saved()])
