"""Random small trees, full of links, and how one is made."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from hypothesis import strategies as st

LONGEST = b"n" * 255
NAMES = (b"a", b"b", b"c", b"l")
"""Few, so that a random path often leads somewhere."""

ODD_NAMES = (LONGEST, LONGEST + b"n", b"a (deleted)", b"...", b"\xff\n", b"self", b"fd")

TOP = b"/@TOP@"
"""Stands for the top of the tree in paths."""


class Entry(NamedTuple):
    """One object of a tree.

    Attributes:
        where: which of the directories made before it is in, modulo their number.
        name: in there.
        kind: "file", "directory", "link", "hard", "fifo", "locked" (a directory without rights), "secret" (a
            file without any), "setgid", "sticky" (directories).
        target: what a link leads to.
    """

    where: int
    name: bytes
    kind: str
    target: bytes


_components = st.sampled_from((*NAMES * 5, b".", b"..", b"..", b"..", b"", *ODD_NAMES))
_descriptors = st.sampled_from((3, 3, 4, 5, 6, 7, 8, 99))
_prefixes = st.sampled_from(
    (
        *(b"",) * 24,
        *(TOP + b"/",) * 6,
        *(b"/proc/self/fd/%d/", b"/proc/self/fd/%d", b"/dev/fd/%d/", b"/dev/fd/%d") * 2,
        *(b"/proc/self/cwd/", b"/proc/thread-self/fd/%d/", b"/proc/thread-self/cwd/"),
        *(b"/proc/self/root" + TOP + b"/", b"/proc/self/root/proc/self/cwd/", b"/proc/./self//fd/%d/"),
        *(b"../" * 40, b"../" * 40 + TOP[1:] + b"/", b"/.." + TOP + b"/", b"//"),
        *(b"/proc/self/task/../cwd/", b"/proc/self/fd/", b"/dev/../proc/self/fd/%d/", b"/proc/self/"),
        *(b"proc/self/fd/%d/", b"self/cwd/", b"fd/%d/", b"%d/", b"/dev/stdin", b"/proc/self/exe"),
        *(b"/proc/self/fdinfo/%d", b"/proc/self/fd/%d/../", b"/proc/self/ns/", b"./" * 2100),
        *(b"/proc/self/cwd/../" * 20, b"/proc/self/fd/%d/" * 2),
    )
)


def _path(prefix: bytes, fd: int, components: list[bytes], slash: bytes) -> bytes:
    return prefix.replace(b"%d", b"%d" % fd) + b"/".join(components) + slash


paths = st.builds(
    _path,
    _prefixes,
    _descriptors,
    st.one_of(
        *[st.lists(_components, min_size=1, max_size=2)] * 3,
        st.lists(_components, min_size=1, max_size=4),
        st.lists(_components, max_size=7),
    ),
    st.sampled_from((*(b"",) * 9, b"/", b"/", b"//", b"/.", b"/..")),
)

_kinds = st.sampled_from(
    (
        *("directory",) * 5,
        *("link",) * 6,
        *("file",) * 3,
        *("hard", "fifo", "locked", "secret", "setgid", "sticky"),
    )
)
_places = st.sampled_from((0, 0, 0, 1, 1, 2, 3))
_entries = st.lists(
    st.builds(Entry, _places, st.sampled_from((*NAMES * 4, *ODD_NAMES)), _kinds, paths), max_size=8
)
_BASES = (
    (),
    *(
        (
            Entry(0, b"a", "directory", b""),
            Entry(1, b"b", "directory", b""),
            Entry(0, b"b", "file", b""),
            Entry(1, b"c", "link", b"../b"),
            Entry(2, b"a", "file", b""),
        ),
        (
            Entry(0, b"a", "directory", b""),
            Entry(0, b"b", "link", b"a"),
            Entry(1, b"l", "link", TOP + b"/c"),
            Entry(1, b"b", "file", b""),
            Entry(1, b"a", "hard", b""),
        ),
    )
    * 2,
)
"""What is there so that most random paths lead somewhere."""

trees = st.builds(lambda base, more: [*base, *more], st.sampled_from(_BASES), _entries)


def make(top: str, tree: list[Entry]) -> None:
    """Make a tree.

    Args:
        top: its top, which does not exist.
        tree: what is in it; entries whose place is taken are left out.
    """
    root = os.fsencode(top)
    os.mkdir(root, 0o755)
    directories = [root]
    files: list[bytes] = []
    locked: list[bytes] = []
    for entry in tree:
        path = directories[entry.where % len(directories)] + b"/" + entry.name
        with contextlib.suppress(FileExistsError, OSError):
            match entry.kind:
                case "link":
                    os.symlink(entry.target.replace(TOP, root) or b".", path)
                case "fifo":
                    os.mkfifo(path, 0o644)
                case "hard":
                    os.link(files[0] if files else b"", path)
                case "file" | "secret":
                    with open(path, "xb") as file:
                        file.write(path[len(root) :])
                        os.fchmod(file.fileno(), 0o644 if entry.kind == "file" else 0)
                    files.append(path)
                case kind:
                    os.mkdir(path, 0o755)
                    directories.append(path)
                    if kind == "locked":
                        locked.append(path)
                    elif kind != "directory":
                        os.chmod(path, 0o2755 if kind == "setgid" else 0o1777)
    for path in reversed(locked):  # the inner ones first
        os.chmod(path, 0)
