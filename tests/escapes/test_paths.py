"""Ways out by names: one thread, every kind of path."""

from __future__ import annotations

import os

import pytest

from tests.escapes.arena import SECRET, Arena


def test_absolute_path(arena: Arena) -> None:
    """The plainest: write to a file outside by its name."""
    arena.attempt(arena.python("open(sys.argv[1], 'w').write('x')", arena.victim), arena.touched)


def test_parent_directories(arena: Arena) -> None:
    """By `..` from the work directory."""
    arena.attempt(arena.python("open('../outside/victim', 'a').write('x')"), arena.touched)


def test_symbolic_link(arena: Arena) -> None:
    """Through a link that the program makes itself."""
    code = "os.symlink(sys.argv[1], 'l'); open('l', 'r+').write('x')"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_dangling_link(arena: Arena) -> None:
    """Create through a link that leads to nothing yet."""
    code = "os.symlink(sys.argv[1], 'l'); os.open('l', os.O_CREAT | os.O_WRONLY, 0o600)"
    arena.attempt(arena.python(code, f"{arena.outside}/planted"), arena.touched)


def test_chain_of_dangling_links(arena: Arena) -> None:
    """Create through a link to a link, the second one relative to another directory."""
    code = (
        "os.mkdir('d'); os.symlink('../../outside/planted', 'd/b'); os.symlink('d/b', 'a');"
        "os.open('a', os.O_CREAT | os.O_WRONLY, 0o600)"
    )
    arena.attempt(arena.python(code), arena.touched)


def test_linked_directory(arena: Arena) -> None:
    """A link in the middle of the path, and `..` behind it."""
    code = "os.symlink(sys.argv[1], 'd'); open('d/../outside/victim', 'a').write('x')"
    arena.attempt(arena.python(code, arena.outside), arena.touched)


def test_truncating_read(arena: Arena) -> None:
    """O_RDONLY | O_TRUNC asks for reading and empties the file."""
    arena.attempt(arena.python("os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)", arena.victim), arena.touched)


def test_openat2_in_root(arena: Arena) -> None:
    """RESOLVE_IN_ROOT makes another directory the root: `/victim` is outside/victim then."""
    code = """
d = os.open(sys.argv[1], os.O_PATH)
how = (ctypes.c_uint64 * 3)(os.O_WRONLY | os.O_TRUNC, 0, 0x10)
call(437, d, ctypes.c_char_p(b'/../victim'), ctypes.byref(how), 24)
"""
    arena.attempt(arena.python(code, arena.outside), arena.touched)


def test_openat2_creates(arena: Arena) -> None:
    """The flags of openat2 lie in memory: no filter sees O_CREAT."""
    code = """
how = (ctypes.c_uint64 * 3)(os.O_WRONLY | os.O_CREAT, 0o600, 0)
call(437, -100, ctypes.c_char_p(os.fsencode(sys.argv[1])), ctypes.byref(how), 24)
"""
    arena.attempt(arena.python(code, f"{arena.outside}/planted"), arena.touched)


def test_hard_link_inside(arena: Arena) -> None:
    """Give the file a name in the work directory, write through that."""
    code = "os.link(sys.argv[1], 'inside'); open('inside', 'w').write('x')"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_hard_link_of_a_secret(arena: Arena) -> None:
    """A second name for a file that must not be read."""
    arena.attempt(
        arena.python("os.link(sys.argv[1], 'n'); print(open('n').read())", arena.secret), arena.told
    )


def test_rename_out(arena: Arena) -> None:
    """Move a file of one's own over one outside."""
    arena.attempt(
        arena.python("open('own', 'w'); os.rename('own', sys.argv[1])", arena.victim), arena.touched
    )


def test_rename_in(arena: Arena) -> None:
    """Move the file outside into the work directory."""
    arena.attempt(arena.python("os.rename(sys.argv[1], 'taken')", arena.victim), arena.touched)


