"""Ways out that need no path, or by calls that the table does not know: what the filter answers alone."""

from __future__ import annotations

import os

import pytest

from tests.escapes.arena import Arena


@pytest.mark.parametrize("number", [387, 423, 500, 1023, 4095])
def test_unknown_numbers(arena: Arena, number: int) -> None:
    """A number that no table knows is ENOSYS, now and with a newer kernel."""
    arena.confined(
        arena.python(f"print(call({number}, -1, 0, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])")
    )
    assert arena.output.strip() == "-1 ENOSYS"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("io_uring_setup", "425, 8, ctypes.byref((ctypes.c_uint64 * 15)())"),
        ("unshare user", "272, 0x10000000"),
        ("unshare mount", "272, 0x10000000 | 0x20000"),
        ("clone user", "56, 0x10000000 | 17, 0, 0, 0, 0"),
        ("clone3", "435, ctypes.byref((ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)), 88"),
        ("userfaultfd", "323, 1"),
        ("keyctl", "250, 0, -3, 1"),
        ("add_key", "248, b'user', b'sydd-test', b'x', 1, -1"),
        ("bpf", "321, 0, ctypes.byref((ctypes.c_uint32 * 12)(2, 4, 4, 1)), 48"),
        ("process_mrelease", "448, os.pidfd_open(os.getpid()), 0"),
        ("memfd personality", "135, 0x0400000"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and "," not in value else "",
)
def test_refused_call(arena: Arena, name: str, words: str) -> None:
    """Calls that make other ways: refused in every session; without sydd most succeed for somebody."""
    code = f"""
pid = os.getpid()
result = call({words})
if os.getpid() != pid: os._exit(0)
print('failed' if result < 0 else 'done')
"""
    arena.native(arena.python(code))
    possible = arena.output.strip() == "done"
    arena.confined(arena.python(code))
    assert arena.output.strip() == "failed", (name, possible)


def test_clone_parent(arena: Arena) -> None:
    """A child that is its parent's sibling: who descends from whom would not show any more."""
    code = """
child = os.fork()
if not child:
    pid = os.getpid()
    result = call(56, 0x8000 | 17, 0, 0, 0, 0)
    os._exit(0 if os.getpid() != pid or result > 0 else 1)
statuses = []
try:
    while True: statuses.append(os.waitstatus_to_exitcode(os.wait()[1]))
except ChildProcessError:
    print(statuses)
"""
    arena.native(arena.python(code))
    assert arena.output == "[0, 0]\n"
    arena.confined(arena.python(code))
    assert arena.output == "[1]\n"


def test_handle(arena: Arena) -> None:
    """open_by_handle_at(2) opens a file by its number: root's way around every path."""
    code = """
handle = (ctypes.c_uint8 * 136)(128)
mount = ctypes.c_int()
call(303, -100, os.fsencode(sys.argv[1]), ctypes.byref(handle), ctypes.byref(mount), 0)
fd = call(304, os.open('/', os.O_RDONLY), ctypes.byref(handle), os.O_WRONLY)
print('open' if fd >= 0 else 'no')
fd >= 0 and os.write(fd, b'x')
"""
    if os.geteuid() == 0:
        arena.attempt(arena.python(code, arena.victim), arena.touched)
    else:
        arena.confined(arena.python(code, arena.victim))
        assert arena.output.strip() == "no"


@pytest.mark.root
def test_bind_mount(arena: Arena) -> None:
    """mount(2) would give the outside a name inside."""
    arena.confined(
        arena.python(
            "os.mkdir('m'); print(call(165, os.fsencode(sys.argv[1]), b'm', 0, 4096, 0))", arena.outside
        )
    )
    assert arena.output.strip() == "-1"


@pytest.mark.root
def test_open_tree(arena: Arena) -> None:
    """open_tree(2) gives a descriptor of a tree that nobody judged."""
    code = (
        "fd = call(428, -100, os.fsencode(sys.argv[1]), 1); print(open(f'/proc/self/fd/{fd}/.ssh/id').read())"
    )
    arena.attempt(arena.python(code, arena.home), arena.told)


@pytest.mark.root
def test_chroot(arena: Arena) -> None:
    """chroot(2) makes the outside look like the work directory."""
    code = "os.chroot(sys.argv[1]); open('/outside/victim', 'w').write('x')"
    arena.attempt(arena.python(code, arena.root), arena.touched)


@pytest.mark.root
def test_block_device(arena: Arena) -> None:
    """A node for the disk, in a directory where everything is allowed."""
    code = "os.mknod('disk', 0o60600, os.stat('/').st_dev)"
    arena.attempt(arena.python(code), lambda: os.path.exists(f"{arena.work}/disk"))


@pytest.mark.root
def test_character_device(arena: Arena) -> None:
    """A node for the memory, with garbage above the mode's 16 bits."""
    code = "call(133, b'memory', 0o20600 | 0x7fff0000 | 1 << 40, 0x101)"
    arena.attempt(arena.python(code), lambda: os.path.lexists(f"{arena.work}/memory"))


def test_typing_into_the_terminal(arena: Arena) -> None:
    """TIOCSTI, also with garbage in the upper half of the request."""
    code = """
import errno
for request in (0x5412, 0x5412 | 1 << 40, 0x541c):
    call(16, 0, request, b'x')
    print(errno.errorcode[ctypes.get_errno()])
"""
    arena.native(arena.python(code))
    assert "EPERM" not in arena.output
    arena.confined(arena.python(code))
    assert arena.output.split() == ["EPERM"] * 3


@pytest.mark.parametrize("bits", [0x80000000, 0x7FFFFFFF00000000], ids=["sign", "upper"])
def test_rubbish_in_flags(arena: Arena, bits: int) -> None:
    """Bits that the kernel passes over must neither hide a write nor end the worker."""
    code = f"""
call(2, os.fsencode(sys.argv[1]), {bits} - (1 << 64 if {bits} >> 63 else 0) | os.O_WRONLY | os.O_TRUNC, 0)
call(133, b'm', {bits & 0xFFFF0000} | 0o100600, 0)
call(188, b'.', b'user.x', b'y', 1, 0xffffffff)
open('alive', 'w')
"""
    arena.attempt(arena.python(code, arena.victim), arena.touched)
    assert os.path.exists(f"{arena.work}/alive")


def test_core_dump(arena: Arena) -> None:
    """The kernel writes the memory image of a program that dies: no call, and a file wherever it was."""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        if file.read().startswith(("|", "/")):
            pytest.skip("needs a core_pattern that is a plain name")
    code = """
os.chdir(sys.argv[1])
unlimited = ctypes.byref((ctypes.c_uint64 * 2)(2**64 - 1, 2**64 - 1))
call(302, 0, 4, unlimited, 0)
call(160, 4, unlimited)
if not os.fork():
    call(62, os.getpid(), 11)
os.wait()
"""
    command = arena.python(code, arena.outside)
    arena.native(command)
    if not arena.touched():
        pytest.skip("needs a limit that lets memory images be written")
    arena.reset()
    arena.confined(command)
    assert not arena.touched()
