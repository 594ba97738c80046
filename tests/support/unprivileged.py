"""Running commands as a user without privileges, also when the tests run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

USER_VARIABLE = "SYDD_TEST_USER"
"""Names the user that stands in when the tests run as root; `nobody` otherwise."""


class Unprivileged:
    """A user without privileges, with a directory of its own.

    When the tests run as root this is another user, else the one that runs them.

    Args:
        directory: the home of the user, made by the caller, who removes it.

    Raises:
        LookupError: there is no such user here.
    """

    def __init__(self, directory: str) -> None:
        self.home = directory
        self._switch = os.geteuid() == 0
        if self._switch:
            name = os.environ.get(USER_VARIABLE, "nobody")
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                raise LookupError(f"no user {name!r} here; name one by {USER_VARIABLE}") from None
            self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
            os.chown(directory, self.uid, self.gid)
        else:
            self.uid, self.gid = os.geteuid(), os.getegid()
            try:
                self.name = pwd.getpwuid(self.uid).pw_name
            except KeyError:
                self.name = str(self.uid)

    def identity(self) -> dict[str, Any]:
        """The arguments of subprocess.Popen that make the child this user."""
        if not self._switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of this process with the user's names and directories.

        Args:
            extra: variables to set on top.
        """
        own = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "TMPDIR": self.home}
        return {**os.environ, **own, **(extra or {})}

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        seconds: float = 50,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and return its status and output; a failure does not raise.

        Args:
            command: program and arguments.
            cwd: where to; the user's home if None.
            env: variables on top of `environment()`.
            stdin: what the command reads.
            seconds: how long it may take.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        return subprocess.run(
            command,
            cwd=cwd or self.home,
            env=self.environment(env),
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=seconds,
            check=False,
            **self.identity(),
        )

    def give(self, path: str) -> None:
        """Make a file or directory, and everything below, the user's."""
        if not self._switch:
            return
        os.lchown(path, self.uid, self.gid)
        for root, directories, files in os.walk(path):
            for name in directories + files:
                os.lchown(os.path.join(root, name), self.uid, self.gid)


def make_home() -> str:
    """A new directory in the temporary directory, for one Unprivileged."""
    return tempfile.mkdtemp(prefix="home-")


def remove_home(directory: str) -> None:
    """Remove what `make_home` made, with whatever was put below, unreadable directories included."""
    os.chmod(directory, 0o700)
    for root, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(directory)
