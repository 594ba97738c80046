"""sydctl without the start of an interpreter: a process that has imported everything forks for each run.

Half of what a launch costs is Python's start and its imports. Suites with a thousand launches would pay that
a thousand times; that sydctl works as users start it is tested elsewhere. A run shares nothing with those
before it: the process that forks does nothing but import.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import sydctl.main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

MODULES = (
    *("sydctl.launch", "sydctl.connect", "sydctl.follow", "sydctl.remote", "sydctl.attended"),
    *("sydd.policy.profile", "sydd.profiles.store", "sydd.supervisor.journal"),
    *("sydd.session.embedded", "sydd.session.keeper", "sydd.session.temporary"),
    *("encodings.ascii", "tempfile"),
)
LONGEST = 1 << 20
"""Bytes of a request: arguments and environment."""


class Preloaded:
    """Runs `sydctl` in children of a process that is ready for it.

    Args:
        control: our end of its socket.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def run(
        self, words: Sequence[str], *, cwd: str, env: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `sydctl` to its end, with nothing to read.

        Args:
            words: its arguments.
            cwd: the working directory.
            env: the whole environment; what Python itself looks at there has been looked at already.
            timeout: seconds.

        Raises:
            subprocess.TimeoutExpired: it was killed.
        """
        pipes = [os.pipe(), os.pipe()]
        try:
            request = json.dumps([list(words), cwd, env]).encode()
            socket.send_fds(self._control, [request], [writer for _, writer in pipes])
        finally:
            for _, writer in pipes:
                os.close(writer)
        pid = int(self._control.recv(100))
        try:
            output, errors = _read([reader for reader, _ in pipes], time.monotonic() + timeout)
        except TimeoutError as error:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["sydctl", *words], timeout) from error
        finally:
            status = int(self._control.recv(100))
        return subprocess.CompletedProcess(["sydctl", *words], status, output, errors)


def _read(readers: list[int], deadline: float) -> list[str]:
    """All that comes out of pipes, which are closed.

    Raises:
        TimeoutError: the end did not come before the deadline.
    """
    found = {reader: bytearray() for reader in readers}
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for reader in readers:
            stack.callback(os.close, reader)
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return [data.decode(errors="backslashreplace").replace("\r\n", "\n") for data in found.values()]


@contextlib.contextmanager
def preloaded() -> Iterator[Preloaded]:
    """Start the process, and end it with the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            command = [sys.executable, "-P", "-m", "tests.support.preloaded", str(theirs.fileno())]
            environment = {**os.environ, "PYTHONPATH": ROOT}
            # A directory that stays, where nothing lies that could be imported.
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/", env=environment
            )
        with process:
            yield Preloaded(ours)
            ours.close()


def main() -> None:
    """Fork for each request until nobody asks any more."""
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            request, descriptors, _, _ = socket.recv_fds(control, LONGEST, 2)
            if not request:
                return
            pid = os.fork()
            if pid == 0:
                control.close()
                _become(sydctl.main.main, request, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(str(pid).encode())
            control.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _become(run: Callable[[], int], request: bytes, descriptors: list[int]) -> NoReturn:
    """Do what the start of `sydctl` does: take descriptors, directory, environment and arguments."""
    status = 125
    try:
        words, cwd, environment = json.loads(request)
        for number, descriptor in enumerate(descriptors, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        # New objects: these know whether they can be sought in, or are terminals.
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["sydctl", *words]
        status = run()
    except BaseException:  # noqa: BLE001  # nothing of this process may go on
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
