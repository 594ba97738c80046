"""Ways out by signals: to a process of the same user outside the session, and to the worker.

Each way sends SIGSTOP, and SIGCONT takes it back: the process has to be there for the run without sydd, too.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.escapes.arena import Arena

STOP = int(signal.SIGSTOP)

INFO = f"""
info = (ctypes.c_int32 * 32)()
info[0], info[2] = {STOP}, -1
"""
OWNER = f"""
import _socket
a, b = _socket.socketpair()
fd = a.fileno()
call(72, fd, 10, {STOP})
%s
call(72, fd, 4, os.O_ASYNC | os.O_NONBLOCK)
b.send(b'x')
"""
WAYS = {
    "kill": f"call(62, pid, {STOP})",
    "kill of its group": f"call(62, -pid, {STOP})",
    "kill of everything": f"call(62, -1, {STOP})",
    "tkill": f"call(200, pid, {STOP})",
    "tgkill": f"call(234, pid, pid, {STOP})",
    "rt_sigqueueinfo": INFO + f"call(129, pid, {STOP}, info)",
    "rt_tgsigqueueinfo": INFO + f"call(297, pid, pid, {STOP}, info)",
    "pidfd": f"call(424, os.pidfd_open(pid), {STOP}, None, 0)",
    "pidfd with information": INFO + f"call(424, os.pidfd_open(pid), {STOP}, info, 0)",
    "pidfd of its thread": f"call(424, os.pidfd_open(pid, os.O_EXCL), {STOP}, None, 0)",
    "pidfd of its group": f"call(424, os.pidfd_open(pid), {STOP}, None, 4)",
    "directory of /proc": f"call(424, os.open(f'/proc/{{pid}}', os.O_RDONLY), {STOP}, None, 0)",
    "F_SETOWN": OWNER % "call(72, fd, 8, pid)",
    "F_SETOWN of its group": OWNER % "call(72, fd, 8, -pid)",
    "F_SETOWN_EX": OWNER % "call(72, fd, 15, (ctypes.c_int * 2)(1, pid))",
    "FIOSETOWN": OWNER % "call(16, fd, 0x8901, ctypes.byref(ctypes.c_int(pid)))",
    "SIOCSPGRP": OWNER % "call(16, fd, 0x8902, ctypes.byref(ctypes.c_int(pid)))",
}
"""How to send SIGSTOP to `pid`, which leads its process group."""


PATIENCE = 20
"""Seconds after which a process that should answer will not."""


@pytest.fixture
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user outside the session, in a group of its own, that echoes what it is told."""
    pipe = subprocess.PIPE
    with subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def runs(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process still answers: a signal that is on its way comes before that."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"x")
    return bool(select.select([process.stdout], [], [], PATIENCE)[0]) and process.stdout.read(1) == b"x"


@pytest.mark.parametrize("way", WAYS)
def test_signal(arena: Arena, neighbour: subprocess.Popen[bytes], way: str) -> None:
    """Stopped by a program of the session."""
    argv = arena.python("sys.path += sys.argv[2].split(':')\n" + "pid = int(sys.argv[1])\n" + WAYS[way])
    argv += [str(neighbour.pid), _modules()]
    if way != "kill of everything":  # that would stop whoever runs the tests, too
        arena.native(argv)
        os.waitid(os.P_PID, neighbour.pid, os.WSTOPPED)
        neighbour.send_signal(signal.SIGCONT)
    arena.confined(argv)
    assert runs(neighbour), arena.errors
    assert arena.status != 125


def _modules() -> str:
    """Where the _socket module is, for an interpreter without site."""
    import _socket

    return os.path.dirname(getattr(_socket, "__file__", "") or "")


def test_ones_own_group(arena: Arena) -> None:
    """The command is in the group of whoever launched it, and so is the worker: `kill 0` ends neither."""
    code = """
import _signal
_signal.signal(15, _signal.SIG_IGN)
reader, writer = os.pipe()
child = os.fork()
if not child:
    _signal.signal(15, _signal.SIG_DFL)
    os.write(writer, b'x')
    while True: call(34)
os.read(reader, 1)
call(62, 0, 15)
open('status', 'w').write(str(os.waitpid(child, 0)[1]))
"""
    launched = arena.python(code)
    arena.confined(launched)
    assert arena.status == 0, arena.errors
    with open(f"{arena.work}/status", encoding="ascii") as file:
        assert file.read() == "15"


def test_a_group_that_is_changed_meanwhile(arena: Arena) -> None:
    """`kill(0)` goes by the group that the caller has when the kernel looks: a thread changes that."""
    code = """
import _thread
outer = os.getpgid(os.getppid())
os.setpgid(0, 0)
def change():
    while True:
        os.setpgid(0, outer)
        os.setpgid(0, 0)
_thread.start_new_thread(change, ())
import _signal
_signal.signal(1, _signal.SIG_IGN)
for _ in range(300):
    call(62, 0, 1)
"""
    arena.confined(arena.python(code))
    # Whoever launched it would have been ended by the signal, or have passed it on.
    assert arena.status == 0, arena.errors


def test_the_helper_that_waits(arena: Arena) -> None:
    """An open that waits has a process of its own, a child of the worker that is not of the session."""
    code = """
os.mkfifo('f')
if not os.fork():
    os.open('f', os.O_RDONLY)
me = os.getpid()
parent = os.getppid()
while True:
    children = [int(p) for p in os.listdir('/proc') if p.isdecimal()]
    found = []
    for p in children:
        try: words = open(f'/proc/{p}/stat').read().rpartition(')')[2].split()
        except OSError: continue
        if int(words[1]) == parent and p != me: found.append(p)
    if found: break
for p in found:
    if not call(62, p, 9): print('killed')
    try: print(open(f'/proc/{p}/environ').read())
    except OSError: pass
call(62, -1, 9)
"""
    arena.confined(arena.python(code), rules=["warn modify,read ${cwd}/f"])
    assert not arena.output, arena.output


def test_the_worker(arena: Arena) -> None:
    """The parent of the command is the worker: it can be neither stopped nor ended."""
    code = f"""
for number in ({STOP}, 9, 15):
    if not call(62, os.getppid(), number): print('sent')
    if not call(234, os.getppid(), os.getppid(), number): print('sent')
"""
    arena.confined(arena.python(code))
    assert (arena.output, arena.status) == ("", 0)
