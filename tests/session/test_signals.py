"""Signals and the terminal: what is sent to sydctl reaches the command once, and job control is native."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.session.conftest import PATIENCE, Session, Terminal, state_of

Terminals = Callable[[list[str]], Terminal]

COUNTER = """
import os, signal, sys
counts = {}
def count(number, frame):
    counts[number] = counts.get(number, 0) + 1
    os.write(1, f"got {signal.Signals(number).name} {counts[number]}\\n".encode())
    if number == signal.SIGUSR2:
        sys.exit(sum(counts.values()))
for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "CONT"):
    signal.signal(signal.Signals["SIG" + name], count)
os.write(1, f"ready {os.getpid()} {os.getpgrp()}\\n".encode())
while True:
    signal.pause()
"""


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1", "CONT"])
def test_a_signal_is_passed_on(session: Session, name: str) -> None:
    """What somebody sends to sydctl alone reaches the command, once."""
    number = signal.Signals[f"SIG{name}"]
    with session.start("python3", "-c", COUNTER) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("ready")
        process.send_signal(number)
        assert process.stdout.readline() == f"got SIG{name} 1\n"
        process.send_signal(signal.SIGUSR2)
        assert process.stdout.readline() == "got SIGUSR2 1\n"
        assert process.wait(PATIENCE) == 2


def test_a_command_that_ends_by_the_signal(session: Session) -> None:
    """Its death is the status, and what it left is ended, too."""
    script = "sh -c 'echo child $$; exec sleep 1000' & echo ready $$; exec sleep 1000"
    with session.start("sh", "-c", script) as process:
        assert process.stdout
        lines = sorted([process.stdout.readline(), process.stdout.readline()])
        child = os.pidfd_open(int(lines[0].split()[1]))
        try:
            process.terminate()
            assert process.wait(PATIENCE) == 128 + signal.SIGTERM
            assert select.select([child], [], [], PATIENCE)[0] == [child]
        finally:
            os.close(child)


def test_signals_to_a_session_without_its_command(session: Session) -> None:
    """A daemon that goes on keeps the session open; a signal to sydctl ends it."""
    # It speaks when the command is gone, collected and all.
    script = "(while kill -0 $$ 2>&-; do sleep 0.01; done; echo daemon; exec sleep 1000) & exit 6"
    with session.start("sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.readline() == "daemon\n"
        process.terminate()
        assert process.wait(PATIENCE) == 6


def test_ctrl_c_reaches_the_command_once(session: Session, terminal: Terminals) -> None:
    """The terminal sends it to the whole group, so sydctl must not send it again."""
    tty = terminal(session.command("python3", "-c", COUNTER))
    tty.expect("ready")
    tty.type("\x03")
    tty.expect("got SIGINT 1")
    tty.type("\x1c")
    tty.expect("got SIGQUIT 1")
    # What is sent to sydctl is passed on in its order: after this, nothing earlier is still to come.
    os.kill(tty.process.pid, signal.SIGUSR2)
    assert "SIGINT 2" not in tty.expect("got SIGUSR2 1")
    assert tty.process.wait(PATIENCE) == 3


def test_ctrl_c_ends_a_command(session: Session, terminal: Terminals) -> None:
    """128+2, and sydctl itself says nothing."""
    tty = terminal(session.command("sh", "-c", "echo ready; exec sleep 1000"))
    tty.expect("ready")
    tty.type("\x03")
    assert tty.process.wait(PATIENCE) == 128 + signal.SIGINT
    assert tty.text.replace("^C", "").strip() == ""


@pytest.fixture
def shell(session: Session, terminal: Terminals) -> Terminal:
    """An interactive shell with job control."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash for job control")
    tty = terminal([bash, "--norc", "--noprofile", "-i"])
    tty.type("PS1=; echo be''gin\n")
    tty.expect("begin\r\n")
    return tty


