"""What is said to the service manager, heard by a socket that plays it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sydd.daemon.systemd import Manager, listen_fds, watchdog_interval


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """A notify socket, at `heard.getsockname()`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(10)
        yield channel


def manager(heard: socket.socket) -> Manager:
    """The manager behind that socket."""
    return Manager.from_environment({"NOTIFY_SOCKET": heard.getsockname()})


def test_states_are_told(heard: socket.socket) -> None:
    """Each state is one datagram of lines."""
    service = manager(heard)
    service.ready("2 sessions")
    service.watchdog()
    service.status("one\nline")
    service.stopping()
    assert [heard.recv(4096) for _ in range(4)] == [
        b"READY=1\nSTATUS=2 sessions",
        b"WATCHDOG=1",
        b"STATUS=one line",
        b"STOPPING=1",
    ]


def test_a_reload_has_its_time(heard: socket.socket) -> None:
    """Type=notify-reload wants the monotonic clock with RELOADING=1."""
    manager(heard).reloading()
    first, second = heard.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_descriptors_are_stored_and_removed(heard: socket.socket, tmp_path: Path) -> None:
    """A stored descriptor travels with its name, is not polled, and stays open here."""
    service = manager(heard)
    (tmp_path / "file").write_text("kept")
    with open(tmp_path / "file", encoding="ascii") as file:
        service.store("s1.listener", [file.fileno()])
        message, descriptors, _, _ = socket.recv_fds(heard, 4096, 4)
        assert message == b"FDSTORE=1\nFDPOLL=0\nFDNAME=s1.listener"
        with open(descriptors[0], encoding="ascii") as received:
            assert received.read() == "kept"
        assert file.read() == ""
    service.remove("s1.listener")
    assert heard.recv(4096) == b"FDSTOREREMOVE=1\nFDNAME=s1.listener"


@pytest.mark.parametrize("name", ["", "a:b", "a b", "ä", "x" * 256, "a\nREADY=1"])
def test_a_name_that_systemd_would_not_take(heard: socket.socket, name: str) -> None:
    """Such a name is refused before anything is sent."""
    with pytest.raises(ValueError, match="no name for stored descriptors"):
        manager(heard).store(name, [0])


def test_an_abstract_socket() -> None:
    """`@` stands for the zero byte of an abstract name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0sydd-test-{os.getpid()}")
        channel.settimeout(10)
        Manager(f"@sydd-test-{os.getpid()}").ready()
        assert channel.recv(4096) == b"READY=1"


def test_nobody_listens(tmp_path: Path) -> None:
    """States are told to nobody without an error; what must not be lost says that it was."""
    assert not Manager("").present
    Manager("").store("name", [0])
    absent = Manager(str(tmp_path / "absent"))
    absent.ready()
    with pytest.raises(FileNotFoundError):
        absent.store("name", [0])
    with pytest.raises(ValueError, match="neither a path"):
        Manager("vsock:2:1234")


def test_a_full_queue_does_not_block(heard: socket.socket) -> None:
    """Nobody reads: keep-alives are dropped, not waited for."""
    service = manager(heard)
    for _ in range(5000):
        service.watchdog()


def test_the_variable_is_nobody_elses(heard: socket.socket) -> None:
    """NOTIFY_SOCKET is taken out of the environment."""
    environment = {"NOTIFY_SOCKET": heard.getsockname(), "HOME": "/"}
    assert Manager.from_environment(environment).present
    assert environment == {"HOME": "/"}


LISTENING = """\
import os, sys
from sydd.daemon.systemd import listen_fds
os.environ["LISTEN_PID"] = str(os.getpid())
for passed in listen_fds():
    number = passed.fd.fileno()
    print(passed.name, number, os.get_inheritable(number), os.readlink(f"/proc/self/fd/{number}"))
    passed.fd.close()
print(len(listen_fds()), [name for name in os.environ if name.startswith("LISTEN")])
"""


def test_descriptors_that_were_passed(tmp_path: Path) -> None:
    """They come with their names, in order, close-on-exec, and only once."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    shell = 'exec 3<"$1/a" 4<"$1/b" 5<"$1/a"; shift; exec "$@"'
    result = subprocess.run(
        ["sh", "-c", shell, "sh", str(tmp_path), sys.executable, "-c", LISTENING],
        env={**os.environ, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "control:s1.slot:s1.slot"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert result.stdout.splitlines() == [
        f"control 3 False {tmp_path}/a",
        f"s1.slot 4 False {tmp_path}/b",
        f"s1.slot 5 False {tmp_path}/a",
        "0 []",
    ]


def test_descriptors_for_another_process() -> None:
    """What was inherited from one that was started by the manager is not this process's."""
    assert listen_fds({"LISTEN_PID": "1", "LISTEN_FDS": "2"}) == []


def test_variables_that_contradict_themselves() -> None:
    """Too few names, or a count that is none, take nothing."""
    own = str(os.getpid())
    with pytest.raises(ValueError, match="1 names for 2 descriptors"):
        listen_fds({"LISTEN_PID": own, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"})
    with pytest.raises(ValueError, match="LISTEN_FDS is no number"):
        listen_fds({"LISTEN_PID": own, "LISTEN_FDS": "-1"})


def test_the_watchdog() -> None:
    """The interval is in seconds, and meant for the process that is named."""
    own = str(os.getpid())
    assert watchdog_interval({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": own}) == 2.5
    assert watchdog_interval({"WATCHDOG_USEC": "2500000"}) == 2.5
    assert watchdog_interval({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_interval({}) is None
