"""Ways out by other processes: those of the same user outside the session, the worker, and /proc."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.escapes.arena import Arena


@contextlib.contextmanager
def datagrams() -> Iterator[tuple[str, Callable[[], bool]]]:
    """The address of a socket outside, and whether it has got b"out" since it was last asked."""
    with (
        tempfile.TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
    ):
        server.bind(f"{directory}/s")
        server.setblocking(False)

        def worked() -> bool:
            try:
                return server.recv(100) == b"out"
            except BlockingIOError:
                return False

        yield f"{directory}/s", worked


def _modules() -> str:
    """Code that finds the socket module, also without site and environment."""
    import _socket

    places = {os.path.dirname(file) for file in (socket.__file__, getattr(_socket, "__file__", "")) if file}
    return f"sys.path += {sorted(places)!r}\n"


def alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process runs, and is not stopped."""
    if process.poll() is not None:
        return False
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] != "T"


def test_environment_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """/proc/<pid>/environ of a process outside holds tokens."""
    code = "print(open(f'/proc/{sys.argv[1]}/environ').read())"
    arena.attempt(arena.python(code, str(neighbour.pid)), arena.told)


def test_environment_of_a_neighbour_where_all_is_allowed(
    arena: Arena, neighbour: subprocess.Popen[bytes]
) -> None:
    """The same under a profile that lets all files be read and written."""
    code = "print(open(f'/proc/{sys.argv[1]}/environ').read())"
    arena.attempt(arena.python(code, str(neighbour.pid)), arena.told, profile="offline")


