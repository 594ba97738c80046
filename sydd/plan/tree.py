"""What compiling a plan has to know of the file system, as a protocol, and the host's own."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAXIMUM_LINKS = 40
"""Links on the way to one object that the kernel follows (MAXSYMLINKS); a loop names nothing."""

Kind = Literal["dir", "file", "link"]


class Tree(Protocol):
    """A view of a file system. Nothing raises: what cannot be seen is not there."""

    def kind(self, path: str) -> Kind | None:
        """What *path* itself is; None when it cannot be seen. Devices, FIFOs and sockets are files."""

    def entries(self, path: str) -> tuple[str, ...]:
        """The names in the directory *path*, sorted; empty when it cannot be read."""

    def realpath(self, path: str) -> str:
        """*path* with every symbolic link followed as far as the path exists."""

    def rely(self, directory: str, paths: Iterable[str] | None) -> None:
        """Remember what of a listing there is made something of.

        Args:
            directory: whose entries were looked at.
            paths: entries, or what could be some; None for all that there are.
        """


class Facts(NamedTuple):
    """Answers of a file system.

    Attributes:
        kinds: what is at these paths; None for nothing.
        listings: the names in these directories, and what they are.
        real: paths with every link followed.
        targets: of these links.
        writable: whether entries could be made in these directories.
        readable: whether these directories, of which not every entry counts, could be listed.
    """

    kinds: dict[str, Kind | None]
    listings: dict[str, tuple[tuple[str, Kind | None], ...]]
    real: dict[str, str]
    targets: dict[str, str]
    writable: dict[str, bool]
    readable: dict[str, bool]


class HostTree:
    """The host's file system, each question asked once: a plan is made from one picture.

    What is made of it depends on the answers in `facts`, and on nothing else of the file system.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, Kind | None] = {}
        self._entries: dict[str, tuple[str, ...]] = {}
        self._real: dict[str, str] = {}
        self._targets: dict[str, str] = {}
        self._writable: dict[str, bool] = {}
        self._readable: dict[str, bool] = {}
        self._relied: set[str] = set()
        self._relied_wholly: set[str] = set()

    def facts(self) -> Facts:
        """All that was made something of so far."""
        return Facts(
            {path: self.kind(path) for path in self._relied},
            {path: self._listing(path) for path in self._relied_wholly},
            dict(self._real),
            dict(self._targets),
            dict(self._writable),
            dict(self._readable),
        )

    def has(self, facts: Facts) -> bool:
        """Whether all of *facts* would be found here, too."""
        return (
            all(self.kind(path) == kind for path, kind in facts.kinds.items())
            and all(self.realpath(path) == real for path, real in facts.real.items())
            and all(self._listing(path) == listing for path, listing in facts.listings.items())
            and all(self._target(path) == target for path, target in facts.targets.items())
            and all(self.writable(path) == writable for path, writable in facts.writable.items())
            and all(os.access(path, os.R_OK) == readable for path, readable in facts.readable.items())
        )

    def rely(self, directory: str, paths: Iterable[str] | None) -> None:
        """See Tree.rely."""
        if paths is None:
            self._relied_wholly.add(directory)
        else:
            self._relied.update(paths)
            self._readable[directory] = os.access(directory, os.R_OK)  # else nothing is seen in it

    def _listing(self, path: str) -> tuple[tuple[str, Kind | None], ...]:
        prefix = path.rstrip("/") + "/"
        return tuple((name, self.kind(prefix + name)) for name in self.entries(path))

    def writable(self, path: str) -> bool:
        """Whether this process may make entries in the directory *path*."""
        if path not in self._writable:
            self._writable[path] = os.access(path, os.W_OK)
        return self._writable[path]

    def _target(self, path: str) -> str:
        if path not in self._targets:
            try:
                self._targets[path] = os.readlink(path)
            except OSError:
                self._targets[path] = ""  # no longer one; no link's target is empty
        return self._targets[path]

    def kind(self, path: str) -> Kind | None:
        """See Tree.kind."""
        if path not in self._kinds:
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                self._kinds[path] = None
            else:
                self._kinds[path] = "dir" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "file"
        return self._kinds[path]

    def entries(self, path: str) -> tuple[str, ...]:
        """See Tree.entries. The kinds come with the listing, without a stat for each name."""
        if path not in self._entries:
            names: list[str] = []
            try:
                with os.scandir(path) as listing:
                    for entry in listing:
                        names.append(entry.name)
                        kind: Kind = (
                            "link"
                            if entry.is_symlink()
                            else "dir"
                            if entry.is_dir(follow_symlinks=False)
                            else "file"
                        )
                        self._kinds[f"{path.rstrip('/')}/{entry.name}"] = kind
            except OSError:
                names = []
            self._entries[path] = tuple(sorted(names))
        return self._entries[path]

    def realpath(self, path: str) -> str:
        """See Tree.realpath. Directories that many paths share are looked at once."""
        known = self._real.get(path)
        if known is None:
            known = self._real[path] = self._find_real(path)
        return known

    def _find_real(self, path: str) -> str:
        above, _, name = path.rpartition("/")
        if name in ("", ".", "..") or path[:1] != "/":
            return os.path.realpath(path)
        place = f"{self.realpath(above).rstrip('/')}/{name}" if above else path
        try:
            is_link = stat.S_ISLNK(os.lstat(place).st_mode)
        except OSError:
            return place
        return os.path.realpath(place) if is_link else place

    def trusted_realpath(self, path: str, hostile: Callable[[str], bool]) -> str:
        """As realpath, but a link for which *hostile* holds is not followed, and stays in the name.

        Args:
            path: absolute.
            hostile: asked with the canonical name of each link on the way.
        """
        here = ""
        pending = [name for name in reversed(path.split("/")) if name not in ("", ".")]
        for _ in range(MAXIMUM_LINKS):
            while pending:
                name = pending.pop()
                if name == "..":
                    here = here.rpartition("/")[0]
                    continue
                here = f"{here}/{name}"
                self._relied.add(here)
                if self.kind(here) == "link":
                    break
            else:
                return here or "/"
            if hostile(here):
                return "/".join([here, *reversed(pending)])
            target = self._target(here)
            pending += [name for name in reversed(target.split("/")) if name not in ("", ".")]
            here = "" if target.startswith("/") else here.rpartition("/")[0]
        return path