def test_exchange(arena: Arena) -> None:
    """RENAME_EXCHANGE moves both ways at once."""
    code = "open('own', 'w'); call(316, -100, b'own', -100, os.fsencode(sys.argv[1]), 2)"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_exchange_takes_a_hole_away(arena: Arena) -> None:
    """Exchange a new directory for one that must not be read: only the way there seems to be asked about."""
    code = "os.mkdir('n'); call(316, -100, b'n', -100, b'hole', 2); print(open('n/id').read())"
    arena.attempt(
        arena.python(code),
        arena.told,
        rules=["deny read ${cwd}/hole/**"],
        prepare=lambda: arena.plant("hole/id"),
    )


def test_rename_of_a_hole(arena: Arena) -> None:
    """Rename a directory that must not be read, inside the work directory."""
    code = "os.rename('hole', 'n'); print(open('n/id').read())"
    arena.attempt(
        arena.python(code),
        arena.told,
        rules=["deny read ${cwd}/hole/**"],
        prepare=lambda: arena.plant("hole/id"),
    )


def test_rename_above_a_hole(arena: Arena) -> None:
    """Rename what is above a directory that must not be read."""
    code = "os.rename('a', 'n'); print(open('n/hole/id').read())"
    arena.attempt(
        arena.python(code),
        arena.told,
        rules=["deny read ${cwd}/a/hole/**"],
        prepare=lambda: arena.plant("a/hole/id"),
    )


def test_rename_from_hole_to_other_hole(arena: Arena) -> None:
    """Rename a directory with one hole to a name with another hole: both are mixed, neither is the other."""
    code = "os.rename('a', 'b'); print(open('b/hole/id').read())"
    arena.attempt(
        arena.python(code),
        arena.told,
        rules=["deny read ${cwd}/a/hole/**", "deny read ${cwd}/b/other/**"],
        prepare=lambda: arena.plant("a/hole/id"),
    )


def test_hard_link_out_of_a_hole(arena: Arena) -> None:
    """Link a file that must not be read to a name beside its directory."""
    arena.attempt(
        arena.python("os.link('hole/id', 'n'); print(open('n').read())"),
        arena.told,
        rules=["deny read ${cwd}/hole/**"],
        prepare=lambda: arena.plant("hole/id"),
    )


def test_rename_out_of_a_glob(arena: Arena) -> None:
    """Take the suffix by which a pattern knows a file away."""
    arena.attempt(
        arena.python("os.rename('a.key', 'a.txt'); print(open('a.txt').read())"),
        arena.told,
        rules=["deny read ${cwd}/**/*.key"],
        prepare=lambda: arena.plant("a.key"),
    )


def test_moving_a_directory_to_delete_in_it(arena: Arena) -> None:
    """`deny delete` on what is in a directory, whose parent may be renamed: the entries come along."""
    arena.attempt(
        arena.python("os.rename('a', 'n'); os.unlink('n/keep/id')"),
        lambda: not any("id" in files for _, _, files in os.walk(arena.work)),
        rules=["deny delete ${cwd}/a/keep/**"],
        prepare=lambda: arena.plant("a/keep/id"),
    )


def test_moving_a_directory_to_create_in_it(arena: Arena) -> None:
    """The same for `deny create`."""
    arena.attempt(
        arena.python("os.rename('a', 'n'); open('n/keep/new', 'x')"),
        lambda: any("new" in files for _, _, files in os.walk(arena.work)),
        rules=["deny create ${cwd}/a/keep/**"],
        prepare=lambda: arena.plant("a/keep/id"),
    )


def test_granted_directory_moved_into_a_hole(arena: Arena) -> None:
    """Rules of Landlock follow their directory: move one that may be written to where nothing may be."""
    code = """
os.rename('free', 'hole/free')
open('hole/free/f', 'w').write('x')
"""
    arena.attempt(
        arena.python(code),
        lambda: os.path.exists(f"{arena.work}/hole/free/f"),
        rules=["deny create,modify ${cwd}/hole/**"],
        prepare=lambda: (arena.plant("hole/id"), arena.plant("free/id")),
    )


def test_granted_directory_exchanged_into_a_hole(arena: Arena) -> None:
    """The same by RENAME_EXCHANGE, the granted directory named second."""

    def prepare() -> None:
        arena.plant("free/id")
        os.makedirs(f"{arena.work}/hole/empty")

    code = """
call(316, -100, b'hole/empty', -100, b'free', 2)
open('hole/empty/id', 'w').write('x')
"""
    arena.attempt(
        arena.python(code),
        lambda: os.path.exists(f"{arena.work}/hole/empty/id"),
        rules=["deny modify ${cwd}/hole/**"],
        prepare=prepare,
    )


