"""Users against one another, and against the daemon, by what they give it: paths, descriptors, processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from sydd.daemon import errand
from sydd.daemon.hub import Hub
from sydd.daemon.insiders import Roots, UnknownProcessError, session_of, stays
from sydd.daemon.profiles import Profiles
from sydd.daemon.registry import Registry
from sydd.daemon.service import Service
from sydd.kernel.pidfd import pidfd_open, pidfd_send_signal
from sydd.session.tree import descendants
from sydd.supervisor import slot
from tests.daemon.people import Person
from tests.support.daemon import Daemon, until

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


LINGERING = """
import socket, struct, sys
listening = socket.create_server(("127.0.0.1", 0))
sender = socket.create_connection(listening.getsockname())
reader, _ = listening.accept()
sender.setblocking(False)
try:
    while True:
        sender.send(bytes(1 << 16))
except BlockingIOError:
    pass
sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
socket.send_fds(control, [b'{"method": "org.sydd.Info"'], [sender.fileno()])
sender.close()
if sys.argv[2] == "received":
    control.send(b"}" + bytes(1))
    control.recv(1)
control.close()
print("sent", flush=True)
sys.stdin.read()
"""


KEEPING = """
import os, sys
from sydd.client import Client, ControlError
home = os.environ["HOME"]
reader, writer = os.pipe()
for number in map(int, sys.argv[2:]):
    with Client(sys.argv[1]) as client:
        try:
            with client.run(
                f"{home}/{number}.toml",
                ["readlink", f"/proc/self/fd/{number}"],
                descriptors=[0, 1, 1, 0, 0, reader],
                directory=home,
                environment={"PATH": os.defpath, "HOME": home},
            ) as session:
                session.wait()
        except ControlError as error:
            print(error, flush=True)
"""


def test_no_command_keeps_what_leads_to_main(daemon: Daemon, person: Person) -> None:
    """By its preparer's channel it could give a worker a state, and in that what the worker executes."""
    numbers = 5, 6, 7, 8, 256, 257
    for number in numbers:
        with open(f"{person.home}/{number}.toml", "w", encoding="utf-8") as file:
            file.write(f'rules = ["allow write /**"]\n[descriptors]\nkeep = [{number}]\n')
    words = [sys.executable, "-c", KEEPING, daemon.socket, *map(str, numbers)]
    process = person.start(words, daemon.socket)
    out, err = process.communicate(timeout=50)
    given, *others = out.splitlines()
    assert given.startswith("pipe:"), err
    said = [f"sydctl: descriptor {number} is to be kept, but it is not open" for number in numbers[1:]]
    assert others[::2] == said


@pytest.mark.parametrize("how", ["received", "under way"])
def test_a_lingering_socket_holds_nobody_up(daemon: Daemon, person: Person, how: str) -> None:
    """Who closes the last descriptor of one waits until its peer has read, which here never does."""
    with person.start([sys.executable, "-c", LINGERING, daemon.socket, how], daemon.socket) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "sent\n"
            begun = time.monotonic()
            with daemon.client() as client:
                client.info()
            assert time.monotonic() - begun < 10
        finally:
            process.stdin.close()


DEEP = "d() { [ $1 = 0 ] && exec $NEXT; ( d $(($1 - 1)); exit $? ); }; "
DEEPER = DEEP.replace("exec $NEXT", 'NEXT="sleep 100" exec sh -c "$BELOW"')


@pytest.mark.parametrize("depth", [6, pytest.param(1100, marks=pytest.mark.slow)])
def test_nobody_is_too_deep_in_a_session_to_be_found(depth: int) -> None:
    """A process with more parents than are looked at is not taken for one outside."""
    script = f"{DEEPER} d {depth // 2}"  # a shell has a limit of its own
    below = {**os.environ, "BELOW": f"{DEEP} d {depth // 2}"}
    with subprocess.Popen(["sh", "-c", script], env=below, start_new_session=True) as process:
        try:
            deepest: list[int] = []
            until(lambda: _is_sleep(deepest, process.pid), "the deepest process", 50)
            handle = pidfd_open(deepest[0])
            roots = [Roots("one", 1, 0, os.getpid(), process.pid, lost=False)]
            try:
                assert session_of(deepest[0], 1, handle, roots) == roots[0]
                assert depth == 6
            except UnknownProcessError:
                assert depth == 1100
            finally:
                os.close(handle)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _is_sleep(deepest: list[int], top: int) -> bool:
    deepest[:] = descendants(top)[-1:]
    if not deepest:
        return False
    with open(f"/proc/{deepest[0]}/comm", encoding="ascii") as file:
        return file.read() == "sleep\n"


