"""The Landlock ruleset of a policy: only what is exactly allowed, so that no race opens more.

For each right the tree is walked from `/` towards the places that rules name. A directory below which
everything is allowed becomes a rule; one below which nothing is, is left; a mixed one is opened and its
entries are looked at (*expansion*). A glob that may reach anywhere below a directory ends the walk there:
what it decides is left to the supervisor.

Rules of Landlock belong to inodes and follow a directory that is renamed. So the rights to rename are granted
only where the policy says one and the same about everything below, in which case no rule lies deeper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sydd.kernel.landlock import FsRight
from sydd.plan.coverage import Coverage
from sydd.plan.rights import FILE_RIGHTS, NAMING, NONE, REQUIRED
from sydd.plan.survey import landmarks, roaming
from sydd.policy.access import FILE_ACCESSES, UNPERFORMED, Access, Action, bits
from sydd.policy.glob import is_below
from sydd.policy.matcher import Matcher
from sydd.policy.terminal import PSEUDO_TERMINALS, own_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sydd.plan.tree import Tree

MAXIMUM_RULES = 20_000
"""More anchors than this for one right are not worth their memory: the right is left to the supervisor."""


_UNNAMED = "\0"
"""Stands for each entry that no rule names; no name is so."""


@dataclass(frozen=True, slots=True)
class LandlockRule:
    """`LANDLOCK_RULE_PATH_BENEATH`: *rights* at *path* and, for a directory, below it."""

    path: str
    rights: FsRight
    directory: bool


@dataclass(frozen=True, slots=True)
class LandlockPlan:
    """A ruleset, ready to be made.

    Attributes:
        handled: rights that are refused except where a rule grants them.
        free: rights that the policy allows everywhere.
        scoped: bits of `landlock_ruleset_attr.scoped`.
        rules: sorted by path.
        gaps: for each access that the kernel does not decide exactly, why.
    """

    handled: FsRight
    free: FsRight
    scoped: int
    rules: tuple[LandlockRule, ...]
    gaps: tuple[tuple[Access, str], ...]

    def coverage(self) -> Coverage:
        """The same as the worker asks for it."""
        return Coverage(
            self.handled,
            self.free,
            {rule.path: rule.rights for rule in self.rules if rule.directory},
            {rule.path: rule.rights for rule in self.rules if not rule.directory},
        )


class _Listings:
    """The directories and the files in each directory that is looked at, put together once for all walks."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[str, tuple[list[str], list[str]]] = {}

    def rely(self, leading: Iterable[str], whole: Iterable[str]) -> None:
        """Tell the tree what something is made of.

        Args:
            leading: paths that count wherever they are entries.
            whole: directories of which all entries do.
        """
        named: dict[str, list[str]] = {directory: [] for directory in self._known}
        for path in leading:
            above = path.rpartition("/")[0] or "/"
            if above in named:
                named[above].append(path)
        for directory in whole:
            named.pop(directory, None)
            self._tree.rely(directory, None)
        for directory, paths in named.items():
            self._tree.rely(directory, paths)

    def of(self, directory: str) -> tuple[list[str], list[str]]:
        """Paths of the directories in *directory*, and of all else but links."""
        known = self._known.get(directory)
        if known is None:
            prefix = directory if directory.endswith("/") else directory + "/"
            known = self._known[directory] = [], []
            for name in self._tree.entries(directory):
                path = prefix + name
                kind = self._tree.kind(path)
                if kind is not None and kind != "link":
                    known[kind != "dir"].append(path)
        return known


