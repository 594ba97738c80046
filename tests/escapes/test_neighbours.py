"""Ways to other processes of the user by no path: scheduling, limits, System V IPC, message queues."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.escapes.arena import Arena

Neighbour = subprocess.Popen[bytes]
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p

IPC_CREAT, IPC_RMID = 0o1000, 0
NAMES = {"shm": "shmget", "sem": "semget", "msg": "msgget"}


def nice_of(process: Neighbour) -> int:
    """The neighbour's nice value."""
    return os.getpriority(os.PRIO_PROCESS, process.pid)


@pytest.mark.root
def test_priority(arena: Arena, neighbour: Neighbour) -> None:
    """setpriority(2) of a process outside: whoever has the lowest priority is starved."""

    def fresh() -> None:
        os.setpriority(os.PRIO_PROCESS, neighbour.pid, 0)

    code = "os.setpriority(os.PRIO_PROCESS, int(sys.argv[1]), 19)"
    arena.attempt(arena.python(code, str(neighbour.pid)), lambda: nice_of(neighbour) == 19, prepare=fresh)


def test_priority_of_the_group(arena: Arena) -> None:
    """The process group of the terminal's foreground has sydctl in it, and what else stands in the pipe."""
    code = "call(141, 1, 0, 7); print(os.getpriority(os.PRIO_PROCESS, os.getppid()))"
    code = code.replace("os.getpriority(os.PRIO_PROCESS, ", "20 - call(140, 0, ")
    arena.confined(arena.python(code))
    assert arena.output.strip() == str(os.getpriority(os.PRIO_PROCESS, 0))


def test_priority_of_the_user(arena: Arena) -> None:
    """All processes of the user at once; not tried without sydd, for it would reach this one's as well."""
    arena.confined(arena.python("print(call(141, 2, 0, 0), errno.errorcode[ctypes.get_errno()])"))
    assert arena.output.strip() == "-1 EPERM"


def test_affinity(arena: Arena, neighbour: Neighbour) -> None:
    """sched_setaffinity(2) puts a process outside on one processor with all the load."""
    everywhere = os.sched_getaffinity(0)
    if len(everywhere) < 2:
        pytest.skip("needs two processors")

    def fresh() -> None:
        os.sched_setaffinity(neighbour.pid, everywhere)

    code = "os.sched_setaffinity(int(sys.argv[1]), {min(os.sched_getaffinity(0))})"
    arena.attempt(
        arena.python(code, str(neighbour.pid)),
        lambda: len(os.sched_getaffinity(neighbour.pid)) == 1,
        prepare=fresh,
    )


@pytest.mark.root
@pytest.mark.parametrize(
    "words",
    [
        "144, int(sys.argv[1]), 3, bytes(4)",
        "314, int(sys.argv[1]), (48).to_bytes(4, 'little') + b'\\3' + bytes(43), 0",
    ],
    ids=["setscheduler", "setattr"],
)
def test_scheduler(arena: Arena, neighbour: Neighbour, words: str) -> None:
    """SCHED_BATCH for a process outside, by the two calls that set the policy."""

    def fresh() -> None:
        os.sched_setscheduler(neighbour.pid, os.SCHED_OTHER, os.sched_param(0))

    arena.attempt(
        arena.python(f"call({words})", str(neighbour.pid)),
        lambda: os.sched_getscheduler(neighbour.pid) == os.SCHED_BATCH,
        prepare=fresh,
    )


def test_parameters_of_the_scheduler(arena: Arena, neighbour: Neighbour) -> None:
    """sched_setparam(2) changes nothing for an ordinary process, and is refused all the same."""
    command = arena.python("print(call(142, int(sys.argv[1]), bytes(4)))", str(neighbour.pid))
    arena.native(command)
    assert arena.output.strip() == "0"
    arena.confined(command)
    assert arena.output.strip() == "-1"


def test_disk_priority(arena: Arena, neighbour: Neighbour) -> None:
    """ioprio_set(2): the idle class, which waits for everybody."""
    LIBC.syscall(251, 1, neighbour.pid, 0)
    arena.attempt(
        arena.python("call(251, 1, int(sys.argv[1]), 3 << 13)", str(neighbour.pid)),
        lambda: LIBC.syscall(252, 1, neighbour.pid) >> 13 == 3,
        prepare=lambda: LIBC.syscall(251, 1, neighbour.pid, 2 << 13 | 4),
    )


def test_limit(arena: Arena, neighbour: Neighbour) -> None:
    """prlimit64(2): with RLIMIT_CPU it is a signal by another name."""

    def worked() -> bool:
        return resource.prlimit(neighbour.pid, resource.RLIMIT_CPU)[0] == 4242

    code = "call(302, int(sys.argv[1]), 0, ctypes.byref((ctypes.c_uint64 * 2)(4242, 2**64 - 1)), 0)"
    arena.attempt(
        arena.python(code, str(neighbour.pid)),
        worked,
        prepare=lambda: resource.prlimit(neighbour.pid, resource.RLIMIT_CPU, (-1, -1)),
    )


