"""A file system in memory for the planner, and what Landlock would let a session do with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sydd.kernel.landlock import FsRight
from sydd.plan.landlock import LandlockPlan
from sydd.plan.rights import FILE_RIGHTS, NONE
from sydd.plan.tree import Kind

DIRECTORY = "dir"
FILE = "file"

NEW = "new"
"""A name that no tree here has: what the session may make later."""


class FakeTree:
    """Implements sydd.plan.tree.Tree.

    Args:
        objects: canonical path to "dir", "file", or "-> target" for a link. Parents come by themselves.
        unreadable: directories that cannot be listed.
    """

    def __init__(self, objects: Mapping[str, str], unreadable: tuple[str, ...] = ()) -> None:
        self.objects: dict[str, str] = {"/": DIRECTORY}
        for path, kind in objects.items():
            parts = path.strip("/").split("/")
            for size in range(1, len(parts)):
                self.objects["/" + "/".join(parts[:size])] = DIRECTORY
            self.objects[path] = kind
        self.unreadable = unreadable
        self.listed: list[str] = []
        self.relied: dict[str, frozenset[str] | None] = {}

    def kind(self, path: str) -> Kind | None:
        """See Tree.kind."""
        kind = self.objects.get(path)
        if kind is None:
            return None
        return "link" if kind.startswith("->") else "dir" if kind == DIRECTORY else "file"

    def entries(self, path: str) -> tuple[str, ...]:
        """See Tree.entries."""
        self.listed.append(path)
        if path in self.unreadable:
            return ()
        prefix = path.rstrip("/") + "/"
        below = {other[len(prefix) :] for other in self.objects if other.startswith(prefix) and other != "/"}
        return tuple(sorted(name for name in below if name and "/" not in name))

    def realpath(self, path: str) -> str:
        """See Tree.realpath."""
        done = ""
        rest = [part for part in path.split("/") if part]
        while rest:
            done = f"{done}/{rest.pop(0)}"
            kind = self.objects.get(done, "")
            if kind.startswith("-> "):
                target = kind[3:]
                base = "" if target.startswith("/") else done.rpartition("/")[0]
                rest = [*f"{base}/{target}".strip("/").split("/"), *rest]
                done = ""
        return done or "/"

    def rely(self, directory: str, paths: Iterable[str] | None) -> None:
        """See Tree.rely."""
        self.relied[directory] = None if paths is None else frozenset(paths)

    def directories(self) -> Iterator[str]:
        """Every directory."""
        return (path for path, kind in self.objects.items() if kind == DIRECTORY)

    def names(self) -> Iterator[str]:
        """Every name that exists, and one in each directory that does not yet, with one below that."""
        yield from self.objects
        for directory in self.directories():
            new = join(directory, NEW)
            yield new
            yield join(new, NEW)


def join(directory: str, name: str) -> str:
    """The path of an entry."""
    return f"{directory.rstrip('/')}/{name}"


def parent_of(path: str) -> str:
    """The directory that holds the entry *path*."""
    return path.rpartition("/")[0] or "/"


def upwards(path: str) -> Iterator[str]:
    """The path itself and every directory above it."""
    yield path
    while path != "/":
        path = parent_of(path)
        yield path


class Kernel:
    """Landlock's semantics for one ruleset and one tree: rights add up on the way to the root.

    See landlock(7). Rules belong to inodes: here an inode is the name that it had when the ruleset was made,
    and *moved* says which has another one now.
    """

    def __init__(self, plan: LandlockPlan, tree: FakeTree, moved: tuple[str, str] | None = None) -> None:
        self.handled = plan.handled
        self.rules = {rule.path: rule for rule in plan.rules}
        self.tree = tree
        self.moved = moved

    def inodes(self, path: str) -> Iterator[str]:
        """The inodes on the way from the object that is now called *path* to the root."""
        for name in upwards(path):
            if self.moved is None:
                yield name
                continue
            old, new = self.moved
            if name == new or name.startswith(new + "/"):
                yield old + name[len(new) :]
            elif name != old and not name.startswith(old + "/"):
                yield name

    def granted(self, path: str) -> FsRight:
        """The rights that rules grant on the object called *path*."""
        rights = NONE
        for place, inode in enumerate(self.inodes(path)):
            rule = self.rules.get(inode)
            if rule is not None and (rule.directory or not place):
                rights |= rule.rights
        return rights

    def permits(self, path: str, right: FsRight) -> bool:
        """Whether an operation that needs *right* on the object called *path* goes through."""
        return right not in self.handled or right in self.granted(path)

    def permits_rename(self, old: str, new: str) -> bool:
        """Whether rename(old, new) goes through (security/landlock/fs.c, current_check_refer_path)."""
        kinds = self.tree.objects
        removing = FsRight.REMOVE_DIR if kinds[old] == DIRECTORY else FsRight.REMOVE_FILE
        making = FsRight.MAKE_DIR if kinds[old] == DIRECTORY else FsRight.MAKE_REG
        source, target = parent_of(old), parent_of(new)
        if not self.permits(source, removing) or not self.permits(target, making):
            return False
        if new in kinds and not self.permits(
            target, FsRight.REMOVE_DIR if kinds[new] == DIRECTORY else FsRight.REMOVE_FILE
        ):
            return False
        if source == target or not self.handled:
            return True
        # Without a rule that says REFER no reparenting is possible, whether or not the ruleset handles it.
        if FsRight.REFER not in self.granted(source) or FsRight.REFER not in self.granted(target):
            return False
        counted = self.handled if kinds[old] == DIRECTORY else self.handled & FILE_RIGHTS
        return not counted & self.granted(target) & ~self.granted(old)

    def permits_link(self, old: str, new: str) -> bool:
        """Whether link(old, new) of a file goes through."""
        source, target = parent_of(old), parent_of(new)
        if new in self.tree.objects or not self.permits(target, FsRight.MAKE_REG):
            return False
        if source == target or not self.handled:
            return True
        if FsRight.REFER not in self.granted(source) or FsRight.REFER not in self.granted(target):
            return False
        return not self.handled & FILE_RIGHTS & self.granted(target) & ~self.granted(old)
