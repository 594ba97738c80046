"""Ways out by racing: another thread changes what a call is about while the call is judged.

Each lasts a part of a second; the marker `slow` has them again for longer.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.escapes.arena import REPEATED, SECRET, Arena

pytestmark = pytest.mark.race


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.slow)], autouse=True)
def length(request: pytest.FixtureRequest, arena: Arena) -> None:
    """How long each race takes."""
    if request.param == "long":
        arena.seconds = 4
    elif "repetition" in request.fixturenames:
        arena.seconds = REPEATED


def race(arena: Arena, *words: str) -> list[str]:
    """The command of a race."""
    return arena.program("race", *words)


def string(arena: Arena, call: str, good: str, bad: str, other: str = "") -> list[str]:
    """A path that another thread writes anew."""
    return race(arena, "string", call, good, bad, *([other] if other else []))


def test_open_for_writing(arena: Arena) -> None:
    """openat(2) of a file of one's own becomes one of the victim."""
    argv = string(arena, "open", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_open_creating(arena: Arena) -> None:
    """O_CREAT of a name of one's own becomes one outside."""
    arena.attempt(string(arena, "creat", "mine", f"{arena.outside}/planted"), arena.touched)


def test_open_for_reading(arena: Arena) -> None:
    """A file that may be read becomes the secret."""
    arena.attempt(
        string(arena, "read", "mine", arena.secret), arena.told, prepare=lambda: arena.plant("mine", "x")
    )


def page(arena: Arena, call: str, bad: str, other: str = "") -> list[str]:
    """A path on a page that comes and goes: where the worker cannot read it, the call goes on."""
    return race(arena, "page", call, "", bad, *([other] if other else []))


def test_page_under_what_is_read(arena: Arena) -> None:
    """The path of the secret, there for the kernel and not for the worker."""
    arena.attempt(page(arena, "read", arena.secret), arena.told)


def test_page_under_what_is_created(arena: Arena) -> None:
    """The same with O_CREAT."""
    arena.attempt(page(arena, "creat", f"{arena.outside}/planted"), arena.touched)


def test_page_under_what_is_written(arena: Arena) -> None:
    """The same with a file that is there."""
    arena.attempt(page(arena, "open", arena.victim), arena.touched)


def test_page_under_what_is_removed(arena: Arena) -> None:
    """The same for unlink(2)."""
    arena.attempt(page(arena, "unlink", arena.victim), arena.touched)


def test_page_under_what_is_changed(arena: Arena) -> None:
    """The same for chmod(2), of which Landlock knows nothing."""
    arena.attempt(page(arena, "chmod", arena.victim), arena.touched)


def test_openat2_path(arena: Arena) -> None:
    """The path of openat2(2)."""
    arena.attempt(string(arena, "openat2", "mine", f"{arena.outside}/planted"), arena.touched)


def test_openat2_flags(arena: Arena) -> None:
    """Not the path but the flags in `struct open_how`: judged for reading, done for writing."""
    arena.attempt(race(arena, "how", "how", "mine", arena.victim), arena.touched)


def test_truncate(arena: Arena) -> None:
    """truncate(2) of another file."""
    argv = string(arena, "truncate", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "xxx"))


def test_unlink(arena: Arena) -> None:
    """unlink(2) of another file."""
    arena.attempt(string(arena, "unlink", "mine", arena.victim), arena.touched)


def test_mkdir(arena: Arena) -> None:
    """mkdir(2) elsewhere."""
    arena.attempt(string(arena, "mkdir", "mine", f"{arena.outside}/planted"), arena.touched)


def test_mknod(arena: Arena) -> None:
    """mknod(2) elsewhere."""
    arena.attempt(string(arena, "mknod", "mine", f"{arena.outside}/planted"), arena.touched)


def test_symlink(arena: Arena) -> None:
    """symlink(2) elsewhere."""
    arena.attempt(string(arena, "symlink", "mine", f"{arena.outside}/planted"), arena.touched)


