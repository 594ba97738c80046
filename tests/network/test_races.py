"""Another thread changes the address while the call is judged."""

from __future__ import annotations

import pytest

from tests.escapes.arena import REPEATED, Arena
from tests.network.conftest import Receivers, Servers, got, reached

pytestmark = pytest.mark.race


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.slow)], autouse=True)
def length(request: pytest.FixtureRequest, arena: Arena) -> None:
    """How long each race takes."""
    if request.param == "long":
        arena.seconds = 4
    elif "repetition" in request.fixturenames:
        arena.seconds = REPEATED


def test_port(arena: Arena, servers: Servers) -> None:
    """The port of a connect."""
    good, bad = (servers.listen(2, ("127.0.0.1", 0)) for _ in range(2))
    ports = [str(server.getsockname()[1]) for server in (good, bad)]
    rules = [f"allow connect 127.0.0.1!{ports[0]}"]
    arena.attempt(arena.program("swap", "connect", *ports), lambda: reached(bad), rules=rules)
    assert reached(good)


def test_path(arena: Arena, servers: Servers) -> None:
    """The path of a connect; nothing is removed between the runs, so both servers are beside the arena."""
    paths = [f"{arena.root}/{name}" for name in ("good", "bad")]
    good, bad = (servers.listen(1, path) for path in paths)
    rules = [f"allow connect unix:{paths[0]}"]
    arena.attempt(arena.program("swap", "unix", *paths), lambda: reached(bad), rules=rules)
    assert reached(good)


def test_bind(arena: Arena) -> None:
    """Loopback becomes every address of the host."""
    arena.attempt(arena.program("swap", "bind"), lambda: "got" in arena.output)


@pytest.mark.parametrize("way", ["name", "connect", "header", "many", "descriptor"])
def test_message(way: str, arena: Arena, receivers: Receivers) -> None:
    """Where a message goes, and what it goes by."""
    good, bad = (receivers.bind(2, ("127.0.0.1", 0)) for _ in range(2))
    ports = [str(receiver.getsockname()[1]) for receiver in (good, bad)]
    rules = [f"allow net 127.0.0.1!{ports[0]}"]
    arena.attempt(arena.program("send", way, *ports), lambda: got(bad) > 0, rules=rules)
    assert way == "descriptor" or got(good)


def test_message_path(arena: Arena, receivers: Receivers) -> None:
    """The path to which a message goes; both receivers are beside the arena."""
    paths = [f"{arena.root}/{name}" for name in ("good", "bad")]
    good, bad = (receivers.bind(1, path) for path in paths)
    rules = [f"allow send unix:{paths[0]}"]
    arena.attempt(arena.program("send", "path", *paths), lambda: got(bad) > 0, rules=rules)
    assert got(good)
