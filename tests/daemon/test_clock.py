"""The clock of the day jumps while sessions run: what is timed is not.

No process may set the machine's clock here, and time namespaces have no clock of the day of their own. So the
daemon and its workers get one that the test sets: a library that is loaded before the C library.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sydd.syscalls.table import native
from tests.daemon.people import Person
from tests.support.compiler import compile_for
from tests.support.daemon import running, until

pytestmark = pytest.mark.slow

YEAR = 365 * 86400

SOURCE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *shift;

__attribute__((constructor)) static void begin(void) {
    int fd = open(getenv("CLOCK"), O_RDONLY | O_CLOEXEC);
    shift = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    unsetenv("LD_PRELOAD");
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    long result = syscall(SYS_clock_gettime, clock, at);
    if (!result && clock == CLOCK_REALTIME) at->tv_sec += *shift;
    return (int)result;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *at, void *zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


class Clock:
    """The daemon's clock of the day.

    Args:
        directory: for the library and the memory that has the shift; everybody may look into it.
    """

    def __init__(self, directory: str) -> None:
        source = Path(directory, "clock.c")
        source.write_text(SOURCE, encoding="ascii")
        library = compile_for(native(), str(source), f"{directory}/clock.so", "-shared", "-fPIC")
        path = Path(directory, "shift")
        path.write_bytes(bytes(8))
        path.chmod(0o644)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": library, "CLOCK": str(path)}

    def jump(self, seconds: int) -> None:
        """Have it so far from the machine's."""
        struct.pack_into("q", self._memory, 0, seconds)

    def close(self) -> None:
        """Close the memory."""
        self._memory.close()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock."""
    with tempfile.TemporaryDirectory(prefix="clock-") as directory:
        os.chmod(directory, 0o755)
        made = Clock(directory)
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("jump", [10 * YEAR, -10 * YEAR])
def test_a_build_does_not_notice(clock: Clock, person: Person, jump: int) -> None:
    """Its time limit, a question that waits, events and its end are as if nothing had happened."""
    home = os.path.realpath(person.home)
    Path(home, "secret").write_text("the secret\n", encoding="ascii")
    Path(home, "p.toml").write_text(
        f'extends = "build"\nrules = ["ask read {home}/secret"]\n[limits]\ntime = 600\nask_timeout = 600\n',
        encoding="ascii",
    )
    script = "echo on; read line; touch /etc/never; cat secret"
    with running(environment=clock.environment) as daemon, daemon.client() as client:
        began = time.monotonic()
        process = person.sydctl(["launch", "--daemon", "./p.toml", "--", "sh", "-c", script], daemon.socket)
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            clock.jump(jump)
            process.stdin.write("\n")
            process.stdin.flush()
            until(lambda: list(client.questions(follow=False)), "it asks")
            (question,) = client.questions(follow=False)
            assert abs(question["asked"] - time.time() - jump) < YEAR  # it is the daemon's clock that jumped
            clock.jump(-jump)
            beside = person.launch(["--daemon", "build", "--", "true"], daemon.socket)
            assert (beside.returncode, beside.stderr) == (0, "")
            assert [one["question"] for one in client.questions(follow=False)] == [question["question"]]
            client.decide(question["question"], allow=True)
            out, err = process.communicate(timeout=30)
        took = time.monotonic() - began
        assert (process.returncode, out) == (0, "the secret\n"), err
        assert "1 access denied" in err
        until(lambda: not client.list_sessions(), "they have ended")
        ended = client.list_sessions(ended=True)
        assert [one["profile"] for one in ended] == ["p", "build"]  # the oldest is the first
        assert all(0 < client.wait(one["session"])["seconds"] <= took for one in ended)
        positions = [notice["position"] for notice in client.subscribe(position=0, follow=False)]
        assert positions == sorted(positions)
        assert client.health()["healthy"]
        assert "Traceback" not in daemon.text()


def test_what_is_over_is_over(clock: Clock, person: Person) -> None:
    """Limits come when they are due, by the clock that nobody sets."""
    Path(person.home, "short.toml").write_text('extends = "build"\n[limits]\ntime = 2\n', encoding="ascii")
    with running(environment=clock.environment) as daemon:
        process = person.sydctl(
            ["launch", "--daemon", "./short.toml", "--", "sh", "-c", "echo on; sleep 1000"], daemon.socket
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            clock.jump(-10 * YEAR)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 125
        assert "the session lasted longer than the 2 s that its profile allows" in err
