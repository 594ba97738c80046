"""Ways out by the ABI of 32-bit programs: the same calls by other numbers, and calls that it alone has.

Each is made by a 32-bit program, and by 64-bit code with `int 0x80`, which the kernel takes for the same.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
from collections.abc import Callable

import pytest

from sydd.syscalls.table import native, number
from tests.escapes.arena import Arena
from tests.escapes.test_neighbours import contents, made
from tests.escapes.test_races import HIDDEN, prepare_looks
from tests.escapes.test_signals import runs
from tests.support.compiler import compile_for, needs

X86 = pytest.mark.skipif(native() != "x86_64", reason="needs x86-64")
HERE = "#0xffffff9c"
SOURCES = os.path.join(os.path.dirname(__file__), "c")
BUFFER = "ffffffee"
"""In bytes: the address of the program's buffer."""


@pytest.fixture(params=[pytest.param("i386", marks=pytest.mark.slow), "int80"])
def way(request: pytest.FixtureRequest, programs: str) -> tuple[str, str]:
    """A program that makes 32-bit calls, and by which way it does."""
    needs("i386")  # by `int 0x80`, too, the kernel has to have them
    if request.param == "int80":
        return "foreign", "int80"
    return os.path.basename(narrow(programs, "foreign")), "i386"


def narrow(programs: str, name: str) -> str:
    """A program of c/ for 32 bits, compiled once."""
    target = f"{programs}/{name}32"
    if not os.path.exists(target):
        compile_for("i386", f"{SOURCES}/{name}.c", target, "-pthread", "-D_FILE_OFFSET_BITS=64")
    return target


def words(text: bytes) -> str:
    """Bytes as an argument."""
    return "&" + text.hex()


def command(arena: Arena, way: tuple[str, str], *calls: str) -> list[str]:
    """The command that makes *calls*, each a name and its arguments in one string."""
    script: list[str] = []
    for line in calls:
        name, *arguments = line.format(
            outside=arena.outside, victim=arena.victim, secret=arena.secret, work=arena.work
        ).split()
        script += [*(["then"] if script else []), str(number("i386", name)), *arguments]
    program, abi = way
    return arena.program(program, abi, *script)


FOUR = words(struct.pack("=4i", 1, 0, 1, 0))
FOUR_WIDE = words(struct.pack("=4q", 1, 0, 1, 0))
HOW = words(struct.pack("=3Q", os.O_WRONLY | os.O_CREAT, 0o600, 0))
FIFO = "#0010600"
VALUE = bytes.fromhex(BUFFER) + bytes(4) + struct.pack("=II", 1, 0)  # struct xattr_args
XATTR = "=user.sydd @0 #1 #0"

