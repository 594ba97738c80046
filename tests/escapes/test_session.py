"""Ways out around the session: environment, events, rules that a hostile tree turns, what is left."""

from __future__ import annotations

import json
import os

import pytest

from sydd.session.temporary import remove_tree
from tests.escapes.arena import ORIGINAL, SECRET, Arena


def test_token_in_the_environment(arena: Arena) -> None:
    """What looks like a secret by its name does not reach the command."""
    arena.attempt(arena.python("print(os.environ.get('AWS_SECRET_ACCESS_KEY'))"), arena.told)


def test_inherited_descriptor(arena: Arena) -> None:
    """A descriptor that was left open over 2 is not the command's."""
    code = """
import errno
for fd in range(3, 100):
    try: os.write(fd, b'x')
    except OSError as error: assert error.errno == errno.EBADF, fd
print('closed')
"""
    fd = os.open(arena.victim, os.O_WRONLY | os.O_APPEND)
    try:
        os.set_inheritable(fd, True)
        arena.confined(["sh", "-c", 'exec "$@"', "sh", *arena.python(code)])
        assert arena.output.strip() == "closed"
    finally:
        os.close(fd)
    assert not arena.touched()


def test_reopening_stdin_for_writing(arena: Arena) -> None:
    """A file given for reading is opened anew for writing, by /dev/stdin."""
    code = "os.open('/dev/stdin', os.O_WRONLY | os.O_TRUNC)"
    command = ["sh", "-c", 'exec "$@" < "$0"', arena.victim, *arena.python(code)]
    arena.native(command)
    assert arena.touched()
    arena.reset()
    fd = os.open(arena.victim, os.O_RDONLY)
    os.close(fd)
    arena.confined(command)
    assert not arena.touched()


def test_mode_of_a_file_open_for_reading(arena: Arena) -> None:
    """fchmod(2) needs no descriptor for writing."""
    arena.attempt(
        arena.python("os.fchmod(os.open(sys.argv[1], os.O_RDONLY), 0o4755)", arena.victim), arena.touched
    )


def test_times_of_a_file_open_for_reading(arena: Arena) -> None:
    """Nor does futimens(3)."""
    arena.attempt(
        arena.python("os.utime(os.open(sys.argv[1], os.O_RDONLY), (1, 1))", arena.victim), arena.touched
    )


def test_mode_by_unnamed_path(arena: Arena) -> None:
    """fchmodat2(2) with AT_EMPTY_PATH takes a descriptor of O_PATH."""
    code = "call(452, os.open(sys.argv[1], os.O_PATH), b'', 0o777, 0x1000)"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_mode_by_process_descriptor(arena: Arena) -> None:
    """chmod(2) of /proc/self/fd/<n>."""
    code = "os.chmod('/proc/self/fd/%d' % os.open(sys.argv[1], os.O_PATH), 0o777)"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_writing_by_process_descriptor(arena: Arena) -> None:
    """A descriptor for reading opened anew for writing."""
    code = "open('/proc/self/fd/%d' % os.open(sys.argv[1], os.O_RDONLY), 'w').write('x')"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_reading_by_object_descriptor(arena: Arena) -> None:
    """O_PATH of a secret is free; opening it anew for reading is not."""
    code = "print(open('/dev/fd/%d' % os.open(sys.argv[1], os.O_PATH)).read())"
    arena.attempt(arena.python(code, arena.secret), arena.told)


def test_unlinking_from_an_object_descriptor(arena: Arena) -> None:
    """The directory outside is held by O_PATH, or is the working directory by fchdir(2)."""
    code = "os.fchdir(os.open(sys.argv[1], os.O_PATH)); os.unlink('victim')"
    arena.attempt(arena.python(code, arena.outside), arena.touched)


