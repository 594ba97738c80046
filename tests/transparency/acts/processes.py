"""Processes: how they begin, what they see of themselves, how they end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import termios
import threading
import time

from tests.transparency.acts.tell import (
    LIBC,
    asleep,
    attempt,
    child,
    ended,
    opened,
    raw,
    read,
    say,
    tried,
    write,
)


def ends() -> None:
    """By status and by signal."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for status in (0, 1, 7, 127, 255):
        ended(child(os._exit, status))
    for name in ("INT", "QUIT", "ILL", "ABRT", "FPE", "SEGV", "PIPE", "ALRM", "TERM", "KILL", "SYS", "BUS"):

        def die(name: str = name) -> None:
            number = signal.Signals[f"SIG{name}"]
            if name != "KILL":
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        ended(child(die))


def spawned() -> None:
    """posix_spawn (vfork inside) with file actions, groups and masks."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, "out", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o640),
        (os.POSIX_SPAWN_DUP2, 1, 2),
        (os.POSIX_SPAWN_CLOSE, 0),
    ]
    pid = os.posix_spawn(
        "/bin/sh", ["sh", "-c", "echo spawned; ls /proc/self/fd | wc -l; exit 3"], {}, file_actions=actions
    )
    ended(pid)
    say(read("out"))
    attempt("missing", os.posix_spawn, "missing", ["x"], {})
    wrong = [(os.POSIX_SPAWN_OPEN, 1, "missing/out", os.O_WRONLY, 0)]
    attempt("wrong action", os.posix_spawn, "/bin/true", ["x"], {}, file_actions=wrong)
    ended(
        os.posix_spawn("/bin/sh", ["sh", "-c", "kill -TERM $$"], {}, setpgroup=0, setsigdef=[signal.SIGTERM])
    )


def executed() -> None:
    """Programs, scripts, what is neither; by path, by descriptor."""
    write("script", '#!/bin/sh\necho script "$0" "$@"\n')
    write("nested", "#!./script given\n")
    write("missing-interpreter", "#!/nowhere/at/all\n")
    write("no-format", "neither nor\n")
    write("empty", "")
    write("not-executable", "#!/bin/sh\n")
    os.mkdir("directory")
    os.symlink("script", "link")
    os.symlink("self", "self")
    for name in ("script", "nested", "missing-interpreter", "no-format", "empty"):
        os.chmod(name, 0o755)
    for name in (
        "script",
        "nested",
        "missing-interpreter",
        "no-format",
        "empty",
        "not-executable",
        "directory",
        "link",
        "self",
        "missing",
        "script/",
        "",
        "n" * 256,
    ):

        def run(name: str = name) -> None:
            attempt(f"exec {name[:9]}", os.execve, f"./{name}" if name else "", [name, "argument"], {})

        ended(child(run))
    fd = os.open("/bin/true", os.O_PATH)
    ended(child(lambda: os.execve(fd, ["true"], {})))
    script = os.open("script", os.O_RDONLY)
    os.set_inheritable(script, True)

    def by_descriptor() -> None:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)  # it says its number
        os.execve(script, ["x"], {})

    ended(child(by_descriptor))
    fd = os.open("script", os.O_WRONLY)
    attempt("busy", os.posix_spawn, "./script", ["x"], {})
    running = os.path.realpath("/proc/self/exe")
    say(tried(running, os.O_WRONLY))


def own_names() -> None:
    """A process names itself and its threads, and says that it may go first when memory is short."""

    def inside(number: str) -> None:
        names = ("self/comm", "thread-self/comm", f"self/task/{number}/comm", f"{os.getpid()}/comm")
        for count, name in enumerate(names):
            with open(f"/proc/{name}", "w", encoding="ascii") as file:
                file.write(f"{count} with more than fifteen\n")
            with open("/proc/thread-self/comm", encoding="ascii") as file:
                say(file.read().strip())

    inside(str(threading.get_native_id()))
    thread = threading.Thread(target=lambda: inside(str(threading.get_native_id())))
    thread.start()
    thread.join()
    for score in ("300", "1001", "rubbish"):
        fd = opened("score", "/proc/self/oom_score_adj", os.O_WRONLY | os.O_TRUNC)
        attempt(score, os.write, fd, score.encode())
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        say(file.read())


def itself() -> None:
    """What a process sees of itself in /proc."""
    say(os.readlink("/proc/self") == str(os.getpid()), os.readlink("/proc/self/cwd") == os.getcwd())
    say(os.readlink("/proc/self/root"), os.readlink("/proc/self/exe") == os.path.realpath(sys.executable))
    say(
        os.listdir("/proc/self/task") == [str(os.getpid())],
        os.readlink("/proc/thread-self").endswith(str(os.getpid())),
    )
    for name in (
        "cmdline",
        "environ",
        "maps",
        "status",
        "stat",
        "mounts",
        "limits",
        "io",
        "smaps_rollup",
        "oom_score_adj",
        "mountinfo",
        "cgroup",
        "loginuid",
        "comm",
        "auxv",
        "statm",
        "wchan",
        "syscall",
        "stack",
        "pagemap",
        "mem",
    ):
        say(name, tried(f"/proc/self/{name}", os.O_RDONLY), tried(f"/proc/thread-self/{name}", os.O_RDONLY))
    for name in (
        "cpuinfo",
        "meminfo",
        "loadavg",
        "uptime",
        "version",
        "stat",
        "filesystems",
        "sys/kernel/pid_max",
        "net/dev",
    ):
        say(name, tried(f"/proc/{name}", os.O_RDONLY))
    pid = child(signal.pause)
    asleep(pid)
    for name in ("status", "environ", "maps", "fd", "cwd", "exe", "mem"):
        say(name, tried(f"/proc/{pid}/{name}", os.O_RDONLY))
    os.kill(pid, signal.SIGKILL)
    ended(pid)
    say(tried(f"/proc/{pid}/status", os.O_RDONLY))


def surroundings() -> None:
    """Limits, priority, affinity, groups, mask and umask are the caller's own, also after many calls."""
    for number in range(50):
        write(f"file-{number}")
        os.chmod(f"file-{number}", 0o600)
    say(os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))
    for name in ("NOFILE", "NPROC", "STACK", "FSIZE", "MEMLOCK", "AS", "DATA", "CPU"):
        say(name, resource.getrlimit(getattr(resource, f"RLIMIT_{name}")))
    say(
        os.getresuid(),
        os.getresgid(),
        os.getgroups(),
        f"{os.umask(0):o}",
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    )
    say([number for number in range(1, 32) if signal.getsignal(number) is signal.SIG_IGN])


