"""Ways out where a profile allows more by `[restrict]`, or tracing is there by default."""

from __future__ import annotations

import os
import platform

import pytest

from sydd.kernel import credentials
from tests.escapes.arena import Arena

NAMESPACES = '[restrict]\nuser_namespaces = "allow"\n'

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs x86-64")


@X86
@pytest.mark.parametrize("way", ["number", "path", "seccomp"])
def test_tracer_that_rewrites(arena: Arena, way: str) -> None:
    """The filter, and what it notifies, come after the tracer's last word."""
    planted = f"{arena.outside}/planted"
    command = arena.program("rewrite", way, planted)
    arena.attempt(command, lambda: os.path.isdir(planted))
    assert ("traced" in arena.output) == (arena.engine == "hybrid")


def test_namespaces_without_landlock(arena: Arena) -> None:
    """Nothing would keep mounts from them; the session does not start. As root neither."""
    arena.confined(["true"], profile=arena.profile(NAMESPACES))
    if arena.engine == "supervisor":
        assert 'user_namespaces = "allow" needs Landlock' in arena.errors
        assert arena.status == 125
    elif credentials.current().cap_permitted:
        assert "is for sessions without privileges" in arena.errors
        assert arena.status == 125
    else:
        assert arena.status == 0, arena.errors


def test_tracing_without_landlock(arena: Arena) -> None:
    """A profile that insists on tracing is refused where it would not stay in the session."""
    arena.confined(["true"], profile=arena.profile('[restrict]\nptrace = "session"\n'))
    assert (arena.status == 125) == (arena.engine == "supervisor")
    assert ("needs Landlock" in arena.errors) == (arena.engine == "supervisor")


@pytest.mark.parametrize(
    "call",
    ["101, 0x4206, child, 0, 0", "310, child, 0, 0, 0, 0, 0", "312, pid, child, 0, 0, 0"],
    ids=["ptrace", "process_vm_readv", "kcmp"],
)
def test_tracing_denied(arena: Arena, call: str) -> None:
    """With ptrace = "deny", not even a child is traced."""
    code = f"""
pid = os.getpid()
r, w = os.pipe()
child = os.fork()
if not child: os.close(w); os.read(r, 1); os._exit(0)
print(call({call}) >= 0)
os.close(w)
os.kill(child, 9); os.wait()
"""
    arena.native(arena.python(code))
    assert arena.output.strip() == "True"
    arena.confined(arena.python(code), profile=arena.profile('[restrict]\nptrace = "deny"\n'))
    assert arena.output.strip() == "False"


SETUID = """
fd = os.open('kept', os.O_CREAT | os.O_WRONLY, 0o600)
os.mkdir('d')
{}
for name in ('kept', 'made'):
    if os.path.lexists(name) and os.lstat(name).st_mode & 0o6000: print('runs as ' + 'owner')
"""


@pytest.mark.parametrize(
    "attempt",
    [
        "os.chmod('kept', 0o4755)",
        "os.chmod('kept', 0o2755)",
        "os.fchmod(fd, 0o6755)",
        "call(452, -100, b'kept', 0o4755, 0)",
        "call(452, fd, b'', 0o4755, 0x1000)",
        "call(268, -100, b'kept', 0o4755 | 1 << 20)",
        "os.open('made', os.O_CREAT | os.O_WRONLY, 0o4755)",
        "os.umask(0); call(85, b'made', 0o6755)",
        "os.mknod('made', 0o104755)",
        "how = (ctypes.c_uint64 * 3)(0o101, 0o4755, 0); call(437, -100, b'made', ctypes.byref(how), 24)",
        (
            "t = os.open('.', os.O_TMPFILE | os.O_WRONLY, 0o4755); "
            "call(265, -100, b'/proc/self/fd/%d' % t, -100, b'made', 0x400)"
        ),
    ],
    ids=[
        *(
            "chmod",
            "setgid",
            "fchmod",
            "fchmodat2",
            "unnamed",
            "rubbish",
            "open",
            "creat",
            "mknod",
            "openat2",
        ),
        "tmpfile",
    ],
)
@pytest.mark.parametrize("free", [False, True], ids=["judged", "free"])
def test_setuid_bits(arena: Arena, attempt: str, free: bool) -> None:
    """A program left behind that another user of the machine runs as this one: with setuid_bits = "deny"."""
    rules = ["allow write /**"] if free else []
    arena.attempt(
        arena.python(SETUID.format(attempt)),
        lambda: "runs as owner" in arena.output,
        rules=rules,
        profile=arena.profile('[restrict]\nsetuid_bits = "deny"\n'),
    )


def test_setgid_directories(arena: Arena) -> None:
    """Of a directory the bit means who owns what is made in it: it stays possible."""
    code = "os.mkdir('d'); os.chmod('d', 0o2775); print(oct(os.stat('d').st_mode))"
    arena.confined(arena.python(code), profile=arena.profile('[restrict]\nsetuid_bits = "deny"\n'))
    assert arena.output.strip() == "0o42775"


@pytest.mark.parametrize(
    "words",
    [
        *("29, 0, 4096, 0o1600", "64, 0, 1, 0o1600", "68, 0, 0o1600", "70, 0, 0, 0, 0, 0"),
        "240, b'/sydd-test', 0o100, 0o600, 0",
    ],
    ids=["shmget", "semget", "msgget", "msgrcv", "mq_open"],
)
def test_ipc_denied(arena: Arena, words: str) -> None:
    """With ipc = "deny" the kernel has no System V IPC."""
    code = f"print(call({words}), errno.errorcode[ctypes.get_errno()])"
    arena.confined(arena.python(code), profile=arena.profile('[restrict]\nipc = "deny"\n'))
    assert arena.output.strip() == "-1 ENOSYS"


def test_no_listener_of_its_own(arena: Arena) -> None:
    """The kernel allows one supervisor: a program that wants to be one is told, and does not hang."""
    code = """
call(157, 38, 1, 0, 0, 0)
program = (ctypes.c_uint8 * 8)(0x06, 0, 0, 0, 0, 0, 0xff, 0x7f)
fprog = (ctypes.c_uint64 * 2)(1, ctypes.addressof(program))
fd = call(317, 1, 8, ctypes.byref(fprog))
print('listening' if fd >= 0 else errno.errorcode[ctypes.get_errno()])
"""
    arena.native(arena.python(code))
    assert arena.output.strip() == "listening"
    arena.confined(arena.python(code))
    assert arena.output.strip() == "EBUSY"
