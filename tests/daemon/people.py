"""Users of a daemon: numbers without names, so that no account is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

FIRST_UID = 61001

CALLS = """
import json, sys
from sydd.client import Client, ControlError
answers = []
with Client(sys.argv[1]) as client:
    for name, arguments in json.load(sys.stdin):
        try:
            answers.append(getattr(client, name)(*arguments))
        except ControlError as error:
            answers.append(type(error).__name__)
json.dump(answers, sys.stdout)
"""


class Person:
    """A user without privileges.

    Args:
        uid: that it gets where root runs the tests.
        home: its directory.
    """

    def __init__(self, uid: int, home: str) -> None:
        self.home = home
        self.uid = uid if os.geteuid() == 0 else os.geteuid()

    def identity(self) -> dict[str, Any]:
        """The arguments of subprocess.Popen that make the child this user."""
        if os.geteuid():
            return {}
        return {"user": self.uid, "group": self.uid, "extra_groups": []}

    def environment(self, socket: str) -> dict[str, str]:
        """The environment of this process with the user's home, and the daemon's socket."""
        return {**os.environ, "HOME": self.home, "TMPDIR": self.home, "SYDD_SOCKET": socket}

    def start(
        self,
        command: Sequence[str],
        socket: str,
        *,
        environment: Mapping[str, str] | None = None,
        **more: Any,
    ) -> subprocess.Popen[str]:
        """Start a command with pipes.

        Args:
            command: program and arguments.
            socket: of the daemon.
            environment: variables on top.
            more: for subprocess.Popen.
        """
        return subprocess.Popen(
            command,
            cwd=self.home,
            env={**self.environment(socket), **(environment or {})},
            text=True,
            errors="surrogateescape",
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
            **self.identity(),
        )

    def sydctl(self, words: Sequence[str], socket: str, **more: Any) -> subprocess.Popen[str]:
        """Start sydctl."""
        return self.start([sys.executable, "-m", "sydctl", *words], socket, **more)

    def launch(
        self, words: Sequence[str], socket: str, *, seconds: float = 50
    ) -> subprocess.CompletedProcess[str]:
        """Run `sydctl launch` to its end.

        Args:
            words: its arguments.
            socket: of the daemon.
            seconds: how long it may take.
        """
        process = self.sydctl(["launch", *words], socket)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def call(self, socket: str, *calls: tuple[str, Sequence[Any]]) -> list[Any]:
        """Make calls with the client, as this user.

        Args:
            socket: of the daemon.
            calls: method and arguments of each.

        Returns:
            The answers; the error's name where there was one.
        """
        process = self.start([sys.executable, "-c", CALLS, socket], socket)
        out, err = process.communicate(json.dumps(calls), timeout=50)
        assert process.returncode == 0, err
        return json.loads(out)  # type: ignore[no-any-return]