def threads_and_forks() -> None:
    """Forks while threads open files."""
    stop = threading.Event()

    def busy(number: int) -> None:
        while not stop.is_set():
            write(f"busy-{number}")

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        ended(child(write, f"child-{number}"))
    stop.set()
    for thread in threads:
        thread.join()


def deep_tree() -> None:
    """Forty generations, each waiting for the next."""

    def generation(number: int) -> None:
        write(f"generation-{number}")
        if number < 40:
            pid = os.fork()
            if not pid:
                generation(number + 1)
                os._exit(number % 7)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) ^ 1)

    ended(child(lambda: generation(0)))


def daemons() -> None:
    """A process whose parents have ended goes on, in a session of its own, with another parent."""
    reader, writer = os.pipe()

    def first() -> None:
        os.setsid()
        mother = os.getpid()
        handle = os.pidfd_open(mother)
        if os.fork():
            os._exit(0)
        select.select([handle], [], [])
        write("by the daemon")
        os.write(writer, f"{os.getsid(0) == mother} {os.getppid() != mother}".encode())

    pid = child(first)
    ended(pid)
    os.close(writer)
    say(os.read(reader, 99), os.read(reader, 1))


def children_are_told() -> None:
    """SIGCHLD comes, waitid tells without reaping, wait for a group, for nobody."""
    told: list[int] = []
    signal.signal(signal.SIGCHLD, lambda number, _: told.append(number))
    pid = child(lambda: os._exit(5))
    info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    say(info.si_status if info else None, told)
    ended(pid)
    attempt("nobody", os.waitpid, -1, 0)
    fd = os.pidfd_open(pid := child(signal.pause))
    signal.pidfd_send_signal(fd, signal.SIGTERM)
    say(select.select([fd], [], [], 10)[0] == [fd])
    ended(pid)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child(lambda: os._exit(0))
    attempt("reaped by itself", os.wait)


def groups_and_sessions() -> None:
    """setpgid, setsid, killpg; a parent's death is told."""
    reader, writer = os.pipe()

    def member() -> None:
        os.write(writer, b"r")
        signal.pause()

    def leader() -> None:
        os.setpgid(0, 0)
        for _ in range(3):
            child(member)
        signal.pause()

    pid = child(leader)
    for _ in range(3):
        os.read(reader, 1)
    os.killpg(pid, signal.SIGTERM)
    ended(pid)
    os.close(writer)
    say(os.read(reader, 1))

    def orphan() -> None:
        LIBC.prctl(1, ctypes.c_ulong(signal.SIGKILL))
        os.write(writer, b"r")
        signal.pause()

    reader, writer = os.pipe()

    def parent() -> None:
        child(orphan)
        os.read(reader, 1)

    ended(child(parent))
    os.close(writer)
    say(os.read(reader, 1))


def names_of_threads() -> None:
    """Prctl and /proc/self/comm tell and set the name of a thread."""
    raw("prctl", "prctl", 15, b"renamed")
    say(read("/proc/self/comm"), read("/proc/thread-self/comm"))
    raw("dumpable", "prctl", 3)
    raw("subreaper", "prctl", 36, 1)

    def leave_a_child() -> None:
        handle = os.pidfd_open(os.getpid())
        if not os.fork():
            select.select([handle], [], [])
            os._exit(3)

    ended(child(leave_a_child))
    say(os.waitstatus_to_exitcode(os.wait()[1]))


