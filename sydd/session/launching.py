"""Starting a command under a plan: who forks the launcher does this, whoever supervises it.

Embedded, supervisor and parent of the command are one process. With the daemon they are not: the plan is made
by a worker, and the command is started by sydctl, or by a keeper. What these need of the plan is a
`LaunchSpec`, which can be sent.

The launcher puts the filter on itself and sends the listener; it goes on only after `let_go`, so that every
call of the command has somebody who answers it.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import os
import signal
import socket
import stat
import sys

from sydd.kernel import landlock_calls, seccomp
from sydd.kernel.paths import AT_FDCWD, RESOLVE_NO_SYMLINKS, probe_openat2
from sydd.kernel.reason import reason
from sydd.launcher import GO, Launch, become, candidates
from sydd.namedtuple import NamedTuple  # not dataclasses, which is slow to import
from sydd.session.executables import executed_files
from sydd.session.inherited import InheritedSocketError, refuse_sockets

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from sydd.plan.landlock import LandlockPlan
    from sydd.session.prepare import Prepared


class LaunchError(Exception):
    """The command cannot be started; the message says why."""


class Grant(NamedTuple):
    """One rule of a Landlock ruleset.

    Attributes:
        path: canonical.
        rights: bits of `landlock_path_beneath_attr.allowed_access`.
        directory: whether it is about a directory and all below it.
    """

    path: str
    rights: int
    directory: bool


class Ruleset(NamedTuple):
    """A Landlock ruleset, ready to be made.

    Attributes:
        handled: rights that are refused except where a rule grants them.
        scoped: bits of `landlock_ruleset_attr.scoped`.
        grants: its rules.
    """

    handled: int
    scoped: int
    grants: tuple[Grant, ...]

    @classmethod
    def of_plan(cls, plan: LandlockPlan) -> Ruleset:
        """The ruleset of a plan."""
        grants = tuple(Grant(rule.path, int(rule.rights), rule.directory) for rule in plan.rules)
        return cls(int(plan.handled), plan.scoped, grants)


class LaunchSpec(NamedTuple):
    """What a launch needs of a plan; it can be sent as JSON.

    Attributes:
        program: BPF instructions of the filter.
        supervised: whether the filter has notifications, so that a listener comes.
        ruleset: the Landlock ruleset; None for none.
        environment: the command's whole environment.
        directory: its working directory, canonical.
        umask: file mode creation mask; -1 to keep it.
        limits: (resource, soft, hard) as setrlimit(2) takes them.
        time: seconds that the session may last; 0 for no limit.
        keep: inherited descriptors above 2 that stay open.
        capabilities: those that may be kept, bit N for capability N; -1 for all.
        private_network: whether the command gets a network namespace.
        user_namespace: whether that takes a user namespace.
        datagrams: whether it may inherit sockets that send to another address with each message.
        mark: by which the daemon knows the session's processes; 0 for none.
    """

    program: bytes
    supervised: bool
    ruleset: Ruleset | None
    environment: Mapping[str, str]
    directory: str
    umask: int
    limits: tuple[tuple[int, int, int], ...]
    time: int
    keep: tuple[int, ...]
    capabilities: int
    private_network: bool
    user_namespace: bool
    datagrams: bool
    mark: int = 0

    @classmethod
    def of(cls, prepared: Prepared, *, grouped: bool = False) -> LaunchSpec:
        """What *prepared* comes to.

        Args:
            prepared: policy, plan and place.
            grouped: whether a control group holds the limits of the session as a whole.
        """
        # Here: who is sent one needs no policy.
        from sydd.plan.bpf import compile_filter
        from sydd.plan.engine import Engine
        from sydd.session.limits import launch_limits

        plan, policy = prepared.plan, prepared.policy
        ruleset = None
        if plan.landlock is not None and (plan.landlock.handled or plan.landlock.scoped):
            ruleset = Ruleset.of_plan(plan.landlock)
        return cls(
            program=compile_filter(plan.filter),
            # The session around a nested one has the only supervisor that there can be.
            supervised=plan.engine is not Engine.NESTED,
            ruleset=ruleset,
            environment=dict(prepared.environment),
            directory=prepared.place.cwd,
            umask=-1 if policy.umask is None else policy.umask,
            limits=launch_limits(policy.limits, policy.session_limits, grouped=grouped),
            time=policy.session_limits.most("time") or 0,
            keep=tuple(policy.keep_descriptors),
            capabilities=kept_capabilities(prepared),
            private_network=plan.network.private,
            user_namespace=plan.network.user_namespace,
            datagrams=plan.takes_datagrams,
        )

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        value = self._asdict()
        value["program"] = binascii.b2a_base64(self.program, newline=False).decode("ascii")
        if self.ruleset is not None:
            grants = [grant._asdict() for grant in self.ruleset.grants]
            value["ruleset"] = {**self.ruleset._asdict(), "grants": grants}
        return value

    def as_document(self) -> bytes:
        """As JSON."""
        return json.dumps(self.as_json(), separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LaunchSpec:
        """From what `as_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        fields = dict(value)
        fields["program"] = binascii.a2b_base64(fields["program"], strict_mode=True)
        if fields["ruleset"] is not None:
            ruleset = dict(fields["ruleset"])
            ruleset["grants"] = tuple(Grant(**grant) for grant in ruleset["grants"])
            fields["ruleset"] = Ruleset(**ruleset)
        fields["limits"] = tuple((which, soft, hard) for which, soft, hard in fields["limits"])
        fields["keep"] = tuple(fields["keep"])
        return cls(**fields)


def kept_capabilities(prepared: Prepared) -> int:
    """The capabilities that a command may keep, bit N for capability N; -1 for all."""
    from sydd.plan.capabilities import KEPT_MASK
    from sydd.plan.engine import Engine

    if prepared.plan.engine is Engine.AUDIT:
        return -1  # what is only recorded is not changed
    # Of those that it has in its user namespace the command keeps none, so the worker uses none.
    return 0 if prepared.plan.network.user_namespace else KEPT_MASK


def build_ruleset(ruleset: Ruleset, launched: Sequence[str] = ()) -> int:
    """Make *ruleset*.

    Paths that have vanished since the plan was made are left out, and so are those on which a symbolic link
    stands by now (they are canonical, so somebody put it there), and directories that were files: less is
    granted, never more.

    Args:
        ruleset: what to handle and to grant.
        launched: files that may be executed besides.

    Returns:
        Its descriptor, which the caller closes.
    """
    made = landlock_calls.create_ruleset(ruleset.handled, 0, ruleset.scoped)
    try:
        executables = tuple(Grant(path, landlock_calls.EXECUTE, directory=False) for path in launched)
        for grant in ruleset.grants + executables:
            flags = os.O_PATH | os.O_CLOEXEC | (os.O_DIRECTORY if grant.directory else 0)
            parent = probe_openat2(AT_FDCWD, os.fsencode(grant.path), flags, RESOLVE_NO_SYMLINKS)
            if parent < 0:
                continue
            try:
                if grant.directory or not stat.S_ISDIR(os.fstat(parent).st_mode):
                    landlock_calls.add_path_rule(made, parent, grant.rights)
            finally:
                os.close(parent)
    except BaseException:
        os.close(made)
        raise
    return made


def start(
    spec: LaunchSpec,
    argv: Sequence[str],
    channel: socket.socket | None,
    *,
    mask: Iterable[int] = (),
    ignored: Sequence[int] = (),
) -> int:
    """Fork the launcher, which becomes the command.

    Args:
        spec: what it becomes it under.
        argv: the command and its arguments.
        channel: stream socket by which it sends the listener; None where there is none to send.
        mask: signals that are blocked for the command.
        ignored: signals that the command finds ignored.

    Returns:
        Its pid; it is a child of this process.

    Raises:
        LaunchError: the sandbox cannot be set up.
    """
    launch = made_ready(spec, argv, channel, mask=mask, ignored=ignored)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            become(launch)
    except OSError as error:
        raise LaunchError(f"cannot set up the sandbox: {error}") from error
    finally:
        if launch.ruleset >= 0:
            os.close(launch.ruleset)
    return pid


def made_ready(
    spec: LaunchSpec,
    argv: Sequence[str],
    channel: socket.socket | None,
    *,
    mask: Iterable[int] = (),
    ignored: Sequence[int] = (),
) -> Launch:
    """What `become` takes, with a ruleset, which the caller closes.

    Args:
        spec: as for `start`, like all others.
        argv: the command and its arguments.
        channel: stream socket by which the listener is sent; None where there is none to send.
        mask: signals that are blocked for the command.
        ignored: signals that the command finds ignored.

    Raises:
        LaunchError: the sandbox cannot be set up.
    """
    try:
        launch = _launch(spec, argv, mask, ignored)
        refuse_sockets((0, 1, 2, *launch.keep), private=spec.private_network, datagrams=spec.datagrams)
        if channel is not None:
            launch.channel = channel.fileno()
            launch.filter_flags = seccomp.FILTER_FLAG_NEW_LISTENER | seccomp.FILTER_FLAG_WAIT_KILLABLE_RECV
        if spec.ruleset is not None:
            launch.ruleset = build_ruleset(spec.ruleset, _launch_files(spec.ruleset, launch))
    except (OSError, InheritedSocketError) as error:
        raise LaunchError(f"cannot set up the sandbox: {reason(error)}") from error
    return launch


def _launch_files(ruleset: Ruleset, launch: Launch) -> list[str]:
    """Files to grant EXECUTE on, since the launch itself is not judged by exec rules."""
    if not ruleset.handled & landlock_calls.EXECUTE:
        return []
    return [file for path in candidates(launch) for file in executed_files(path)]


def _launch(spec: LaunchSpec, argv: Sequence[str], mask: Iterable[int], ignored: Sequence[int]) -> Launch:
    launch = Launch(argv, spec.environment)
    launch.directory = spec.directory
    launch.program = spec.program
    launch.keep = spec.keep
    launch.capabilities = spec.capabilities
    if spec.private_network:
        from sydd.kernel import namespaces  # few sessions need it

        own_user = namespaces.CLONE_NEWUSER if spec.user_namespace else 0
        launch.namespaces = namespaces.CLONE_NEWNET | own_user
    launch.umask = spec.umask
    launch.limits = spec.limits
    launch.mark = spec.mark
    launch.signals = mask
    # Python ignores these two; a command that inherits that would not die of a closed pipe.
    launch.ignored_signals = ignored
    launch.default_signals = (signal.SIGPIPE, signal.SIGXFSZ)
    return launch


def take_listener(
    channel: socket.socket,
    pid: int,
    *,
    private_network: bool,
    user_namespace: bool,
    map_ids: Callable[[int], None] | None = None,
) -> int:
    """Set up the network that the launcher makes, if it makes one, and take its listener.

    Args:
        channel: this side of its channel.
        pid: the launcher.
        private_network: as its `LaunchSpec` has it.
        user_namespace: likewise.
        map_ids: see `privatenet.set_up`; None for the maps that everybody may write.

    Returns:
        The listener (close-on-exec), which the caller closes; -1 when the launcher ended without: it has said
        why, and its status is the session's.

    Raises:
        LaunchError: the network cannot be set up.
    """
    if private_network:
        from sydd.session.privatenet import PrivateNetworkError, set_up, write_own_maps

        try:
            set_up(channel, pid, user_namespace=user_namespace, map_ids=map_ids or write_own_maps)
        except PrivateNetworkError as error:
            raise LaunchError(f"cannot set up the sandbox: {error}") from error
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    if not descriptors:
        return -1
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def let_go(channel: socket.socket) -> None:
    """Let the launcher execute the command; one that was killed meanwhile is no error."""
    with contextlib.suppress(OSError):
        channel.sendall(GO)
