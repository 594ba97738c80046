"""A control group for each session: limits on all its processes together, and an end for all of them.

systemd gives the daemon a part of the tree that it manages alone (Delegate=yes of `sydd-sessions.service`,
a unit beside its own: so the daemon can be started anew while sessions live there). Below it each session
has a group of its own. Where there is no such part, or the kernel mounts cgroup v1, there are no groups, and
`Cgroups.find` says why; sessions then have the limits of `sydd.session.limits`, process by process.

Only the daemon moves processes: a descriptor of cgroup.procs that root opened would let its holder move, and
so end, anybody's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container, Mapping
from errno import EBUSY, ENOENT
from typing import Final

from sydd.kernel.cgroup import MAX, Cgroup, mount_points, of_process
from sydd.kernel.pidfd import pidfd_send_signal
from sydd.policy.sessionlimits import SessionLimits

UNIT: Final = "sydd-sessions.service"
"""The unit below which sessions have their groups; it stands beside the daemon's own."""

VARIABLE: Final = "SYDD_CGROUP"
"""Names the directory to use instead, for a daemon without systemd; it must be the daemon's alone."""

WANTED: Final = frozenset({"memory", "pids"})
_PREFIX: Final = "session-"
_KEEPER: Final = "keeper"
"""The group of the unit's own process, which only sleeps: one with processes has no controllers to give."""


class NoCgroupsError(Exception):
    """There is no part of the cgroup tree for sessions; the message says why."""


class Cgroups:
    """The part of the tree where sessions have their groups.

    Args:
        root: its directory, which has no process itself.
        enabled: controllers that the groups in it have.
    """

    def __init__(self, root: Cgroup, enabled: frozenset[str]) -> None:
        self._root = root
        self.enabled = enabled

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> Cgroups:
        """The part that this daemon was given, with the controllers that it can have enabled.

        Args:
            environment: of this process.

        Raises:
            NoCgroupsError: there is none.
        """
        root = Cgroup(environment.get(VARIABLE, "")) if environment.get(VARIABLE) else _beside()
        return cls(root, _prepare(root))

    @property
    def path(self) -> str:
        """The directory."""
        return self._root.path

    def create(self, session: str, limits: SessionLimits) -> SessionCgroup:
        """Make the group of a new session.

        Args:
            session: its id.
            limits: those of processes and memory are set; where the controller is missing they are in
                `SessionCgroup.unlimited`.

        Raises:
            NoCgroupsError: the part of the tree is there no more.
            OSError: the kernel makes no more groups, or does not take a limit; nothing is left.
        """
        if not self._root.child(_KEEPER).exists():
            # The unit was started anew, with another group of the same name.
            self.enabled = _prepare(self._root)
        group = SessionCgroup(self._root.child(_PREFIX + session), self.enabled)
        group.create(limits)
        return group

    def adopt(self, session: str) -> SessionCgroup | None:
        """The group of a session that an earlier process of the daemon began; None when it has none."""
        group = self._root.child(_PREFIX + session)
        return SessionCgroup(group, self.enabled) if group.exists() else None

    def sessions(self) -> list[str]:
        """Ids of all sessions that have a group, those of a daemon that is no more included."""
        return [name.removeprefix(_PREFIX) for name in self._root.children() if name.startswith(_PREFIX)]

    def sweep(self, living: Container[str]) -> None:
        """Remove groups that nobody has removed: of sessions that ended while there was no daemon.

        Args:
            living: ids of those that are somebody's; the groups of others stay as long as a process is there.
        """
        for name in self.sessions():
            if name not in living:
                with contextlib.suppress(OSError):
                    SessionCgroup(self._root.child(_PREFIX + name), self.enabled).remove()


def _prepare(root: Cgroup) -> frozenset[str]:
    """Make a group one that has groups with controllers; which, is the result.

    Raises:
        NoCgroupsError: it is not there, or not the daemon's.
    """
    if not root.exists():
        raise NoCgroupsError(f"no control group '{root.path}': is {UNIT} running?")
    keeper = root.child(_KEEPER)
    try:
        with contextlib.suppress(FileExistsError):
            keeper.create()
        for pid in root.processes():
            keeper.enter(pid)
        enabled = WANTED & root.controllers()
        root.enable(enabled)
    except OSError as error:
        raise NoCgroupsError(f"control group '{root.path}' is not the daemon's: {error.strerror}") from None
    return enabled