def test_descriptor_from_another_process(arena: Arena) -> None:
    """SCM_RIGHTS between two processes of the session gives neither more than it had."""
    code = """
pid = os.fork()
if not pid:
    d = os.open(sys.argv[1], os.O_PATH); os.dup2(d, 50)
    os.chdir('/')
    os.execv(sys.executable, [sys.executable, '-I', '-S', '-c',
        "import os; os.close(os.open('planted', os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=50))"])
os.wait()
"""
    code = code.replace("os.dup2(d, 50)", "os.dup2(d, 50, True)")
    arena.attempt(arena.python(code, arena.outside), arena.touched)


def test_terminal_escapes_in_events(arena: Arena) -> None:
    """What a program puts into names must not reach the terminal of who reads the events."""
    name = "\\x1b]0;owned\\x07\\x9b31m\\u202e"
    code = f"""
try: open('/nowhere-' + '{name}', 'w')
except OSError: pass
os.mkdir('{name}'); os.chdir('{name}')
open('/proc/self/comm', 'r')
try: open(sys.argv[1], 'w')
except OSError: pass
"""
    arena.confined(arena.python(code, arena.victim), options=["-v"])
    assert "victim" in arena.errors
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(arena.errors)


def test_noise_does_not_hide_a_denial(arena: Arena) -> None:
    """Thousands of denials before the one that matters: --strict still fails, and the count is told."""
    code = """
for n in range(1500):
    try: open(f'/nowhere-{n}', 'w')
    except OSError: pass
try: open(sys.argv[1], 'w')
except OSError: pass
"""
    arena.confined(arena.python(code, arena.victim), options=["--strict"])
    assert arena.status == 1
    assert "501 accesses of further kinds" in arena.errors
    assert not arena.touched()


def test_program_that_cannot_be_read(arena: Arena) -> None:
    """A process that is not dumpable hides its memory from the worker: what cannot be read is not allowed."""
    code = "call(157, 4, 0, 0, 0, 0); open(sys.argv[1], 'w').write('x')"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_mode_by_program_that_cannot_be_read(arena: Arena) -> None:
    """The same for what Landlock does not know."""
    code = "call(157, 4, 0, 0, 0, 0); os.chmod(sys.argv[1], 0o777)"
    arena.attempt(arena.python(code, arena.victim), arena.touched)


def test_nested_filter_that_traces(arena: Arena) -> None:
    """A filter of the program's own that says "allow" cannot take the sandbox's word back."""
    code = """
call(157, 38, 1, 0, 0, 0)
program = (ctypes.c_uint8 * 8)(0x06, 0, 0, 0, 0, 0, 0xff, 0x7f)
fprog = (ctypes.c_uint64 * 2)(1, ctypes.addressof(program))
call(317, 1, 0, ctypes.byref(fprog))
open(sys.argv[1], 'w').write('x')
"""
    arena.attempt(arena.python(code, arena.victim), arena.touched)


@pytest.mark.root
def test_other_user_in_one_thread(arena: Arena) -> None:
    """The worker of a session of root acts for a thread that is nobody by now: not with root's rights."""
    code = """
os.chmod('.', 0o777)
fd = os.open('kept', os.O_CREAT | os.O_WRONLY, 0o600)
call(122, 65534)
try: os.chmod('kept', 0o4777)
except OSError as error: print(error.errno)
"""
    arena.confined(arena.python(code))
    assert os.stat(f"{arena.work}/kept").st_mode == 0o100600


@pytest.mark.parametrize(
    ("rule", "link"),
    [
        ("allow write ${cwd}/out/**", "out"),
        ("allow write ${cwd}/out/below/*", "out"),
        ("warn write ${cwd}/a/b/out/**", "a/b/out"),
        ("allow write ${cwd}/out/{x,**}", "out"),
    ],
)
def test_rule_whose_path_is_a_link(arena: Arena, rule: str, link: str) -> None:
    """`allow write ${cwd}/out/**`, and the tree comes with out -> ${home}."""

    def prepare() -> None:
        os.mkdir(f"{arena.home}/below")
        os.makedirs(os.path.dirname(f"{arena.work}/{link}"), exist_ok=True)
        os.symlink(arena.home, f"{arena.work}/{link}")

    arena.attempt(
        arena.python(
            "for d in ('', '/below'):\n"
            "  try: open(sys.argv[1] + d + '/.profile', 'w').write('x')\n"
            "  except OSError: pass",
            arena.home,
        ),
        lambda: os.path.exists(f"{arena.home}/.profile") or os.path.exists(f"{arena.home}/below/.profile"),
        rules=[rule],
        prepare=prepare,
    )


