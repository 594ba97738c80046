"""The daemon under a real systemd: two users build with it, while it is restarted and killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sydd.daemon.messages import Message
from sydd.supervisor.procfs import parent_of
from tests.systemd import project
from tests.systemd.machine import ROOT, Machine

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(600)]

USERS = ("alice", "bob")
KILLS = 200
PAUSE = 0.2
"""Seconds between two kills, at most: some hit a worker that has just begun, some one amid a call."""
MAIN = 0.15
"""How often it is main, which takes a second to begin anew."""

BUILD = "cd {0} && make -s clean && make -s -j2"


@pytest.fixture(scope="module")
def built(machine: Machine) -> Machine:
    """The machine, with the project in each user's home, and what a native build of it leaves."""
    copy = "".join(f"cat >{name} <<'END'\n{text}END\n" for name, text in project.sources().items())
    for user in USERS:
        for place in ("native", "project"):
            machine.run("sh", "-euc", f"mkdir -p {place} && cd {place}\n{copy}", user=user)
        machine.run("sh", "-euc", BUILD.format("native"), user=user, seconds=300)
    return machine


def tree(machine: Machine, user: str, place: str) -> list[str]:
    """What is below a build directory."""
    return machine.out("sh", "-euc", project.TREE, "sh", f"/home/{user}/{place}", user=user).splitlines()


@contextlib.contextmanager
def launched(machine: Machine, users: Sequence[str], command: str) -> Iterator[list[subprocess.Popen[str]]]:
    """The same command of several users under the profile `build`, by the daemon; ended with the block."""
    words = ["sydctl", "launch", "--daemon", "-v", "build", "--", "sh", "-euc", command]
    running: list[subprocess.Popen[str]] = []
    try:
        running += (machine.start_command(*words, user=user) for user in users)
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def begun(process: subprocess.Popen[str]) -> None:
    """Wait until it has its session."""
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("sydd: session "), line + process.stdout.read()


def sessions(machine: Machine, user: str = "") -> list[dict[str, Any]]:
    """What `sydctl ps` shows a user."""
    found: list[dict[str, Any]] = json.loads(machine.out("sydctl", "ps", "--json", user=user))
    return found


