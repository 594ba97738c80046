"""A file system that does not answer holds up who asked it, and nobody else of the session.

FUSE, served by the test: under a path that is looked up, and under the page of memory with a path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest

from tests.support import launched
from tests.support.fuse import Fuse, mounted

pytestmark = pytest.mark.root

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 20

PROGRAM = """
import ctypes, mmap, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
what, where = sys.argv[1:]

def at_page(call):
    fd = os.open(where + "/page", os.O_RDONLY)
    memory = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE)
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    return lambda: (call(address), memory)[0]

def told(result):
    return f"{'done' if result >= 0 else os.strerror(ctypes.get_errno())}"

calls = {
    "page-open": lambda: at_page(lambda page: told(libc.open(page, os.O_RDONLY))),
    "page-denied": lambda: at_page(lambda page: told(libc.open(page, os.O_WRONLY))),
    "page-mkdir": lambda: at_page(lambda page: told(libc.mkdir(page, 0o700))),
    "page-rename": lambda: at_page(lambda page: told(libc.rename(page, b"moved"))),
    "page-chmod": lambda: at_page(lambda page: told(libc.chmod(page, 0o600))),
    "path-open": lambda: lambda: open(where + "/data").read().strip(),
    "path-stat": lambda: lambda: str(os.stat(where + "/data").st_size),
    "path-create": lambda: lambda: told(libc.creat((where + "/new").encode(), 0o600)),
    "path-chmod": lambda: lambda: told(libc.chmod((where + "/data").encode(), 0o600)),
    "path-link": lambda: lambda: open("link").read().strip(),
}
prepared = calls[what]()
print("ready", flush=True)
sys.stdin.readline()
child = os.fork()
if not child:
    print("result", prepared(), flush=True)
    os._exit(0)