def test_rule_whose_path_is_a_link_that_the_session_may_make(arena: Arena) -> None:
    """The same beside the work directory, where another rule lets the session create."""

    def prepare() -> None:
        os.symlink(arena.home, f"{arena.outside}/out")

    arena.attempt(
        arena.python("open(sys.argv[1] + '/.profile', 'w').write('x')", arena.home),
        lambda: os.path.exists(f"{arena.home}/.profile"),
        rules=[f"allow write {arena.outside}/**", f"allow write {arena.outside}/out/**"],
        prepare=prepare,
    )


def test_rule_that_permits_reading_through_a_link(arena: Arena) -> None:
    """`allow read ${cwd}/doc/**` opens no hole in what is secret."""

    def prepare() -> None:
        os.symlink(os.path.dirname(arena.secret), f"{arena.work}/doc")

    arena.attempt(
        arena.python("print(open('doc/id').read())"),
        arena.told,
        rules=["allow read ${cwd}/doc/**"],
        prepare=prepare,
    )


def test_rule_through_a_link_of_the_users(arena: Arena) -> None:
    """Where the session cannot have made the link, it is followed."""
    os.symlink(arena.outside, f"{arena.home}/shared")
    os.mkdir(f"{arena.outside}/mine")
    arena.confined(
        arena.python("open(sys.argv[1], 'w').write('x')", f"{arena.home}/shared/mine/new"),
        rules=["allow write ${home}/shared/mine/**"],
    )
    assert os.path.exists(f"{arena.outside}/mine/new"), arena.errors


def test_profile_in_the_tree(arena: Arena) -> None:
    """A file called build, or build.toml, in the work directory is not the profile."""
    for name in ("build", "build.toml", "credentials.toml"):
        arena.plant(name, 'name = "build"\nrules = ["allow write /**"]\n')
    arena.confined(arena.python("open(sys.argv[1], 'w').write('x')", arena.victim))
    assert not arena.touched()


def test_private_directory_with_links(arena: Arena) -> None:
    """What a build leaves in its temporary directory is removed; what links there lead to is not."""
    code = """
tmp = os.environ['TMPDIR']
os.makedirs(tmp + '/a/b')
os.symlink(sys.argv[1], tmp + '/a/b/l'); os.symlink(sys.argv[1] + '/victim', tmp + '/f')
os.chmod(tmp + '/a/b', 0); os.chmod(tmp + '/a', 0o111)
"""
    arena.confined(arena.python(code, arena.outside))
    assert arena.status == 0, arena.errors
    assert not arena.touched()
    assert not [name for name in os.listdir(arena.root) if name.startswith("sydd-")]


def test_private_directory_that_is_deep(arena: Arena) -> None:
    """Deeper than any path and than Python's stack: removed all the same."""
    top = f"{arena.root}/deep"
    os.mkdir(top)
    here = os.open(top, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("n", dir_fd=here)
        below = os.open("n", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(top)
    assert not os.path.exists(top)


def test_private_directory_replaced_by_a_link(arena: Arena) -> None:
    """Where the directory itself has become a link, nothing is removed."""
    link = f"{arena.root}/link"
    os.symlink(arena.outside, link)
    remove_tree(link)
    with open(arena.victim, encoding="ascii") as file:
        assert file.read() == ORIGINAL


def test_events_name_what_was_attempted(arena: Arena) -> None:
    """The report is there, and holds no secret."""
    arena.confined(
        arena.python("open(sys.argv[1]).read()", arena.secret), options=["--events", f"{arena.root}/events"]
    )
    with open(f"{arena.root}/events", encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    assert [event["path"] for event in events if event["type"] == "event"] == [arena.secret]
    assert SECRET not in json.dumps(events)