def _beside() -> Cgroup:
    """The group of UNIT, which stands beside this process's own."""
    mounts = mount_points()
    if not mounts:
        raise NoCgroupsError("cgroup v2 is not mounted here")
    try:
        own = of_process(os.getpid())
    except LookupError as error:
        raise NoCgroupsError(str(error)) from None
    return Cgroup(os.path.normpath(f"{mounts[0]}/{os.path.dirname(own)}/{UNIT}"))


class SessionCgroup:
    """The group of one session.

    Args:
        group: its directory.
        enabled: controllers that it has.
    """

    def __init__(self, group: Cgroup, enabled: frozenset[str]) -> None:
        self._group = group
        self._enabled = enabled
        self.unlimited: tuple[str, ...] = ()
        """Names of limits that the profile sets and this group cannot hold."""

    @property
    def path(self) -> str:
        """The directory."""
        return self._group.path

    def create(self, limits: SessionLimits) -> None:
        """Make it, with its limits; see `Cgroups.create`."""
        self._group.create()
        try:
            self.limit(limits)
        except OSError:
            self._group.remove()
            raise

    def limit(self, limits: SessionLimits) -> None:
        """Set the limits, also of a living session.

        Args:
            limits: see `Cgroups.create`.

        Raises:
            OSError: the kernel does not take one.
        """
        missing = []
        for name, controller, file in (("processes", "pids", "pids.max"), ("memory", "memory", "memory.max")):
            most = limits.most(name)
            if controller in self._enabled:
                self._group.write(file, MAX if most is None else str(most))
            elif most is not None:
                missing.append(name)
        if "memory" in self._enabled and limits.most("memory") is not None:
            # What is out of memory is ended as a whole: half a build only wastes time. Swap is no way round.
            self._group.write("memory.oom.group", "1")
            with contextlib.suppress(FileNotFoundError):  # a kernel without swap accounting
                self._group.write("memory.swap.max", "0")
        self.unlimited = tuple(missing)

    def enter(self, pid: int, pidfd: int) -> None:
        """Move a process that is about to become the session's first one into the group.

        Args:
            pid: its number.
            pidfd: its descriptor, by which it is known that the number was still its own.

        Raises:
            OSError: ESRCH when it is gone, or what cgroupfs says.
        """
        pidfd_send_signal(pidfd, 0)
        self._group.enter(pid)
        # The number is taken as long as the process is there, be it as a zombie: then nobody else was moved.
        pidfd_send_signal(pidfd, 0)

    def processes(self) -> list[int]:
        """The living processes of the session."""
        return [pid for pid in self._group.processes() if pid]

    def populated(self) -> bool:
        """Whether a process of the session lives; False when the group is gone."""
        try:
            return self._group.populated()
        except FileNotFoundError:
            return False

    def kill(self) -> None:
        """End every process of the session, also what is forked meanwhile or has lost its parent.

        They are stopped first, so that none sees another one's end and acts on it. Returns before they are
        gone: `populated` tells.
        """
        with contextlib.suppress(FileNotFoundError):
            self._group.freeze()
            self._group.kill()

    def exceeded(self) -> dict[str, int]:
        """How often the session came up against a limit: `processes` (forks that failed), `memory` (ends)."""
        found = {}
        for name, controller, file, key in (
            ("processes", "pids", "pids.events", "max"),
            ("memory", "memory", "memory.events", "oom_kill"),
        ):
            if controller in self._enabled:
                count = self._group.table(file).get(key, 0)
                if count:
                    found[name] = count
        return found

    def remove(self) -> bool:
        """Remove the group; False while a process is in it. One that is gone is fine.

        Groups that the session was allowed to make in its own are removed with it.

        Raises:
            OSError: cgroupfs says something else.
        """
        try:
            for name in self._group.children():
                SessionCgroup(self._group.child(name), self._enabled).remove()
            self._group.remove()
        except OSError as error:
            if error.errno == ENOENT:
                return True
            if error.errno == EBUSY:
                return False
            raise
        return True
