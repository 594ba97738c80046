"""Ways out by terminals: those of others, in whatever way they are named."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator

import pytest

from tests.escapes.arena import SECRET, Arena


class Stranger:
    """A terminal of the same user, of no session: somebody else's shell.

    Attributes:
        master: descriptor of the end that its emulator has.
        name: of the other end.
    """

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.name = os.ttyname(self._slave)

    def shows(self) -> bool:
        """Whether somebody has written to it since it was last asked."""
        try:
            return b"out" in os.read(self.master, 100)
        except BlockingIOError:
            return False

    def is_private(self) -> bool:
        """Whether its mode is still the one that it began with."""
        return os.fstat(self._slave).st_mode & 0o777 == 0o600

    def typed(self) -> None:
        """Somebody types a password."""
        os.write(self.master, SECRET.encode())

    def close(self) -> None:
        """Both ends."""
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """A terminal of somebody else."""
    made = Stranger()
    os.chmod(made.name, 0o600)
    with contextlib.closing(made):
        yield made


WAYS = {
    "by name": "where = sys.argv[1]",
    "by a link": "os.symlink(sys.argv[1], 'link'); where = 'link'",
    "from its directory": "os.chdir('/dev/pts'); where = os.path.basename(sys.argv[1])",
    "by an O_PATH descriptor": "where = f'/proc/self/fd/{os.open(sys.argv[1], os.O_PATH)}'",
    "by the root of a process": "where = '/proc/self/root' + sys.argv[1]",
    "by /dev/fd": "where = f'/dev/fd/{os.open(sys.argv[1], os.O_PATH)}'",
    "with terminals of one's own": "ours = [os.openpty() for _ in range(3)]; where = sys.argv[1]",
    "with its number in one's own hands": """
number = int(os.path.basename(sys.argv[1]))
os.mkdir('pts'); open(f'pts/{number}', 'w').close(); open('ptmx', 'w').close(); kept = open('ptmx')
where = sys.argv[1]""",
}


@pytest.mark.parametrize("way", WAYS)
def test_writing_to_a_terminal_of_somebody_else(arena: Arena, stranger: Stranger, way: str) -> None:
    """Escape sequences, or a false prompt."""
    code = f"{WAYS[way]}\nfd = os.open(where, os.O_WRONLY | os.O_NOCTTY); os.write(fd, b'out')"
    arena.attempt(arena.python(code, stranger.name), stranger.shows)


@pytest.mark.parametrize("way", WAYS)
def test_reading_what_is_typed_for_somebody_else(arena: Arena, stranger: Stranger, way: str) -> None:
    """Passwords: who reads first has them."""
    code = f"""{WAYS[way]}
fd = os.open(where, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK); print(os.read(fd, 100).decode())"""
    arena.attempt(arena.python(code, stranger.name), arena.told, prepare=stranger.typed)


@pytest.mark.parametrize("flags", ["O_RDWR", "3"], ids=["both ways", "for ioctl alone"])
def test_pushing_input_to_somebody_else(arena: Arena, stranger: Stranger, flags: str) -> None:
    """What TIOCSTI types and TIOCSWINSZ changes needs a terminal that is open."""
    code = f"""
import fcntl, termios
fd = os.open(sys.argv[1], getattr(os, '{flags}', 3) | os.O_NOCTTY)
fcntl.ioctl(fd, termios.TIOCSWINSZ, b'\\x2a\\0' * 4)"""

    def resized() -> bool:
        size = fcntl.ioctl(stranger.master, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(stranger.master, termios.TIOCSWINSZ, bytes(8))
        rows: int = struct.unpack("4H", size)[0]
        return rows == 42

    arena.attempt(arena.python(code, stranger.name), resized)


def test_mode_of_a_terminal_of_somebody_else(arena: Arena, stranger: Stranger) -> None:
    """Other users may then write to it."""

    def opened() -> bool:
        private = stranger.is_private()
        os.chmod(stranger.name, 0o600)
        return not private

    arena.attempt(arena.python("os.chmod(sys.argv[1], 0o622)", stranger.name), opened)


@pytest.mark.race
def test_racing_for_a_terminal_of_somebody_else(arena: Arena, stranger: Stranger) -> None:
    """The path changes between a file of one's own and the stranger's terminal."""
    argv = arena.program("race", "string", "read", "mine", stranger.name)

    def prepare() -> None:
        arena.plant("mine", "x")
        stranger.typed()

    arena.attempt(argv, arena.told, prepare=prepare)


def test_a_number_that_comes_round(arena: Arena) -> None:
    """A terminal of the session's own ends; the next one of somebody else has its number.

    What was looked up before, and what the supervisor may remember, must not lead to the new one.
    """
    code = """
