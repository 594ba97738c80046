"""The forms in which a call can be given a path, good ones and bad ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.rows.script import AT_FDCWD, BAD, NULL, PREPARED, chdir, do, number, opened, string
from tests.rows.tree import LEVELS, LONG

HERE = number(AT_FDCWD)
PATH_MAX = 4096


MAIN = frozenset(
    {
        "relative",
        "absolute",
        "dirfd",
        "dirfd renamed away",
        "symlinked directory",
        ".. after a symlink",
        "final symlink",
        "final symlink to elsewhere",
        "dangling symlink",
        "trailing slash",
        "trailing dot",
        "below a file",
        "as long as can be",
        "over-long",
        "deep cwd",
        "deleted cwd",
        "deleted cwd and ..",
        "empty",
        "bad pointer",
        "/proc/self/fd/N/",
        "/proc/self/fd/N",
    }
)
"""Labels of the forms that every act which is about a path is made with."""


class Form(NamedTuple):
    """One way to name an object.

    Attributes:
        label: for people.
        path: the argument.
        dirfd: the argument, for calls that have one.
        prepare: lines of script that come before.
        given: the path as the caller writes it; None where there is none to be read.
        canonical: what the object is, below the top of the tree, without following a last link and with; None
            where it is something else, or nothing.
        needs_dirfd: whether it is of use only to a call with a directory descriptor.
        magic: whether the last component is a link of procfs.
        deep: whether the tree has to have a deep directory.
    """

    label: str
    path: str
    dirfd: str = HERE
    prepare: tuple[str, ...] = ()
    given: bytes | None = None
    canonical: tuple[bytes, bytes] | None = None
    needs_dirfd: bool = False
    deep: bool = False
    magic: bool = False


def forms(top: str, name: bytes, *, every: bool) -> Iterator[Form]:
    """The forms of a path to *name*.

    Args:
        top: of the tree, which is the working directory.
        name: an object in d/, other/ and movable/.
        every: all of them, else only the relative one.
    """
    yield _good("relative", b"d/" + name, (b"d/" + name,) * 2)
    if not every:
        return
    root = os.fsencode(top)
    yield from _from_places(root, name)
    yield from _through_links(root, name)
    yield from _odd_words(name)
    yield from _lengths(root, name)
    yield from _gone(root, name)
    yield from _no_strings(name)
    yield from _by_proc(root, name)


def _good(label: str, given: bytes, canonical: tuple[bytes, bytes], **more: Any) -> Form:
    return Form(label, string(given), given=given, canonical=canonical)._replace(**more)


def _bad(label: str, given: bytes, **more: Any) -> Form:
    return Form(label, string(given), given=given)._replace(**more)


def _from_places(root: bytes, name: bytes) -> Iterator[Form]:
    directory, found = root + b"/d", (b"d/" + name,) * 2
    held = (opened(directory, os.O_RDONLY | os.O_DIRECTORY),)
    yield _good("absolute", directory + b"/" + name, found)
    yield _good("in the directory", name, found, prepare=(chdir(directory),))
    yield _good("dirfd", name, found, dirfd=PREPARED, needs_dirfd=True, prepare=held)
    yield _good(
        "dirfd by O_PATH",
        name,
        found,
        dirfd=PREPARED,
        needs_dirfd=True,
        prepare=(opened(directory, os.O_PATH),),
    )
    yield _good("dirfd and ..", b"../d/" + name, found, dirfd=PREPARED, needs_dirfd=True, prepare=held)
    yield _good("dirfd ignored", directory + b"/" + name, found, dirfd=number(99), needs_dirfd=True)
    yield _good(
        "garbage above the dirfd",
        b"d/" + name,
        found,
        dirfd=number(0x1234_0000_0000 | AT_FDCWD & 0xFFFF_FFFF),
        needs_dirfd=True,
    )
    rename = do("renameat2", HERE, string(root + b"/movable"), HERE, string(root + b"/moved"), number(0))
    moved = (b"moved/" + name,) * 2
    yield _good("cwd renamed away", name, moved, prepare=(chdir(root + b"/movable"), rename))
    yield _good(
        "dirfd renamed away",
        name,
        moved,
        dirfd=number(3),  # the lowest free one
        needs_dirfd=True,
        prepare=(opened(root + b"/movable", os.O_PATH), rename),
    )
    yield _bad("dirfd not open", name, dirfd=number(99), needs_dirfd=True)
    yield _bad("dirfd negative", name, dirfd=number(-5), needs_dirfd=True)
    yield _bad(
        "dirfd of a file",
        name,
        dirfd=PREPARED,
        needs_dirfd=True,
        prepare=(opened(directory + b"/file", os.O_RDONLY),),
    )


def _through_links(root: bytes, name: bytes) -> Iterator[Form]:
    here = b"d/" + name
    yield _good("symlinked directory", b"sd/" + name, (here, here))
    yield _good(".. after a symlink", b"d/up/../" + name, (b"other/" + name,) * 2)
    yield _good("final symlink", b"d/to-" + name, (b"d/to-" + name, here))
    yield _good("chain of symlinks", b"d/chain-" + name, (b"d/chain-" + name, here))
    yield _good("final symlink to elsewhere", b"d/far-" + name, (b"d/far-" + name, b"other/" + name))
    yield _bad("final symlink and slash", b"d/to-" + name + b"/")
    yield _bad("dangling symlink", b"d/dangling")
    yield _bad("loop", b"d/loop")
    yield _bad("below a loop", b"d/loop/" + name)
    yield _bad("the directory through a link", b"sd")


def _odd_words(name: bytes) -> Iterator[Form]:
    here = b"d/" + name
    yield _good("double slash", b"d//" + name, (here, here))
    yield _good("dot", b"./d/./" + name, (here, here))
    yield _bad("trailing slash", here + b"/")
    yield _bad("trailing slashes", here + b"//")
    yield _bad("trailing dot", here + b"/.")
    yield _bad("trailing ..", here + b"/..")
    yield _bad("below a missing directory", b"d/missing/" + name)
    yield _bad("below a file", b"d/file/" + name)
    yield _bad("below a locked directory", b"locked/" + name)
    yield _bad("a missing name", b"d/nothing-here")


def _lengths(root: bytes, name: bytes) -> Iterator[Form]:
    here = b"d/" + name
    padded = b"d" + b"/" * (PATH_MAX - 2 - len(name)) + name
    yield _good("as long as can be", padded, (here, here))
    yield _bad("one byte too long", b"d/" + padded[1:])
    yield _bad("over-long", b"./" * 3000 + here)
    yield _bad("name too long", b"d/" + b"n" * 256)
    yield _bad("name too long on the way", b"d/" + b"n" * 256 + b"/" + name)
    deep = (chdir(root), *((chdir(LONG),) * LEVELS))
    found = (LONG + b"/") * LEVELS + name
    yield _good("deep cwd", name, (found, found), prepare=deep, deep=True)
    yield _good("deep cwd and ..", b"../" + LONG + b"/" + name, (found, found), prepare=deep, deep=True)


def _gone(root: bytes, name: bytes) -> Iterator[Form]:
    gone = root + b"/gone"
    lost = (
        do("mkdirat", HERE, string(gone), number(0o755)),
        chdir(gone),
        do("unlinkat", HERE, string(gone), number(0x200)),
    )
    yield _bad("deleted cwd", name, prepare=lost)
    yield _bad("deleted cwd and ..", b"../d/" + name, prepare=lost)
    yield _bad("the deleted cwd", b".", prepare=lost)
    yield _good("deleted cwd and an absolute path", root + b"/d/" + name, (b"d/" + name,) * 2, prepare=lost)


def _no_strings(name: bytes) -> Iterator[Form]:
    here = b"d/" + name
    yield _bad("empty", b"")
    yield Form("NULL", NULL)
    yield Form("bad pointer", BAD)
    yield Form("into an unmapped page", "!" + here.hex())
    yield _good("up to an unmapped page", here, (here, here), path=">" + here.hex())


def _by_proc(root: bytes, name: bytes) -> Iterator[Form]:
    here = (b"d/" + name,) * 2
    held = (opened(root + b"/d", os.O_PATH),)
    yield _good("/proc/self/fd/N/", b"/proc/self/fd/3/" + name, here, prepare=held)
    yield _good("/dev/fd/N/", b"/dev/fd/3/" + name, here, prepare=held)
    yield _good("/proc/thread-self/fd/N/", b"/proc/thread-self/fd/3/" + name, here, prepare=held)
    yield _good("/proc/self/cwd", b"/proc/self/cwd/d/" + name, here)
    yield _good("/proc/self/root", b"/proc/self/root" + root + b"/d/" + name, here)
    if name != b"new":
        object_held = (opened(root + b"/d/" + name, os.O_PATH),)
        yield _bad("/proc/self/fd/N", b"/proc/self/fd/3", prepare=object_held, magic=True)
        yield _bad("/dev/fd/N", b"/dev/fd/3", prepare=object_held, magic=True)
    yield _bad("/proc/self/fd/N not open", b"/proc/self/fd/99", magic=True)
