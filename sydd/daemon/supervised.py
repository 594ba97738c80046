"""A session's worker as main sees it: what it says and is asked, and another in its place when it dies.

A worker that dies is replaced while there is a listener to serve: the callers wait meanwhile. One that dies
again and again is not: the session ends, what is left of it gets ENOSYS, and that is told.
"""

from __future__ import annotations

import asyncio
import math
import select
import time
from abc import abstractmethod
from typing import Any

from sydd.daemon.channel import Channel
from sydd.daemon.ending import interrupt
from sydd.daemon.expecting import SessionFailedError
from sydd.daemon.hub import Hub
from sydd.daemon.insiders import Roots, is_alive
from sydd.daemon.journal import SessionJournal
from sydd.daemon.link import Link, LinkBrokenError
from sydd.daemon.preparation import ENDED, Preparing, WorkerDiedError
from sydd.daemon.questions import Questions
from sydd.daemon.spawn import Child, Forker, Held, Process, respawn, spawn
from sydd.daemon.spec import SessionSpec
from sydd.daemon.store import Info, Store
from sydd.daemon.worker import SAYS
from sydd.kernel import seccomp
from sydd.kernel.fd import FdSet
from sydd.supervisor import statistics
from sydd.supervisor.slot import Slot

SERVE = 20
"""Seconds that a worker may take to serve a listener that it was given."""

PREPARE = 50
"""Seconds that preparing may take: hosts are looked up, and file systems may be slow. Clients wait for 60."""

RESTARTS = 5
"""Workers of one session that may die one after the other and in vain; with one more the session is ended."""

BRIEF = 0.05
"""Seconds: a worker that serves no longer, or not at all, and answers nothing has died in vain."""

_NO_WORKER = "the worker died before the command was there"

ASK_SECONDS = 60
"""Seconds after which a question is denied, where the worker says nothing else."""