class _Walk:
    """Finds the anchors of one set of accesses.

    With *naming*, for rights that give an object another name: a subtree is granted only where the policy
    says one and the same about everything in it, access by access. Else the kernel would let a hole be
    renamed or linked out of itself. Accesses about entries count as well, since a directory takes its
    entries along. With *moving*, for the right to do that from one directory to another: only where
    everything is permitted, so that no move from one such place to another gains anything. (The kernel
    compares the rights that rules grant, and knows nothing of attributes.)
    """

    def __init__(
        self, matcher: Matcher, listings: _Listings, mask: Access, *, naming: bool, moving: bool
    ) -> None:
        self.matcher = matcher
        self.listings = listings
        self.mask = mask
        self.naming = naming
        self.moving = moving
        seen = mask | FILE_ACCESSES if naming else mask
        self.leading = _with_ancestors(landmarks(matcher, seen))
        self.roaming = roaming(matcher, seen)
        self.directories: list[str] = []
        self.files: list[str] = []
        self.whole: set[str] = set()  # directories of which each entry counts
        self.gap = ""
        self.mixed = ""  # the first directory that is allowed itself, but not everything below

    def visit(self, directory: str) -> None:
        action = self.uniform(directory)
        if action is Action.ALLOW:
            self.directories.append(directory)
        elif action is None:
            if directory in self.leading:
                self._open(directory)
            else:
                self.gap = self.gap or f"a pattern may match anywhere below {directory}"

    def uniform(self, directory: str) -> Action | None:
        """The action about everything at and below *directory*; None when it is mixed."""
        return uniform(self.matcher, self.mask, directory, naming=self.naming, moving=self.moving)

    def _open(self, directory: str) -> None:
        """Look at the entries of a mixed directory.

        Entries that no rule names are alike, unless a glob starts at or above the directory, so one answer
        serves them all: a home directory has thousands of entries, and start-up is measured.
        """
        if not self.mixed and self.of_file(directory) is Action.ALLOW:
            self.mixed = directory
        directories, files = self.listings.of(directory)
        if any(is_below(directory, place) for place in self.roaming):
            self.gap = self.gap or f"a pattern with wildcards matches in {directory}"
            self.whole.add(directory)
            named_directories, named_files = directories, files
            if self.naming and directory == "/proc":
                # Nobody but the kernel makes and removes what is in there: a process would be a rule that
                # grants nothing.
                named_directories = [path for path in directories if not path[6:].isdecimal()]
        else:
            named_directories = [path for path in directories if path in self.leading]
            named_files = [path for path in files if path in self.leading]
            example = f"{directory.rstrip('/')}/{_UNNAMED}"
            if self.uniform(example) is Action.ALLOW:
                self.whole.add(directory)
                self.directories += [path for path in directories if path not in self.leading]
            if self.of_file(example) is Action.ALLOW:
                self.whole.add(directory)
                self.files += [path for path in files if path not in self.leading]
        for path in named_directories:
            self.visit(path)
        self.files += [path for path in named_files if self.of_file(path) is Action.ALLOW]

    def of_file(self, path: str) -> Action | None:
        actions = {self.matcher.decide(bit, path).action for bit in bits(self.mask)}
        return actions.pop() if len(actions) == 1 else None


def uniform(matcher: Matcher, mask: Access, directory: str, *, naming: bool, moving: bool) -> Action | None:
    """The one action for *mask* at and below *directory* by which a right may be granted there, else None.

    Args:
        matcher: the policy, as `grantable` reads it.
        mask: the accesses that the right is good for.
        directory: canonical, absolute.
        naming: the right gives objects another name, see `_Walk`.
        moving: from one directory to another.
    """
    action = matcher.uniform(mask, directory)
    if action is Action.ALLOW and naming:
        for access in bits(FILE_ACCESSES):
            about_access = matcher.uniform(access, directory)
            if about_access is None:
                return None
            if moving and not about_access.permits:
                action = about_access
    return action


def _with_ancestors(places: Iterable[str]) -> frozenset[str]:
    """*places* and every directory above them."""
    found: set[str] = set()
    for place in places:
        path = place
        while path not in found:
            found.add(path)
            path = path.rpartition("/")[0] or "/"
    return frozenset(found)


def grantable(matcher: Matcher, mask: Access) -> Matcher:
    """The policy that says `allow` where a right may be granted that is good for *mask*.

    What a rule says to `warn` of the supervisor performs itself: no right is granted to do that without a
    word. What only the kernel can do happens where it is granted, or not at all; a thread that
    changes the path behind the report gains nothing that is not permitted.
    """
    if not any(rule.action is Action.WARN and rule.access & mask & UNPERFORMED for rule in matcher.rules):
        return matcher
    return Matcher(
        [replace(rule, action=Action.ALLOW) if rule.action is Action.WARN else rule for rule in matcher.rules]
    )


def renaming_gains(matcher: Matcher) -> bool:
    """Whether what may be done with an object, or below it, depends on its name: another may be worth it."""
    return any(matcher.uniform(access, "/") is None for access in bits(FILE_ACCESSES))