WRITES: dict[str, tuple[str, ...]] = {
    "open": (f"open ={{victim}} #{os.O_WRONLY | os.O_TRUNC}",),
    "open creating": (f"open ={{outside}}/planted #{os.O_WRONLY | os.O_CREAT} #0600",),
    "open truncating": (f"open ={{victim}} #{os.O_RDONLY | os.O_TRUNC}",),
    "openat": (f"openat {HERE} =../outside/victim #{os.O_RDWR | os.O_TRUNC}",),
    "openat of a link": ("symlink ={victim} =l", f"openat {HERE} =l #{os.O_RDWR | os.O_TRUNC}"),
    "openat2": (f"openat2 {HERE} ={{outside}}/planted {HOW} #24",),
    "creat": ("creat ={outside}/planted #0600",),
    "truncate": ("truncate ={victim} #1",),
    "truncate64": ("truncate64 ={victim} #1 #0",),
    "mkdir": ("mkdir ={outside}/planted #0700",),
    "mkdirat": (f"mkdirat {HERE} ={{outside}}/planted #0700",),
    "mknod": (f"mknod ={{outside}}/planted {FIFO} #0",),
    "mknodat": (f"mknodat {HERE} ={{outside}}/planted {FIFO} #0",),
    "unlink": ("unlink ={victim}",),
    "unlinkat": (f"unlinkat {HERE} ={{victim}} #0",),
    "rename in": ("rename ={victim} =taken",),
    "rename out": ("creat =own #0600", "rename =own ={victim}"),
    "renameat": (f"renameat {HERE} ={{victim}} {HERE} =taken",),
    "renameat2": ("creat =own #0600", f"renameat2 {HERE} =own {HERE} ={{victim}} #2"),
    "link": ("link ={victim} =taken",),
    "linkat": (f"linkat {HERE} ={{victim}} {HERE} =taken #0",),
    "symlink": ("symlink =x ={outside}/planted",),
    "symlinkat": (f"symlinkat =x {HERE} ={{outside}}/planted",),
    "chmod": ("chmod ={victim} #0777",),
    "fchmod": ("open ={victim} #0", "fchmod $ #0777"),
    "fchmodat": (f"fchmodat {HERE} ={{victim}} #0777",),
    "fchmodat2": (f"fchmodat2 {HERE} ={{victim}} #0777 #0",),
    "utime": (f"utime ={{victim}} {words(struct.pack('=2i', 1, 1))}",),
    "utimes": (f"utimes ={{victim}} {FOUR}",),
    "futimesat": (f"futimesat {HERE} ={{victim}} {FOUR}",),
    "utimensat": (f"utimensat {HERE} ={{victim}} {FOUR} #0",),
    "utimensat of a descriptor": ("open ={victim} #0", f"utimensat $ #0 {FOUR} #0"),
    "utimensat_time64": (f"utimensat_time64 {HERE} ={{victim}} {FOUR_WIDE} #0",),
    "setxattr": (f"setxattr ={{victim}} {XATTR}",),
    "lsetxattr": (f"lsetxattr ={{victim}} {XATTR}",),
    "fsetxattr": ("open ={victim} #0", f"fsetxattr $ {XATTR}"),
    "setxattrat": (f"setxattrat {HERE} ={{victim}} #0 =user.sydd {words(VALUE)} #16",),
}


@X86
@pytest.mark.parametrize("name", WRITES)
def test_write(name: str, way: tuple[str, str], arena: Arena) -> None:
    """Every call that changes something, about what is outside."""
    argv = command(arena, way, *WRITES[name])
    if name.split(maxsplit=1)[0] in ("fchmodat2", "setxattrat"):
        arena.native(argv)
        if arena.output.strip() == "-38":
            pytest.skip(f"needs a kernel with {name}")
        arena.reset()
    arena.attempt(argv, arena.touched)


def owners(arena: Arena) -> Callable[[], bool]:
    """Whether the victim has another owner."""
    return lambda: os.lstat(arena.victim).st_uid == 1234


@X86
@pytest.mark.root
@pytest.mark.parametrize(
    "calls",
    [
        ("chown ={victim} #1234 #1234",),
        ("lchown ={victim} #1234 #1234",),
        ("open ={victim} #0", "fchown $ #1234 #1234"),
        ("chown32 ={victim} #1234 #1234",),
        ("lchown32 ={victim} #1234 #1234",),
        ("open ={victim} #0", "fchown32 $ #1234 #1234"),
        (f"fchownat {HERE} ={{victim}} #1234 #1234 #0",),
    ],
    ids=lambda calls: calls[-1].split()[0],
)
def test_owner(calls: tuple[str, ...], way: tuple[str, str], arena: Arena) -> None:
    """Owners, by ids of 16 and of 32 bits."""
    arena.attempt(command(arena, way, *calls), owners(arena))


@X86
@pytest.mark.parametrize(
    "call", ["open ={secret} #0", f"openat {HERE} ={{secret}} #0", f"openat2 {HERE} ={{secret}} @0 #24"]
)
def test_read(call: str, way: tuple[str, str], arena: Arena) -> None:
    """The secret, by each open that reads."""
    arena.attempt(command(arena, way, call, "read $ @64 #64", "write #1 @64 #15"), arena.told)


@X86
def test_link_of_a_secret(way: tuple[str, str], arena: Arena) -> None:
    """A second name for the secret, and a link to it."""
    calls = ("link ={secret} =n", "open =n #0", "read $ @64 #64", "write #1 @64 #15")
    arena.attempt(command(arena, way, *calls), arena.told)


SOCKET = words(struct.pack("=3i", 2, 1, 0))
DATAGRAMS = words(struct.pack("=3i", 1, 2, 0) + bytes.fromhex(BUFFER))


