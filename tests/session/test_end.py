"""How a session ends: the command's own exit status, and not before the last process has gone."""

from __future__ import annotations

import os
import signal

import pytest

from tests.session.conftest import Session

DEADLY = ("INT", "QUIT", "ILL", "ABRT", "FPE", "SEGV", "PIPE", "ALRM", "TERM")


@pytest.mark.parametrize("status", [0, 1, 3, 77, 125, 255])
def test_the_commands_own_status(session: Session, status: int) -> None:
    """Whatever the command exits with is what sydctl exits with."""
    assert session.run("sh", "-c", f"exit {status}").returncode == status


@pytest.mark.parametrize("name", DEADLY)
def test_death_by_a_signal(session: Session, helpers: dict[str, str], name: str) -> None:
    """128+N, from plain, static, forked and threaded programs."""
    number = signal.Signals[f"SIG{name}"]
    for program in (["dynamic", "plain"], ["static", "plain"], ["dynamic", "fork"], ["static", "thread"]):
        done = session.run(helpers[program[0]], program[1], str(int(number)))
        assert (done.returncode, done.stderr) == (128 + number, ""), program


def test_a_killed_command(session: Session) -> None:
    """SIGKILL is a signal like any other."""
    assert session.run("sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_the_eldest_decides(session: Session) -> None:
    """A child that fails, also later than the command, does not change the status."""
    assert session.run("sh", "-c", "(exit 9); sh -c 'exit 8' & exit 4").returncode == 4


def test_a_double_forked_daemon_is_waited_for(session: Session) -> None:
    """The session ends with its last process, and the status is still the command's."""
    script = (
        "import os, sys\n"
        "reader, writer = os.pipe()\n"
        "if os.fork(): os._exit(5)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.close(writer)\n"
        "os.read(reader, 1)\n"  # until both ancestors have gone, and with them the other end
        "open('late', 'w').write('done')\n"
    )
    done = session.run("python3", "-c", script)
    assert done.returncode == 5, done.stderr
    with open(f"{session.work}/late", encoding="ascii") as file:
        assert file.read() == "done"


def test_sigchld_is_the_commands_own(session: Session) -> None:
    """Being subreaper takes no child away from the one that waits for it."""
    script = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])\n"
        "pid = os.fork()\n"
        "if not pid: os._exit(6)\n"
        "info = signal.sigtimedwait([signal.SIGCHLD], 20)\n"
        "assert (info.si_pid, info.si_status) == (pid, 6), info\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 6\n"
    )
    done = session.run("python3", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_orphan_leaves_no_zombie(session: Session) -> None:
    """What is reparented to the supervisor is reaped by it while the session goes on."""
    script = (
        "import os, select\n"
        "reader, writer = os.pipe()\n"
        "if not os.fork():\n"
        "    orphan = os.fork()\n"
        "    if not orphan: os.read(reader, 1); os._exit(0)\n"
        "    os.write(1, b'%d\\n' % orphan); os._exit(0)\n"
        "os.wait()\n"
        "orphan = int(open('pid').read())\n"
        "fd = os.pidfd_open(orphan)\n"
        "os.write(writer, b'x')\n"
        "poll = select.poll(); poll.register(fd, select.POLLHUP | select.POLLIN)\n"
        "while True:\n"
        "    try: os.kill(orphan, 0)\n"
        "    except ProcessLookupError: break\n"  # POLLHUP comes when it is reaped, since Linux 6.11
        "    poll.poll(1000)\n"
    ).replace("os.write(1, b'%d\\n' % orphan)", "open('pid', 'w').write(str(orphan))")
    done = session.run("python3", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "content", "mode", "status", "message"),
    [
        ("missing", None, 0, 127, "No such file or directory"),
        ("plain", "#!/bin/sh\n", 0o644, 126, "Permission denied"),
        ("no-interpreter", "#!/nonexistent/sh\n", 0o755, 127, "interpreter is missing"),
        ("directory", "", 0o755, 126, "Permission denied"),
    ],
)
def test_what_cannot_be_executed(
    session: Session, name: str, content: str | None, mode: int, status: int, message: str
) -> None:
    """127 for what is not there, 126 for what is no program, each with one line that says so."""
    if name == "directory":
        os.mkdir(f"{session.work}/{name}", mode)
    elif content is not None:
        session.write(name, content, mode)
    done = session.run(f"./{name}")
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_that_is_not_in_path(session: Session) -> None:
    """127, as from a shell."""
    done = session.run("no-such-command-here")
    assert (done.returncode, done.stderr.count("\n")) == (127, 1)
    assert "command not found" in done.stderr


def test_a_script_without_an_interpreter_line(session: Session) -> None:
    """ENOEXEC: the shell reads it, as execvp(3) does."""
    session.write("script", "exit $1\n", 0o755)
    assert session.run("./script", "11").returncode == 11


@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
def test_the_first_exec_is_not_judged_and_the_next_one_is(session: Session, engine: str) -> None:
    """The launch itself is no access of the command's."""
    rule = ("--rule", "deny exec /usr/bin/env", "--engine", engine)
    assert session.run("env", options=rule).returncode == 0
    assert session.run("sh", "-c", "exec env", options=rule).returncode == 126


def test_the_private_directory_is_gone_afterwards(session: Session) -> None:
    """With all that is in it, also what was left without permissions."""
    done = session.run(
        "sh",
        "-c",
        'cd "$TMPDIR"; mkdir -p a/b c/d; echo x > a/b/f; ln -s / root; ln -s a link; touch c/d/g;'
        " chmod 000 a/b c/d c a; pwd -P",
    )
    assert done.returncode == 0
    assert not os.path.lexists(done.stdout.strip())
    assert [name for name in os.listdir(session.home) if name.startswith("sydd-")] == []