class Supervised(Preparing):
    """What of a session is about its worker.

    Args:
        spec: what it is to be.
        hub: where it tells what happens.
        store: where its descriptors outlive this process.
        forker: forks its processes.

    Attributes:
        spec: what it is to be.
        state: how far it is.
        about: what its preparer said of it.
        journal: what was denied or reported in it.
        questions: those that are open.
        changing: held by who changes its rules or its mode.
        done: set when it has ended and nothing of it is left.
    """

    def __init__(self, spec: SessionSpec, hub: Hub, store: Store, forker: Forker) -> None:
        super().__init__(spec, store, forker)
        self.journal = SessionJournal(self.tell)
        self.questions = Questions(
            spec.id,
            self._decide,
            lambda value: self.tell("question", f"question {value['question']} is {value['state']}", **value),
        )
        self.changing = asyncio.Lock()
        self._hub = hub
        self._store = store
        self._info: Info | None = None
        self._deaths, self._answered, self._died_of = 0, -1, b""  # see `_dies_in_vain`
        self._serves_since = 0.0
        self._again = False  # whether it is about to be begun again
        self._replacing: asyncio.Task[None] | None = None
        self._worker_done = False
        self._left = True

    def _trouble(self, message: str) -> None:
        self.journal.trouble(message)

    @abstractmethod
    async def _over(self) -> None:
        """The session's last process has gone."""

    def tell(self, kind: str, message: str, **data: Any) -> None:
        """Tell the owner's subscribers.

        Args:
            kind: one of `sydd.wire.events.KINDS`.
            message: one line for people.
            data: further values of a notice.
        """
        self._hub.publish(
            kind, {"message": message, **data}, owner=self.spec.identity.uid, session=self.spec.id
        )

    def roots(self) -> Roots:
        """The processes that it is known by, as far as they live."""
        parent = self.state.parent if self._lives("parent") else 0
        return Roots(
            self.spec.id,
            self.spec.identity.uid,
            self.state.worker if self._lives("worker") else 0,
            parent,
            self.state.command if self._lives("command") else 0,
            lost=bool(self.state.parent and not parent),
        )

    def _lives(self, kind: str) -> bool:
        return self._held.has(kind) and is_alive(self._held.fileno(kind))

    @property
    def slot(self) -> int:
        """The memory where its workers count; -1 when there is none."""
        return self._held.fileno("slot")

    @property
    def seconds(self) -> float:
        """How long it lasts, or lasted."""
        return self.state.seconds or time.monotonic() - self.state.began

    async def ask_worker(self, message: dict[str, Any]) -> dict[str, Any]:
        """Ask the worker something; where it is just being replaced, ask the next one.

        Raises:
            SessionFailedError: there is none, or it does not answer.
        """
        for _ in range(RESTARTS):
            if self._link is None and self._replacing is not None:
                await asyncio.wait([self._replacing], timeout=SERVE)  # the dead one may just be ending
            serving = self._waiting.get("serving")
            if serving is not None and not serving.done():
                await asyncio.wait([serving], timeout=SERVE)
            if self._link is None or self._ending:
                break
            link = self._link
            try:
                return await link.request(message)
            except LinkBrokenError as error:
                if link is self._link and not link.ended:
                    raise SessionFailedError(f"the worker does not answer: {error}") from None
                await asyncio.sleep(0)
        raise SessionFailedError("the session has no worker")

    # Its worker

    def _adopt(self, child: Child | Process) -> None:
        """Listen to a new worker, the first one or, with what there is already, another one.

        Raises:
            SessionFailedError: the session has ended meanwhile; the worker, too.
        """
        if self._ending:
            child.dismiss()
            raise SessionFailedError(self.state.failure or ENDED)
        self._serves_since, self._again = math.inf, False
        self.state.worker = child.pid
        self._link = Link(child.channel, self._from_worker, self._worker_gone)
        self._held.put("worker", child.pidfd)
        if isinstance(child, Child):
            self._held.put("slot", child.slot)
            self._held.put("notes", child.notes)
        self._store.put(self.spec.id, "channel", self._link.fileno())
        if isinstance(child, Process):
            self._link.post({"type": "begin"})
        elif child.others is not None:
            keeper, preparer = child.others
            self._keep(keeper)
            self._listen_to_preparer(preparer)
            self._order_start()

    @abstractmethod
    def _keep(self, channel: Channel) -> None:
        """Listen to a keeper."""

    def _from_worker(self, message: dict[str, Any], descriptors: FdSet) -> None:
        try:
            if message["type"] not in SAYS:
                raise ValueError(f"unknown type {message['type']!r}")
            getattr(self, f"_on_{message['type']}")(message, descriptors)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            self.journal.trouble(f"the worker said what is no message: {type(error).__name__}: {error}")
            interrupt(self._held.fileno("worker"))

    def _on_serving(self, message: dict[str, Any], descriptors: FdSet) -> None:
        self._serves_since = time.monotonic()
        if len(descriptors):
            self._held.put("listener", descriptors.steal(0))
            self.state.command = int(message["command"])
        elif self.state.served:
            self.agree()  # with one that came after another, and before anybody asks it for something
        else:
            self.state.served = True
            self._save()
        self._resolve("serving")

    def agree(self) -> None:
        """Have the worker hold what the session is told to have.

        A change that an earlier daemon came to its end over, or whose asker has hung up or waited for too
        long, was answered to nobody: it does not count.
        """
        if self._link is not None and self.state.served:
            self._link.post({"type": "rules", "lines": [item["rule"] for item in self.state.rules]})
            self._link.post({"type": "mode", "mode": self.state.mode})

    def _on_event(self, message: dict[str, Any], _: FdSet) -> None:
        self.journal.add(message["event"])
        if self._info is not None:
            self._info.told = int(message["event"]["sequence"])

    def _on_repeated(self, message: dict[str, Any], _: FdSet) -> None:
        self.journal.repeat(int(message["sequence"]), int(message["count"]))

    def _on_trouble(self, message: dict[str, Any], _: FdSet) -> None:
        self.journal.trouble(str(message["message"]))

    def _on_lost(self, message: dict[str, Any], _: FdSet) -> None:
        self.journal.drop(int(message["count"]))

    def _on_ask(self, message: dict[str, Any], _: FdSet) -> None:
        self.questions.ask(
            int(message["question"]), message["event"], float(message.get("seconds", ASK_SECONDS))
        )

    def _on_settled(self, message: dict[str, Any], _: FdSet) -> None:
        self.questions.settled(int(message["question"]))

    def _on_ended(self, message: dict[str, Any], _: FdSet) -> None:
        self._worker_done = True
        self._left = bool(message.get("left", True))
        self.state.failure = self.state.failure or str(message.get("failure", ""))
        if self.state.served and not self._ending:
            self._start(self._over())  # what is left of the worker is its exit

    def _decide(self, number: int, allow: bool) -> None:
        if self._link is not None:
            self._link.post({"type": "decision", "question": number, "allow": allow})

    def _worker_gone(self, _reason: str) -> None:
        if not self._ending and not (self._worker_done and self.state.served):
            self._replacing = self._start(self._replace())

    async def _replace(self) -> None:
        """After the end of a worker: the session's end, or another worker."""
        if self._link is not None:
            self._link.close()
            self._link = None
        await self._until_dead(self._held.fileno("worker"))
        if self._ending:
            return
        if self._worker_done or (self.state.phase == "running" and not self._is_served_for()):
            if not self._worker_done:
                self._resolve("serving", WorkerDiedError(_NO_WORKER))
            await self._over()
            return
        if self.state.phase == "created":
            await self._begin_again()
            return
        if self._dies_in_vain():
            await self.end(f"its worker died {self._deaths} times without having answered a call")
            return
        serving = self._expect("serving")
        try:
            self.questions.close()  # the next worker asks anew
            fds = {kind: self._held.fileno(kind) for kind in ("listener", "state", "slot", "notes")}
            held = Held(**fds, command=self.state.command, parent=self.state.parent)
            self._adopt(await respawn(self._forker, self.spec, held))
            self.state.restarts += 1
            self._save()
            await self._wait_for("serving", SERVE, serving)
        except OSError as error:
            await self.end(f"its worker died, and no other one can be started: {error.strerror}")
            return
        except SessionFailedError as error:
            if not self._has_worker():
                return  # that one died, too, and its end is dealt with
            await self.end(f"its worker died, and the next one failed: {error}")
            return
        self.tell("restarted", "the worker died and was replaced", count=self.state.restarts)

    async def _begin_again(self) -> None:
        """Another worker, before there is anything to serve: what was prepared is for that one.

        With a keeper below it, and the preparer below that one, all has to be begun again.
        """
        self._deaths += 1
        try:
            if self.spec.origin == "run":
                error = WorkerDiedError(_NO_WORKER)
                self._died = True
                prepared = self._waiting.get("prepared")
                if self._again or (
                    prepared is not None and not (prepared.done() and prepared.exception() is None)
                ):
                    self._resolve("prepared", error)  # who waits begins again
                    return
                raise error
            if self._deaths > RESTARTS:
                raise SessionFailedError(f"its worker died {self._deaths} times before it had anything to do")
            self._adopt(await spawn(self._forker, self.spec))
            self._inform()
        except OSError as error:
            await self._fail(SessionFailedError(f"cannot start a worker: {error.strerror}"))
        except SessionFailedError as error:
            await self._fail(error)

    async def _fail(self, error: SessionFailedError) -> None:
        """Tell who waits, or end the session where nobody does."""
        if not self._fail_waiting(error):
            await self.end(error.message)

    async def _spawn_prepared(self) -> None:
        """Fork who prepares it, again where that is killed: nothing has begun yet; and a worker meanwhile."""
        for number in range(RESTARTS + 1):
            prepared = self._expect("prepared")
            await self._prepare()  # first: it has the most to do
            if not number or self.spec.origin == "run":
                self._adopt(await spawn(self._forker, self.spec, self._precedent()))
                self._inform()  # who prepares may have been quicker than the fork
            try:
                await self._wait_for("prepared", PREPARE, prepared)
            except WorkerDiedError:
                self._again = True
                await self._end_preparer()
                self._held.drop("state")  # if it came to that, it is of a directory that goes now
                if self.spec.origin == "run":
                    await self._discard_worker()
                await self._remove_directory()
                self._drop_precedent()
                self.state.begin_again()
                if number == RESTARTS:
                    raise
            else:
                return

    async def _discard_worker(self) -> None:
        """End the worker without a word: what it was for is begun again."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if self._replacing is not None:
            await asyncio.wait([self._replacing])
        await self._until_dead(self._held.fileno("worker"))

    def _dies_in_vain(self) -> bool:
        """Whether workers die one after the other, at once or of the same call, and have answered nothing.

        Who is killed now and then, be it often, is replaced.
        """
        slot, listener = Slot(self.slot), self._held.fileno("listener")
        answered, held = statistics.total(slot), slot.held()
        stuck = (
            held == self._died_of and any(held) and seccomp.id_valid(listener, seccomp.NOTIF.unpack(held)[0])
        )
        brief = time.monotonic() - self._serves_since < BRIEF
        self._deaths = self._deaths + 1 if answered == self._answered and (stuck or brief) else 1
        self._answered, self._died_of = answered, held
        return self._deaths > RESTARTS

    def _has_worker(self) -> bool:
        return self._link is not None and not self._link.ended

    def _is_served_for(self) -> bool:
        """Whether a process is left that could make a call."""
        if not self._held.has("listener"):
            return False
        poll = select.poll()
        poll.register(self._held.fileno("listener"), 0)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def _save(self, *, anew: bool = False) -> None:
        """Write down for the next daemon what has changed.

        Args:
            anew: whether what never changes is to be written, too.
        """
        if self._info is None or not self._store.present:
            return
        try:
            if anew:
                self._info.write_spec({"spec": self.spec.as_json(), "about": self.about})
            self._info.write(self.state.as_json())
        except (OSError, ValueError) as error:
            self.journal.trouble(f"the session would not outlive the daemon: {error}")
