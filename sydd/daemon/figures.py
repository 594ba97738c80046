"""Counts what happens in the daemon, for whoever scrapes it."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import sydd
from sydd.daemon import log
from sydd.daemon.hub import Hub, Record
from sydd.daemon.messages import Message
from sydd.daemon.metrics import Metrics, Server
from sydd.kernel.reason import reason
from sydd.supervisor import statistics
from sydd.supervisor.slot import Slot
from sydd.syscalls.table import AUDIT_ARCH, rows_by_arch

if TYPE_CHECKING:
    from collections.abc import Callable

    from sydd.daemon.registry import Registry

_ARCH: Final = os.uname().machine


@dataclass(slots=True)
class _Counted:
    """What is remembered of a session until its end.

    Attributes:
        slot: duplicate of the memory where its workers count; -1 for none.
        events: the labels of each event by its number, and how often it was counted.
    """

    slot: int = -1
    events: dict[int, tuple[tuple[str, str, str], int]] = field(default_factory=dict)


class Figures:
    """The figures of one daemon, and their socket.

    Args:
        hub: what happens.
        registry: the sessions.
        connections: how many the control socket has.
    """

    def __init__(self, hub: Hub, registry: Registry, connections: Callable[[], int]) -> None:
        self.metrics = Metrics()
        self._hub = hub
        self._registry = registry
        self._connections = connections
        self._sessions: dict[str, _Counted] = {}
        self._rows = rows_by_arch(_ARCH)
        self._server = Server(self.collect)
        self.metrics.build.set(1, sydd.__version__)
        self.metrics.started.set(time.time())

    async def serve(self, address: str) -> None:
        """Count, and answer scrapes, until it is cancelled; where it cannot, the log says so.

        Args:
            address: where; see `metrics.Server`.
        """
        subscription = self._hub.subscribe(own=True)
        try:
            await self._server.start(address)
            for session in self._registry.living():
                self._meet(session.spec.id)
            while (item := await subscription.get()) is not None:
                if isinstance(item, Record):
                    self._count(item)
        except (ValueError, OSError) as error:
            log.get_logger().error(f"no metrics at {address}: {reason(error)}", message_id=Message.TROUBLE)
        finally:
            subscription.close()
            await self._server.close()
            for counted in self._sessions.values():
                if counted.slot >= 0:
                    os.close(counted.slot)
            self._sessions.clear()

    def collect(self) -> str:
        """The text that a scrape gets."""
        for name in self._sessions:
            self._read(name)
        self.metrics.sessions.set(len(self._registry.living()))
        self.metrics.connections.set(self._connections())
        self.metrics.events_lost.set(self._hub.lost)
        self.metrics.log_lost.set(log.lost())
        for why, number in self._registry.refused.items():
            self.metrics.refused.set(number, why)
        return self.metrics.render()

    def _meet(self, name: str) -> None:
        """Remember a session, and where its workers count."""
        counted = self._sessions.setdefault(name, _Counted())
        session = self._registry.find(name)
        if session is not None and counted.slot < 0 and session.slot >= 0:
            counted.slot = os.dup(session.slot)

    def _count(self, record: Record) -> None:
        metrics, data = self.metrics, record.data
        if record.kind in ("created", "started", "restored"):
            self._meet(record.session)
        if record.kind == "started":
            session = self._registry.find(record.session)
            metrics.begun.add(session.spec.origin if session else "launch")
        elif record.kind == "restarted":
            metrics.restarts.add("worker")
        elif record.kind == "access":
            self._count_event(record.session, data["event"])
        elif record.kind == "repeated":
            self._count_again(record.session, int(data["sequence"]), int(data["count"]))
        elif record.kind == "ended":
            metrics.ended.add("failed" if data["detail"].get("failure") else "ended")
            self._read(record.session)
            self._part(record.session)

    def _count_event(self, name: str, event: dict[str, str | int | dict[str, str]]) -> None:
        labels = (str(event["action"]), str(event["access"]), str(event["profile"]))
        number, count = int(str(event["sequence"])), int(str(event.get("count", 1)))
        self.metrics.violations.add(*labels, by=count)
        self._sessions.setdefault(name, _Counted()).events[number] = (labels, count)

    def _count_again(self, name: str, sequence: int, count: int) -> None:
        events = self._sessions.setdefault(name, _Counted()).events
        if sequence in events:
            labels, before = events[sequence]
            self.metrics.violations.add(*labels, by=max(0, count - before))
            events[sequence] = (labels, max(count, before))

    def _read(self, name: str) -> None:
        """Take over what the workers of a session have counted."""
        counted = self._sessions.get(name)
        if counted is None or counted.slot < 0:
            return
        slot = Slot(counted.slot)
        calls = statistics.by_name(slot, self._rows, AUDIT_ARCH[_ARCH])
        self.metrics.answered(name, calls, list(slot.latencies))

    def _part(self, name: str) -> None:
        counted = self._sessions.pop(name, None)
        self.metrics.forget(name)
        if counted is not None and counted.slot >= 0:
            os.close(counted.slot)


class Scraped:
    """Where the figures are served: nowhere, or at an address that may change.

    Args:
        figures: of the daemon.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._address = ""
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def at(self, address: str) -> None:
        """Serve them there from now on.

        Args:
            address: see `metrics.Server`; empty for nowhere.
        """
        if address == self._address:
            return
        self._address = address
        before, self._task = self._task, None
        if before is not None:
            before.cancel()
            self._ending.add(before)
            before.add_done_callback(self._ending.discard)
        if address:
            self._task = asyncio.get_running_loop().create_task(self._serve(before, address))

    async def _serve(self, before: asyncio.Task[None] | None, address: str) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._figures.serve(address)

    async def close(self) -> None:
        """Serve them no more."""
        self.at("")
        if self._ending:
            await asyncio.wait(self._ending)
