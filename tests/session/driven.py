"""A session that is changed while it runs: a command that says where it is, and a driver that answers.

All of it happens in a forked child. The driver is a function that runs in a thread of the supervisor, as the
daemon's would; the command is Python code that calls `tell` and `hear`.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from sydd.plan.plan import Engine
from sydd.policy.policy import Mode
from sydd.policy.profile import parse_profile, to_policy
from sydd.session import embedded
from sydd.session.prepare import Place, prepare
from sydd.session.running import Running
from sydd.supervisor.event import Change, Event
from sydd.supervisor.journal import Journal
from sydd.supervisor.questions import Clients
from tests.support.forked import in_child

PRELUDE = """
import errno, os, socket, sys, threading
def tell(word): os.write(1, f'{word}\\n'.encode())
def hear():
    got = b''
    while not got.endswith(b'\\n'):
        byte = os.read(0, 1)
        if not byte: raise SystemExit('nobody is there')
        got += byte
    return got.decode().strip()
def tried(act, *arguments, **how):
    try: result = act(*arguments, **how)
    except OSError as error: return errno.errorcode[error.errno]
    if isinstance(result, int) and act is os.open: os.close(result)
    return 'done'
def read(path): return tried(os.open, path, os.O_RDONLY)
def write(path): return tried(os.open, path, os.O_WRONLY | os.O_CREAT)
"""


class Talk:
    """The driver's side of the conversation."""

    def __init__(self, heard: int, told: int) -> None:
        self._heard = os.fdopen(heard, "r", encoding="utf-8")
        self._told = told

    def hear(self) -> str:
        """The next line that the command says; empty at its end."""
        return self._heard.readline().strip()

    def tell(self, word: str = "go") -> None:
        """Say a line to the command."""
        os.write(self._told, f"{word}\n".encode())

    def close(self) -> None:
        """Hang up."""
        self._heard.close()
        os.close(self._told)


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended.

    Attributes:
        outcome: of the supervisor.
        events: each once.
        changes: of the session, in order.
        troubles: mistakes of the supervisor.
        value: what the driver returned.
    """

    outcome: embedded.Outcome
    events: tuple[Event, ...]
    changes: tuple[Change, ...]
    troubles: tuple[str, ...]
    value: Any


Driver = Callable[[Running, Talk], Any]


def drive(
    profile: str,
    command: str | list[str],
    driver: Driver,
    *,
    engine: Engine | None = None,
    cwd: str,
    mode: Mode = Mode.ENFORCE,
    clients: Callable[[], Clients] | None = None,
) -> Ended:
    """Run a command under a profile, with *driver* beside it.

    Args:
        profile: TOML.
        command: Python code, or the words of a command.
        driver: called with the running session in a thread of its own.
        engine: the layers to use.
        cwd: work directory, canonical; has a directory `tmp`.
        mode: of the profile.
        clients: makes who is asked.
    """
    return in_child(_run, profile, command, driver, engine, cwd, mode, clients)


def _run(
    profile: str,
    command: str | list[str],
    driver: Driver,
    engine: Engine | None,
    cwd: str,
    mode: Mode,
    clients: Callable[[], Clients] | None,
) -> Ended:
    policy = dataclasses.replace(to_policy([parse_profile(profile, "p.toml", "p")], {}), mode=mode)
    place = Place(cwd, f"{cwd}/home", f"{cwd}/tmp", "somebody")
    prepared = prepare(policy, place, dict(os.environ), engine=engine)
    command_in, told = os.pipe()
    heard, command_out = os.pipe()
    os.dup2(command_in, 0)
    os.dup2(command_out, 1)
    os.close(command_in)
    os.close(command_out)
    changes: list[Change] = []
    journal = Journal(changes=changes.append)
    talk = Talk(heard, told)
    result: list[Any] = []
    threads: list[threading.Thread] = []

    def began(running: Running) -> None:
        def act() -> None:
            try:
                result.append(driver(running, talk))
            except BaseException:  # noqa: BLE001  # told by the assertion below
                result.append(traceback.format_exc())
            finally:
                talk.close()

        threads.append(threading.Thread(target=act))
        threads[0].start()

    argv = [sys.executable, "-I", "-S", "-c", PRELUDE + command] if isinstance(command, str) else command
    outcome = embedded.run(
        prepared, argv, journal, name="test", clients=clients() if clients else None, began=began
    )
    os.dup2(2, 1)  # the command's end of the conversation: a driver that still listens hears the end
    for thread in threads:
        thread.join()
    value = result[0] if result else None
    if isinstance(value, str) and value.startswith("Traceback"):
        raise AssertionError(value)
    return Ended(outcome, journal.events(), tuple(changes), journal.troubles, value)
