"""A disk without space: builds get what they get natively, what cannot be had is told, the daemon lives."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sydd.daemon.profiles import Profiles
from sydd.wire.errors import Failed
from tests.daemon.people import Person
from tests.support.daemon import Daemon

pytestmark = pytest.mark.root

FULL = "No space left on device"

SCRIPT = """
echo new >new; echo $?
mkdir directory; echo $?
ln -s x link; echo $?
echo more >>there; echo $?
cat there; rm there; echo $?
"""
"""What is there can be read and removed; there is room for nothing else."""


@pytest.fixture
def full(person: Person) -> Iterator[str]:
    """A directory of somebody's on a file system of its own that has no space, and a file in it."""
    with tempfile.TemporaryDirectory(prefix="full-") as directory:
        os.chmod(directory, 0o755)
        place = f"{directory}/place"
        os.mkdir(place)
        options = f"size=4k,nr_inodes=2,mode=777,uid={person.uid}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "sydd-test", place], check=True)
        try:
            file = Path(place, "there")
            file.write_bytes(b"x" * 4095 + b"\n")
            os.chown(file, person.uid, person.uid)
            yield place
        finally:
            subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
@pytest.mark.parametrize("words", [["launch", "--daemon"], ["run"]])
def test_a_build_on_it(daemon: Daemon, person: Person, full: str, words: list[str], engine: str) -> None:
    """Each call fails as it does natively, also where the worker performs it."""
    shell = ["sh", "-c", SCRIPT]

    def told(command: list[str]) -> tuple[int, str, str]:
        there = Path(full, "there")
        if not there.exists():
            there.write_bytes(b"x" * 4095 + b"\n")
            os.chown(there, person.uid, person.uid)
        process = person.start(["env", "-C", full, *command], daemon.socket)
        out, err = process.communicate(timeout=50)
        return process.returncode, out, err

    native = told(shell)
    assert native[2].count(FULL) == 3  # and an I/O error, as the shell calls it
    supervised = [sys.executable, "-m", "sydctl", *words, "--engine", engine, "build", "--", *shell]
    assert told(supervised) == native


@pytest.mark.parametrize("words", [["launch", "--daemon"], ["launch", "--embedded"], ["run"]])
def test_no_room_for_the_private_directory(
    daemon: Daemon, person: Person, full: str, words: list[str]
) -> None:
    """It is made where programs make theirs in place of a `$TMPDIR` that has no room."""
    shell = ["sh", "-c", "touch $TMPDIR/here && echo $TMPDIR"]
    process = person.sydctl([*words, "build", "--", *shell], daemon.socket, environment={"TMPDIR": full})
    out, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (0, "")
    assert not out.startswith(full)
    assert not os.path.exists(out.rstrip())
    assert os.listdir(full) == ["there"]


def test_a_profile_is_written_whole_or_not_at_all(full: str) -> None:
    """What was there stays, and nothing is left of the attempt."""
    profiles = Profiles(Path(full))
    os.rename(f"{full}/there", f"{full}/there.toml")
    before = Path(full, "there.toml").read_bytes()
    with pytest.raises(Failed, match=FULL):
        profiles.put("there", "rules = []\n", replace=True)
    with pytest.raises(Failed, match=FULL):
        profiles.put("new", "rules = []\n", replace=False)
    assert os.listdir(full) == ["there.toml"]
    assert Path(full, "there.toml").read_bytes() == before


def test_no_room_for_the_socket(full: str) -> None:
    """The daemon does not start, and says why in a line."""
    command = [sys.executable, "-m", "sydd.daemon", "--socket"]
    for path in (f"{full}/sydd.sock", f"{full}/new/sydd.sock"):
        done = subprocess.run([*command, path], capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == 1
        assert done.stderr.startswith("sydd: cannot ")
        assert done.stderr.endswith(f"{FULL}\n")
        assert done.stderr.count("\n") == 1


def test_no_room_for_events(daemon: Daemon, person: Person, full: str) -> None:
    """A file that cannot be made is refused at once; one that lacks something costs the build nothing."""
    for words in (["launch", "--daemon"], ["run"]):
        process = person.sydctl([*words, "--events", f"{full}/log", "build", "--", "true"], daemon.socket)
        _, err = process.communicate(timeout=50)
        assert (process.returncode, err) == (125, f"sydctl: --events: cannot write to '{full}/log': {FULL}\n")
        script = "touch /etc/never; exit 3"
        process = person.sydctl(
            [*words, "--events", "/dev/full", "build", "--", "sh", "-c", script], daemon.socket
        )
        _, err = process.communicate(timeout=50)
        assert process.returncode == 3
        assert f"sydctl: --events: not everything is in '/dev/full': {FULL}\n" in err
        assert "1 access denied" in err