import time
master, slave = os.openpty()
name = os.ttyname(slave)
fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
kept = os.open(name, os.O_PATH)
for one in (fd, slave, master):
    os.close(one)
os.write(1, (name + '\\n').encode())
os.read(0, 1)
for where in (name, f'/proc/self/fd/{kept}'):
    try:
        os.write(os.open(where, os.O_WRONLY | os.O_NOCTTY), b'out')
    except OSError as error:
        print(error)
"""
    for confined in (False, True):
        argv = arena.python(code)
        if confined:
            argv = arena.launch(argv)
        with subprocess.Popen(
            argv, cwd=arena.work, env=arena.environment(0), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            name = process.stdout.readline().decode().strip()
            made: list[Stranger] = []
            try:
                while not made or made[-1].name != name:
                    assert len(made) < 100, f"nobody gets {name}"
                    made.append(Stranger())
                process.stdin.write(b"x")
                process.stdin.close()
                rest = process.stdout.read().decode()
                assert process.wait(30) == 0, rest
                assert made[-1].shows() is not confined, rest
            finally:
                for one in made:
                    one.close()


LEADER = """
import fcntl, os, select, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
pipe = subprocess.PIPE
with subprocess.Popen(['cat'], stdin=pipe, stdout=pipe, bufsize=0, process_group=0) as job:
    subprocess.run([*sys.argv[1:], str(job.pid)], process_group=0)
    job.stdin.write(b'x')
    while True:
        pid, status = os.waitpid(job.pid, os.WNOHANG | os.WUNTRACED)
        if pid:
            print('stopped')
            break
        if select.select([job.stdout], [], [], 0.01)[0]:
            print('runs')
            break
    job.kill()
"""


def test_stopping_another_job_of_the_shell(arena: Arena) -> None:
    """Who uses the terminal in the background is stopped, and with it the whole group that it has joined."""
    code = """
import signal, termios
signal.signal(signal.SIGTTOU, lambda number, frame: os._exit(0))
os.setpgid(0, int(sys.argv[1]))
terminal = os.open('/dev/tty', os.O_RDWR)
termios.tcsetattr(terminal, termios.TCSANOW, termios.tcgetattr(terminal))
"""
    attempt = arena.python(code)
    for argv, expected in ((attempt, "stopped"), (arena.launch(attempt), "runs")):
        master, slave = pty.openpty()
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", LEADER, *argv],
                cwd=arena.work,
                env=arena.environment(0),
                stdin=slave,
                capture_output=True,
                text=True,
                start_new_session=True,
                timeout=30,
                check=False,
            )
        finally:
            os.close(master)
            os.close(slave)
        assert done.stdout.split()[-1:] == [expected], done.stdout + done.stderr


@pytest.mark.root
@pytest.mark.parametrize("name", ["/dev/vda", "/dev/sda", "/dev/loop0", "/dev/tty1", "/dev/kmsg", "/dev/mem"])
def test_devices(arena: Arena, name: str) -> None:
    """Every file can be read past its file system; what is typed on the console."""
    try:
        os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError as error:
        pytest.skip(f"no {name} here: {error}")
    code = "os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY); print('the-private' + '-key')"
    arena.attempt(arena.python(code, name), arena.told)
