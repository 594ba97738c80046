"""A machine with a systemd of its own: systemd-nspawn over an overlay of `/`, in its own mount namespace.

Everything that the machine writes is in a tmpfs of that namespace, so it is gone with the last process. The
host may mount cgroup v1: the machine gets a hierarchy of version 2, with the controllers that version 1 has
left over.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]

_BOOT: Final = r"""
base=$1 group=$2; shift 2
mount -t tmpfs -o size=2g,mode=755 sydd-test "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
# nspawn keeps its own files in /run and mounts in /tmp; the host need not see them.
mount -t tmpfs -o mode=755 sydd-test-run /run
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$group"
echo $$ >"/sys/fs/cgroup/$group/cgroup.procs"
exec systemd-nspawn "$@"
"""

_UNGROUP: Final = r"""
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} \;
"""


class Machine:
    """A booted machine.

    Args:
        directory: for what the host has to know of it; the caller removes it.
        target: the unit that it boots to.
    """

    def __init__(self, directory: str, target: str = "basic.target") -> None:
        self.name = f"sydd-test-{os.getpid()}-{os.urandom(2).hex()}"
        self._directory = directory
        self._target = target
        self.init = 0
        self._nspawn: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 120) -> None:
        """Boot, and return when its systemd says that it has.

        Args:
            seconds: how long it may take.

        Raises:
            TimeoutError: it took longer.
            RuntimeError: it ended; the message has what it said.
        """
        base = os.path.join(self._directory, "base")
        os.mkdir(base)
        notify = os.path.join(self._directory, "notify")
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard,
            open(os.path.join(self._directory, "console"), "wb") as console,
        ):
            heard.bind(notify)
            self._nspawn = subprocess.Popen(
                [
                    *("unshare", "--mount", "--propagation", "private", "sh", "-euc", _BOOT, "sh"),
                    *(base, self.name, f"--directory={base}/root", "--register=no", "--keep-unit", "--boot"),
                    *("--quiet", "--console=pipe", f"--machine={self.name}", "--private-network"),
                    *("--link-journal=no", "--resolv-conf=off", "--timezone=off", "--notify-ready=yes"),
                    # A checkout in /tmp would be hidden by the machine's own.
                    *(f"--bind-ro={ROOT}", f"--bind-ro={sys.prefix}"),
                    f"systemd.unit={self._target}",
                ],
                # Its own filter would refuse Landlock.
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": notify,
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "SYSTEMD_SECCOMP": "0",
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
            self._await_ready(heard, seconds)

    def _await_ready(self, heard: socket.socket, seconds: float) -> None:
        assert self._nspawn
        pidfd = os.pidfd_open(self._nspawn.pid)
        try:
            while True:
                ready, _, _ = select.select([heard.fileno(), pidfd], [], [], seconds)
                if heard.fileno() not in ready:
                    what = "ended" if ready else "did not boot in time"
                    raise RuntimeError(f"the machine {what}: {self.console()}")
                lines = heard.recv(4096).decode().splitlines()
                fields = dict(line.split("=", 1) for line in lines if "=" in line)
                self.init = int(fields.get("X_NSPAWN_LEADER_PID", self.init))
                if "READY" in fields:
                    return
        finally:
            os.close(pidfd)

    def console(self) -> str:
        """What came to its console."""
        return Path(self._directory, "console").read_text(encoding="utf-8", errors="replace")

    def run(
        self, *command: str, user: str = "", seconds: float = 60, check: bool = True, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine to its end.

        Args:
            command: program and arguments.
            user: who runs it: a service of its own, as a login would be; root runs it beside everything.
            seconds: how long it may take.
            check: whether a failure is one of the test.
            stdin: what it reads.
        """
        result = subprocess.run(
            self.words(*command, user=user),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if check:
            assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result

    def start_command(self, *command: str, user: str = "") -> subprocess.Popen[str]:
        """Start a command in the machine; output in pipes; the caller waits for it."""
        return subprocess.Popen(
            self.words(*command, user=user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def words(self, *command: str, user: str = "") -> list[str]:
        """How the host starts a command in the machine; see `run`."""
        enter = ["nsenter", "--target", str(self.init), "--all", "--wd=/", "env", "-i"]
        enter += [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "LC_ALL=C.UTF-8",
        ]
        if user:
            enter += ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--uid={user}"]
            enter += [
                f"--working-directory=/home/{user}",
                "--setenv=LC_ALL=C.UTF-8",
                f"--setenv=HOME=/home/{user}",
                "--",
            ]
        return [*enter, *command]

    def out(self, *command: str, user: str = "") -> str:
        """What a command prints, without the last newline."""
        return self.run(*command, user=user).stdout.rstrip("\n")

    def journal(self, *matches: str) -> list[dict[str, Any]]:
        """Records of the journal.

        Args:
            matches: as journalctl(1) takes them.
        """
        self.run("journalctl", "--sync")
        lines = self.run("journalctl", "--no-pager", "--all", "--output=json", *matches).stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def property(self, unit: str, name: str) -> str:
        """A property of a unit, as systemctl(1) shows it."""
        return self.out("systemctl", "show", "--property", name, "--value", unit)

    def stop(self) -> None:
        """Power off, and remove what the host knows of the machine; whatever its state is."""
        if self._nspawn is not None:
            if self._nspawn.poll() is None and self.init:
                with contextlib.suppress(ProcessLookupError):
                    # That of systemd(1) for an immediate shutdown: nothing in the machine has to be saved.
                    os.kill(self.init, signal.SIGRTMIN + 14)
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                # Its child is the machine's init, which the kernel ends with it, and so all others.
                self._nspawn.kill()
                self._nspawn.wait()
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _UNGROUP, "sh", self.name],
            check=True,
            timeout=30,
        )


@contextlib.contextmanager
def booted() -> Iterator[Machine]:
    """A machine, stopped and removed at the end."""
    directory = tempfile.mkdtemp(prefix="machine-")
    machine = Machine(directory)
    try:
        machine.start()
        yield machine
    finally:
        try:
            machine.stop()
        finally:
            shutil.rmtree(directory)


def users(machine: Machine, names: Sequence[str]) -> None:
    """Make users that may use the daemon."""
    for name in names:
        machine.run("useradd", "--create-home", "--groups", "sydd", "--shell", "/bin/sh", name)
