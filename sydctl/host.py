"""The host's side of an installation: which files go where, and what is told to systemd."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sydctl import share

PROGRAMS: Final = ("sydd", "sydctl")
UNITS: Final = ("sydd.socket", "sydd.service", "sydd-sessions.service")
"""Units of the system, as they are stopped."""
_KINDS: Final = {
    "system": "lib/systemd/system",
    "user": "lib/systemd/user",
    "sysusers.d": "lib/sysusers.d",
    "tmpfiles.d": "lib/tmpfiles.d",
    "examples": "share/doc/sydd/examples",
}
"""Directories of systemd/ and where their files go below the prefix."""


class HostError(Exception):
    """Something cannot be installed or removed; the message says what."""


@dataclass(frozen=True, slots=True)
class File:
    """One file to install.

    Attributes:
        path: where to, as the host names it.
        content: what is in it; of a symbolic link where it points to.
        link: whether it is one.
    """

    path: str
    content: str
    link: bool = False


def files(host: Host, scripts: str) -> Iterator[File]:
    """Everything that is installed.

    Args:
        host: where to.
        scripts: directory of the programs.
    """
    prefix = host.prefix
    for kind, place in _KINDS.items():
        for path in sorted((share.units() / kind).iterdir()):
            text = path.read_text(encoding="utf-8").replace("@BINDIR@", scripts)
            yield File(os.path.join(prefix, place, path.name), text)
    for name, text in share.man_pages().items():
        yield File(os.path.join(prefix, "share/man", f"man{name.rpartition('.')[2]}", name), text)
    if scripts != os.path.join(prefix, "bin"):
        for name in PROGRAMS:
            yield File(os.path.join(prefix, "bin", name), os.path.join(scripts, name), link=True)


class Host:
    """A host, by its root directory.

    Args:
        root: its directory; `/` is this machine.
        prefix: where things go, as the host names it.
    """

    def __init__(self, root: str, prefix: str) -> None:
        self.root = os.path.abspath(root)
        self.prefix = os.path.normpath("/" + prefix)

    @property
    def here(self) -> bool:
        """Whether it is this machine, so that something can be started."""
        return self.root == "/"

    @property
    def _list(self) -> str:
        return os.path.join(self.prefix, "lib/sydd/installed")

    def at(self, path: str) -> str:
        """A path of the host as this process reaches it."""
        return os.path.join(self.root, path.lstrip("/"))

    def check_programs(self, scripts: str) -> None:
        """Make sure that nobody but root can change what the service will execute.

        Args:
            scripts: directory of the programs.

        Raises:
            HostError: somebody can, or a program is not there.
        """
        for name in PROGRAMS:
            path = os.path.join(scripts, name)
            if not os.access(path, os.X_OK):
                raise HostError(f"there is no program '{path}'")
            interpreter = _interpreter(path)
            for each in filter(None, (path, interpreter, os.path.dirname(__file__))):
                changeable = _changeable(each)
                if changeable:
                    raise HostError(
                        f"'{changeable}' can be changed by others than root, and the service would execute "
                        "what is there: install sydd into an environment of root's, such as /opt/sydd"
                    )

    def write(self, wanted: Iterable[File]) -> list[str]:
        """Write files, and the list of them first.

        Args:
            wanted: the files.

        Returns:
            Their paths, as the host names them.

        Raises:
            OSError: one cannot be written.
        """
        each = list(wanted)
        paths = [file.path for file in each]
        with contextlib.suppress(HostError):
            # What an earlier version has installed and this one does not is removed with this one.
            paths += [path for path in self.listed() if path not in paths]
        self._put(File(self._list, "".join(f"{path}\n" for path in paths)))
        for file in each:
            self._put(file)
        return [file.path for file in each]

    def _put(self, file: File) -> None:
        """Write a file beside its place, and move it there: a unit is never half there."""
        path = self.at(file.path)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        new = f"{path}.sydd-new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        if file.link:
            os.symlink(file.content, new)
        else:
            with open(new, "x", encoding="utf-8") as stream:
                stream.write(file.content)
            os.chmod(new, 0o644)
        os.replace(new, path)

    def listed(self) -> list[str]:
        """What was installed, as the host names it.

        Raises:
            HostError: there is no list.
        """
        try:
            with open(self.at(self._list), encoding="utf-8") as stream:
                return stream.read().splitlines()
        except FileNotFoundError:
            raise HostError(f"nothing is installed there: no '{self.at(self._list)}'") from None

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files, the directories that are empty then, and the list last.

        Args:
            paths: as `listed` has them.

        Raises:
            OSError: one cannot be removed.
        """
        for path in (*paths, self._list):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.at(path))
            self._prune(os.path.dirname(path))

    def _prune(self, directory: str) -> None:
        """Remove a directory of sydd's own, when it is empty."""
        while os.path.basename(directory) in ("sydd", "examples"):
            try:
                os.rmdir(self.at(directory))
            except OSError:
                return
            directory = os.path.dirname(directory)

    def activate(self, *, enable: bool) -> None:
        """Make group and directories, and have systemd read the units.

        Args:
            enable: whether the socket is enabled and started.

        Raises:
            HostError: a program of systemd fails.
        """
        _run("systemd-sysusers", "sydd.conf")
        _run("systemd-tmpfiles", "--create", "sydd.conf")
        if not _systemd_runs():
            return
        _run("systemctl", "daemon-reload")
        if enable:
            _run("systemctl", "enable", "--now", "sydd.socket")

    def enable_offline(self) -> None:
        """Enable the socket on a host that does not run.

        Raises:
            HostError: systemctl fails.
        """
        _run("systemctl", "--root", self.root, "enable", "sydd.socket")

    def deactivate(self) -> None:
        """Stop and disable the units.

        Raises:
            HostError: a program of systemd fails.
        """
        if not _systemd_runs():
            return
        _run("systemctl", "disable", "--now", *UNITS)

    def reload(self) -> None:
        """Have systemd forget units that are gone.

        Raises:
            HostError: systemctl fails.
        """
        if _systemd_runs():
            _run("systemctl", "daemon-reload")


def _systemd_runs() -> bool:
    """As sd_booted(3) asks."""
    return os.path.isdir("/run/systemd/system")


def _run(program: str, *arguments: str) -> None:
    if shutil.which(program) is None:
        raise HostError(f"there is no {program} here: sydd.service needs systemd")
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise HostError(f"{program} {' '.join(arguments)}: {result.stderr.strip() or result.returncode}")


def _interpreter(script: str) -> str:
    """The program that the first line of a script names; empty for none."""
    with open(script, "rb") as stream:
        first = stream.readline(4096)
    return os.fsdecode(first[2:].split()[0]) if first.startswith(b"#!") else ""


def _changeable(path: str) -> str:
    """What others than root may change of a path: it or a directory above it; empty for nothing."""
    path = os.path.realpath(path)
    while True:
        status = os.stat(path)
        loose = status.st_mode & (stat.S_IWGRP if status.st_gid else 0) or status.st_mode & stat.S_IWOTH
        if status.st_uid or (loose and not status.st_mode & stat.S_ISVTX):
            return path
        if path == "/":
            return ""
        path = os.path.dirname(path)
