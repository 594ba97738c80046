"""A daemon of the test's own, and a service manager that keeps its descriptors while it is dead."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sydd.client import Client, NotRunningError
from tests.support.created import Created

STARTED = """
import fcntl, os, sys
numbers = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 400) for word in sys.argv[1].split(",") if word]
for place, number in enumerate(numbers, 3):
    os.dup2(number, place)
    os.close(number)
os.closerange(3 + len(numbers), 400)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(numbers))
os.execv(sys.executable, [sys.executable, "-m", "sydd.daemon", *sys.argv[2:]])
"""
"""Passes descriptors as systemd does."""


class FakeManager:
    """The part of systemd that keeps descriptors: a notify socket, and what came to it.

    Args:
        directory: where its socket is to be.
    """

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self._stop, self._wake = os.pipe2(os.O_CLOEXEC)
        self._lock = threading.Lock()
        self.stored: dict[str, list[int]] = {}
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket.fileno(), self._stop], [], [])
            if self._stop in ready:
                return
            data, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 16, 64, socket.MSG_CMSG_CLOEXEC)
            fields = dict(line.split("=", 1) for line in data.decode().splitlines())
            with self._lock:
                if fields.get("FDSTORE") == "1":
                    self.stored.setdefault(fields["FDNAME"], []).extend(descriptors)
                elif fields.get("FDSTOREREMOVE") == "1":
                    for fd in self.stored.pop(fields["FDNAME"], []):
                        os.close(fd)
            if fields.get("READY") == "1":
                self.ready.set()

    def names(self) -> set[str]:
        """What is kept."""
        with self._lock:
            return set(self.stored)

    def close(self) -> None:
        """Close everything."""
        os.write(self._wake, b"x")
        self._thread.join()
        self._socket.close()
        os.close(self._stop)
        os.close(self._wake)
        for descriptors in self.stored.values():
            for fd in descriptors:
                os.close(fd)


class Daemon:
    """A daemon, as a process of its own.

    Args:
        directory: for its socket, settings and log; every user may look into it.
        identity: arguments of subprocess.Popen that make it another user's; empty for the own one.
        arguments: further ones.
        settings: text of its settings.
        environment: variables on top of this process's.
        manager: who keeps its descriptors; None for nobody.
        log: file that its log goes to; empty for one in the directory.

    Attributes:
        environment: for the next start.
        settings: file of its settings.
    """

    def __init__(
        self,
        directory: str,
        *,
        identity: Mapping[str, Any] | None = None,
        log: str = "",
        arguments: Sequence[str] = (),
        settings: str = "",
        environment: Mapping[str, str] | None = None,
        manager: FakeManager | None = None,
    ) -> None:
        self.socket = f"{directory}/sydd.sock"
        self.log = log or f"{directory}/log"
        self._directory = directory
        self.environment = dict(environment or {})
        self._identity = dict(identity or {})
        self._manager = manager
        self.settings = f"{directory}/sydd.toml"
        with open(self.settings, "w", encoding="utf-8") as file:
            file.write(settings)
        self._arguments = ["--socket", self.socket, "--config", self.settings, *arguments]
        self._listening: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        if manager is not None:
            self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listening.bind(self.socket)
            os.chmod(self.socket, 0o666)
            self._listening.listen(128)

    @property
    def pid(self) -> int:
        """Of its main process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {**os.environ, "XDG_RUNTIME_DIR": self._directory, "HOME": self._directory}
        for name in ("SYDD_SOCKET", "NOTIFY_SOCKET"):
            environment.pop(name, None)
        environment |= self.environment
        command = [sys.executable, "-m", "sydd.daemon", *self._arguments]
        passed: list[int] = []
        held: list[int] = []
        if self._manager is not None and self._listening is not None:
            environment["NOTIFY_SOCKET"] = self._manager.path
            self._manager.ready.clear()
            passed, names = [self._listening.fileno()], ["control"]
            with self._manager._lock:
                for name, descriptors in self._manager.stored.items():
                    for fd in descriptors:
                        held.append(os.dup(fd))
                        passed.append(held[-1])
                        names.append(name)
            environment["LISTEN_FDNAMES"] = ":".join(names)
            command = [sys.executable, "-c", STARTED, ",".join(map(str, passed)), *self._arguments]
        with open(self.log, "ab") as log, Created(self._directory) as created:
            self.process = subprocess.Popen(
                command,
                env=environment,
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **self._identity,
            )
            for fd in held:
                os.close(fd)
            if self._listening is None and not created.wait(os.path.basename(self.socket), self.pid, 30):
                raise AssertionError(f"the daemon does not start: {self.text()}")
        self._greet()
        if self._listening is None and os.geteuid() == 0:
            os.chmod(self.socket, 0o666)

    def _greet(self) -> None:
        """Have it answer. Its socket is there; it may listen on it only a moment later."""
        assert self.process is not None
        while True:
            try:
                with Client(self.socket) as client:
                    client.info()
            except NotRunningError:
                if self.process.poll() is not None:
                    raise AssertionError(f"the daemon does not start: {self.text()}") from None
            else:
                return

    def kill(self) -> None:
        """SIGKILL, and wait."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def text(self) -> str:
        """Its log."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def client(self) -> Client:
        """A new client, of the test's own user."""
        return Client(self.socket)

    def close(self) -> None:
        """End it, if it is there."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        if self._listening is not None:
            self._listening.close()


@contextlib.contextmanager
def running(**arguments: Any) -> Iterator[Daemon]:
    """A daemon that runs for the time of the block, in a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="daemon-") as directory:
        os.chmod(directory, 0o755)
        identity = arguments.get("identity") or {}
        if "user" in identity:
            os.chown(directory, identity["user"], identity["group"])
        daemon = Daemon(directory, **arguments)
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.close()