def test_chmod(arena: Arena) -> None:
    """chmod(2), which Landlock does not know."""
    argv = string(arena, "chmod", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_utimes(arena: Arena) -> None:
    """utimes(2), which Landlock does not know."""
    argv = string(arena, "utimes", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_setxattr(arena: Arena) -> None:
    """setxattr(2), which Landlock does not know."""
    argv = string(arena, "setxattr", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_rename_from(arena: Arena) -> None:
    """The old name of a rename."""
    argv = string(arena, "rename", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_rename_to(arena: Arena) -> None:
    """The new name of a rename."""
    arena.attempt(string(arena, "renameto", "mine", arena.victim), arena.touched)


def test_link_from(arena: Arena) -> None:
    """The old name of a hard link."""
    argv = string(arena, "link", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_link_swapped_on_write(arena: Arena) -> None:
    """The path stays, the symbolic link that it names does not."""
    argv = race(arena, "link", "open", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_link_swapped_on_chmod(arena: Arena) -> None:
    """The same for chmod(2)."""
    argv = race(arena, "link", "chmod", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_link_swapped_on_read(arena: Arena) -> None:
    """The same for reading a secret."""
    argv = race(arena, "link", "read", "mine", arena.secret)
    arena.attempt(argv, arena.told, prepare=lambda: arena.plant("mine", "x"))


def test_link_swapped_on_create(arena: Arena) -> None:
    """The same for creating through dangling links."""
    argv = race(arena, "link", "creat", "mine", f"{arena.outside}/planted")
    arena.attempt(argv, arena.touched)


def test_directory_swapped_for_a_link(arena: Arena) -> None:
    """RENAME_EXCHANGE of a directory and a link that leads out, under a path through it."""

    def prepare() -> None:
        arena.plant("d/victim", "x")
        os.symlink(arena.outside, f"{arena.work}/l")

    argv = race(arena, "dir", "open", "d", "l", arena.victim, "d/victim")
    arena.attempt(argv, arena.touched, prepare=prepare)


def test_directory_swapped_under_unlink(arena: Arena) -> None:
    """The same for unlink(2)."""

    def prepare() -> None:
        arena.plant("d/victim", "x")
        os.symlink(arena.outside, f"{arena.work}/l")

    argv = race(arena, "dir", "unlink", "d", "l", arena.victim, "d/victim")
    arena.attempt(argv, arena.touched, prepare=prepare)


def test_directory_swapped_under_chmod(arena: Arena) -> None:
    """The same for chmod(2)."""

    def prepare() -> None:
        arena.plant("d/victim", "x")
        os.symlink(arena.outside, f"{arena.work}/l")

    argv = race(arena, "dir", "chmod", "d", "l", arena.victim, "d/victim")
    arena.attempt(argv, arena.touched, prepare=prepare)


def test_descriptor_swapped_under_fchmod(arena: Arena) -> None:
    """dup2(2) onto the descriptor whose mode is changed."""
    argv = race(arena, "fd", "fchmod", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_descriptor_swapped_under_futimens(arena: Arena) -> None:
    """The same for times."""
    argv = race(arena, "fd", "futimens", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_descriptor_swapped_under_fsetxattr(arena: Arena) -> None:
    """The same for extended attributes."""
    argv = race(arena, "fd", "fsetxattr", "mine", arena.victim)
    arena.attempt(argv, arena.touched, prepare=lambda: arena.plant("mine", "x"))


def test_directory_descriptor_swapped_on_read(arena: Arena) -> None:
    """dup2(2) onto the directory that openat(2) starts from."""
    argv = race(arena, "fd", "dirfd", ".", os.path.dirname(arena.secret))
    arena.attempt(argv, arena.told, prepare=lambda: arena.plant("id", "x"))


def test_directory_descriptor_swapped_on_unlink(arena: Arena) -> None:
    """The same for unlinkat(2)."""
    arena.attempt(race(arena, "fd", "dirunlink", ".", arena.outside), arena.touched)


def test_directory_descriptor_swapped_on_create(arena: Arena) -> None:
    """The same for O_CREAT."""
    arena.attempt(race(arena, "fd", "dircreate", ".", arena.outside), arena.touched)


def test_descriptor_swapped_under_getdents(arena: Arena) -> None:
    """The names in a directory that must not be listed, opened without O_DIRECTORY."""
    argv = race(arena, "fd", "list", ".", "hole")
    arena.attempt(
        argv,
        arena.told,
        rules=["deny list ${cwd}/hole/**", "allow read /**"],
        prepare=lambda: arena.plant("hole/the-private-key", "x"),
    )


def test_rename_gains_attributes(arena: Arena) -> None:
    """Landlock lets a file be moved between directories of equal rights; of attributes it knows nothing."""

    def prepare() -> None:
        arena.plant("hole/f", "longer than five")
        arena.plant("free/x", "x")
        os.makedirs(f"{arena.work}/free/d", exist_ok=True)

    code = "import subprocess; os.chdir('free'); subprocess.run(sys.argv[1:], check=False)"
    argv = arena.python(code, *string(arena, "rename", "x", "../hole/f"))
    arena.attempt(
        argv,
        lambda: not os.path.exists(f"{arena.work}/hole/f"),
        rules=["deny attributes ${cwd}/hole/**"],
        prepare=prepare,
    )


def test_rename_of_a_directory_gains_mknod(arena: Arena) -> None:
    """A directory takes its entries along: what may be made or removed in it goes by its new name."""

    def prepare() -> None:
        arena.plant("hole/dd/mark", "x")
        os.mkdir(f"{arena.work}/free")

    code = "import subprocess; os.chdir('free'); subprocess.run(sys.argv[1:], check=False)"
    argv = arena.python(code, *string(arena, "renamedir", "x", "../hole/dd"))
    arena.attempt(
        argv,
        lambda: not os.path.exists(f"{arena.work}/hole/dd"),
        rules=["deny mknod,chdir ${cwd}/hole/**"],
        prepare=prepare,
    )


def test_file_that_becomes_a_directory_under_rename(arena: Arena) -> None:
    """What is moved is judged as a file, and is a directory by then: its new name opens what is in it."""

    def prepare() -> None:
        arena.plant("u/d/kept")
        arena.plant("u/b", "x")

    argv = race(arena, "dir", "take", "u/b", "u/d", "", "u/b")
    rules = ["deny read,list ${cwd}/u/**", "deny read,list ${cwd}/n"]
    arena.attempt(argv, arena.told, rules=rules, prepare=prepare)


def test_granted_directory_moved_twice(arena: Arena) -> None:
    """Rules of Landlock follow their directory also from the second name, of which the plan knows nothing."""

    def prepare() -> None:
        arena.plant("mine", "x")
        arena.plant("free/id", "x")
        os.mkdir(f"{arena.work}/hole")

    code = """
for old, new in (('free', 'again'), ('again', 'hole/free')):
    try: os.rename(old, new)
    except OSError as failure: print(failure)
os.execv(sys.argv[1], sys.argv[1:])
"""
    argv = arena.python(code, *string(arena, "open", "mine", "hole/free/id"))

    def changed() -> bool:
        with contextlib.suppress(OSError), open(f"{arena.work}/hole/free/id", encoding="ascii") as file:
            return file.read() != "x"
        return False

    arena.attempt(argv, changed, rules=["deny modify ${cwd}/hole/**"], prepare=prepare)


HIDDEN = ["hide stat ${cwd}/hole/**"]
"""What the races below are about: by reading the file anybody could tell the same."""


def prepare_looks(arena: Arena) -> None:
    """Something that may be looked up, beside what may not."""
    arena.plant("mine", "x")
    os.chmod(f"{arena.work}/mine", 0o600)
    os.symlink("nowhere", f"{arena.work}/mine-link")
    arena.plant("hole/kept", "more than five bytes")
    os.chmod(f"{arena.work}/hole/kept", 0o700)
    os.symlink(SECRET, f"{arena.work}/hole/link")
    os.setxattr(f"{arena.work}/hole/kept", "user.kept", SECRET.encode())


@pytest.mark.parametrize(
    ("call", "good", "bad"),
    [
        ("stat", "mine", "hole/kept"),
        ("lstat", "mine", "hole/kept"),
        ("statx", "mine", "hole/kept"),
        ("access", "mine", "hole/kept"),
        ("faccessat2", "mine", "hole/kept"),
        ("exists", "nothing", "hole/kept"),
        ("readlink", "mine-link", "hole/link"),
        ("getxattr", "mine", "hole/kept"),
        ("listxattr", "mine", "hole/kept"),
        ("handle", "nothing", "hole/kept"),
        ("held", "mine", "hole/kept"),
    ],
    ids=lambda word: word,
)
def test_look_up(call: str, good: str, bad: str, arena: Arena) -> None:
    """A look-up of what may be seen, or of nothing, becomes one of what is hidden."""
    argv = string(arena, call, good, bad)
    arena.attempt(argv, arena.told, rules=HIDDEN, prepare=lambda: prepare_looks(arena))


@pytest.mark.parametrize("call", ["stat", "access", "getxattr", "held"])
def test_link_swapped_on_look_up(call: str, arena: Arena) -> None:
    """The path stays, the symbolic link that it names does not."""
    argv = race(arena, "link", call, "mine", "hole/kept")
    arena.attempt(argv, arena.told, rules=HIDDEN, prepare=lambda: prepare_looks(arena))
