"""One example: the same calls in equal trees, natively and in sessions, and what differs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sydd.plan.plan import Engine
from sydd.syscalls.table import native as native_abi
from tests.fuzz.agents import Agent, confined, native
from tests.fuzz.trees import TOP, Entry, make
from tests.rows.script import numbered
from tests.rows.tree import Seen, look
from tests.support.unprivileged import Unprivileged

_OWN = re.compile(r"/proc/\d+(/task/\d+)?")
_NUMBERED = re.compile(r"(pipe|socket|ns|net|mnt|#)(:?\[?)\d+")
_OUTSIDE = re.compile(r"nlink \d+")


class Setting(NamedTuple):
    """A session to compare with: its rules, which allow everything, and its engine."""

    rules: tuple[str, ...]
    engine: Engine


class Result(NamedTuple):
    """What an example came to: what the program told, and the tree that it left."""

    lines: tuple[str, ...]
    tree: Mapping[bytes, Seen]


class Above:
    """What is above a tree, where a program that runs as their owner can change it: it is put back.

    Args:
        directories: the highest first.
    """

    def __init__(self, directories: Sequence[str]) -> None:
        self._modes = {path: stat.S_IMODE(os.stat(path).st_mode) for path in directories}
        self._names = {path: frozenset(os.listdir(path)) for path in directories}

    def restore(self) -> None:
        """Undo what was done to the directories themselves, and remove what was made in them."""
        for path, mode in self._modes.items():
            os.chmod(path, mode)
            for name in os.listxattr(path):
                os.removexattr(path, name)
            for name in os.listdir(path):
                if name not in self._names[path]:
                    _remove(f"{path}/{name}")


class Arena:
    """Where examples are tried.

    Args:
        program: call.c, compiled.
        base: the highest directory that belongs to the tests.
        directory: below it, where trees are made.
        user: to whom they belong.
    """

    def __init__(self, program: str, base: str, directory: str, user: Unprivileged) -> None:
        self._program = program
        self._directory = directory
        self._user = user
        self._top = f"{directory}/t"
        between = os.path.relpath(directory, base).split("/")
        self._above = Above([os.path.join(base, *between[:depth]) for depth in range(len(between) + 1)])
        self._native: Agent | None = None
        self._sessions: dict[str, Agent] = {}
        self.examples = 0

    @contextlib.contextmanager
    def open(self, settings: Mapping[str, Setting]) -> Iterator[Arena]:
        """With the programs running."""
        with contextlib.ExitStack() as stack:
            self._native = stack.enter_context(native(self._program, self._user.identity()))
            for name, (rules, engine) in settings.items():
                self._sessions[name] = stack.enter_context(
                    confined(self._program, self._become, self._directory, rules, engine)
                )
            try:
                yield self
            finally:
                self._sessions.clear()

    def _become(self) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(self._user.gid, self._user.gid, self._user.gid)
            os.setresuid(self._user.uid, self._user.uid, self._user.uid)

    def results(self, tree: list[Entry], script: Sequence[str]) -> tuple[Result, dict[str, Result]]:
        """Run *script* in equal trees: natively, and in each session.

        Raises:
            AssertionError: a session hangs, has ended, or its supervisor stumbled.
        """
        self.examples += 1
        assert self._native
        expected = self._run(self._native, tree, script)
        return expected, {name: self._run(agent, tree, script) for name, agent in self._sessions.items()}

    def _run(self, agent: Agent, tree: list[Entry], script: Sequence[str]) -> Result:
        top = os.fsencode(self._top)
        mark = TOP.hex()
        before = os.umask(0o022)
        try:
            make(self._top, tree)
            self._user.give(self._top)
            whole = [f"do chdir ={mark}", *script]
            lines = agent.run([numbered(line, native_abi()).replace(mark, top.hex()) for line in whole])
            troubles = agent.troubles()
            assert not troubles, f"{troubles} in {script}"
            # Only where its user may change the directory above it can the tree be gone.
            seen = look(self._top) if os.path.isdir(self._top) else {}
            return Result(tuple(self._plain(line) for line in lines), seen)
        finally:
            os.umask(before)
            # The tree, and what the program did above it: the next run has to find what this one found.
            self._above.restore()

    def _plain(self, line: str) -> str:
        """A line without what differs from run to run: numbers of processes, pipes, inodes."""
        return _NUMBERED.sub(r"\1\2N", _OWN.sub("/proc/PID", line.replace(self._top, "TOP")))


def _remove(path: str) -> None:
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    if os.geteuid():
        _unlock(path)
    shutil.rmtree(path)


def _unlock(top: str) -> None:
    """Let the owner remove everything."""
    os.chmod(top, 0o700)
    for root, names, _ in os.walk(top):
        for name in names:
            if not os.path.islink(f"{root}/{name}"):
                os.chmod(f"{root}/{name}", 0o700)


def differences(expected: Result, got: Result, is_known: Callable[[str, str], bool]) -> list[str]:
    """What is not as natively, one line for each thing.

    Args:
        expected: of the native run.
        got: of the session.
        is_known: whether a line of the first may be one of the second.
    """
    found = []
    told, natively = _compared(got.lines), _compared(expected.lines)
    if len(told) != len(natively):
        found.append(f"told {told} instead of {natively}")
    for line, native_line in zip(told, natively, strict=False):
        if line != native_line and not is_known(native_line, line):
            found.append(f"told {line!r} instead of {native_line!r}")
    return found + [
        f"{path!r} is {got.tree.get(path)} instead of {expected.tree.get(path)}"
        for path in sorted(expected.tree.keys() | got.tree.keys())
        if expected.tree.get(path) != got.tree.get(path)
    ]


def _compared(lines: tuple[str, ...]) -> list[str]:
    """The lines, without link counts and contents of what is outside the tree: others work there."""
    result = []
    outside = False
    for line in lines:
        if line.startswith("name "):
            outside = not line.startswith("name TOP")
        if outside and line.startswith("content "):
            continue
        result.append(_OUTSIDE.sub("", line) if outside else line)
    return result
