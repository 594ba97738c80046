"""What is written down for workers makes values alone, whoever has written it."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sydd.daemon.channel import ChannelError, document
from sydd.daemon.precedent import Precedent
from sydd.daemon.preparing import VERSION, Ready, State
from sydd.kernel.fd import FileDescriptor
from sydd.plan.tree import HostTree
from sydd.policy.access import Access
from sydd.profiles.store import Read, load_text
from sydd.session.prepare import Place, prepare
from sydd.session.temporary import remove_tree

EVERYTHING = """
rules = [
    "ask read /a/{b,c}*", "allow write ${cwd}/**", "kill exec /x?[a-z]", "hide stat /y", "warn list /z",
    "filter read /q", "allow ioctl /dev/*", "deny connect @x*", "allow connect netlink:route",
    "deny bind unix:/run/**", "allow net local", "allow connect [fe80::1%2]!1-5", "deny send 10.0.0.0/8",
    "allow connect family:vsock", "deny connect unix:unnamed",
]
umask = "027"
[variables]
a = "x"
[environment]
pass = ["A*"]
drop = ["*"]
set = { B = "${a}" }
[limits]
nofile = 100
processes = 10
time = 5
runtime = ["allow connect 1.2.3.4", "allow write ${home}/**", "allow connect @q"]
[descriptors]
keep = [5]
[restrict]
ptrace = "deny"
[network]
namespace = "private"
"""


class Call:
    """Pickled as a call.

    Args:
        function: what is called.
        arguments: with what.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


def test_all_that_profiles_say_comes_through() -> None:
    """State and precedent are as they were."""
    place = Place("/nonexistent/work", "/nonexistent/home", "/nonexistent/tmp", "nobody")
    tree = HostTree()
    policy = load_text(EVERYTHING, "everything", {})
    reads = [Read("everything", "", "everything.toml", "/everything.toml", EVERYTHING)]
    ready = Ready.of(
        prepare(policy, place, {}, terminals=(), tree=tree), reads, tree, {"HOME": "/root", "NONE": None}
    )
    assert ready.state is not None
    assert ready.precedent is not None
    with FileDescriptor(ready.state.saved()) as state, FileDescriptor(ready.precedent.saved()) as precedent:
        prepared = State.load(state.fileno()).prepared
        assert (prepared.policy, prepared.place) == (policy, place)
        assert prepared.plan.landlock == ready.state.prepared.plan.landlock
        assert Precedent.load(precedent.fileno()) == ready.precedent


@pytest.mark.parametrize("is_state", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        Call(os.mkdir, "made"),
        Call(exec, "import os; os.mkdir('made')"),
        Call(remove_tree, "there"),
        Call(getattr, socket.SOCK_STREAM, "name"),
        Call(getattr, Access.READ, "__class__"),
        Call(socket.socket),
    ],
)
def test_nothing_else_is_called(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_state: bool
) -> None:
    """Who prepares has no capability, and a worker that reads what it wrote has one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    content = pickle.dumps(VERSION) * is_state + pickle.dumps(call)
    with (
        FileDescriptor(document("state", content)) as fd,
        pytest.raises(ChannelError, match="nothing that is written down"),
    ):
        (State if is_state else Precedent).load(fd.fileno())
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]