def test_who_waits_for_a_worker_is_inside() -> None:
    """It may have connected for a caller, with whose ids; also when the worker has died meanwhile."""
    script = "sh -c 'echo $$; exec sleep 100' & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as worker:
        assert worker.stdout is not None
        waiting = int(worker.stdout.readline())
        handle = pidfd_open(waiting)
        try:
            roots = Roots("one", 0, worker.pid, 0, 0, lost=False)
            assert session_of(waiting, 1000, handle, [roots]) == roots
            with pytest.raises(UnknownProcessError, match="a worker has left"):
                session_of(waiting, 1000, handle, [Roots("one", 0, 0, 0, 0, lost=False)])
        finally:
            os.close(handle)
            os.killpg(worker.pid, signal.SIGKILL)


def test_who_has_ended_is_not_outside() -> None:
    """A connection that its maker handed on before it ended says nothing of who has it now."""
    roots = [Roots("one", 1, 0, os.getpid(), 0, lost=False)]
    with pytest.raises(UnknownProcessError):
        session_of(os.getpid(), 1, -1, roots)


def test_no_process_is_attached_that_may_become_anothers(person: Person) -> None:
    """Such as sudo, which would be moved into the session's control group, and be ended with it."""
    command = ["sleep", "100"]
    with (
        subprocess.Popen(command, **person.identity()) as free,
        subprocess.Popen(["setpriv", "--no-new-privs", *command], **person.identity()) as bound,
    ):
        try:
            until(lambda: stays(bound.pid, person.uid), "no_new_privs")
            assert not stays(free.pid, person.uid)
            assert not stays(bound.pid, person.uid + 1)
        finally:
            free.kill()
            bound.kill()


def test_a_long_command(daemon: Daemon) -> None:
    """It is as long as a call may be; what is too long for the kernel fails as natively, leaving nothing."""
    with daemon.client() as client:
        for words, status in ((["x" * 60_000] * 3, 0), (["x" * 200_000], 126)):
            with client.run("permissive", ["true", *words]) as session:
                assert session.wait()["status"] == status
        assert client.list_sessions() == []


def test_no_name_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where chance would have it: who has a name sees what happened under it."""
    names = iter(["first", "second", "third"])
    monkeypatch.setattr("secrets.token_hex", lambda _bytes: next(names))
    remembered = {"first": object(), "second": object()}
    registry = cast("Registry", SimpleNamespace(find=remembered.get))
    service = Service(registry, cast("Hub", None), cast("Profiles", None), socket="", limits={})
    assert service._new_name() == "third"


def test_an_errand_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that does not answer keeps a process beyond SIGKILL; the loop turns all the same."""
    monkeypatch.setattr(errand, "SECONDS", 1)
    monkeypatch.setattr(errand, "LINGER", 0.2)
    kept: list[int] = []
    monkeypatch.setattr(errand, "pidfd_send_signal", lambda handle, _: kept.append(os.dup(handle)))

    async def ask() -> None:
        with pytest.raises(errand.ErrandError, match="more than"):
            await errand.run_errand(lambda: time.sleep(100))

    begun = time.monotonic()
    asyncio.run(ask())
    assert time.monotonic() - begun < 20
    (handle,) = kept
    pidfd_send_signal(handle, signal.SIGKILL)
    os.waitid(os.P_PIDFD, handle, os.WEXITED)
    os.close(handle)


def test_nobody_shortens_what_main_has_mapped() -> None:
    """Whoever reads what is mapped of a file, and is there no more, gets SIGBUS."""
    fd = slot.create()
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        assert os.fstat(fd).st_size == slot.SIZE
    finally:
        os.close(fd)