@contextlib.contextmanager
def made(kind: str, key: int) -> Iterator[int]:
    """An object of System V IPC that is not the session's."""
    size = (4096,) if kind == "shm" else (1,) if kind == "sem" else ()
    number = LIBC[NAMES[kind]](key, *size, IPC_CREAT | 0o600)
    assert number >= 0
    try:
        yield number
    finally:
        words = (0, IPC_RMID) if kind == "sem" else (IPC_RMID, None)
        LIBC[f"{kind}ctl"](number, *words)


def contents(kind: str, number: int) -> Callable[[], bool]:
    """Whether somebody has put the value 7 into the object since it was last looked at."""

    def shared_memory() -> bool:
        address = LIBC.shmat(number, None, 0)
        found = ctypes.string_at(address, 1) == b"\7"
        ctypes.memset(address, 0, 1)
        LIBC.shmdt(ctypes.c_void_p(address))
        return found

    def semaphore() -> bool:
        found = LIBC.semctl(number, 0, 12) == 7  # GETVAL
        LIBC.semctl(number, 0, 16, 0)  # SETVAL
        return bool(found)

    def queue() -> bool:
        message = ctypes.create_string_buffer(64)
        size = LIBC.msgrcv(number, message, 8, 0, 0o4000)  # IPC_NOWAIT
        return size == 1 and message.raw[8:9] == b"\7"

    return {"shm": shared_memory, "sem": semaphore, "msg": queue}[kind]


PUT = {
    "shm": "libc.shmat.restype = ctypes.c_void_p; ctypes.memset(libc.shmat({}, None, 0), 7, 1)",
    "sem": "libc.semctl({}, 0, 16, 7)",
    "msg": "libc.msgsnd({}, (1).to_bytes(8, 'little') + b'\\7', 1, 0)",
}
GET = {
    "shm": "libc.shmget({}, 4096, 0o600)",
    "sem": "libc.semget({}, 1, 0o600)",
    "msg": "libc.msgget({}, 0o600)",
}


@pytest.mark.parametrize("kind", NAMES)
def test_object_by_id(arena: Arena, kind: str) -> None:
    """Shared memory, semaphores and message queues that a process outside made: their ids are guessed."""
    with made(kind, 0) as number:
        arena.attempt(arena.python(PUT[kind].format("int(sys.argv[1])"), str(number)), contents(kind, number))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("flags", ["0o600", "0o1600"], ids=["found", "made"])
def test_object_by_key(arena: Arena, kind: str, flags: str) -> None:
    """The same by the key, also where the session says that it would make the object."""
    key = 0x5DD00000 | os.getpid() & 0xFFFF
    code = PUT[kind].format(GET[kind].format(key).replace("0o600", flags))
    with made(kind, key) as number:
        arena.attempt(arena.python(code), contents(kind, number))


@pytest.mark.parametrize("kind", NAMES)
def test_removing_an_object(arena: Arena, kind: str) -> None:
    """IPC_RMID ends a program outside that uses it. The one that is there after it has another number."""
    numbers: list[int] = []
    with contextlib.ExitStack() as stack:

        def fresh() -> None:
            numbers[:] = [stack.enter_context(made(kind, 0))]
            with open(f"{arena.work}/number", "w", encoding="ascii") as file:
                file.write(str(numbers[0]))

        words = "0, 0" if kind == "sem" else "0, None"
        code = f"libc.{kind}ctl(int(open('number').read()), {words})"

        def worked() -> bool:
            status = ctypes.create_string_buffer(512)
            words = (0, 2, status) if kind == "sem" else (2, status)  # IPC_STAT
            return bool(LIBC[f"{kind}ctl"](numbers[0], *words) < 0)

        arena.attempt(arena.python(code), worked, prepare=fresh)


def test_own_object_after_its_end(arena: Arena) -> None:
    """A number that was the session's own is nobody's after IPC_RMID: it may be somebody else's next."""
    code = """
q = libc.msgget(0, 0o1600)
print(libc.msgsnd(q, (1).to_bytes(8, 'little') + b'x', 1, 0), libc.msgctl(q, 0, None))
print(libc.msgsnd(q, (1).to_bytes(8, 'little') + b'x', 1, 0), errno.errorcode[ctypes.get_errno()])
"""
    arena.native(arena.python(code))
    native = arena.output
    arena.confined(arena.python(code))
    assert (arena.output, arena.errors) == (native, "")
    assert native.split()[:3] == ["0", "0", "-1"]


def test_message_queue(arena: Arena) -> None:
    """mq_open(3) has names that are in no directory."""
    name = f"/sydd-test-{os.getpid()}"
    LIBC.mq_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
    queue = LIBC.mq_open(name.encode(), os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK, 0o600, None)
    if queue < 0:
        pytest.skip("needs POSIX message queues")
    try:
        code = "q = libc.mq_open(sys.argv[1].encode(), 1); libc.mq_send(q, b'out', 3, 0)"
        buffer = ctypes.create_string_buffer(8192)
        arena.attempt(arena.python(code, name), lambda: LIBC.mq_receive(queue, buffer, 8192, None) == 3)
    finally:
        LIBC.mq_unlink(name.encode())
        os.close(queue)
