"""Sessions of a user without privileges, run to their end or watched while they run."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import launched
from tests.support.unprivileged import Unprivileged

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 30
"""Seconds after which something that was waited for will not come."""

HELPER = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int number;

static void *die(void *unused)
{
    (void)unused;
    kill(getpid(), number);
    pause();
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int status;

    if (argc < 3)
        return 99;
    number = atoi(argv[2]);
    if (!strcmp(argv[1], "plain")) {
        die(0);
    } else if (!strcmp(argv[1], "thread")) {
        pthread_create(&thread, 0, die, 0);
        pthread_join(thread, 0);
    } else if (!strcmp(argv[1], "fork")) {
        /* The child ends first and in another way: the eldest decides. */
        if (!fork())
            _exit(7);
        wait(&status);
        die(0);
    } else if (!strcmp(argv[1], "exit")) {
        return number;
    }
    return 98;
}
"""


class Session:
    """Launches commands for one user.

    Attributes:
        user: who.
        home: the user's home, canonical.
        work: the work directory, below it.
    """

    def __init__(self, user: Unprivileged) -> None:
        self.user = user
        self.home = os.path.realpath(user.home)
        self.work = os.path.join(self.home, "work")
        os.mkdir(self.work)
        user.give(self.work)

    def command(self, *command: str, profile: str = "build", options: tuple[str, ...] = ()) -> list[str]:
        """The command line that launches *command*."""
        return [sys.executable, "-m", "sydctl", "launch", profile, *options, "--", *command]

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment for it."""
        return self.user.environment({"HOME": self.home, "PYTHONPATH": ROOT, **extra})

    def run(
        self, *command: str, env: dict[str, str] | None = None, **how: Any
    ) -> subprocess.CompletedProcess[str]:
        """Launch *command* and wait for the end of its session."""
        return subprocess.run(
            self.command(*command, **how),
            cwd=self.work,
            env=self.environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            **self.user.identity(),
        )

    @contextlib.contextmanager
    def start(self, *command: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
        """Launch *command*; it is ended with the block."""
        popen: dict[str, Any] = how.pop("popen", {})
        with subprocess.Popen(
            self.command(*command, **how),
            cwd=self.work,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            **self.user.identity(),
            **popen,
        ) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(BrokenPipeError):
                    if process.stdin:
                        process.stdin.close()
                launched.end(process)

    def profile(self, text: str) -> str:
        """A profile of the user's; returns its path."""
        return self.write("p.toml", f'name = "p"\ndescription = "a test"\n{text}')

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        """A file of the user's in the work directory; returns its path."""
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        self.user.give(self.work)
        return path


@pytest.fixture
def session(unprivileged: Unprivileged) -> Session:
    """Sessions in a work directory of their own."""
    return Session(unprivileged)


@pytest.fixture(scope="session")
def helpers() -> Iterator[dict[str, str]]:
    """A program that ends in a wanted way, linked dynamically and statically."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (cc)")
    directory = tempfile.mkdtemp(prefix="helpers-")
    os.chmod(directory, 0o755)
    source = os.path.join(directory, "helper.c")
    with open(source, "w", encoding="ascii") as file:
        file.write(HELPER)
    found = {}
    for kind, flags in (("dynamic", []), ("static", ["-static"])):
        found[kind] = os.path.join(directory, kind)
        subprocess.run([compiler, "-O1", "-pthread", *flags, "-o", found[kind], source], check=True)
    yield found
    shutil.rmtree(directory)


class Terminal:
    """The user's side of a pseudo terminal on which a program runs as session leader."""

    def __init__(self, session: Session, command: list[str]) -> None:
        self.text = ""
        identity = session.user.identity()
        # Made before: openpty(3) in the child would be under other credentials.
        self.fd, theirs = os.openpty()
        if identity:
            os.fchown(theirs, identity["user"], identity["group"])
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LEADER, *command],
            cwd=session.work,
            env=session.environment(TERM="dumb", PS1="$ "),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            **identity,
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.fd, text.encode())

    def expect(self, text: str) -> str:
        """Wait until *text* shows; returns what came up to its end."""
        return self.until(lambda: text in self.text, f"{text!r}", text)

    def until(self, ready: Callable[[], bool], what: str, text: str = "") -> str:
        """Read until *ready*."""
        deadline = time.monotonic() + PATIENCE
        while not ready():
            rest = deadline - time.monotonic()
            if rest <= 0 or not select.select([self.fd], [], [], rest)[0]:
                raise AssertionError(f"{what} did not come; there was {self.text!r}")
            try:
                self.text += os.read(self.fd, 4096).decode()
            except OSError:
                raise AssertionError(f"{what} did not come before the end; there was {self.text!r}") from None
        end = self.text.index(text) + len(text)
        seen, self.text = self.text[:end], self.text[end:]
        return seen

    def close(self) -> None:
        """Hang up, and end what is left."""
        os.close(self.fd)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


_LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def terminal(session: Session) -> Iterator[Callable[[list[str]], Terminal]]:
    """Makes terminals; they are hung up at the end of the test."""
    opened: list[Terminal] = []

    def make(command: list[str]) -> Terminal:
        opened.append(Terminal(session, command))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def state_of(pid: int) -> str:
    """The state letter of a process (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]


def events_in(path: str) -> list[dict[str, Any]]:
    """The events that a session wrote."""
    with open(path, encoding="utf-8") as file:
        return [value for value in map(json.loads, file) if value["type"] == "event"]