def children(pid: int) -> list[int]:
    """The children of a process's first thread."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def forks(daemon: Daemon) -> list[int]:
    """The processes of a daemon's sessions: those below its zygote, and what has lost its parent."""
    zygote, *others = children(daemon.pid)
    return [*(pid for pid in children(zygote) if not is_blank(pid)), *others]


def is_blank(pid: int) -> bool:
    """Whether a child of a zygote, or of such a one, waits for a session: it has channels, and no slot."""
    try:
        kinds = kinds_of_descriptors(pid)
    except (FileNotFoundError, PermissionError):
        return False  # it has ended just now, or is a session's, which not even its owner may look into
    return kinds["socket:[N]"] > 0 and not any(kind.startswith("/memfd:sydd-slot") for kind in kinds)


def kinds_of_descriptors(pid: int) -> Counter[str]:
    """What a process has open, without the numbers of sockets and the like."""
    found: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{name}"))] += 1
    return found


def until_alone(daemon: Daemon) -> None:
    """Wait until nobody is connected to a daemon: who has just hung up may still be, for a moment."""
    until(lambda: not kinds_of_descriptors(daemon.pid)["anon_inode:[pidfd]"], "nobody is connected")


def lasting(daemon: Daemon) -> Counter[str]:
    """What a daemon has open for good.

    Not what it keeps for some seconds for the next session, which is a state and a precedent each; of these
    the difference is told, if there is one.
    """
    found = kinds_of_descriptors(daemon.pid)
    kept = [
        sum(found.pop(kind) for kind in list(found) if kind.startswith(f"/memfd:sydd-{name}"))
        for name in ("state", "precedent")
    ]
    if kept[0] != kept[1]:
        found["states without a precedent"] = kept[0] - kept[1]
    return found


def until(condition: Any, what: str, seconds: float = 20) -> None:
    """Wait until a condition holds.

    Args:
        condition: called until it is true.
        what: what is waited for, for the failure.
        seconds: how long.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)
