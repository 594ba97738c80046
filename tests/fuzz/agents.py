"""Long-lived programs that make calls: one without sydd, one in a session, both asked over pipes.

Starting a session takes longer than a thousand calls; so there is one for all examples of a test.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sydd.plan.plan import Engine
from sydd.policy.errors import Source
from sydd.policy.policy import Policy
from sydd.policy.rule import parse_rule
from sydd.session import embedded
from sydd.session.prepare import Place, prepare
from sydd.supervisor.journal import Journal

SECONDS = 30
"""How long a case may take. The program's own alarm comes sooner, unless the supervisor hangs."""


class Agent:
    """The program of tests/rows/call.c at the other end of two pipes.

    Args:
        ask: where scripts go.
        answer: where lines come from.
        troubles: where a session writes what its supervisor stumbled over; None without a session.
    """

    def __init__(self, ask: int, answer: int, troubles: int | None = None) -> None:
        self._ask = ask
        self._answer = answer
        self._troubles = troubles
        self._rest = b""

    def run(self, script: Sequence[str]) -> list[str]:
        """Run one case.

        Returns:
            the lines that it told.

        Raises:
            AssertionError: it hangs, or the program has ended.
        """
        os.write(self._ask, "\n".join(("case x", *script, "end", "")).encode())
        got = self._rest
        while not got.endswith(b"x done\n"):
            ready, _, _ = select.select([self._answer], [], [], SECONDS)
            assert ready, f"hangs after {got!r} in {script}"
            more = os.read(self._answer, 65536)
            assert more, f"ended after {got!r} in {script}"
            got += more
        lines = got.decode("utf-8", "backslashreplace").splitlines()
        return [line.removeprefix("x ") for line in lines[:-1]]

    def troubles(self) -> list[str]:
        """What the supervisor stumbled over since the last time: mistakes of sydd."""
        if self._troubles is None:
            return []
        written = os.read(self._troubles, 1 << 20).decode().splitlines()
        return [line for line in written if json.loads(line)["type"] == "trouble"]


@contextmanager
def native(program: str, identity: dict[str, Any]) -> Iterator[Agent]:
    """The program without sydd.

    Args:
        program: call.c, compiled.
        identity: of the user, for subprocess.Popen.
    """
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **identity) as process:
        assert process.stdin
        assert process.stdout
        yield Agent(process.stdin.fileno(), process.stdout.fileno())


@contextmanager
def confined(
    program: str, become: Callable[[], object], directory: str, rules: Sequence[str], engine: Engine
) -> Iterator[Agent]:
    """The program in a session.

    Args:
        program: call.c, compiled.
        become: takes on the user, in the process of the supervisor.
        directory: `${cwd}`.
        rules: the policy.
        engine: the layers.
    """
    with contextlib.ExitStack() as closing, tempfile.TemporaryFile() as journal:
        ends = [*os.pipe(), *os.pipe()]
        for end in ends:
            closing.callback(_close, end)
        requests, ask, answer, replies = ends
        troubles = os.open(f"/proc/self/fd/{journal.fileno()}", os.O_RDONLY)
        closing.callback(os.close, troubles)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.dup2(requests, 0)
                os.dup2(replies, 1)
                os.closerange(3, journal.fileno())
                os.closerange(journal.fileno() + 1, 200)
                become()
                status = _serve(program, directory, rules, engine, journal.fileno())
            finally:
                os._exit(status)
        os.close(requests)
        os.close(replies)
        agent = Agent(ask, answer, troubles)
        try:
            yield agent
        finally:
            os.close(ask)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert not agent.troubles()


def _close(fd: int) -> None:
    with contextlib.suppress(OSError):
        os.close(fd)


def _serve(program: str, directory: str, rules: Sequence[str], engine: Engine, journal: int) -> int:
    os.chdir(directory)
    parsed = tuple(parse_rule(text, Source("fuzz", line, 1)) for line, text in enumerate(rules, 1))
    place = Place(directory, os.path.dirname(directory), "/nonexistent", "somebody")
    prepared = prepare(Policy("fuzz", rules=parsed), place, os.environ, engine=engine)
    with open(journal, "w", encoding="utf-8", errors="backslashreplace") as stream:
        outcome = embedded.run(prepared, [program], Journal(stream), name="fuzz")
    return outcome.status or bool(outcome.failure)