def test_memory_of_a_neighbour_where_all_is_allowed(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """Who writes there has the neighbour do what is denied: the network, under `offline`."""
    arena.attempt(arena.python(MEMORY, str(neighbour.pid)), arena.told, profile="offline")


def test_environment_of_a_neighbour_where_proc_is_mixed(
    arena: Arena, neighbour: subprocess.Popen[bytes]
) -> None:
    """The same where a rule below /proc leaves opening there to the worker."""
    code = "print(open(f'/proc/{sys.argv[1]}/environ').read())"
    arena.attempt(arena.python(code, str(neighbour.pid)), arena.told, rules=["deny read /proc/kcore"])


@pytest.mark.race
@pytest.mark.root
def test_racing_for_the_environment_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """Landlock's word does not count where root has CAP_PERFMON; a session of root has it no more."""
    argv = arena.program("race", "string", "read", "mine", f"/proc/{neighbour.pid}/environ")
    arena.seconds = 1.5
    arena.attempt(argv, arena.told, prepare=lambda: arena.plant("mine", "x"))


@pytest.fixture
def second_proc(arena: Arena) -> Iterator[str]:
    """Another procfs, as in a chroot of the host's."""
    directory = f"{arena.root}/proc2"
    os.mkdir(directory)
    done = subprocess.run(["mount", "-t", "proc", "proc", directory], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("needs CAP_SYS_ADMIN, to mount a procfs")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.root
@pytest.mark.parametrize(
    "name", ["environ", "fdinfo/20", "task/{pid}/environ", "../1/../{pid}/environ", "fd/21"]
)
def test_a_second_proc(arena: Arena, neighbour: subprocess.Popen[bytes], second_proc: str, name: str) -> None:
    """What is closed below /proc is closed below every procfs; the worker knows it by its type."""
    pid = str(neighbour.pid)
    code = "print(open(sys.argv[1], errors='replace').read().replace('pos:', 'the-private-key'))"
    path = f"{second_proc}/{pid}/{name.format(pid=pid)}"
    arena.attempt(arena.python(code, path), arena.told)


@pytest.mark.root
def test_the_worker_in_a_second_proc(arena: Arena, second_proc: str) -> None:
    """`self` in a procfs elsewhere would be the worker, where the worker opens."""
    arena.confined(arena.python("print(open(sys.argv[1] + '/self/environ').read())", second_proc))
    assert not arena.told(), arena.output


MEMORY = """
pid = int(sys.argv[1])
fd = os.open(f'/proc/{pid}/mem', os.O_RDONLY)
for line in open(f'/proc/{pid}/maps'):
    if '[heap]' in line or (' rw-p ' in line and line.rstrip().endswith(' 0')):
        low, high = (int(word, 16) for word in line.split()[0].split('-'))
        try:
            data = os.pread(fd, min(high - low, 1 << 24), low)
        except OSError:
            continue
        if b'the-private' + b'-key' in data:
            print('the-private' + '-key')
            break
"""


def test_memory_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """/proc/<pid>/mem of a process outside."""
    arena.attempt(arena.python(MEMORY, str(neighbour.pid)), arena.told)


def test_pipe_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """/proc/<pid>/fd/<n> opens the other end of somebody's pipe; whether it is empty afterwards tells."""
    code = """
fd = os.open(f'/proc/{sys.argv[1]}/fd/20', os.O_RDONLY | os.O_NONBLOCK)
text = os.read(fd, 100).decode()
print(text)
w = os.open(f'/proc/{sys.argv[1]}/fd/20', os.O_WRONLY | os.O_NONBLOCK)
os.write(w, text.encode())
"""
    arena.attempt(arena.python(code, str(neighbour.pid)), arena.told)


def test_unnamed_memory_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """/proc/<pid>/fd/<n> opens what has no name in any directory."""
    code = "fd = os.open(f'/proc/{sys.argv[1]}/fd/21', os.O_RDONLY); print(os.pread(fd, 100, 0).decode())"
    arena.attempt(arena.python(code, str(neighbour.pid)), arena.told)


def test_root_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """/proc/<pid>/root is a way to everything, under other names."""
    code = "print(open(f'/proc/{sys.argv[1]}/root{sys.argv[2]}').read())"
    arena.attempt(arena.python(code, str(neighbour.pid), arena.secret), arena.told)


def test_working_directory_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """Write through /proc/<pid>/root."""
    code = "open(f'/proc/{sys.argv[1]}/root{sys.argv[2]}', 'w').write('x')"
    arena.attempt(arena.python(code, str(neighbour.pid), arena.victim), arena.touched)


@pytest.mark.parametrize("profile", ["build", "offline"])
@pytest.mark.parametrize("name", ["oom_score_adj", "coredump_filter", "autogroup"])
def test_settings_of_a_neighbour(
    arena: Arena, neighbour: subprocess.Popen[bytes], name: str, profile: str
) -> None:
    """Who goes first when memory is short, what a crash leaves, who waits: any process of the user writes it.

    `build` lets a process write its own oom_score_adj, `offline` all of its own.
    """
    path = f"/proc/{neighbour.pid}/{name}"

    def setting() -> str:
        with open(path, encoding="ascii") as file:
            return file.read().replace("nice", " ").split()[-1]

    if not os.path.exists(path):
        pytest.skip(f"this kernel has no /proc/<pid>/{name}")
    if not Path(path).read_bytes():
        pytest.skip(f"/proc/<pid>/{name} is empty: this kernel was booted with noautogroup")
    first, second = {"oom_score_adj": ("300", "400"), "coredump_filter": ("1", "2"), "autogroup": ("3", "4")}[
        name
    ]
    code = """
while True:
    try:
        with open(sys.argv[1], "w") as file:
            file.write(sys.argv[2])
        break
    except BlockingIOError:
        pass  # the whole machine may change ten autogroups a second, sched_autogroup_set_nice()
"""
    arena.native(arena.python(code, path, first))
    assert int(setting(), 16 if name == "coredump_filter" else 10) == int(first)
    arena.confined(arena.python(code, path, second), profile=profile)
    assert int(setting(), 16 if name == "coredump_filter" else 10) == int(first)


def test_settings_of_its_own(arena: Arena) -> None:
    """Under `offline` a process, and a thread, sets its own as ever."""
    code = """
for where in ("self", "thread-self", str(os.getpid())):
    for name in ("oom_score_adj", "coredump_filter")[: 1 if where == "thread-self" else 2]:
        with open(f"/proc/{where}/{name}", "w") as file: file.write("17")
        print(int(open(f"/proc/{where}/{name}").read(), 16 if name == "coredump_filter" else 10))
"""
    arena.native(arena.python(code))
    natively = arena.output
    arena.confined(arena.python(code), profile="offline")
    assert arena.output == natively == "17\n" * 5, arena.errors


def test_ptrace_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """PTRACE_SEIZE; said by the program, since it has to end before the other may be looked at."""
    code = "print(SECRET if call(101, 0x4206, int(sys.argv[1]), 0, 0) == 0 else 'no')"
    code = code.replace("SECRET", "'the-private' + '-key'")
    arena.attempt(arena.python(code, str(neighbour.pid)), arena.told)


def test_descriptor_of_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """pidfd_getfd(2)."""
    code = """
fd = call(438, os.pidfd_open(int(sys.argv[1])), 21, 0)
print(os.pread(fd, 100, 0).decode())
"""
    arena.attempt(arena.python(code, str(neighbour.pid)), arena.told)


def test_limit_a_neighbour(arena: Arena, neighbour: subprocess.Popen[bytes]) -> None:
    """prlimit64(2) changes another process's limits: with RLIMIT_CPU it is a signal by another name."""

    def worked() -> bool:
        with open(f"/proc/{neighbour.pid}/limits", encoding="ascii") as file:
            return any(line.split()[3:4] == ["4242"] for line in file if line.startswith("Max cpu time"))

    code = "call(302, int(sys.argv[1]), 0, ctypes.byref((ctypes.c_uint64 * 2)(4242, 2**64 - 1)), 0)"

    def fresh() -> None:
        import resource

        resource.prlimit(neighbour.pid, resource.RLIMIT_CPU, (-1, -1))

    arena.attempt(arena.python(code, str(neighbour.pid)), worked, prepare=fresh)


WORKER = """
pid = os.getpid()
while True:
    words = open(f'/proc/{pid}/status').read()
    pid = int(words.partition('PPid:')[2].split()[0])
    comm = open(f'/proc/{pid}/cmdline').read()
    if 'sydctl' in comm or pid <= 1:
        break
"""


def test_environment_of_the_worker(arena: Arena) -> None:
    """The worker's own environment has what the command's was cleaned of; whoever opens it by itself may."""
    code = WORKER + "print(open(f'/proc/{pid}/environ').read())"
    arena.confined(arena.python(code))
    assert "Permission" in arena.errors
    assert not arena.told()


def test_memory_of_the_worker(arena: Arena) -> None:
    """A process may always open its own memory: the worker must not do it for somebody."""
    code = WORKER + "fd = os.open(f'/proc/{pid}/mem', os.O_RDONLY); print('open')"
    arena.confined(arena.python(code))
    assert "open" not in arena.output
    assert "Permission" in arena.errors


def test_maps_of_the_worker(arena: Arena) -> None:
    """Where its memory lies is half of an exploit."""
    code = WORKER + "print(open(f'/proc/{pid}/task/{pid}/maps').read())"
    arena.confined(arena.python(code))
    assert "python" not in arena.output
    assert "Permission" in arena.errors


def test_descriptors_of_the_worker(arena: Arena) -> None:
    """Its descriptors: the listener, the file of events."""
    code = (
        WORKER
        + """
for fd in range(3, 40):
    try:
        got = os.open(f'/proc/{pid}/fd/{fd}', os.O_RDONLY | os.O_NONBLOCK)
        print('open', fd)
    except OSError as error:
        pass
"""
    )
    arena.confined(arena.python(code))
    assert "open" not in arena.output


def test_working_directory_of_the_worker(arena: Arena) -> None:
    """Its root and directory, as ways around a name."""
    code = WORKER + "print(os.listdir(f'/proc/{pid}/cwd/'), open(f'/proc/{pid}/root/etc/passwd').read(4))"
    arena.confined(arena.python(code))
    assert "root" not in arena.output


def test_stopping_the_worker(arena: Arena) -> None:
    """A stopped or killed worker must not let anything through; the session ends, the victim stays."""
    code = WORKER + "os.kill(pid, 9)\nopen(sys.argv[1], 'w').write('x')"
    arena.confined(arena.python(code, arena.victim))
    assert not arena.touched()


def test_starving_the_worker_of_descriptors(arena: Arena) -> None:
    """RLIMIT_NOFILE of the worker set to 3 by prlimit64: what it cannot look at is not allowed."""
    code = (
        WORKER
        + """
call(302, pid, 7, ctypes.byref((ctypes.c_uint64 * 2)(3, 3)), 0)
open(sys.argv[1], 'w').write('x')
"""
    )
    arena.confined(arena.python(code, arena.victim))
    assert not arena.touched()


def test_memory_limit_of_the_worker(arena: Arena) -> None:
    """RLIMIT_AS of the worker set to nothing: an error in the worker is a denial."""
    code = (
        WORKER
        + """
call(302, pid, 9, ctypes.byref((ctypes.c_uint64 * 2)(1, 1)), 0)
for _ in range(200):
    try:
        open(sys.argv[1] + 'x' * 200, 'w').write('x')
    except OSError:
        pass
open(sys.argv[1], 'w').write('x')
"""
    )
    arena.confined(arena.python(code, arena.victim))
    assert not arena.touched()


KINDS = pytest.mark.parametrize("kind", ["SOCK_DGRAM", "SOCK_RAW"])
"""Of unix sockets both are datagrams."""


@KINDS
def test_datagram_to_a_neighbour(arena: Arena, kind: str) -> None:
    """One end of a socketpair(2) of datagrams may be connected to any other address, without socket(2)."""
    with datagrams() as (address, worked):
        code = f"""
import socket
s, _ = socket.socketpair(socket.AF_UNIX, socket.{kind})
s.connect(sys.argv[1]); s.send(b'out')
"""
        arena.attempt(arena.python(_modules() + code, address), worked)


@KINDS
def test_datagram_with_an_address(arena: Arena, kind: str) -> None:
    """The same by sendto(2), which needs no connect(2)."""
    with datagrams() as (address, worked):
        code = f"""
import socket
s, _ = socket.socketpair(socket.AF_UNIX, socket.{kind})
s.sendto(b'out', sys.argv[1])
"""
        arena.attempt(arena.python(_modules() + code, address), worked)


def test_loopback(arena: Arena) -> None:
    """TCP to a server on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)

        def worked() -> bool:
            try:
                server.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        code = "import socket; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"
        arena.attempt(arena.python(_modules() + code, str(server.getsockname()[1])), worked)