@X86
@pytest.mark.parametrize(
    "call",
    [
        f"socketcall #1 {SOCKET}",
        f"socketcall #8 {DATAGRAMS}",
    ],
    ids=["socket", "pair"],
)
def test_network(call: str, way: tuple[str, str], arena: Arena) -> None:
    """A socket by the call that stands for all of them, whose arguments lie in memory."""
    argv = command(arena, way, call)
    arena.attempt(argv, lambda: int(arena.output.split()[0]) >= 0)


@X86
def test_socketcall_event(way: tuple[str, str], arena: Arena) -> None:
    """What was asked for is told as if the call had been made itself."""
    argv = command(arena, way, f"socketcall #1 {SOCKET}")
    events = f"{arena.root}/events"
    arena.confined(argv, options=["--events", events])
    with open(events, encoding="utf-8") as file:
        (event,) = (json.loads(line) for line in file)
    assert (event["syscall"], event["access"], event["path"]) == ("socket", "connect", "inet stream")
    assert (event["errno"], event["allow"]) == ("EACCES", "allow net any")


REFUSED = {
    "unshare #0x10000000": errno.EPERM,
    "clone #0x10000011 #0 #0 #0 #0": errno.EPERM,
    "clone3 @0 #88": errno.ENOSYS,
    "io_uring_setup #8 @0": errno.ENOSYS,
    "keyctl #0 #0xfffffffd #1": errno.EPERM,
    "bpf #0 @0 #48": errno.EPERM,
    "perf_event_open @0 #0 #0 #0 #0": errno.EACCES,
    "userfaultfd #1": errno.EPERM,
    "personality #0x0400000": errno.EPERM,
    "ioctl #0 #0x5412 @0": errno.EPERM,
    "ioctl #0 #0x541c @0": errno.EPERM,
    "ioctl #0 #0xc0c09425 @0": errno.ENOTTY,
    "prlimit64 #1 #7 @0 #0": errno.EPERM,
    "stime @0": errno.EPERM,
    "clock_settime64 #0 @0": errno.EPERM,
    "clock_settime #0 @0": errno.EPERM,
    "clock_adjtime64 #0 @0": errno.EPERM,
    "settimeofday @0 #0": errno.EPERM,
    "vm86old @0": errno.ENOSYS,
    "vm86 #0 @0": errno.ENOSYS,
    "nfsservctl #0 @0 @0": errno.ENOSYS,
    "uselib =x": errno.ENOSYS,
    "iopl #3": errno.EPERM,
    "mount =x =. =tmpfs #0 #0": errno.EPERM,
    "umount =.": errno.EPERM,
    "umount2 =. #0": errno.EPERM,
    "chroot =.": errno.EPERM,
    f"mknod =disk #0060600 #{os.makedev(8, 0)}": errno.EPERM,
}
"""What no session may do, and the errno, which is the one that 64-bit programs get."""


@X86
def test_refused_calls(way: tuple[str, str], arena: Arena) -> None:
    """The groups of calls that every session is without hold for these numbers; the program goes on."""
    arena.confined(command(arena, way, *REFUSED, "getppid"))
    *answers, parent = (int(line) for line in arena.output.split())
    assert dict(zip(REFUSED, answers, strict=True)) == {call: -number for call, number in REFUSED.items()}
    assert parent > 0
    assert not os.path.lexists(f"{arena.work}/disk")


@X86
def test_unknown_numbers(way: tuple[str, str], arena: Arena) -> None:
    """What the table of this ABI has no name for is ENOSYS, whatever the other ABI has there."""
    numbers = (222, 223, 251, 285, 387, 500, 1023, 0xF0005)
    script = " then ".join(f"{nr} #0 #0 #0" for nr in numbers).split()
    program, abi = way
    arena.confined(arena.program(program, abi, *script))
    assert arena.output.split() == [str(-errno.ENOSYS)] * len(numbers)


@X86
@pytest.mark.parametrize("nr", [2, 83, 257, 520, 545])
def test_x32(nr: int, arena: Arena) -> None:
    """Numbers of the x32 ABI end the process, whether or not the kernel has it."""
    arena.confined(arena.program("foreign", "x32", str(nr), f"={arena.outside}/planted", "#0700"))
    assert not arena.touched()
    assert arena.status == 128 + 31


