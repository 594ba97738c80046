"""The supervisor's half of a private network: what the launcher has made it maps and brings up.

The launcher, alone in its new namespaces, sends a socket for rtnetlink(7) of the network namespace. A process
of the user that made a user namespace has all capabilities in it, from outside; so the supervisor brings
loopback up by that socket and writes the maps, and enters nothing. The maps are the command's own ids and
nothing else: it sees itself as it is, and whoever is not mapped as nobody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from sydd.kernel import namespaces, pidfd
from sydd.kernel.namespace_probe import why_not
from sydd.launcher import GO, NAMESPACE, REFUSED

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Callable

    from sydd.plan.plan import Plan

_NETLINK_SOCK_DIAG = 4  # linux/netlink.h

LOOPBACK = 1
"""Index of `lo`, the first interface of every network namespace."""


class PrivateNetworkError(Exception):
    """The command cannot have a network of its own; the message says why."""


def write_own_maps(pid: int) -> None:
    """Map the own ids, in the user namespace of a process that this one may look into.

    Raises:
        OSError: it may not, or they are mapped already.
    """
    write_maps(f"/proc/{pid}", os.geteuid(), os.getegid())


def set_up(
    channel: socket.socket,
    pid: int,
    *,
    user_namespace: bool,
    map_ids: Callable[[int], None],
) -> None:
    """Wait for the launcher's namespaces, set them up, and let it go on.

    A launcher that ended without a word has said why by itself; then nothing is done.

    Args:
        channel: to the launcher.
        pid: the launcher.
        user_namespace: whether it made one of these, too.
        map_ids: maps ids in the user namespace of the process that it is given; OSError where it cannot.

    Raises:
        PrivateNetworkError: the launcher could not make them, or they could not be set up.
    """
    data, descriptors, _, _ = socket.recv_fds(channel, 2, 1)
    if data[:1] == REFUSED:
        raise PrivateNetworkError(_refusal(data[1] if len(data) > 1 else channel.recv(1)[0]))
    if data != NAMESPACE or not descriptors:
        return
    try:
        if user_namespace:
            map_ids(pid)
        _bring_up(descriptors[0])
    except OSError as error:
        raise PrivateNetworkError(_refusal(error.errno or 0)) from error
    finally:
        os.close(descriptors[0])
    channel.sendall(GO)


def enter_network(pid: int) -> None:
    """Have the calling thread in the network namespace of a process; root can.

    Args:
        pid: a process that is alive.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN.
    """
    handle = pidfd.pidfd_open(pid)
    try:
        namespaces.setns(handle, namespaces.CLONE_NEWNET)
    finally:
        os.close(handle)


def diagnosis_for(plan: Plan, command: int) -> int | None:
    """By what a supervisor outside of a command's network asks about its sockets; None where it need not.

    Args:
        plan: the session's.
        command: a process of it; when it has gone, nothing is followed any more.
    """
    if not plan.network.user_namespace or plan.sockets is None or not plan.sockets.follow_bind:
        return None
    try:
        return diagnosis_of(command)
    except OSError:
        return None


def diagnosis_of(pid: int) -> int:
    """A netlink socket by which the kernel is asked about sockets of a process's network (sock_diag(7)).

    A child makes it, which enters both namespaces: this process enters no user namespace. A socket stays in
    the network in which it was made.

    Args:
        pid: a process that is alive, in a user namespace that this user made.

    Returns:
        Its descriptor, which the caller closes.

    Raises:
        OSError: the namespaces cannot be entered.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = os.fork()
        if not child:
            try:
                namespaces.setns(pidfd.pidfd_open(pid), namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNET)
                with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as made:
                    socket.send_fds(theirs, [NAMESPACE], [made.fileno()])
            finally:
                os._exit(0)
        theirs.close()
        try:
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        finally:
            with contextlib.suppress(ChildProcessError):  # who collects all children was quicker
                os.waitpid(child, 0)
    if not descriptors:
        raise OSError(errno.EPERM, "the command's network cannot be entered")
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def _refusal(error: int) -> str:
    return (
        f'[network] namespace = "private": this user can make no network namespace here: {why_not(error)} '
        f"('sydctl doctor' tells more)"
    )


def write_maps(place: str, uid: int, gid: int) -> None:
    """Map a user and a group to themselves; setgroups(2) is refused before, as user_namespaces(7) wants it.

    Args:
        place: directory in /proc of the process in whose user namespace; the caller may write there.
        uid: the user.
        gid: the group.

    Raises:
        OSError: the caller may not, or they are mapped already.
    """
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"{place}/{name}", "wb", buffering=0) as file:
            file.write(text.encode())


def _bring_up(route: int) -> None:
    """Bring loopback up.

    Args:
        route: socket for rtnetlink(7) of the namespace; stays the caller's.

    Raises:
        OSError: the kernel refused.
    """
    # Here: it takes 150 ms, longer than everything else of a session's start, and few sessions need it.
    from pyroute2.iproute.linux import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute(fileno=os.dup(route)) as rtnetlink:  # which it closes
            rtnetlink.link("set", index=LOOPBACK, state="up")
    except NetlinkError as error:
        raise OSError(error.code, str(error)) from error
