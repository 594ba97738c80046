"""The open questions of one session: accesses that an `ask` rule leaves to somebody who is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAXIMUM = 100
"""Questions of one session that are open at a time; further ones are denied."""


@dataclass(slots=True)
class OpenQuestion:
    """One that waits.

    Attributes:
        name: for Decide.
        number: by which the worker knows it.
        asked: seconds since the epoch.
        expires: seconds since the epoch.
        event: the access.
        timer: denies it when its time is over.
    """

    name: str
    number: int
    asked: float
    expires: float
    event: dict[str, Any]
    timer: asyncio.TimerHandle


class Questions:
    """Those of one session.

    Args:
        session: its name.
        decide: called with the worker's number of a question and the decision.
        tell: called with what changed, as `sydd.wire.events.Question` has it.
    """

    def __init__(
        self, session: str, decide: Callable[[int, bool], None], tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self._session = session
        self._decide = decide
        self._tell = tell
        self._open: dict[str, OpenQuestion] = {}

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, number: int, event: dict[str, Any], seconds: float) -> None:
        """Take a question of the worker.

        Args:
            number: by which the worker knows it.
            event: the access.
            seconds: after which it is denied.
        """
        name = f"{self._session}-{number}"
        if name in self._open:
            return
        if len(self._open) >= MAXIMUM:
            self._decide(number, False)
            return
        now = time.time()
        timer = asyncio.get_running_loop().call_later(seconds, self._close, name, "expired")
        question = OpenQuestion(name, number, now, now + seconds, event, timer)
        self._open[name] = question
        self._tell(self._plain(question, "open"))

    def decide(self, name: str, *, allow: bool) -> bool:
        """Answer one; False when it is not open."""
        if name not in self._open:
            return False
        self._close(name, "allowed" if allow else "denied")
        return True

    def settled(self, number: int) -> None:
        """The worker wants no answer to one any more: it has one, or its callers have gone."""
        name = f"{self._session}-{number}"
        question = self._open.pop(name, None)
        if question is not None:
            question.timer.cancel()
            self._tell(self._plain(question, "expired"))

    def plain(self) -> list[dict[str, Any]]:
        """Those that are open, oldest first."""
        return [self._plain(question, "open") for question in self._open.values()]

    def close(self) -> None:
        """Deny all."""
        for name in list(self._open):
            self._close(name, "expired")

    def _close(self, name: str, state: str) -> None:
        question = self._open.pop(name)
        question.timer.cancel()
        self._decide(question.number, state == "allowed")
        self._tell(self._plain(question, state))

    def _plain(self, question: OpenQuestion, state: str) -> dict[str, Any]:
        return {
            "question": question.name,
            "session": self._session,
            "state": state,
            "asked": question.asked,
            "expires": question.expires,
            "event": question.event,
        }
