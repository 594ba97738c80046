"""Users against one another, and against the daemon, by what they give it: paths, descriptors, processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.daemon.people import Person
from tests.support.daemon import Daemon

pytestmark = pytest.mark.root

PATHS = """
import os, sys
from sydd.client import Client, ControlError
there, home = sys.argv[2], os.environ["HOME"]
try:
    print(os.listdir(there))
except PermissionError:
    print("PermissionError")
for profile, directory, tmp in (
    (f"{there}/secret.toml", home, home),
    ("build", there, home),
    ("build", home, there),
):
    environment = {"PATH": "/bin", "HOME": home, "TMPDIR": tmp}
    with Client(sys.argv[1]) as client:
        try:
            client.run(profile, ["true"], directory=directory, environment=environment).wait()
            print("ran")
        except ControlError as error:
            print(error)
"""


@contextmanager
def _sleeping_in(directory: str, person: Person) -> Iterator[int]:
    with subprocess.Popen(["sleep", "100"], cwd=directory, **person.identity()) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_worker_leads_nobody_through_anothers_working_directory(
    daemon: Daemon, person: Person, other: Person
) -> None:
    """What is open to all in a directory that is closed: /proc/<pid>/cwd leads there by CAP_SYS_PTRACE."""
    closed = f"{person.home}/closed"
    within = f"{closed}/open"
    os.makedirs(within)
    os.chmod(closed, 0o700)
    os.chmod(within, 0o777)
    with open(f"{within}/secret.toml", "w", encoding="utf-8") as file:
        file.write("hunter2 = 1\n")
    os.chown(closed, person.uid, person.uid)
    with _sleeping_in(within, person) as pid:
        there = f"/proc/{pid}/cwd"
        assert os.listdir(there) == ["secret.toml"]  # who has the capability gets there
        process = other.start([sys.executable, "-c", PATHS, daemon.socket, there], daemon.socket)
        out, err = process.communicate(timeout=50)
    natively, profile, directory, tmp = out.splitlines()
    assert natively == "PermissionError"
    assert "Permission denied" in profile
    assert "hunter2" not in profile
    assert "Permission denied" in directory
    assert closed not in out + err
    assert tmp == "ran"  # with another temporary directory
    assert os.listdir(within) == ["secret.toml"]