def plan_landlock(
    matcher: Matcher, tree: Tree, available: FsRight, scoped: int = 0, terminals: Sequence[str] = ()
) -> LandlockPlan:
    """The ruleset for the policy in *matcher*.

    Args:
        matcher: the compiled policy.
        tree: the file system as it is at launch.
        available: rights that the kernel's ABI knows.
        scoped: scopes to ask for, passed through.
        terminals: names of those that the launch has; rules have another name for them.

    Returns:
        The plan. It handles something in any case, or scopes: the kernel keeps who is in a domain from the
        memory and environment of who is not.
    """
    draft = _Draft(matcher, tree, terminals)
    names_matter = renaming_gains(matcher)
    for right, mask in REQUIRED.items():
        if grantable(matcher, mask).universal(mask) and not (right & NAMING and names_matter):
            draft.free |= right
        elif right in available:
            draft.handle(right, mask)
        else:
            draft.gaps.setdefault(mask, "this kernel's Landlock does not know the right")
    if (draft.handled or not scoped) and FsRight.REFER & draft.free:
        # The kernel refuses every reparenting that no rule grants, also where the ruleset does not handle
        # REFER. And a ruleset that is empty makes no domain, by which the kernel keeps tracing inside.
        draft.handled |= FsRight.REFER
        draft.subtrees["/"] = draft.subtrees.get("/", NONE) | FsRight.REFER
    draft.rely()
    return LandlockPlan(draft.handled, draft.free, scoped, draft.rules(), _by_access(draft.gaps))


class _Draft:
    """A ruleset in the making."""

    def __init__(self, matcher: Matcher, tree: Tree, terminals: Sequence[str]) -> None:
        self.free = NONE
        self.handled = NONE
        self.subtrees: dict[str, FsRight] = {}
        self.files: dict[str, FsRight] = {}
        self.gaps: dict[Access, str] = {}
        self._matcher = matcher
        self._listings = _Listings(tree)
        self._terminals = terminals
        self._walks: dict[tuple[Access, bool], _Walk] = {}

    def handle(self, right: FsRight, mask: Access) -> None:
        """Handle *right*, and grant it where all of *mask* is allowed."""
        self.handled |= right
        walk = self._walk(right, mask)
        if len(walk.directories) + len(walk.files) > MAXIMUM_RULES:
            self.gaps.setdefault(mask, f"more than {MAXIMUM_RULES} rules would be needed")
            return
        if walk.gap:
            self.gaps.setdefault(mask, walk.gap)
        elif right is FsRight.WRITE_FILE and _only_own_terminals(walk):
            self.gaps.setdefault(mask, "terminals that the session makes are not there yet")
        if walk.mixed and right is FsRight.READ_DIR:
            self.gaps.setdefault(mask, f"{walk.mixed} may be listed, but not everything below it")
        for path in walk.directories:
            self.subtrees[path] = self.subtrees.get(path, NONE) | right
        if right & FILE_RIGHTS:
            for path in self._files(walk):
                self.files[path] = self.files.get(path, NONE) | right
        elif walk.files and right != FsRight.READ_DIR:
            self.gaps.setdefault(mask, "a single file's entry cannot be granted")

    def _files(self, walk: _Walk) -> list[str]:
        """The single files that *walk* found, the session's terminals by what is said of these."""
        own = [path for path in self._terminals if walk.of_file(own_name(path)) is Action.ALLOW]
        return [path for path in walk.files if path not in self._terminals] + own

    def _walk(self, right: FsRight, mask: Access) -> _Walk:
        naming, moving = bool(right & NAMING), right is FsRight.REFER
        # No other right needs what REFER needs, nor what one needs that only the kernel can use.
        known = self._walks.get((mask, naming))
        if known is None:
            matcher = grantable(self._matcher, mask)
            known = _Walk(matcher, self._listings, mask, naming=naming, moving=moving)
            self._walks[mask, naming] = known
            known.visit("/")
        return known

    def rely(self) -> None:
        """Tell the tree which of its entries the ruleset is made of."""
        walks = self._walks.values()
        leading = frozenset[str]().union(*(walk.leading for walk in walks))
        self._listings.rely(leading, frozenset[str]().union(*(walk.whole for walk in walks)))

    def rules(self) -> tuple[LandlockRule, ...]:
        """What is granted, sorted by path."""
        rules = [
            LandlockRule(path, rights, directory=True) for path, rights in self.subtrees.items() if rights
        ]
        rules += [
            LandlockRule(path, rights, directory=False) for path, rights in self.files.items() if rights
        ]
        return tuple(sorted(rules, key=lambda rule: rule.path))


def _only_own_terminals(walk: _Walk) -> bool:
    """Whether the session's own terminals are granted, and not those of all."""
    if walk.of_file(own_name("")) is not Action.ALLOW:
        return False
    return not any(is_below(PSEUDO_TERMINALS, place) for place in walk.directories)


def _by_access(gaps: dict[Access, str]) -> tuple[tuple[Access, str], ...]:
    single: dict[Access, str] = {}
    for mask, why in gaps.items():
        for bit in bits(mask):
            single.setdefault(bit, why)
    return tuple(sorted(single.items()))
