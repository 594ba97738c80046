"""The installed units under a real systemd, with a service in the daemon's place that does nothing else."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.systemd.conftest import SYDCTL
from tests.systemd.machine import ROOT, Machine

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(300)]

ASK = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as channel:
    channel.connect("/run/sydd/sydd.sock")
    channel.sendall(sys.argv[1].encode())
    print(channel.recv(65536).decode())
"""
"""One that was killed may still take a connection with it."""


@pytest.fixture(scope="module")
def trivial(machine: Machine) -> Machine:
    """The machine, with the trivial service as sydd.service."""
    command = f"{sys.executable} -m tests.systemd.trivial"
    drop_in = f"[Service]\nExecStart=\nExecStart={command}\nWorkingDirectory={ROOT}\n"
    machine.run("mkdir", "-p", "/run/systemd/system/sydd.service.d")
    machine.run("tee", "/run/systemd/system/sydd.service.d/trivial.conf", stdin=drop_in)
    machine.run("systemctl", "daemon-reload")
    return machine


def ask(machine: Machine, what: str, user: str = "") -> dict[str, Any]:
    """What the service answers."""
    while True:
        result = machine.run("/usr/bin/python3", "-c", ASK, what, user=user, check=False)
        if result.stdout.startswith("{"):
            answer: dict[str, Any] = json.loads(result.stdout)
            return answer
        assert result.returncode == 0 or "ConnectionResetError" in result.stderr, result.stderr


def test_installed(machine: Machine) -> None:
    """Units are known, the socket is enabled and listens, group and directories are there."""
    assert machine.property("sydd.socket", "ActiveState") == "active"
    assert machine.property("sydd.socket", "UnitFileState") == "enabled"
    assert machine.property("sydd.service", "ActiveState") == "inactive"
    assert machine.out("stat", "-c", "%a %U:%G", "/run/sydd/sydd.sock") == "660 root:sydd"
    assert machine.out("stat", "-c", "%a %U:%G", "/etc/sydd/profiles") == "755 root:root"
    assert "sandbox supervisor for builds" in machine.out("man", "sydd")


def test_units_verify(machine: Machine) -> None:
    """The service manager has nothing to say about them."""
    units = [
        f"/usr/local/lib/systemd/system/{name}"
        for name in ("sydd.socket", "sydd.service", "sydd-sessions.service")
    ]
    result = machine.run("env", "SYSTEMD_LOG_LEVEL=warning", "systemd-analyze", "verify", "--man=yes", *units)
    assert [line for line in result.stderr.splitlines() if "sydd" in line] == []


def test_the_first_connection_starts_it(trivial: Machine) -> None:
    """A member of the group reaches it, others do not; it may have control groups of its own."""
    trivial.run("systemctl", "stop", "sydd.service")
    answer = ask(trivial, "names", user="alice")
    assert answer["stored"] == {}
    assert answer["watchdog"] == 30
    assert answer["cgroups"] == "/sys/fs/cgroup/system.slice/sydd-sessions.service"
    assert trivial.property("sydd.service", "StatusText") == "trivial"
    trivial.run("useradd", "--create-home", "mallory")
    refused = trivial.run("/usr/bin/python3", "-c", ASK, "names", user="mallory", check=False)
    assert "PermissionError" in refused.stderr


def test_the_descriptor_store(trivial: Machine) -> None:
    """What was stored comes back after a kill and a restart, and not after it was removed."""
    before = ask(trivial, "store s1.slot one")
    ask(trivial, "store s1.info two")
    trivial.run("kill", "-KILL", str(before["pid"]))
    after = ask(trivial, "names")
    assert after["pid"] != before["pid"]
    assert after["stored"] == {"s1.slot": "one", "s1.info": "two"}
    ask(trivial, "remove s1.slot")
    trivial.run("systemctl", "restart", "sydd.service")
    assert ask(trivial, "names")["stored"] == {"s1.info": "two"}


def test_systemd_never_gives_up(trivial: Machine) -> None:
    """Killed over and over, it comes back each time."""
    for _ in range(20):
        trivial.run("kill", "-KILL", str(ask(trivial, "names")["pid"]))
    assert ask(trivial, "names")["stored"] == {"s1.info": "two"}
    assert int(trivial.property("sydd.service", "NRestarts")) >= 20


def test_hardening(machine: Machine) -> None:
    """docs/build-host.md has the score that systemd gives."""
    result = machine.out("systemd-analyze", "security", "--no-pager", "sydd.service")
    score = result.rsplit(": ", 1)[1].split()[0]
    assert f"`systemd-analyze security` says {score} " in (ROOT / "docs/build-host.md").read_text("utf-8")


def test_uninstall(machine: Machine) -> None:
    """Nothing of it is left but what belongs to the administrator."""
    machine.run("rm", "-rf", "/run/systemd/system/sydd.service.d")
    machine.run(SYDCTL, "uninstall")
    assert machine.property("sydd.socket", "LoadState") == "not-found"
    found = machine.out("find", "/usr/local", "/etc/systemd", "-name", "*sydd*")
    assert found == ""
    machine.run(SYDCTL, "install", "--enable")
    assert machine.property("sydd.socket", "ActiveState") == "active"