def test_unnamed_file_linked_outside(arena: Arena) -> None:
    """O_TMPFILE in the work directory, linkat through /proc/self/fd to a name outside."""
    code = """
fd = os.open('.', os.O_TMPFILE | os.O_WRONLY, 0o600)
call(265, -100, b'/proc/self/fd/%d' % fd, -100, os.fsencode(sys.argv[1]), 0x400)
"""
    arena.attempt(arena.python(code, f"{arena.outside}/planted"), arena.touched)


def test_unnamed_file_outside(arena: Arena) -> None:
    """O_TMPFILE outside, linked there by AT_EMPTY_PATH."""
    code = """
fd = os.open(sys.argv[1], os.O_TMPFILE | os.O_WRONLY, 0o600)
call(265, fd, b'', -100, os.fsencode(sys.argv[1] + '/planted'), 0x1000)
call(265, -100, b'/proc/self/fd/%d' % fd, -100, os.fsencode(sys.argv[1] + '/planted'), 0x400)
"""
    arena.attempt(arena.python(code, arena.outside), arena.touched)


def test_deleted_working_directory(arena: Arena) -> None:
    """From a working directory that is gone, by `..`."""
    code = """
os.makedirs('a/b'); os.chdir('a/b'); os.rmdir('../b')
d = os.open(sys.argv[1], os.O_RDONLY); os.fchdir(d)
open('victim', 'w').write('x')
"""
    arena.attempt(arena.python(code, arena.outside), arena.touched)


def test_deep_path(arena: Arena) -> None:
    """A canonical name longer than the kernel tells, with the hole at its end."""
    code = """
for _ in range(30):
    os.mkdir('n' * 200); os.chdir('n' * 200)
os.symlink(sys.argv[1], 'l'); open('l', 'w').write('x')
"""
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_directory_named_like_a_pattern(arena: Arena) -> None:
    """A work directory whose name is a pattern, launched in: its siblings are not meant."""
    code = "open(sys.argv[1], 'w').write('x')"
    inner = f"{arena.work}/x*"
    other = f"{arena.work}/xy"
    for directory in (inner, other):
        os.mkdir(directory)
    arena.confined(["sh", "-c", 'exec "$@"', "sh", *arena.python(code, f"{other}/f")], options=["-C", inner])
    assert not os.path.exists(f"{other}/f")
    arena.native(arena.python(code, f"{other}/f"))
    assert os.path.exists(f"{other}/f")


@pytest.mark.parametrize("number", [82, 264, 316])
def test_every_rename(arena: Arena, number: int) -> None:
    """rename, renameat and renameat2 over a file outside."""
    words = "b'own', target" if number == 82 else "-100, b'own', -100, target, 0"
    code = f"open('own', 'w'); target = os.fsencode(sys.argv[1]); call({number}, {words})"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_socket_file(arena: Arena) -> None:
    """bind(2) makes a file; a socketpair has sockets to bind without socket(2)."""
    code = """
import socket
s, _ = socket.socketpair()
s.bind(sys.argv[1])
"""
    arena.attempt(arena.python(code, f"{arena.outside}/planted"), arena.touched)


def test_secret_by_process_root(arena: Arena) -> None:
    """/proc/self/root and /proc/self/cwd are other names for everything."""
    code = "print(open('/proc/self/root' + sys.argv[1]).read())"
    arena.attempt(arena.python(code, arena.secret), arena.told)


def test_victim_by_thread_root(arena: Arena) -> None:
    """/proc/thread-self/cwd/.. as well."""
    arena.attempt(
        arena.python("open('/proc/thread-self/cwd/../outside/victim', 'w').write('x')"), arena.touched
    )


def test_secret_is_what_is_read(arena: Arena) -> None:
    """The plain read of a credential, for the record."""
    arena.attempt(arena.python("print(open(sys.argv[1]).read())", arena.secret), arena.told)
    assert SECRET not in arena.errors
