"""Terminals of a session's own: those that it has from the launch, and those that it makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.session.conftest import Session, Terminal

Terminals = Callable[[list[str]], Terminal]
ENGINES = pytest.mark.parametrize("engine", ["hybrid", "supervisor"])

PRELUDE = """
import os, pty, subprocess, sys, tty
def opens(name, *flags):
    for flag in flags or (os.O_RDWR, os.O_RDONLY, os.O_WRONLY):
        fd = os.open(name, flag | os.O_NOCTTY)
        assert os.isatty(fd) and os.ttyname(fd) == os.ttyname(fd), name
        os.close(fd)
def inside(code, *words, **how):
    prelude = 'import os, sys\\ndef opens(name):\\n    os.close(os.open(name, os.O_RDWR | os.O_NOCTTY))\\n'
    subprocess.run([sys.executable, '-c', prelude + code, *words], check=True, **how)
"""

SCRIPTS = {
    "by name": """
master, slave = os.openpty()
opens(os.ttyname(slave))
opens(f'/dev/fd/{slave}')
opens(f'/proc/self/fd/{slave}')
opens(f'/proc/{os.getpid()}/fd/{slave}')
""",
    "both directions": """
master, slave = os.openpty()
tty.setraw(slave)
fd = os.open(os.ttyname(slave), os.O_RDWR | os.O_NOCTTY)
os.write(fd, b'there')
assert os.read(master, 9) == b'there'
os.write(master, b'back')
assert os.read(fd, 9) == b'back'
""",
    "metadata": """
master, slave = os.openpty()
name = os.ttyname(slave)
os.fchmod(slave, 0o600)
os.chmod(name, 0o620)
os.chown(name, os.getuid(), -1)
os.fchown(slave, -1, os.getgid())
os.utime(slave)
assert os.stat(name).st_mode & 0o777 == 0o620
""",
    "by a child": """
master, slave = os.openpty()
inside('opens(sys.argv[1])', os.ttyname(slave))
inside('opens("/dev/stdin"); opens("/dev/stderr")', stdin=slave, stderr=slave)
""",
    "of a process beside": """
master, slave = os.openpty()
name = os.ttyname(slave)
reader, writer = os.pipe()
holder = subprocess.Popen(['cat'], stdin=reader, pass_fds=[master])
for fd in (master, slave, reader):
    os.close(fd)
opens(name)
os.close(writer)
assert holder.wait() == 0
try:
    opens(name)
except FileNotFoundError:
    pass
""",
    "many": """
pairs = [os.openpty() for _ in range(40)]
for master, slave in pairs[::2]:
    os.close(slave)
    os.close(master)
for master, slave in pairs[1::2]:
    opens(os.ttyname(slave))
""",
    "spawn": """
shell = 'test -t 0 && echo told > $(tty) && echo all > /dev/tty && echo said > /dev/stderr'
assert pty.spawn(['sh', '-c', shell]) == 0
""",
    "by a thread": """
import threading
found = []
def run():
    master, slave = os.openpty()
    opens(os.ttyname(slave))
    found.append(True)
thread = threading.Thread(target=run)
thread.start()
thread.join()
assert found
""",
}


@ENGINES
@pytest.mark.parametrize("name", SCRIPTS)
def test_made(session: Session, name: str, engine: str) -> None:
    """What programs do with terminals that they make."""
    done = session.run("python3", "-c", PRELUDE + SCRIPTS[name], options=("--engine", engine))
    assert (done.returncode, done.stderr) == (0, "")


@ENGINES
def test_of_the_launch(session: Session, terminal: Terminals, engine: str) -> None:
    """It can be opened by each of its names, and its mode can be set."""
    code = """
for name in (os.ttyname(0), '/dev/tty', '/dev/stdin'):
    opens(name)
os.fchmod(0, 0o620)
print('do' + 'ne')
"""
    shown = terminal(session.command("python3", "-c", PRELUDE + code, options=("--engine", engine)))
    shown.expect("done")
    assert shown.process.wait(30) == 0


@ENGINES
def test_the_controlling_one_alone(session: Session, terminal: Terminals, engine: str) -> None:
    """Also where no descriptor of the launch leads to it: passwords are asked for there."""
    launch = session.command(
        "sh", "-c", "echo asked > /dev/tty; echo named > $1", "sh", "$(tty)", options=("--engine", engine)
    )
    words = " ".join(f"'{word}'" if "$(" not in word else word for word in launch)
    shown = terminal(["sh", "-c", f"{words} < /dev/null > out 2>&1; echo status $?"])
    shown.expect("asked")
    shown.expect("named")
    shown.expect("status 0")


def test_of_the_launch_in_a_nested_session(session: Session, terminal: Terminals) -> None:
    """Landlock alone decides there, and grants it by its inode."""
    rule = ("--rule", "allow attributes /**")
    inner = session.command("sh", "-c", "echo told > $(tty); echo said > /dev/stderr", options=rule)
    shown = terminal(session.command(*inner))
    shown.expect("told")
    shown.expect("said")
    assert shown.process.wait(30) == 0
