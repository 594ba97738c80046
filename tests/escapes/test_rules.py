"""Ways around a rule that is put in force while threads race: from that moment nothing gets through."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from sydd.plan.plan import Engine
from sydd.session.running import Running
from tests.escapes.arena import Arena
from tests.session.driven import Driver, Talk, drive

ROUNDS = 6
"""How often a rule comes and goes."""

PATIENCE = 20
"""Seconds after which what was waited for will not come."""

PROFILE = """
name = "p"
rules = ["allow write ${cwd}/**"]
[limits]
runtime = ["allow read,list,write ${cwd}/**"]
"""


class Board:
    """What the program and the driver share; see unruled.c."""

    HELD, BAD, FREE, OVER = range(4)

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(self._file, mmap.PAGESIZE)
        self._map = mmap.mmap(self._file, mmap.PAGESIZE)

    def __getitem__(self, place: int) -> int:
        return int(struct.unpack_from("i", self._map, 4 * place)[0])

    def __setitem__(self, place: int, value: int) -> None:
        struct.pack_into("i", self._map, 4 * place, value)

    def close(self) -> None:
        """Let go of it."""
        self._map.close()
        os.close(self._file)


@pytest.fixture
def board(arena: Arena) -> Iterator[Board]:
    """A board, and two files in directories of the work directory."""
    arena.plant("open/mine", "mine")
    arena.plant("taken/victim", "xyz")
    os.mkdir(f"{arena.work}/tmp")
    made = Board(f"{arena.work}/board")
    yield made
    made.close()


def come_and_go(board: Board, rules: list[list[str]], seconds: float) -> Driver:
    """Put rules in force and take them away, by turns."""

    def driver(running: Running, _talk: Talk) -> None:
        end = time.monotonic() + PATIENCE
        try:
            for number in range(ROUNDS):
                began = board[Board.FREE]
                while board[Board.FREE] == began:  # without a rule it gets through
                    assert time.monotonic() < end
                running.replace(rules[number % len(rules)])
                board[Board.HELD] = number + 1
                held = time.monotonic() + seconds
                while time.monotonic() < held:
                    assert not board[Board.BAD]
                board[Board.HELD] = 0
                running.replace([])
        finally:
            board[Board.OVER] = 1

    return driver


CALLS = {
    "read": ["deny read ${cwd}/taken/**"],
    "write": ["deny write ${cwd}/taken/**"],
    "create": ["deny modify ${cwd}/taken/victim"],
    "truncate": ["hide truncate ${cwd}/taken/*"],
    "rename": ["deny rename ${cwd}/taken/**"],
}


@pytest.mark.parametrize("length", [0.05, pytest.param(1.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("call", CALLS)
def test_a_rule_that_comes(arena: Arena, board: Board, call: str, length: float) -> None:
    """The path of one thread's call is swapped by another, whatever Landlock has granted at launch."""
    words = arena.program("unruled", board.path, call, "open/mine", "taken/victim")
    native = subprocess.Popen(words, cwd=arena.work)
    end = time.monotonic() + PATIENCE
    while not board[Board.FREE]:
        assert time.monotonic() < end, "it does not get through without a rule either"
    board[Board.OVER] = 1
    assert native.wait(PATIENCE) == 0
    board[Board.FREE] = board[Board.OVER] = 0
    driver = come_and_go(board, [CALLS[call], [*CALLS[call], "deny read /etc/shadow"]], length)
    ended = drive(PROFILE, words, driver, engine=Engine(arena.engine), cwd=arena.work)
    assert not board[Board.BAD]
    assert board[Board.FREE] >= ROUNDS
    assert ended.outcome.status == 0
    assert not ended.troubles
