"""Limits of a session without a control group: by setrlimit(2), seen by a process that has them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable

from sydd.policy.sessionlimits import SessionLimits
from sydd.session.limits import process_limits, tasks_of
from tests.support.unprivileged import Unprivileged


def limited(limits: SessionLimits, uid: int) -> Callable[[], None]:
    """Sets them in a child."""
    wanted = process_limits(limits, uid)

    def apply() -> None:
        for which, soft, hard in wanted:
            resource.setrlimit(which, (soft, hard))

    return apply


def test_memory_is_what_a_process_uses() -> None:
    """What is reserved does not count; what is used does."""
    code = "import mmap; mmap.mmap(-1, 1 << 32, prot=0); print('reserved'); bytearray(1 << 28)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=limited(SessionLimits(memory=128 << 20), os.getuid()),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.stdout == "reserved\n"
    assert result.stderr.splitlines()[-1] == "MemoryError"


def test_nothing_said() -> None:
    """No limits."""
    assert process_limits(SessionLimits(), 0) == ()
    assert process_limits(SessionLimits(processes=-1, memory=-1, time=9), 0) == ()


def test_processes_come_on_top(unprivileged: Unprivileged) -> None:
    """What the user runs already is added."""
    code = """\
import os, threading
threading.Thread(target=os.read, args=(0, 1)).start()
print("x", flush=True)
os.read(0, 1)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **unprivileged.identity(),
    ) as process:
        assert process.stdout
        process.stdout.read(1)
        (limit,) = process_limits(SessionLimits(processes=10), unprivileged.uid)
        assert limit[0] == resource.RLIMIT_NPROC
        assert limit[1] == limit[2] >= 12
        assert tasks_of(unprivileged.uid) >= 2
        process.kill()


def launch(unprivileged: Unprivileged, limits: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command under a profile with limits, without a daemon."""
    with open(os.path.join(unprivileged.home, "limited.toml"), "w", encoding="ascii") as file:
        file.write(f'extends = "permissive"\n[limits]\n{limits}\n')
    words = [
        sys.executable,
        "-m",
        "sydctl",
        "launch",
        "--embedded",
        "./limited.toml",
        "--",
        "sh",
        "-c",
        command,
    ]
    return unprivileged.run(words, env={"PYTHONPATH": os.getcwd()})


def test_time(unprivileged: Unprivileged) -> None:
    """What lasts longer is ended, background processes too, and that is said."""
    result = launch(unprivileged, "time = 1", "(sleep 1000 &) ; echo on; sleep 1000; echo off")
    assert (result.returncode, result.stdout) == (125, "on\n")
    assert "the session lasted longer than the 1 s that its profile allows" in result.stderr


def test_no_time_is_lost(unprivileged: Unprivileged) -> None:
    """What is in time is not ended."""
    result = launch(unprivileged, 'time = "1h"', "echo done")
    assert (result.returncode, result.stdout) == (0, "done\n")


def test_memory_of_a_session(unprivileged: Unprivileged) -> None:
    """A process gets no more, and that goes on; the lower of two limits on one thing holds."""
    code = f"{sys.executable} -c 'bytearray(1 << 28)' 2>&1 | tail -1; ulimit -d"
    within = f"{sys.executable} -c 'print(len(bytearray(80 << 20)))'"
    result = launch(unprivileged, 'memory = "128M"\ndata = "1G"', f"{code}; {within}")
    assert result.stdout == f"MemoryError\n131072\n{80 << 20}\n"


def test_address_space_of_a_process(unprivileged: Unprivileged) -> None:
    """What is only reserved counts, as does what processes share."""
    code = f"{sys.executable} -c 'import mmap; mmap.mmap(-1, SIZE); print(SIZE)' 2>&1 | tail -1"
    for_each = "; ".join(code.replace("SIZE", str(size)) for size in (1 << 28, 1 << 31))
    result = launch(unprivileged, 'as = "1G"', for_each)
    assert result.stdout == f"{1 << 28}\nOSError: [Errno 12] Cannot allocate memory\n"


def test_processes_of_a_session(unprivileged: Unprivileged) -> None:
    """A fork beyond them fails, but for root."""
    code = """import os
reader, writer = os.pipe()
for _ in range(200):
    if not os.fork():
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
"""
    result = launch(unprivileged, "processes = 20", f"{sys.executable} -c '{code}'")
    assert "BlockingIOError" in result.stderr