def _state_of(pid: int) -> bytes:
    """What a process does: a letter of proc_pid_stat(5)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0]


def terminal() -> None:
    """A pseudo terminal: controlling terminal, /dev/tty, size, echo, interrupt, job control."""
    pid, master = pty.fork()
    if not pid:
        # The child says to its own terminal.
        say(
            os.ttyname(0) == os.ttyname(1),
            os.isatty(0),
            os.tcgetpgrp(0) == os.getpid(),
            os.getsid(0) == os.getpid(),
        )
        tty = os.open("/dev/tty", os.O_RDWR)
        say(os.tcgetpgrp(tty) == os.getpid(), tried(os.ttyname(0), os.O_RDWR))
        os.write(tty, b"to the terminal\n")
        os.execve("/bin/sh", ["sh", "-i"], {"PS1": "> ", "PATH": "/usr/bin:/bin"})
    termios.tcsetwinsize(master, (40, 100))
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            if not select.select([master], [], [], 10)[0]:
                say("nothing came after", seen)
                os.kill(pid, signal.SIGKILL)
                break
            seen += os.read(master, 4096)
        head, _, seen = seen.partition(text)
        say(head + text)

    until(b"> ")
    for line, answer in (
        ("stty size\n", b"40 100\r\n> "),
        ("echo $((1 + 1))\n", b"\n2\r\n> "),
        ("echo direct > /dev/tty\n", b"direct\r\n> "),
        ("read x < /dev/tty; echo got $x\n", b"\n"),
        ("typed\n", b"got typed\r\n> "),
        ("sleep 100\n", b"\n"),
    ):
        os.write(master, line.encode())
        until(answer)
    while os.tcgetpgrp(master) == pid:
        time.sleep(0.001)
    job = os.tcgetpgrp(master)
    os.write(master, b"\x1a")
    until(b"Stopped")
    until(b"> ")
    os.write(master, b"bg\n")
    until(b"> ")
    # The shell, whose handlers do not restart calls, has its SIGCHLD then: one that comes just as `kill` is
    # called may end that call where it is notified (docs/security.md, "What differs").
    while _state_of(job) != b"S":
        time.sleep(0.001)
    os.write(master, b"kill %1; wait; echo over\n")
    until(b"\nover\r\n")
    os.write(master, b"exit 5\n")
    with contextlib.suppress(OSError):
        while os.read(master, 4096):
            pass
    ended(pid)


def terminal_by_opening() -> None:
    """/dev/tty is the caller's own also in a new session, and without one it is ENXIO."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)

    def leader() -> None:
        os.setsid()
        say("without", tried("/dev/tty", os.O_RDWR))
        import fcntl

        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        fd = os.open("/dev/tty", os.O_RDWR)
        say(LIBC.tcgetsid(fd) == os.getpid(), os.isatty(fd), tried(name, os.O_RDWR | os.O_NOCTTY))
        os.write(fd, b"mine\n")

    ended(child(leader))
    say(os.read(master, 99))


def terminal_taken_by_opening() -> None:
    """A session leader without a terminal that opens one gets it, unless it says O_NOCTTY."""
    _master, slave = pty.openpty()
    name = os.ttyname(slave)

    def leader(flags: int) -> None:
        os.setsid()
        fd = os.open(name, os.O_RDWR | flags)
        say(tried("/dev/tty", os.O_RDWR), LIBC.tcgetsid(fd) == os.getpid())

    ended(child(lambda: leader(os.O_NOCTTY)))
    ended(child(lambda: leader(0)))


def many_children() -> None:
    """Two hundred at once, each with a file."""
    pids = [child(write, f"file-{number}", str(number)) for number in range(200)]
    say({os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids})


def pipelines() -> None:
    """Subprocess with pipes, a working directory, an environment, a session, a timeout."""
    os.mkdir("d")
    done = subprocess.run(
        ["sh", "-c", "cat; pwd -P; echo $X >&2; exit 4"],
        input=b"in",
        capture_output=True,
        cwd="d",
        env={"X": "y"},
        start_new_session=True,
        check=False,
    )
    say(done.returncode, done.stdout.replace(os.environ["ACT"].encode(), b""), done.stderr)
    try:
        subprocess.run(["sleep", "100"], timeout=0.05, check=False)
    except subprocess.TimeoutExpired:
        say("timed out")
    attempt("no program", subprocess.run, ["./missing"])
    attempt("no directory", subprocess.run, ["true"], cwd="missing")
    with open("out", "wb") as out:
        subprocess.run(["sh", "-c", "echo a; echo b >&2"], stdout=out, stderr=subprocess.STDOUT, check=True)


def static_program() -> None:
    """A program without libraries, which makes its calls itself."""
    write(
        "p.c",
        """
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>
int main(void) {
    int fd = open("by-static", O_CREAT | O_WRONLY | O_EXCL, 0642), status;
    if (fd < 0 || write(fd, "static\\n", 7) != 7) return 1;
    pid_t pid = vfork();
    if (!pid) { execl("/bin/sh", "sh", "-c", "echo vforked >&3; exit 9", (char *)0); _exit(1); }
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}
""",
    )
    subprocess.run(["cc", "-static", "-o", "p", "p.c"], check=True)
    ended(child(lambda: os.execve("./p", ["p"], {})))
    say(read("by-static"))
    os.unlink("p")