for line in sys.stdin:
    word = line.strip()
    if word == "work":
        for number in range(20):
            with open(f"f{number}", "w") as file: file.write("x")
            os.chmod(f"f{number}", 0o600)
            os.rename(f"f{number}", f"g{number}")
            os.stat(f"g{number}")
        print("worked", flush=True)
    elif word == "kill":
        os.kill(child, signal.SIGKILL)
        print("killed", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        break
    elif word == "wait":
        os.waitpid(child, 0)
        break
"""


class Stage:
    """A work directory with a file system below it, and a program in a session."""

    def __init__(self, engine: str, root: str, fuse: Fuse) -> None:
        self.engine = engine
        self.root = root
        self.work = f"{root}/work"
        self.fuse = fuse

    @contextlib.contextmanager
    def start(self, what: str, *, confined: bool = True) -> Iterator[subprocess.Popen[str]]:
        """Run PROGRAM, which has said that it is ready."""
        argv = [sys.executable, "-I", "-S", "-c", PROGRAM, what, self.fuse.path]
        rules = [f"deny stat {self.root}/secret", f"allow write {self.fuse.path}/**"]
        if confined:
            launch = [sys.executable, "-P", "-m", "sydctl", "launch", "build", "--engine", self.engine]
            argv = [*launch, *(word for rule in rules for word in ("--rule", rule)), "--", *argv]
        with subprocess.Popen(
            argv,
            cwd=self.work,
            env={"PATH": os.environ["PATH"], "HOME": self.root, "PYTHONPATH": ROOT, "TMPDIR": self.root},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert hear(process) == "ready"
                yield process
            finally:
                launched.end(process)


@pytest.fixture(params=["hybrid", "supervisor"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One for each engine."""
    root = os.path.realpath(tempfile.mkdtemp(prefix="stall-"))
    try:
        for name in ("work", "remote", "work/directory"):
            os.mkdir(f"{root}/{name}")
        for name in ("work/mine", "victim"):
            with open(f"{root}/{name}", "w", encoding="ascii"):
                pass
        os.symlink(f"{root}/remote/data", f"{root}/work/link")
        page = {
            "page-open": f"{root}/work/mine",
            "page-denied": f"{root}/victim",
            "page-mkdir": "new",
            "page-rename": "directory",
            "page-chmod": "mine",
        }.get(request.node.callspec.params.get("what", ""), "mine")
        with mounted(f"{root}/remote", page.encode().ljust(4096, b"\0"), b"the data\n") as fuse:
            yield Stage(request.param, root, fuse)
    finally:
        shutil.rmtree(root)


def hear(process: subprocess.Popen[str]) -> str:
    """The next line that a program says."""
    assert process.stdout is not None
    line = process.stdout.readline().rstrip("\n")
    if not line:
        assert process.stderr is not None
        pytest.fail(f"the program has ended: {process.stderr.read()}")
    return line


def say(process: subprocess.Popen[str], text: str) -> None:
    """Say something to it."""
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def below(pid: int) -> list[int]:
    """The processes below one."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                for child in map(int, file.read().split()):
                    found += [child, *below(child)]
    return found


CASES = {
    "page-open": ("READ", "done"),
    "page-denied": ("READ", "Permission denied"),
    "page-mkdir": ("READ", "done"),
    "page-chmod": ("READ", "done"),
    "path-open": ("LOOKUP", "the data"),
    "path-stat": ("GETATTR", "9"),
    "path-create": ("LOOKUP", "Function not implemented"),
    "path-chmod": ("LOOKUP", "Function not implemented"),
    "path-link": ("LOOKUP", "the data"),
}
"""By call: what is not answered, and what the call comes to."""

SHORT = ("page-open", "path-open")


@pytest.mark.parametrize(
    "what", [what if what in SHORT else pytest.param(what, marks=pytest.mark.slow) for what in CASES]
)
def test_only_the_caller_waits(stage: Stage, what: str) -> None:
    """While one call waits for an answer, others are judged and performed; then it has its native result."""
    operation, result = CASES[what]
    with stage.start(what) as process:
        stage.fuse.hold(operation)
        say(process, "go")
        assert stage.fuse.held() == operation
        say(process, "work")
        assert hear(process) == "worked"
        stage.fuse.answer()
        assert hear(process) == f"result {result}"
        say(process, "wait")
        assert process.wait(PATIENCE) == 0
    if what == "page-denied":
        return
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(f"{stage.work}/new")
    with stage.start(what, confined=False) as process:
        say(process, "go")
        assert hear(process) == f"result {result}"
        say(process, "wait")
        assert process.wait(PATIENCE) == 0


@pytest.mark.slow
@pytest.mark.parametrize("what", ["page-rename"])
def test_directories_are_moved_by_one_alone(stage: Stage, what: str) -> None:
    """Without Landlock by the worker: what it judged to be a file must not become a directory meanwhile."""
    result = "done" if stage.engine == "hybrid" else os.strerror(errno.EXDEV)
    with stage.start(what) as process:
        stage.fuse.hold("READ")
        say(process, "go")
        assert stage.fuse.held() == "READ"
        say(process, "work")
        assert hear(process) == "worked"
        stage.fuse.answer()
        assert hear(process) == f"result {result}"
        say(process, "wait")
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("what", ["page-open", "path-open"])
def test_a_caller_that_is_killed_leaves_nothing(stage: Stage, what: str) -> None:
    """It ends at once, and so does who waited in its place, as soon as the kernel lets it."""
    operation, _ = CASES[what]
    with stage.start(what) as process:
        stage.fuse.hold(operation)
        say(process, "go")
        assert stage.fuse.held() == operation
        # The supervisor, the program, the caller and its stand-in; earlier ones are collected by and by.
        deadline = time.monotonic() + PATIENCE
        while len(found := below(process.pid)) != 4:
            assert time.monotonic() < deadline, found
        say(process, "kill")
        assert hear(process) == f"killed {-signal.SIGKILL}"
        assert process.wait(PATIENCE) == 0
        if operation == "LOOKUP":  # whose stand-in no signal ends
            stage.fuse.answer()
        deadline = time.monotonic() + PATIENCE
        while left := _of(stage.root):
            assert time.monotonic() < deadline, left


def _of(root: str) -> list[str]:
    """What processes there are whose arguments name a directory."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            if any(root.encode() in word for word in words) and b"tests.support.fuse" not in words:
                found.append(pid)
    return found