IPC = {
    "ipc shm": ("shm", ("ipc #21 {id} #0 @0 #0x50000000", "open =seven #0", "read $ #0x50000000 #1")),
    "ipc sem": ("sem", (f"ipc #3 {{id}} #0 #16 {words(struct.pack('=i', 7))}",)),
    "ipc msg": ("msg", (f"ipc #11 {{id}} #1 #0 {words(struct.pack('=iB', 1, 7))}",)),
    "a version": ("sem", (f"ipc #0x10003 {{id}} #0 #16 {words(struct.pack('=i', 7))}",)),
    "semctl": ("sem", ("semctl {id} #0 #16 #7",)),
    "msgsnd": ("msg", (f"msgsnd {{id}} {words(struct.pack('=iB', 1, 7))} #1 #0",)),
}
"""Calls that put 7 into an object of System V IPC."""


@X86
@pytest.mark.parametrize("name", IPC)
def test_ipc(name: str, way: tuple[str, str], arena: Arena) -> None:
    """Objects of the user, by the call that stands for all of them and by those of its own."""
    kind, calls = IPC[name]
    with made(kind, 0) as number:
        argv = command(arena, way, *(line.replace("{id}", f"#{number}") for line in calls))
        arena.attempt(argv, contents(kind, number), prepare=lambda: arena.plant("seven", "\7"))


STOP = int(signal.SIGSTOP)
INFO = words(struct.pack("=3i", STOP, 0, -1) + bytes(116))


@X86
@pytest.mark.parametrize(
    "call", [f"kill {{pid}} #{STOP}", f"tkill {{pid}} #{STOP}", f"rt_sigqueueinfo {{pid}} #{STOP} {INFO}"]
)
def test_signal(call: str, way: tuple[str, str], arena: Arena) -> None:
    """Stop a process of the user outside the session."""
    pipe = subprocess.PIPE
    with subprocess.Popen(["cat"], stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True) as process:
        argv = command(arena, way, call.replace("{pid}", f"#{process.pid}"))
        try:
            arena.native(argv)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            process.send_signal(signal.SIGCONT)
            arena.confined(argv)
            assert arena.status == 0
            assert runs(process), arena.output
        finally:
            process.kill()


@X86
@pytest.mark.parametrize("name", ["fcntl", "fcntl64"])
def test_owner_of_a_descriptor(name: str, way: tuple[str, str], arena: Arena) -> None:
    """F_SETOWN_EX: whose it is lies in memory. Where Landlock holds the signal itself, that may be said."""
    argv = command(
        arena, way, "creat =own #0600", f"{name} $ #15 {words(struct.pack('=2i', 1, os.getpid()))}"
    )
    arena.native(argv)
    assert arena.output.split()[-1] == "0"
    arena.confined(argv)
    assert arena.output.split()[-1] == ("0" if arena.engine == "hybrid" else str(-errno.EPERM))


RACES = {
    "open": "string",
    "how": "how",
    "truncate": "string",
    "mkdir": "string",
    "chmod": "string",
}


@X86
@pytest.mark.race
@pytest.mark.parametrize("call", RACES)
def test_race(call: str, arena: Arena, programs: str) -> None:
    """A 32-bit program whose other thread changes what the call is about."""
    program = os.path.basename(narrow(programs, "race"))
    bad = f"{arena.outside}/planted" if call == "mkdir" else arena.victim
    argv = arena.program(program, RACES[call], call, "mine", bad)
    plant = call in ("open", "truncate", "chmod")
    arena.attempt(argv, arena.touched, prepare=(lambda: arena.plant("mine", "xxx")) if plant else None)


@X86
@pytest.mark.race
@pytest.mark.parametrize("call", ["stat", "lstat", "statx", "access", "getxattr", "held"])
def test_race_of_a_look_up(call: str, arena: Arena, programs: str) -> None:
    """The same for what only tells about a file, in the structures of 32-bit programs."""
    program = os.path.basename(narrow(programs, "race"))
    argv = arena.program(program, "string", call, "mine", "hole/kept")
    arena.attempt(argv, arena.told, rules=HIDDEN, prepare=lambda: prepare_looks(arena))
