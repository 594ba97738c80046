"""Control groups, version 2: directories of cgroupfs.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst. A group is named by its directory; what the
kernel refuses is the OSError of the file operation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

MAX = "max"
"""What a limit file says where there is none."""


def mount_points() -> list[str]:
    """Where cgroup v2 is mounted, as /proc/self/mountinfo has it (proc(5)); usually /sys/fs/cgroup."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if rest.split(" ", 1)[0] == "cgroup2":
                found.append(_unescaped(fields.split(" ")[4]))
    return found


def _unescaped(name: str) -> str:
    """A field of mountinfo without its octal escapes."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        name = name.replace(code, character)
    return name


def of_process(pid: int) -> str:
    """The path of a process's group from the root of the hierarchy that this process sees.

    Args:
        pid: the process.

    Raises:
        OSError: it is gone.
        LookupError: the kernel has no cgroup v2.
    """
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].rstrip("\n").removesuffix(" (deleted)")
    raise LookupError("this kernel has no cgroup v2")


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One group.

    Attributes:
        path: its directory.
    """

    path: str

    def child(self, name: str) -> Cgroup:
        """The group of that name in this one, whether or not it is there."""
        return Cgroup(os.path.join(self.path, name))

    def children(self) -> list[str]:
        """Names of the groups in this one.

        Raises:
            OSError: this one is not there.
        """
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    def exists(self) -> bool:
        """Whether it is there."""
        return os.path.isfile(os.path.join(self.path, "cgroup.procs"))

    def create(self) -> None:
        """Make it.

        Raises:
            OSError: EEXIST, EACCES; EAGAIN where cgroup.max.descendants is reached.
        """
        os.mkdir(self.path, 0o755)

    def remove(self) -> None:
        """Remove it.

        Raises:
            OSError: EBUSY while it has processes or groups, ENOENT.
        """
        os.rmdir(self.path)

    def read(self, file: str) -> str:
        """The content of one of its files, without the newline at the end.

        Args:
            file: name, such as `memory.events`.

        Raises:
            OSError: ENOENT where its controller is not enabled.
        """
        with open(os.path.join(self.path, file), encoding="ascii") as stream:
            return stream.read().rstrip("\n")

    def write(self, file: str, value: str) -> None:
        """Put a value into one of its files, in one call.

        Args:
            file: name, such as `memory.max`.
            value: as the file wants it.

        Raises:
            OSError: what the kernel says.
        """
        fd = os.open(os.path.join(self.path, file), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode("ascii"))
        finally:
            os.close(fd)

    def table(self, file: str) -> dict[str, int]:
        """A file of lines `name number`, such as cgroup.events and pids.events.

        Raises:
            OSError: as `read`.
        """
        pairs = (line.split(" ", 1) for line in self.read(file).splitlines())
        return {name: int(number) for name, number in pairs}

    def controllers(self) -> frozenset[str]:
        """Controllers that its children may be given (cgroup.controllers)."""
        return frozenset(self.read("cgroup.controllers").split())

    def enable(self, controllers: frozenset[str]) -> None:
        """Give its children controllers (cgroup.subtree_control).

        Args:
            controllers: those of `controllers()`.

        Raises:
            OSError: EBUSY while processes are in this group itself, ENOENT for a controller that it lacks.
        """
        if controllers:
            self.write("cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(controllers)))

    def enter(self, pid: int) -> None:
        """Move a process, with all its threads, into this group; what it forks is then born here.

        Args:
            pid: the process; 0 for the calling one.

        Raises:
            OSError: ESRCH when it is gone; EACCES, EBUSY, EOPNOTSUPP as the kernel's document says.
        """
        self.write("cgroup.procs", str(pid))

    def processes(self) -> list[int]:
        """The processes in this group itself; 0 stands for one outside this pid namespace."""
        return [int(word) for word in self.read("cgroup.procs").split()]

    def populated(self) -> bool:
        """Whether a living process is in this group or below; zombies do not count."""
        return self.table("cgroup.events")["populated"] != 0

    def kill(self) -> None:
        """Send SIGKILL to every process in this group and below, those included that are just forked.

        Raises:
            OSError: ENOENT before Linux 5.14.
        """
        self.write("cgroup.kill", "1")

    def freeze(self, *, on: bool = True) -> None:
        """Stop every process in this group and below, or let them go on; a frozen one can be killed.

        Args:
            on: whether they stand still. The kernel is done when `frozen` says so.

        Raises:
            OSError: ENOENT in the root group.
        """
        self.write("cgroup.freeze", "1" if on else "0")

    def frozen(self) -> bool:
        """Whether everything in it stands still."""
        return self.table("cgroup.events")["frozen"] != 0