def finish(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """What it said; it has to succeed."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said


def processes(machine: Machine) -> tuple[int, list[int]]:
    """The daemon's own, as the host knows them: main, 0 while there is none, and workers."""
    mounts = Path("/proc/mounts").read_text("ascii").splitlines()
    (hierarchy,) = (line.split()[1] for line in mounts if line.split()[2] == "cgroup2")
    group = Path(hierarchy, machine.name, "payload/system.slice/sydd.service/cgroup.procs")
    inside = int(machine.property("sydd.service", "MainPID"))
    try:
        found = {pid: _inside(pid) for pid in map(int, group.read_text("ascii").split())}
    except OSError:
        return 0, []
    main = next((pid for pid, number in found.items() if number == inside), 0)
    return main, [pid for pid in found if pid != main]


def _inside(pid: int) -> int:
    """What a process of the machine is called in there."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("NSpid:")).split()[-1])


def test_two_users_build_at_once(built: Machine) -> None:
    """By socket activation; each gets the native tree."""
    built.run("systemctl", "stop", "sydd.service")
    with launched(built, USERS, BUILD.format("project")) as running:
        for process in running:
            finish(process)
    for user in USERS:
        assert tree(built, user, "project") == tree(built, user, "native")
    assert built.property("sydd.service", "ActiveState") == "active"


def test_users_are_isolated(built: Machine) -> None:
    """A user neither sees nor ends another one's session; root does both."""
    with launched(built, ["bob"], "echo begun; exec sleep 1000") as (process,):
        assert process.stdout
        while "begun" not in process.stdout.readline():
            assert process.poll() is None
        _look_at_others(built, process)
    left = built.out("ls", "/sys/fs/cgroup/system.slice/sydd-sessions.service")
    assert "session-" not in left


def _look_at_others(built: Machine, process: subprocess.Popen[str]) -> None:
    """Of a session of bob's."""
    (session,) = sessions(built)
    assert session["user"] == "bob"
    assert sessions(built, "alice") == []
    refused = built.run("sydctl", "kill", session["session"], user="alice", check=False)
    assert refused.returncode == 1
    status = built.out("cat", f"/proc/{session['worker']}/status")
    identity = dict(line.split(":\t", 1) for line in status.splitlines())
    uid = built.out("id", "-u", "bob")
    assert identity["Uid"].split() == [uid] * 4
    assert identity["CapPrm"] == f"{1 << 19:016x}"  # in effect in the thread that serves alone
    assert built.run("cat", f"/proc/{session['worker']}/environ", user="bob", check=False).returncode == 1
    assert built.run("ls", f"/proc/{session['worker']}/fd", user="bob", check=False).returncode == 2
    group = built.out("cat", f"/proc/{session['pid']}/cgroup").splitlines()[-1]
    assert group.endswith(f"/system.slice/sydd-sessions.service/session-{session['session']}")
    built.run("sydctl", "kill", session["session"])
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL
    assert sessions(built) == []


def test_the_journal_has_the_fields(built: Machine) -> None:
    """A denial, with who and what and why; the session's begin and end."""
    with launched(built, ["alice"], "echo x >/etc/forbidden; true") as (process,):
        process.communicate(timeout=60)
    (record,) = built.journal(f"MESSAGE_ID={Message.VIOLATION.value}", "SYDD_PATH=/etc/forbidden")
    assert record["_SYSTEMD_UNIT"] == "sydd.service"
    expected = {
        "SYDD_ACTION": "deny",
        "SYDD_ACCESS": "create",
        "SYDD_PROFILE": "build",
        "SYDD_COMMAND": "sh",
        "SYDD_ERRNO_NAME": "EACCES",
        "SYDD_RULE": "no rule: default",
        "SYDD_UID": built.out("id", "-u", "alice"),
        "PRIORITY": "4",
    }
    assert {key: record.get(key) for key in expected} == expected
    assert record["SYDD_SYSCALL"] in ("openat", "open")
    for message in (Message.SESSION_STARTED, Message.SESSION_ENDED):
        assert built.journal(f"MESSAGE_ID={message.value}", f"SYDD_SESSION={record['SYDD_SESSION']}")


def test_limits_of_a_session(built: Machine) -> None:
    """Time is watched by the daemon; what forks itself away is ended with the group, and nothing is left."""
    built.run("tee", "/etc/sydd/profiles/short.toml", stdin='extends = "build"\n[limits]\ntime = 2\n')
    command = "(setsid sh -c 'setsid sleep 1000 &' &); sleep 1000"
    words = ["sydctl", "launch", "--daemon", "short", "--", "sh", "-c", command]
    result = built.run(*words, user="alice", check=False)
    assert result.returncode == 125
    assert "the session lasted longer than the 2 s that its profile allows" in result.stderr
    assert built.run("pgrep", "-u", "alice", "sleep", check=False).stdout == ""
    assert sessions(built) == []


def test_a_users_own_daemon(built: Machine) -> None:
    """By the user's own socket; what it starts itself has a group of the user's."""
    uid = built.out("id", "-u", "alice")
    built.run("systemctl", "start", f"user@{uid}.service")
    script = """
        export XDG_RUNTIME_DIR=/run/user/$(id -u) HOME=/home/alice
        export SYDD_SOCKET=$XDG_RUNTIME_DIR/sydd/sydd.sock
        systemctl --user start sydd.socket
        sydctl launch --daemon -v build -- sh -c 'echo launched'
        sydctl run build -- sh -c 'tail -1 /proc/self/cgroup'
        sydctl ps --json
        systemctl --user stop sydd.socket sydd.service sydd-sessions.service
    """
    lines = built.run("sh", "-euc", script, user="alice").stdout.splitlines()
    assert lines[0] == "launched"
    assert f"/user@{uid}.service/app.slice/sydd-sessions.service/session-" in lines[1]
    assert lines[2] == "[]"
    built.run("systemctl", "stop", f"user@{uid}.service")


def test_where_a_filter_refuses_landlock(built: Machine) -> None:
    """As systemd-nspawn's does: the supervisor is exact by itself."""
    calls = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"
    words = ["systemd-run", "--quiet", "--pipe", "--wait", "--uid=alice", "--working-directory=/home/alice"]
    words += ["-p", f"SystemCallFilter=~{calls}", "-p", "SystemCallErrorNumber=EPERM"]
    words += [
        "sydctl",
        "launch",
        "--embedded",
        "-v",
        "build",
        "--",
        "sh",
        "-c",
        "echo x >/etc/forbidden; echo on",
    ]
    result = built.run(*words)
    assert result.stdout == "on\n"
    assert "engine supervisor" in result.stderr
    assert "deny create /etc/forbidden" in result.stderr


TELL = """\
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
    channel.connect("/run/systemd/notify")
    channel.send(b"FDSTOREREMOVE=1\\nFDNAME=tape.0")
    channel.send(b"STOPPING=1")
"""


def test_the_managers_store_is_mains_alone(built: Machine) -> None:
    """What a user, or a command that the daemon has started, tells systemd in its name does not count."""
    built.run("systemctl", "restart", "sydd.service")
    before = built.property("sydd.service", "NFileDescriptorStore")
    assert int(before) > 0
    built.run("/usr/bin/python3", "-c", TELL, user="bob")
    inside = ["sydctl", "run", "-q", "permissive", "--", "/usr/bin/python3", "-c", TELL]
    built.run(*inside, user="alice")
    assert built.property("sydd.service", "NFileDescriptorStore") == before
    assert built.property("sydd.service", "ActiveState") == "active"
    assert built.property("sydd.service", "NotifyAccess") == "main"


def test_a_command_has_the_usual_limits(built: Machine) -> None:
    """What the daemon starts by itself is not given what the daemon needs for itself."""
    assert (
        built.out("sydctl", "run", "build", "--", "sh", "-c", "ulimit -Sn; umask", user="alice")
        == "1024\n0022"
    )


SCRAPE = """\
import http.client, socket
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/sydd/metrics.sock")
connection = Connection("localhost")
connection.request("GET", "/metrics")
print(connection.getresponse().read().decode())
"""


def test_figures(built: Machine) -> None:
    """Sessions, calls by name and answer, latency, violations."""
    built.run("tee", "/etc/sydd/sydd.toml", stdin='[metrics]\naddress = "unix:/run/sydd/metrics.sock"\n')
    built.run("systemctl", "restart", "sydd.service")
    with launched(built, ["alice"], "echo x >/etc/forbidden || echo y >/etc/forbidden || true") as (process,):
        finish(process)
    lines = built.out("/usr/bin/python3", "-c", SCRAPE).splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert figures['sydd_sessions_started_total{origin="launch"}'] == "1"
    assert figures['sydd_sessions_ended_total{outcome="ended"}'] == "1"
    assert figures['sydd_violations_total{action="deny",access="create",profile="build"}'] == "2"
    assert figures['sydd_notifications_total{syscall="openat",answer="error"}'] == "2"
    assert int(figures["sydd_notification_seconds_count"]) >= 1
    refused = built.run("/usr/bin/python3", "-c", SCRAPE, user="bob", check=False)
    assert "PermissionError" in refused.stderr


def test_restart_in_the_middle(built: Machine) -> None:
    """`systemctl restart` while both build, three times: the trees are the native ones."""
    with launched(built, USERS, BUILD.format("project")) as running:
        for process in running:
            begun(process)
        for _ in range(3):
            built.run("systemctl", "restart", "sydd.service")
            assert len(sessions(built)) == 2
        for process in running:
            finish(process)
    for user in USERS:
        assert tree(built, user, "project") == tree(built, user, "native")


def test_upgrade_in_the_middle(built: Machine) -> None:
    """Another version is put in the place of the one that both builds have begun with."""
    directory = "/opt/sydd-next"
    copy = f"""
        mkdir -p {directory} /etc/systemd/system/sydd.service.d && cp -r {ROOT}/sydd {directory}
        sed -i 's/^__version__ = .*/__version__ = "99.0"/' {directory}/sydd/__init__.py
        echo '[Service]\nEnvironment=PYTHONPATH={directory}' >/etc/systemd/system/sydd.service.d/next.conf
        systemctl daemon-reload
    """
    with launched(built, USERS, BUILD.format("project")) as running:
        for process in running:
            begun(process)
        before = {one["session"]: one["worker"] for one in sessions(built)}
        built.run("sh", "-euc", copy)
        built.run("systemctl", "restart", "sydd.service")
        info = json.loads(built.out("sydctl", "status", "--json"))["info"]
        assert info["version"] == "99.0"
        assert {one["session"]: one["worker"] for one in sessions(built)} == before
        for process in running:
            finish(process)
    for user in USERS:
        assert tree(built, user, "project") == tree(built, user, "native")
    built.run("rm", "-r", directory, "/etc/systemd/system/sydd.service.d/next.conf")
    built.run("systemctl", "daemon-reload")
    built.run("systemctl", "restart", "sydd.service")


def test_reload(built: Machine) -> None:
    """`systemctl reload`: other settings in the same process; wrong ones change nothing and are told."""
    before = built.property("sydd.service", "MainPID")
    built.run("tee", "/etc/sydd/sydd.toml", stdin="[limits]\nsessions = 7\n")
    built.run("systemctl", "reload", "sydd.service")
    _until_settings_are_told(built, 1)
    built.run("tee", "/etc/sydd/sydd.toml", stdin="[limits]\nsessions = none\n")
    built.run("systemctl", "reload", "sydd.service")
    wrong = _until_settings_are_told(built, 2)
    assert wrong["MESSAGE"].startswith("the settings stay as they were: /etc/sydd/sydd.toml:2:")
    info = json.loads(built.out("sydctl", "status", "--json"))["info"]
    assert (str(info["pid"]), info["limits"]["user_sessions"]) == (before, 7)
    built.run("rm", "/etc/sydd/sydd.toml")
    built.run("systemctl", "reload", "sydd.service")
    _until_settings_are_told(built, 3)
    assert built.property("sydd.service", "ActiveState") == "active"


def _until_settings_are_told(built: Machine, count: int) -> dict[str, Any]:
    """The record of the journal that is the so-manieth about settings."""
    end = time.monotonic() + 30
    while len(found := built.journal(f"MESSAGE_ID={Message.SETTINGS_READ.value}")) < count:
        assert time.monotonic() < end
    return found[-1]


class Killer(threading.Thread):
    """Kills the daemon's processes, main and workers, at random moments.

    Args:
        machine: where.
        seed: of the choices.
    """

    def __init__(self, machine: Machine, seed: int) -> None:
        super().__init__(name="killer")
        self._machine = machine
        self._random = random.Random(seed)  # noqa: S311  # a seed to repeat it with
        self._halt = threading.Event()
        self.killed = self.killed_main = 0

    def run(self) -> None:
        """Until there were enough of them."""
        while self.killed < KILLS and not self._halt.wait(self._random.uniform(0, PAUSE)):
            main, workers = processes(self._machine)
            found = [main] if self._random.random() < MAIN else workers
            if not found or not main:
                continue
            try:
                os.kill(self._random.choice(found), signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.killed += 1
            self.killed_main += found == [main]

    def stop(self) -> None:
        """Not one more."""
        self._halt.set()
        self.join()


def test_200_kills(built: Machine) -> None:
    """Main and workers are killed 200 times while both build, again and again: all trees are native ones."""
    seed = int.from_bytes(os.urandom(4), "big")
    killer = Killer(built, seed)
    killer.start()
    try:
        while killer.is_alive():
            with launched(built, USERS, BUILD.format("project")) as running:
                for process in running:
                    finish(process)
            for user in USERS:
                assert tree(built, user, "project") == tree(built, user, "native"), f"seed {seed}"
    finally:
        killer.stop()
    assert killer.killed == KILLS, f"seed {seed}"
    assert killer.killed_main > KILLS * MAIN / 3, f"seed {seed}"
    replaced = built.journal(f"MESSAGE_ID={Message.WORKER_REPLACED.value}")
    assert len(replaced) > (KILLS - killer.killed_main) / 2, f"seed {seed}"
    assert sessions(built) == []


def test_what_is_left(built: Machine) -> None:
    """After all that: no process, no directory, no group, no stored descriptor of a session."""
    # The zygote may have been what was killed last: there is another one for the next session, not before.
    with launched(built, ["alice"], "true") as (process,):
        finish(process)
    end = time.monotonic() + 30
    main, others = processes(built)
    while not main or len(others) != 3 or sessions(built):
        assert time.monotonic() < end, f"main {main}, others {others}"
        main, others = processes(built)
    # The zygote, and what it has forked for the next launch, which is nobody's yet (tests/daemon).
    (zygote,) = (pid for pid in others if parent_of(pid) == main)
    assert [parent_of(pid) for pid in others if pid != zygote] == [zygote, zygote]
    assert built.out("sh", "-c", "ls -d /tmp/sydd-* 2>/dev/null || true") == ""
    assert (
        built.out(
            "sh",
            "-c",
            "ls -d /sys/fs/cgroup/system.slice/sydd-sessions.service/session-* 2>/dev/null || true",
        )
        == ""
    )
    assert int(built.property("sydd.service", "NFileDescriptorStore")) <= 3
    assert shlex.split(built.out("sh", "-c", "ps -C sydd -o stat= | grep -c Z || true")) == ["0"]
