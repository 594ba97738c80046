"""What outlives this process with the service manager: named descriptors that the next daemon gets back.

Of a session `ID` these are kept, each under `ID.KIND`:

    info      memory file: what the session is, and how far it is (`Info`)
    listener  of the seccomp filter
    channel   to its worker
    keeper    channel to the process that keeps a command started by `Run`
    worker    pidfd of the worker
    command   pidfd of the command
    parent    pidfd of the process below which the session's processes are
    slot, state, notes    memory files of the worker

and of the daemon `tape.0` and `tape.1`, the last records of the hub. Without a manager nothing is kept.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sydd.daemon.systemd import Manager, Passed
from sydd.kernel.fd import FileDescriptor

KINDS: Final = (
    "info",
    "listener",
    "channel",
    "keeper",
    "worker",
    "command",
    "parent",
    "slot",
    "state",
    "notes",
)
TAPE: Final = ("tape.0", "tape.1")
_STORED: Final = re.compile(rf"([A-Za-z0-9_-]{{1,64}})\.({'|'.join(KINDS)})")


@dataclass(slots=True)
class Restored:
    """What the manager gave back.

    Attributes:
        sockets: that the daemon listens on, in the order of their numbers, and what the unit calls them.
        tape: of the hub; None where it was not kept whole.
        sessions: by session, by kind.
    """

    sockets: list[tuple[str, FileDescriptor]] = field(default_factory=list)
    tape: tuple[FileDescriptor, FileDescriptor] | None = None
    sessions: dict[str, dict[str, FileDescriptor]] = field(default_factory=dict)


def sort_out(passed: Iterable[Passed]) -> Restored:
    """Tell what was passed apart; what is there twice, or stands for nothing, is closed.

    Args:
        passed: from `systemd.listen_fds`; now the caller's of this function.
    """
    restored = Restored()
    tape: dict[str, FileDescriptor] = {}
    for item in passed:
        found = _STORED.fullmatch(item.name)
        if found is None and item.name not in TAPE:
            restored.sockets.append((item.name, item.fd))
            continue
        kept, kind = (restored.sessions.setdefault(found[1], {}), found[2]) if found else (tape, item.name)
        if kept.setdefault(kind, item.fd) is not item.fd:
            item.fd.close()
    if len(tape) == len(TAPE):
        restored.tape = tape[TAPE[0]], tape[TAPE[1]]
    else:
        for file in tape.values():
            file.close()
    return restored


class Store:
    """The manager's descriptor store.

    Args:
        manager: who keeps what; may be nobody.
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._stored: dict[str, set[str]] = {}

    @property
    def present(self) -> bool:
        """Whether anything is kept."""
        return self._manager.present

    def put(self, session: str, kind: str, fd: int) -> None:
        """Keep a descriptor, in the place of the one that is kept under its name.

        Args:
            session: its session.
            kind: one of KINDS.
            fd: stays the caller's.

        Raises:
            OSError: the manager does not take it.
        """
        kinds = self._stored.setdefault(session, set())
        name = f"{session}.{kind}"
        if kind in kinds:
            self._manager.remove(name)
        self._manager.store(name, [fd])
        kinds.add(kind)

    def adopt(self, session: str, kinds: Iterable[str]) -> None:
        """Know what is kept already, from the daemon before this one."""
        self._stored.setdefault(session, set()).update(kinds)

    def remove_kind(self, session: str, kind: str) -> None:
        """Keep one descriptor no longer; one that is not kept is fine.

        Raises:
            OSError: the manager does not answer.
        """
        kinds = self._stored.get(session, set())
        if kind in kinds:
            kinds.discard(kind)
            self._manager.remove(f"{session}.{kind}")

    def remove(self, session: str) -> None:
        """Keep nothing of a session any more.

        Raises:
            OSError: the manager does not answer.
        """
        for kind in sorted(self._stored.pop(session, ())):
            self._manager.remove(f"{session}.{kind}")

    def put_tape(self, files: tuple[FileDescriptor, FileDescriptor]) -> None:
        """Keep the hub's records.

        Raises:
            OSError: the manager does not take them.
        """
        for name, file in zip(TAPE, files, strict=True):
            self._manager.store(name, [file.fileno()])


class Info:
    """What the next daemon has to know of a session, in a memory file.

    What never changes stands at SPEC. What does is written to two places in turn, with a number and a
    checksum: whenever this process is killed, one of them is whole. The number of the last event that was
    told stands by itself behind them.

    Args:
        file: of an earlier daemon; None for a new one.

    Raises:
        OSError: it cannot be made.
        ValueError: the file holds nothing.
    """

    SPEC = 1 << 20
    PLACE = SPEC // 2
    WORD = 8

    def __init__(self, file: FileDescriptor | None = None) -> None:
        self._number = 0
        self.state: dict[str, Any] = {}
        self.spec: dict[str, Any] = {}
        if file is None:
            self.file = FileDescriptor(os.memfd_create("sydd-info", os.MFD_CLOEXEC))
            return
        self.file = file
        length = os.fstat(file.fileno()).st_size
        spec = json.loads(os.pread(file.fileno(), max(0, length - self.SPEC), self.SPEC))
        found = [place for place in map(self._read, (0, 1)) if place is not None]
        if not found or not isinstance(spec, dict):
            raise ValueError("nothing is known of it")
        self.spec = spec
        self._number, self.state = max(found, key=lambda place: place[0])

    def write_spec(self, spec: dict[str, Any]) -> None:
        """Write what never changes.

        Raises:
            OSError: there is no memory.
        """
        self.spec = spec
        _write_all(self.file.fileno(), json.dumps(spec).encode(), self.SPEC)

    def write(self, state: dict[str, Any]) -> None:
        """Have *state* count from now on.

        Raises:
            OSError: there is no memory.
            ValueError: it is too long.
        """
        number = self._number + 1
        body = json.dumps(state, separators=(",", ":")).encode()
        line = b"%d %08x %s\n" % (number, zlib.crc32(body), body)
        if len(line) > self.PLACE - self.WORD:
            raise ValueError(f"{len(line)} bytes of state")
        _write_all(self.file.fileno(), line, number % 2 * self.PLACE)
        self._number, self.state = number, state

    @property
    def told(self) -> int:
        """The number of the last event of the session that was told."""
        word = os.pread(self.file.fileno(), self.WORD, self.SPEC - self.WORD)
        return int.from_bytes(word, "little")

    @told.setter
    def told(self, number: int) -> None:
        os.pwrite(self.file.fileno(), number.to_bytes(self.WORD, "little"), self.SPEC - self.WORD)

    def _read(self, place: int) -> tuple[int, dict[str, Any]] | None:
        """Number and state of one place; None where none is whole."""
        line = os.pread(self.file.fileno(), self.PLACE, place * self.PLACE).partition(b"\n")[0]
        try:
            number, checksum, body = line.split(b" ", 2)
            if int(checksum, 16) != zlib.crc32(body):
                return None
            state = json.loads(body)
            return (int(number), state) if isinstance(state, dict) else None
        except ValueError:
            return None

    def close(self) -> None:
        """Close it."""
        self.file.close()


def _write_all(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
