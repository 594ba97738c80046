"""Processes of a session that are killed before its command is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = """
import asyncio, contextlib, os, signal, sys
from sydd.control.backend import SessionRequest
from sydd.control.peer import Peer
from sydd.daemon.config import LimitsTable
from sydd.daemon.hub import Hub
from sydd.daemon.profiles import Profiles
from sydd.daemon.quota import Quota
from sydd.daemon.registry import Registry, collect_children
from sydd.daemon.service import Service
from sydd.daemon.sessions import Session
from sydd.daemon.store import Store
from sydd.daemon.systemd import Manager
from sydd.kernel import prctl
from sydd.kernel.pidfd import pidfd_open
from sydd.wire.errors import Failed
from tests.support.daemon import children

victim, directory, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
prepared, adopt = Session._is_prepared, Session._adopt

stopped = []

def go_on(handle):
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGCONT)

def killed_early(session, child):
    global kills
    adopt(session, child)
    if kills and victim == "the worker at once":
        kills -= 1
        os.kill(session.state.worker, signal.SIGKILL)
    elif kills and victim == "two workers":
        kills -= 1
        worker = session.state.worker
        while not children(worker) or not children(children(worker)[0]):
            pass
        (keeper,) = children(worker)
        if kills:  # slow, so that the preparer says something when it is to be ended, and before it is
            (preparer,) = children(keeper)
            for slow, seconds in ((preparer, 0.2), (keeper, 0.6)):
                os.kill(slow, signal.SIGSTOP)
                stopped.append(os.pidfd_open(slow))
                asyncio.get_running_loop().call_later(seconds, go_on, stopped[-1])
        os.kill(worker, signal.SIGKILL)

def killed(session):
    global kills
    prepared(session)
    if kills and victim in ("worker", "keeper", "preparer"):
        kills -= 1
        worker = session.state.worker
        (keeper,) = children(worker)
        (preparer,) = children(keeper)
        os.kill({"worker": worker, "keeper": keeper, "preparer": preparer}[victim], signal.SIGKILL)

async def main():
    prctl.set_child_subreaper()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, collect_children)
    Session._is_prepared, Session._adopt = killed, killed_early
    hub = Hub()
    registry = Registry(hub, Store(Manager("")), Quota(LimitsTable()))
    service = Service(registry, hub, Profiles(), socket="", limits={})
    above = os.getppid()
    peer = Peer(above, os.geteuid(), os.getegid(), tuple(os.getgroups()), pidfd_open(above))
    request = SessionRequest("permissive", directory, ["sh", "-c", "echo x >> ran; exit 3"])
    try:
        started = await service.run(peer, request, [0, 1, 2])
        outcome = await service.wait(peer, started["session"])
        print(outcome["status"], outcome["failure"])
    except Failed as error:
        print(error.reason)
    assert registry.living() == []
    registry.close()
    for handle in stopped:
        go_on(handle)

asyncio.run(main())
"""


def _begin(victim: str, directory: Path, kills: int) -> str:
    """What becomes of a command for which the same process of so many sessions is killed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLS, victim, str(directory), str(kills)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(directory)},
        timeout=18,  # nobody waits for what has ended
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("victim", ["worker", "keeper", "preparer", "the worker at once"])
def test_a_command_is_begun_again(victim: str, tmp_path: Path) -> None:
    """It runs once, and who wants it does not notice; what was prepared already, or is just being."""
    assert _begin(victim, tmp_path, 2) == "3 \n"
    assert (tmp_path / "ran").read_text("ascii") == "x\n"


def test_workers_of_two_attempts(tmp_path: Path) -> None:
    """That the first preparer says it is prepared, when it is to be ended already, is nobody's business."""
    assert _begin("two workers", tmp_path, 2) == "3 \n"
    assert (tmp_path / "ran").read_text("ascii") == "x\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "ran"]


def test_not_for_ever(tmp_path: Path) -> None:
    """An error in the end, and nothing was executed."""
    assert _begin("keeper", tmp_path, 99).startswith("the command cannot be started: ")
    assert list(tmp_path.iterdir()) == []
