"""Which of many path patterns that matches comes last, compiled once.

Exact patterns and subtrees are dictionary look-ups of the path and its ancestors, and a glob is tried only
when the path lies below its literal prefix and its rule comes after the best one found so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sydd.policy.glob import Kind, PathGlob

_Match = Callable[[str], object]
_Globs = tuple[tuple[int, _Match], ...]


class PathTable:
    """Patterns with the places of their rules.

    Args:
        patterns: place and patterns of each rule, places rising.

    Attributes:
        exact: the last place for a path.
        below: for a directory the last place for its subtree (-1: none) and the globs with that literal
            prefix, last first, as pairs of place and match function.
        longest: length of the longest key of `below`.
    """

    __slots__ = ("below", "exact", "longest")

    def __init__(self, patterns: Iterable[tuple[int, tuple[PathGlob, ...]]]) -> None:
        self.exact: dict[str, int] = {}
        subtrees: dict[str, int] = {}
        globs: dict[str, list[tuple[int, _Match]]] = {}
        for place, alternatives in patterns:
            for glob in alternatives:
                if glob.kind is Kind.EXACT:
                    self.exact[glob.literal_prefix] = place
                elif glob.kind is Kind.SUBTREE:
                    subtrees[glob.literal_prefix] = place
                else:
                    globs.setdefault(glob.literal_prefix, []).insert(0, (place, glob.regex.match))
        self.below: dict[str, tuple[int, _Globs]] = {
            path: (subtrees.get(path, -1), tuple(globs.get(path, ()))) for path in {*subtrees, *globs}
        }
        self.longest = max(map(len, self.below), default=0)

    def find(self, path: str, best: int = -1) -> int:
        """The last place that matches *path*, or *best* if that is higher."""
        best = max(self.exact.get(path, -1), best)
        look_up = self.below.get
        longest = self.longest
        candidates: list[_Globs] = []
        entry = look_up("/")
        end = 0
        size = len(path)
        while True:
            if entry is not None:
                best = max(best, entry[0])
                if entry[1]:
                    candidates.append(entry[1])
            if end >= size or end >= longest:
                break
            # the next ancestor, at last the path itself; never further than the longest key, however deep
            # the path
            end = path.find("/", end + 1)
            if end < 0:
                end = size
            if end > longest:
                break
            entry = look_up(path[:end])
        return _best(candidates, best, path) if candidates else best


def _best(candidates: list[_Globs], best: int, path: str) -> int:
    """The highest place, from *best* on, of the globs in *candidates* that match *path*."""
    for globs in candidates:
        for place, match in globs:
            if place <= best:
                break
            if match(path):
                best = place
                break
    return best
