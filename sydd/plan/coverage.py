"""Which operations the kernel enforces by itself: the worker's view of the Landlock ruleset.

Two questions, which are not the same:

*May it go on?* An operation whose rights are all handled by the ruleset can always be answered with
CONTINUE: whatever the caller's memory says by then, the kernel permits nothing outside the granted
subtrees, and those are exactly allowed.

*Would it succeed?* Only where the rights are granted too; elsewhere the policy may allow what the kernel
would refuse, and the worker has to perform the operation itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydd.kernel.landlock import FsRight
from sydd.plan.rights import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE_LIMIT = 8192


class Coverage:
    """The rights that the kernel grants, path by path.

    Args:
        enforced: rights that the ruleset handles.
        free: rights that the policy allows everywhere, so that the ruleset need not handle them.
        subtrees: rights granted at and below a directory.
        files: rights granted on one file.
    """

    def __init__(
        self, enforced: FsRight, free: FsRight, subtrees: Mapping[str, FsRight], files: Mapping[str, FsRight]
    ) -> None:
        self.safe = self._held = int(enforced | free)
        self._free = self._left = int(free)
        self._carried = 0  # rights that went along with what was moved
        self._changed = False
        self._subtrees = {path: int(rights) for path, rights in subtrees.items()}
        self._files = {path: int(rights) for path, rights in files.items()}
        self._directories: dict[str, int] = {}
        self._moved = False

    def may_continue(self, rights: int) -> bool:
        """Whether the kernel may be left an operation that needs *rights*, without trust in the caller."""
        return not rights & ~self.safe

    def grants(self, path: str, rights: int) -> bool:
        """Whether the kernel grants *rights* on the object *path* itself."""
        missing = rights & ~self._free
        if not missing:
            return True
        parent, _, _ = path.rpartition("/")
        granted = self._directory(parent or "/") | self._subtrees.get(path, 0) | self._files.get(path, 0)
        return not missing & ~granted

    def grants_entry(self, path: str, rights: int) -> bool:
        """Whether the kernel grants *rights* (MAKE_*, REMOVE_*, REFER) about the entry *path*."""
        missing = rights & ~self._free
        if not missing:
            return True
        parent, _, _ = path.rpartition("/")
        return not missing & ~self._directory(parent or "/")

    def grants_below(self, directory: str, rights: int) -> bool:
        """Whether the kernel grants *rights* on everything below *directory*, and on its entries."""
        missing = rights & ~self._free
        return not missing or not missing & ~self._directory(directory)

    def forget(self, path: str) -> None:
        """Stop trusting the names at or below *path*: what a rule was made for is no longer there.

        Where it is, and where it goes from there, is not followed: from now on any directory may be it.
        """
        self._moved = True
        below = path + "/"
        for anchors in (self._subtrees, self._files):
            for known in [known for known in anchors if known == path or known.startswith(below)]:
                self._carried |= anchors.pop(known)
        self._directories.clear()
        if self._changed:
            self.narrow(self._held & ~self.safe)

    def narrow(self, lost: int) -> None:
        """Decide anew what the kernel may be left, since the policy has changed.

        What follows a directory to another name is granted there by the policy as it was. Once that has
        changed, nobody knows any more where such grants are; so their rights are left to the kernel never
        again.

        Args:
            lost: rights by which the kernel would permit what the policy does not (`lost.lost_rights`).
        """
        self._changed = True
        lost |= self._carried
        self.safe = self._held & ~lost
        self._free = self._left & ~lost

    def anchored_at_or_below(self, path: str) -> bool:
        """Whether a rule of the ruleset may belong to *path* or something below it."""
        if self._moved:
            return True
        below = path + "/"
        return any(known == path or known.startswith(below) for known in (*self._subtrees, *self._files))

    def _directory(self, path: str) -> int:
        known = self._directories.get(path)
        if known is not None:
            return known
        granted = self._subtrees.get(path, 0)
        if path != "/":
            parent, _, _ = path.rpartition("/")
            granted |= self._directory(parent or "/") if parent.count("/") < 64 else self._walk(parent)
        if len(self._directories) >= CACHE_LIMIT:
            self._directories.clear()
        self._directories[path] = granted
        return granted

    def _walk(self, path: str) -> int:
        """The same without recursion, for paths deeper than anyone needs."""
        granted = self._subtrees.get("/", 0)
        while path:
            granted |= self._subtrees.get(path, 0)
            path, _, _ = path.rpartition("/")
        return granted


NOTHING = Coverage(NONE, NONE, {}, {})
"""Without Landlock and with nothing free: everything is the supervisor's."""
