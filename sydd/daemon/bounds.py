"""What bounds one session as a whole: its control group, and the time that it may take."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from sydd.daemon.cgroups import Cgroups, NoCgroupsError, SessionCgroup
from sydd.kernel.pidfd import pidfd_open
from sydd.policy.sessionlimits import SessionLimits
from sydd.session.members import members

ROUNDS = 20
"""How often processes that were forked meanwhile are looked for."""

PAUSE = 0.01
"""Seconds between two looks whether a group is empty."""


class Bounds:
    """The bounds of one session.

    Args:
        session: its id.
        cgroups: where it gets a group; None where there are none.
        trouble: told what does not hold, one line each.
        tell: told what happens, its kind and one line.
    """

    def __init__(
        self,
        session: str,
        cgroups: Cgroups | None,
        trouble: Callable[[str], None],
        tell: Callable[[str, str], None],
    ) -> None:
        self._session = session
        self._cgroups = cgroups
        self._trouble = trouble
        self._tell = tell
        self._limits = SessionLimits()
        self._group: SessionCgroup | None = None
        self._timer: asyncio.TimerHandle | None = None

    def learn(self, about: Mapping[str, Any]) -> None:
        """What the worker has said of the profile.

        Args:
            about: `limits` has those that are set, by name.
        """
        said = about.get("limits") or {}
        self._limits = SessionLimits(said.get("processes"), said.get("memory"), said.get("time"))

    def adopt(self) -> None:
        """Go on with the group that an earlier daemon has made."""
        if self._cgroups is not None:
            self._group = self._cgroups.adopt(self._session)

    def enclose(self, command: int, handle: int, keeper: int) -> None:
        """Make the group, and move the command there, with what it has forked meanwhile.

        Args:
            command: pid of the command.
            handle: pidfd of it.
            keeper: the process below which the session's processes are.
        """
        if self._cgroups is None:
            return
        try:
            group = self._cgroups.create(self._session, self._limits)
        except (OSError, NoCgroupsError) as error:
            self._trouble(f"no control group for the session: {error}")
            return
        try:
            with contextlib.suppress(ProcessLookupError):
                group.enter(command, handle)
                _enter_rest(group, keeper)
        except OSError as error:
            # A user's own daemon cannot take processes out of a login.
            group.remove()
            if self._limits.most("processes") is not None or self._limits.most("memory") is not None:
                self._trouble(f"limits of the session hold for each process alone: {error.strerror}")
            return
        if group.unlimited:
            self._trouble(
                f"the kernel has no controller for limits of the session: {', '.join(group.unlimited)}"
            )
        self._group = group

    def watch_time(self, elapsed: float, over: Callable[[str], None]) -> None:
        """Have the session ended when its time is over.

        Args:
            elapsed: seconds that it has lasted.
            over: called then, with one line that says so.
        """
        most = self._limits.most("time")
        if most is not None:
            text = f"the session lasted longer than the {most} s that its profile allows"
            self._timer = asyncio.get_running_loop().call_later(max(0, most - elapsed), over, text)

    def forget_time(self) -> None:
        """It ends, or another daemon watches it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def kill(self) -> None:
        """End every process that is in the group, if there is one."""
        if self._group is not None:
            try:
                self._group.kill()
            except OSError as error:
                self._trouble(f"the control group cannot be killed: {error.strerror}")

    def _tell_exceeded(self, group: SessionCgroup) -> None:
        """Tell which limits the session came up against."""
        found = {}
        with contextlib.suppress(OSError):
            found = group.exceeded()
        words = {
            "processes": "forks beyond the limit of processes",
            "memory": "processes ended for want of memory",
        }
        for name, count in found.items():
            self._tell("limit", f"the session came up against its limits: {count} {words[name]}")

    async def remove(self, seconds: float) -> None:
        """Remove the group; what is left in it is killed.

        Args:
            seconds: how long that may take.
        """
        self.forget_time()
        group, self._group = self._group, None
        if group is None:
            return
        self._tell_exceeded(group)
        try:
            async with asyncio.timeout(seconds):
                while not group.remove():
                    group.kill()
                    await asyncio.sleep(PAUSE)
        except (OSError, TimeoutError) as error:
            self._trouble(f"the control group {group.path} is left: {error or 'a process does not end'}")


def _enter_rest(group: SessionCgroup, keeper: int) -> None:
    """Move what the command has forked before it was in the group; what it forks now is born there."""
    for _ in range(ROUNDS):
        outside = set(members(keeper)) - set(group.processes())
        if not outside:
            return
        for pid in outside:
            with contextlib.suppress(ProcessLookupError):
                handle = pidfd_open(pid)
                try:
                    group.enter(pid, handle)
                finally:
                    os.close(handle)
