"""Another version of sydd takes the daemon's place while builds run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sydd
from sydd.client import BeyondCeiling, NotSupervised
from tests.daemon.people import Person
from tests.support.daemon import Daemon, FakeManager, running, until

pytestmark = pytest.mark.slow

NEXT = "99.0"

SCRIPT = """
touch /etc/first; echo one; read line
touch /etc/second; echo two; read line
touch /etc/third; echo three
"""


@pytest.fixture(scope="module")
def next_version() -> Iterator[str]:
    """A directory with another version of the package, which every user may read."""
    with tempfile.TemporaryDirectory(prefix="next-") as directory:
        os.chmod(directory, 0o755)
        copy = shutil.copytree(
            Path(sydd.__file__).parent, f"{directory}/sydd", ignore=shutil.ignore_patterns("__pycache__")
        )
        about = Path(copy, "__init__.py")
        text, count = re.subn(r'(__version__ = )".*"', rf'\1"{NEXT}"', about.read_text())
        assert count == 1
        about.write_text(text)
        yield directory


def _version(daemon: Daemon) -> str:
    with daemon.client() as client:
        return client.info()["version"]


def _upgrade(daemon: Daemon, directory: str) -> None:
    assert daemon.stop() == 0
    daemon.environment["PYTHONPATH"] = directory
    daemon.start()
    assert _version(daemon) == NEXT


@pytest.mark.parametrize("launch", [["launch", "--daemon"], ["run"]])
def test_a_build_goes_on(manager: FakeManager, person: Person, next_version: str, launch: list[str]) -> None:
    """With the worker of the version that began it; what is asked of it is answered by that one."""
    with running(manager=manager) as daemon:
        process = person.sydctl([*launch, "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process, daemon.client() as client:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            (before,) = client.list_sessions()
            _upgrade(daemon, next_version)
            (after,) = client.list_sessions()
            assert (after["session"], after["worker"]) == (before["session"], before["worker"])
            assert client.check(before["session"], "write", "/etc/first")
            beside = person.launch(["--daemon", "build", "--", "true"], daemon.socket)
            assert (beside.returncode, beside.stderr) == (0, "")
            out, err = process.communicate("\n\n", timeout=30)
        assert (process.returncode, out) == (0, "two\nthree\n"), err
        assert "3 accesses denied" in err
        until(lambda: manager.names() == {"tape.0", "tape.1"}, "nothing of it is kept")


def test_a_worker_of_the_version_before_is_not_replaced(
    manager: FakeManager, person: Person, next_version: str
) -> None:
    """Nobody else can read what it knew: its session is ended, aloud, and no other one."""
    with running(manager=manager) as daemon:
        process = person.sydctl(["launch", "--daemon", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
        with process, daemon.client() as client:
            assert process.stdout is not None
            assert process.stdout.readline() == "one\n"
            _upgrade(daemon, next_version)
            (session,) = client.list_sessions()
            os.kill(session["worker"], signal.SIGKILL)
            out, err = process.communicate(timeout=30)
            assert (process.returncode, out) == (125, "")
            why = r"the session was prepared by sydd \S+ with Python \S+, and this is sydd 99\.0 with"
            assert re.search(rf"^sydctl: the supervision failed: its worker died.*: {why}", err, re.MULTILINE)
            until(lambda: not client.list_sessions(), "the session has ended")
        assert not os.path.exists(f"/proc/{session['pid']}")
        assert person.launch(["--daemon", "build", "--", "true"], daemon.socket).returncode == 0
        assert "Traceback" not in daemon.text()


def test_files_may_be_replaced_under_a_running_daemon(person: Person) -> None:
    """An installation takes its time, in which nothing may be mixed: what runs needs no module any more."""
    with tempfile.TemporaryDirectory(prefix="old-") as directory:
        os.chmod(directory, 0o755)
        copy = shutil.copytree(
            Path(sydd.__file__).parent, f"{directory}/sydd", ignore=shutil.ignore_patterns("__pycache__")
        )
        with running(environment={"PYTHONPATH": directory}) as daemon, daemon.client() as client:
            for module in Path(copy).rglob("*.py"):
                module.write_text("raise ImportError('this is another version')\n")
            process = person.sydctl(["run", "build", "--", "sh", "-c", SCRIPT], daemon.socket)
            with process:
                assert process.stdin is not None
                assert process.stdout is not None
                assert process.stdout.readline() == "one\n"
                (session,) = client.list_sessions()
                name = session["session"]
                client.inspect_session(name)
                assert client.check(name, "connect", "192.0.2.1!80")
                with pytest.raises(NotSupervised):
                    client.add_rules(name, ["deny ioctl /etc/**"])
                with pytest.raises(BeyondCeiling):
                    client.add_rules(name, ["allow write /etc/**"])
                client.lock(name, "on")
                os.kill(session["worker"], signal.SIGKILL)
                until(lambda: client.list_sessions()[0]["restarts"], "there is another worker")
                out, err = process.communicate("\n\n", timeout=30)
            assert (process.returncode, out) == (0, "two\nthree\n"), err
            for method, words in (
                ("validate_profile", ['rules = ["allow raed /"]']),
                ("get_profile", ["build"]),
            ):
                assert person.call(daemon.socket, (method, words))[0]
            done = person.launch(["--daemon", "offline", "--", "sh", "-c", SCRIPT], daemon.socket)
            assert done.returncode == 0, done.stderr
            assert daemon.stop() == 0
            assert "another version" not in daemon.text()
            assert "Traceback" not in daemon.text()


LAZY = """
import ast, pathlib, sys
import sydd.daemon.main
from sydd.daemon import preload

preload.everything()
preload.rest()
root = pathlib.Path(sydd.__file__).parents[1]
missing = set()
for module in [found for name, found in sys.modules.items() if name.startswith("sydd.")]:
    tree = ast.parse(pathlib.Path(module.__file__).read_text())
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and node.module.startswith("sydd"):
                    names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                    files = {name: (root / name.replace(".", "/")).with_suffix(".py") for name in names}
                    found = {name for name, file in files.items() if file.exists()}
                    missing.update(found - set(sys.modules))
print(sorted(missing))
"""


def test_all_that_is_imported_late_is_imported_before() -> None:
    """By functions of what the daemon has imported, of sydd itself."""
    done = subprocess.run(
        [sys.executable, "-c", LAZY], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == "[]\n"
