"""`sydctl ask`: answer the questions of `ask` rules."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from sydctl.connect import STATUSES, add_json, add_socket, connected, print_json
from sydctl.main import Failure
from sydctl.start import EXIT_INTERRUPTED
from sydctl.text import printable
from sydd.client import DisconnectedError, NotRunningError
from sydd.client.patience import Patience

if TYPE_CHECKING:
    from sydd.client import Client
    from sydd.wire.events import Question

EXIT_NO_TERMINAL = 1

DESCRIPTION = """\
Answer the questions that 'ask' rules of running sessions raise: each is shown, and waits for a key and Enter.
What nobody answers in time is denied. For scripts, --json lists the questions that are open, and --allow and
--deny answer one."""

EPILOG = f"""\
{STATUSES}

examples:
  sydctl ask
  sydctl ask --json
  sydctl ask --allow 7f3a01c2-3
"""

HELP = (
    "y: allow it this once; n: deny it; a: allow it, and whatever the rule allows; q: quit, and leave it open"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl ask`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--allow", metavar="QUESTION", help="allow what this question is about")
    which.add_argument("--deny", metavar="QUESTION", help="deny what this question is about")
    add_json(which, "print the open questions as JSON")
    add_socket(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl ask`.

    Raises:
        Failure: there is no terminal.
    """
    try:
        with connected(arguments) as client:
            if arguments.allow or arguments.deny:
                client.decide(arguments.allow or arguments.deny, allow=bool(arguments.allow))
            elif arguments.json:
                print_json(list(client.questions(follow=False)))
            elif not os.isatty(0):
                raise Failure(
                    "ask: no terminal to answer on (--json lists, --allow and --deny answer)",
                    EXIT_NO_TERMINAL,
                )
            else:
                with contextlib.closing(Dialogue(client)) as dialogue:
                    dialogue.run()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


class Dialogue:
    """Shows one question after the other, and takes the answers.

    Args:
        client: of the daemon.

    Raises:
        UnavailableError: it is not there.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stream = client.questions()
        self._patience = Patience()
        self._open: deque[Question] = deque()
        self._typed = b""

    def close(self) -> None:
        """Listen no more."""
        self._stream.close()

    def run(self) -> None:
        """Until the person has enough."""
        print("waiting for questions (Ctrl-C ends)")
        while True:
            while not self._open:
                self._take()
            question = self._open[0]
            self._show(question)
            word = self._answer(question)
            if word is None:
                continue
            if word == "q":
                return
            self._open.popleft()
            self._decide(question, word)

    def _take(self) -> None:
        """The next question, or what became of one."""
        try:
            question = next(self._stream)
        except (DisconnectedError, NotRunningError) as error:
            self._ask_again(error)
            return
        if question["state"] == "open":
            self._open.append(question)
            return
        for item in self._open:
            if item["question"] == question["question"]:
                self._open.remove(item)
                print(f"\n{printable(question['question'])}: {question['state']}")
                break

    def _ask_again(self, error: DisconnectedError | NotRunningError) -> None:
        """The daemon went away: the next one has the questions that are open, and tells them anew."""
        self._stream.close()
        while True:
            self._patience.bear(error)
            try:
                self._stream = self._client.questions()
            except (DisconnectedError, NotRunningError) as again:
                error = again
            else:
                self._open.clear()
                return

    def _show(self, question: Question) -> None:
        event = question["event"]
        process = event["process"]
        above = "".join(f" < {parent['command']}[{parent['pid']}]" for parent in process["parents"][:6])
        print(
            f"\nsession {printable(question['session'])} asks: {printable(event['access'])} "
            f"{printable(event['path'])}\n"
            f"  process:      {printable(process['command'])}[{process['pid']}]{printable(above)}\n"
            f"  rule:         {printable(event['rule'])}  ({printable(event['rule_source'])})"
        )
        if event["allow"]:
            print(f"  a would add:  {printable(event['allow'])}")

    def _answer(self, question: Question) -> str | None:
        """The key that was typed; None when the question is not open any more."""
        import termios

        # What was typed before the question was seen is no answer to it.
        termios.tcflush(0, termios.TCIFLUSH)
        self._typed = b""
        while question in self._open:
            left = max(question["expires"] - time.time(), 0)
            sys.stdout.write(f"allow? [y/n/a/q/?] ({left:.0f} s left) ")
            sys.stdout.flush()
            word = self._line(question)
            if word in ("y", "n", "a", "q"):
                return word
            if word is not None:
                print(HELP)
        return None

    def _line(self, question: Question) -> str | None:
        """A line that was typed; None when the question is not open any more."""
        while True:
            before, end, after = self._typed.partition(b"\n")
            if end:
                self._typed = after
                return before.decode("utf-8", "replace").strip().lower()
            stream = self._stream.fileno()
            readable = [stream] if self._stream.buffered else select.select([0, stream], [], [])[0]
            if stream in readable:
                self._take()
                if question not in self._open:
                    return None
            if 0 in readable:
                piece = os.read(0, 4096)
                if not piece:
                    return "q"
                self._typed += piece

    def _decide(self, question: Question, word: str) -> None:
        from sydd.client import ControlError

        try:
            if word == "a" and question["event"]["allow"]:
                self._client.add_rules(question["session"], [question["event"]["allow"]])
            self._client.decide(question["question"], allow=word != "n")
        except ControlError as error:
            print(printable(str(error)))
