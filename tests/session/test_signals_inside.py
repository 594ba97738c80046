"""Signals between the processes of a session, as natively; with Landlock's scope and without."""

from __future__ import annotations

import pytest

from tests.session.conftest import Session

PRELUDE = """
import ctypes, os, select, signal, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    libc.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    result = libc.syscall(ctypes.c_long(number), *words)
    return -ctypes.get_errno() if result < 0 else result
def child():
    pid = os.fork()
    if not pid:
        while True: signal.pause()
    return pid
def waiting():
    signal.pthread_sigmask(0, [10])
    thread = threading.Thread(target=lambda: signal.sigwait([10]))
    thread.start()
    return thread
def ended(pid, number=15):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -number
"""

SCRIPTS = {
    "a child": """
pid = child()
os.kill(pid, 0)
os.kill(pid, 15)
ended(pid)
""",
    "a zombie": """
pid = child()
os.kill(pid, 9)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
assert call(62, pid, 0) == 0
ended(pid, 9)
assert call(62, pid, 0) == -3
""",
    "nobody": """
assert call(62, 2**22 - 1, 0) == -3
assert call(62, -2**31, 0) == -3
""",
    "bad numbers": """
pid = child()
assert call(62, pid, 99) == -22
assert call(234, 0, pid, 0) == -22
assert call(234, pid, -1, 0) == -22
assert call(234, pid, os.getpid(), 0) == -3
os.kill(pid, 15)
ended(pid)
""",
    "a group": """
pid = child()
os.setpgid(pid, 0)
other = child()
os.setpgid(other, pid)
os.killpg(pid, 15)
ended(pid)
ended(other)
assert call(62, -pid, 0) == -3
""",
    "one's own group": """
signal.signal(15, signal.SIG_IGN)
os.setpgid(0, 0)
pid = os.fork()
if not pid:
    signal.signal(15, signal.SIG_DFL)
    while True: os.kill(0, 15)
ended(pid)
""",
    "everything": """
pid = child()
other = child()
assert call(62, -1, 9) == 0
ended(pid, 9)
ended(other, 9)
""",
    "oneself": """
signal.pthread_sigmask(0, [10])
os.kill(os.getpid(), 10)
info = signal.sigtimedwait([10], 5)
assert info.si_pid == os.getpid()
""",
    "a thread": """
t = waiting()
signal.pthread_kill(t.ident, 10)
t.join()
""",
    "a thread by tkill": """
t = waiting()
assert call(200, t.native_id, 10) == 0
t.join()
assert call(200, os.getpid(), 0) == 0
""",
    "a thread of a child": """
pid = child()
assert call(234, pid, pid, 15) == 0
ended(pid)
""",
    "sigqueue": """
reader, writer = os.pipe()
pid = os.fork()
if not pid:
    signal.pthread_sigmask(0, [10])
    os.write(writer, b'x')
    info = signal.sigwaitinfo([10])
    os._exit(7 if (info.si_pid, info.si_code) == (os.getppid(), -1) else 1)
os.read(reader, 1)
libc.sigqueue(pid, 10, None)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
""",
    "kernel's information": """
pid = child()
info = (ctypes.c_int32 * 32)()
info[0] = 15
assert call(129, pid, 15, info) == -1
assert call(129, pid, 15, None) == -14
os.kill(pid, 15)
ended(pid)
""",
    "a pidfd": """
pid = child()
fd = os.pidfd_open(pid)
signal.pidfd_send_signal(fd, 15)
ended(pid)
assert call(424, fd, 15, None, 0) == -3
assert call(424, 99, 15, None, 0) == -9
assert call(424, 0, 15, None, 0) == -9
""",
    "one's own descriptor": """
import fcntl, socket
a, b = socket.socketpair()
signal.pthread_sigmask(0, [29])
fcntl.fcntl(a, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC)
b.send(b'x')
assert signal.sigtimedwait([29], 5)
""",
    "timeout": """
assert subprocess.run(['timeout', '-s', 'TERM', '0.1', 'sleep', '100']).returncode == 124
""",
    "a pipeline in a shell": """
script = 'sleep 100 & kill $!;wait $!'
assert subprocess.run(['sh', '-c', script], stderr=-3).returncode == 143
""",
    "process groups": """
first, second = child(), child()
os.setpgid(first, first)
os.setpgid(second, first)
assert os.getpgid(second) == first
os.setpgid(second, os.getpgrp())
os.killpg(first, 15)
ended(first)
os.kill(second, 15)
ended(second)
third = child()
assert call(109, third, 2**22 - 1) == -1
assert call(109, third, -1) == -22
os.kill(third, 15)
ended(third)
""",
    "scheduling": """
pid = child()
os.nice(1)
os.setpriority(os.PRIO_PROCESS, pid, 3)
os.sched_setaffinity(0, os.sched_getaffinity(0))
os.sched_setaffinity(pid, os.sched_getaffinity(0))
os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
assert os.getpriority(0, pid) == 3
t = waiting()
os.sched_setaffinity(t.native_id, os.sched_getaffinity(0))
signal.pthread_kill(t.ident, 10)
t.join()
os.kill(pid, 9)
ended(pid, 9)
""",
}


@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_inside(session: Session, name: str, engine: str) -> None:
    """What programs do to each other, with the errors that the kernel gives."""
    done = session.run("python3", "-c", PRELUDE + SCRIPTS[name], options=("--engine", engine))
    assert (done.returncode, done.stderr) == (0, "")