def pids(tty: Terminal, text: str) -> tuple[int, int]:
    """The command, and sydctl above it, from the line that begins with *text*."""
    tty.expect(f"{text} ")
    found = tty.expect("\r\n").split()
    return int(found[0]), int(found[1])


def line(session: Session, script: str) -> str:
    """What to type to launch a script."""
    assert "'" not in script
    return " ".join([*session.command("sh", "-c", f"'{script}'")])


def test_ctrl_z_and_fg(session: Session, shell: Terminal) -> None:
    """Both stop, the shell above notices, and fg continues both; what is typed reaches the command."""
    shell.type(
        line(session, "echo rea``dy $$ $PPID; read word; echo said $word; exit 9") + "; echo status $?\n"
    )
    command, above = pids(shell, "ready")
    shell.type("\x1a")
    shell.expect("Stopped")
    assert (state_of(command), state_of(above)) == ("T", "T")
    shell.type("fg\n")
    shell.type("hello\n")
    shell.expect("said hello")
    shell.type("echo sta''tus $?\n")
    shell.expect("status 9")


def test_in_the_background(session: Session, shell: Terminal) -> None:
    """A command that reads from the terminal in the background stops, and goes on in the foreground."""
    shell.type(line(session, "echo rea``dy $$ $PPID; read word; echo said $word; exit 9") + " &\n")
    command, above = pids(shell, "ready")
    reader = os.pidfd_open(above)
    try:
        shell.type("wait -n; jobs\n")
        shell.expect("Stopped")
        assert (state_of(command), state_of(above)) == ("T", "T")
        shell.type("fg\n")
        shell.expect("sydctl")
        shell.type("hello\n")
        shell.expect("said hello")
        assert select.select([reader], [], [], PATIENCE)[0] == [reader]
        shell.type("echo sta''tus $?\n")
        shell.expect("status 9")
    finally:
        os.close(reader)


def test_the_foreground_is_the_commands(session: Session, terminal: Terminals) -> None:
    """The command is in sydctl's process group, the terminal's foreground one: nothing stands between."""
    tty = terminal(
        session.command("python3", "-c", "import os; print('groups', os.tcgetpgrp(0), os.getpgrp())")
    )
    found = re.search(r"groups (\d+) (\d+)", tty.expect("groups") + tty.expect("\r\n"))
    assert found
    assert found[1] == found[2] == str(tty.process.pid)
    assert tty.process.wait(PATIENCE) == 0


def test_a_supervisor_that_is_told_to_end_while_stopped(session: Session) -> None:
    """SIGTERM and SIGCONT end a stopped session as they end a stopped program."""
    with session.start("sh", "-c", "echo ready $$; kill -STOP $$; exec sleep 1000") as process:
        assert process.stdout
        process.stdout.readline()
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        process.terminate()
        process.send_signal(signal.SIGCONT)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_two_sessions_do_not_know_each_other(session: Session) -> None:
    """A signal scope holds the command: it cannot end what is outside, though that is the same user's."""
    with subprocess.Popen(["sleep", "1000"], **session.user.identity()) as other:
        try:
            done = session.run("sh", "-c", f"kill -TERM {other.pid}")
            assert done.returncode != 0
            assert other.poll() is None
        finally:
            other.kill()


IGNORING = """
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_ends_of_children_ignored(session: Session) -> None:
    """Who launches may ignore SIGCHLD, as some daemons do: the session ends, the command inherits it."""
    code = """
print(next(line.split()[1] for line in open('/proc/self/status') if 'SigIgn' in line))
raise SystemExit(3)
"""
    done = subprocess.run(
        [sys.executable, "-c", IGNORING, *session.command(sys.executable, "-I", "-S", "-c", code)],
        cwd=session.work,
        env=session.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        **session.user.identity(),
    )
    assert done.returncode == 3, done.stderr
    assert int(done.stdout, 16) >> signal.SIGCHLD - 1 & 1
