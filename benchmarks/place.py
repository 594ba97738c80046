"""The directories of one run of the benchmarks, all below one that is removed at the end.

As root that one is a tmpfs of its own: a disk's time is nobody's merit or fault here, and it varies (ext4
without a journal takes thirty times longer to create files where others were deleted a minute ago, which is
what running one workload again and again amounts to).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from benchmarks.measure import RunError, User

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True, slots=True)
class Place:
    """Where things lie.

    Attributes:
        base: holds everything below; readable by everybody.
        cache: what outlives the run: downloaded sources and wheels, sandlock's own environment.
        mounted: whether a tmpfs is mounted on base.
        user: whom the commands run as.
        root: root, if the benchmarks run as root; for the workloads that are to be measured as root too.
    """

    base: str
    cache: str
    mounted: bool
    user: User
    root: User | None

    @classmethod
    def make(cls, cache: str, user: str | None, *, on_disk: bool) -> Place:
        """Make the directories.

        Args:
            cache: the directory that outlives the run.
            user: whom to run as, by name; None: as whoever runs this.
            on_disk: use the temporary directory as it is, also as root.

        Raises:
            KeyError: there is no such user.
            subprocess.CalledProcessError: the tmpfs cannot be mounted.
        """
        base = tempfile.mkdtemp(prefix="sydd-bench-")
        mounted = os.geteuid() == 0 and not on_disk
        if mounted:
            subprocess.run(["mount", "-t", "tmpfs", "sydd-bench", base], check=True)
        os.chmod(base, 0o755)  # noqa: S103 (the user has to get at what is below)
        for name in ("home", "home-root", "outside", "bin"):
            os.mkdir(os.path.join(base, name))
        os.makedirs(cache, exist_ok=True)
        root = User.named("root", os.path.join(base, "home-root")) if os.geteuid() == 0 else None
        place = cls(base, cache, mounted, User.named(user, os.path.join(base, "home")), root)
        with open(place.refused, "w", encoding="ascii") as file:
            file.write("nobody in a sandbox writes here\n")
        place.user.own(os.path.join(base, "outside"))
        return place

    @property
    def refused(self) -> str:
        """A file of the user's that lies outside every work directory."""
        return os.path.join(self.base, "outside", "refused")

    def work(self, user: User) -> str:
        """A new work directory of a user, for one run; there is an empty "tmp" in it."""
        directory = tempfile.mkdtemp(prefix="work-", dir=self.base)
        os.mkdir(os.path.join(directory, "tmp"))
        user.own(directory)
        return directory

    def program(self, name: str) -> str:
        """Compile one of this directory's C programs, once.

        Args:
            name: of the file, without ".c".

        Returns:
            The path of the program.

        Raises:
            RunError: there is no compiler, or it failed.
        """
        path = os.path.join(self.base, "bin", name)
        if not os.path.exists(path):
            compiler = shutil.which("cc")
            if compiler is None:
                raise RunError("there is no C compiler (cc)")
            source = os.path.join(HERE, f"{name}.c")
            result = subprocess.run(
                [compiler, "-O2", "-Wall", "-o", path, source], capture_output=True, text=True, check=False
            )
            if result.returncode != 0:
                raise RunError(f"cannot compile {name}.c: {result.stderr.strip()[-200:]}")
        return path

    def remove(self) -> None:
        """Remove everything but the cache."""
        if self.mounted:
            # Lazily: a process that was killed may not have gone yet.
            subprocess.run(["umount", "-l", self.base], check=True)
        shutil.rmtree(self.base, ignore_errors=True)
