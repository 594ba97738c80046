"""What the rows of 32-bit ABIs are called with, as far as their arguments are laid out differently."""

from __future__ import annotations

import os
import struct

from sydd.syscalls.rows32 import MULTIPLEXERS
from sydd.syscalls.table import abis_beside, native
from tests.rows.acts import ACTS, REFUSED
from tests.rows.cases import Act
from tests.rows.kinds import GID, UID, about, held, looked_at, looks, owners, times
from tests.rows.script import BAD, NULL, data, number, string

_STAT = "@512"
_OUT = ("out",)
_FOUR = data(struct.pack("=iiii", 5, 6, 7, 8))
_FOUR_WIDE = data(struct.pack("=qqqq", 5, 6, 7, 8))
_CALLS = {name: number(which) for which, name in MULTIPLEXERS["socketcall"].items()}


def _nanoseconds(word: str, given: str) -> list[Act]:
    return [
        *times("D P {} #0", "nano", word),
        Act("a link itself", b"to-file", f"D P {given} #0x100", "attributes", follow=False, times=True),
        Act("unknown flags", b"file", f"D P {NULL} #1", times=True),
        *held(f"D {NULL} {given} #0", times=True),
    ]


def _large(acts: list[Act], spell: str) -> list[Act]:
    """The same acts, and files whose bytes a 32-bit program cannot count unless it says that it can."""
    grown = (f"do truncate64 {string(b'd/file')} {number(1 << 31)} #0",)
    return acts + [
        Act(label, b"file", spell.format(flags=number(flags), mode="#0"), access, before=grown)
        for label, flags, access in (
            ("too large", os.O_RDONLY, "read"),
            ("too large to write", os.O_WRONLY | os.O_TRUNC, "modify"),
            ("large", os.O_RDONLY | 0o100000, "read"),
        )
    ]


def _socketcall() -> list[Act]:
    """The calls with a row, and what is wrong with the arguments of others."""

    def act(label: str, name: str, words: tuple[int, ...], access: str, after: tuple[str, ...] = ()) -> Act:
        arguments = f"{_CALLS[name]} {data(struct.pack(f'={len(words)}i', *words))}"
        return Act(label, b"file", arguments, access, after=after, stands_for=name)

    return [
        act("internet", "socket", (2, 1, 0), "connect", after=("fd",)),
        act("local datagram", "socket", (1, 2, 0), "connect", after=("fd",)),
        act("unknown family", "socket", (99, 1, 0), "connect"),
        act("bind no descriptor", "bind", (99, 0, 0), "bind"),
        act("connect no descriptor", "connect", (99, 0, 0), "connect"),
        act("pair of an unknown family", "socketpair", (99, 1, 0, 0), "connect"),
        act("name of no descriptor", "getsockname", (99, 0, 0), ""),
        Act("bad pointer", b"file", f"{_CALLS['socket']} {BAD}", ""),
        Act("no call", b"file", f"#0 {BAD}", ""),
        Act("unknown call", b"file", f"#99 {BAD}", ""),
    ]


_ACTS_32: dict[str, list[Act]] = {
    "open": _large(ACTS["open"], "P {flags} {mode}"),
    "openat": _large(ACTS["openat"], "D P {flags} {mode}"),
    "truncate64": about(
        b"file",
        "truncate",
        "P {}",
        ("shorter", ("#3 #0",)),
        ("longer", ("#30 #0",)),
        ("beyond 32 bits", ("#30 #1",)),
        ("negative", ("#0xffffffff #0xffffffff",)),
    ),
    "chown32": owners("P {} {}"),
    "lchown32": owners("P {} {}", follow=False),
    "fchown32": held(f"D {number(UID)} {number(GID)}"),
    "utime": times("P {}", "seconds", "i"),
    "utimes": times("P {}", "micro", "i"),
    "futimesat": [*times("D P {}", "micro", "i"), *held(f"D {NULL} {NULL}", times=True)],
    "utimensat": _nanoseconds("i", _FOUR),
    "utimensat_time64": [
        *_nanoseconds("q", _FOUR_WIDE),
        Act(
            "rubbish in the padding",
            b"file",
            f"D P {data(struct.pack('=qIIqII', 5, 6, 99, 7, 8, 99))} #0",
            "attributes",
            times=True,
        ),
    ],
    "oldstat": looks(f"P {_STAT}"),
    "oldlstat": looks(f"P {_STAT}", follow=False),
    "stat64": looks(f"P {_STAT}"),
    "lstat64": looks(f"P {_STAT}", follow=False),
    "fstatat64": looks(f"D P {_STAT} #0", empty=f"D {string(b'')} {_STAT} #0x1000"),
    "oldfstat": looked_at(f"D {_STAT}"),
    "fstat64": looked_at(f"D {_STAT}"),
    "fstatfs64": looked_at(f"D #84 {_STAT}"),
    "statfs64": looks(f"P #84 {_STAT}"),
    "readdir": [Act("directory", b"", "D @1024 #1", "list", held=(b"d/empty", os.O_RDONLY), every=True)],
    "fanotify_mark": [Act("no group", b"file", "#99 #1 #2 #0 D P", "")],
    "socketcall": _socketcall(),
    "ipc": [
        Act(label, b"file", arguments)
        for label, arguments in (
            ("shmat of no id", f"#21 {number(-1)} #0 #0 {NULL}"),
            ("shmctl of no id", f"#24 {number(-1)} #0 #0 {NULL}"),
            ("semop of no id", f"#1 {number(-1)} #1 #0 {data(bytes(6))}"),
            ("semctl of no id", f"#3 {number(-1)} #0 #0 {data(bytes(4))}"),
            ("msgctl of no id", f"#14 {number(-1)} #0 #0 {NULL}"),
            ("no such key", "#23 #0x5eadbee #1 #0"),
            ("nonsense size", "#23 #0 #0 #0600"),
            ("a version", "#0x10017 #0x5eadbee #1 #0"),
            ("unknown call", "#99 #0 #0 #0"),
        )
    ],
    "semtimedop_time64": ACTS["semtimedop"],
    "fcntl64": ACTS["fcntl"],
    "setuid32": ACTS["setuid"],
    "setgid32": ACTS["setgid"],
    "setreuid32": ACTS["setreuid"],
    "setregid32": ACTS["setregid"],
    "setresuid32": ACTS["setresuid"],
    "setresgid32": ACTS["setresgid"],
    "setfsuid32": ACTS["setfsuid"],
    "setfsgid32": ACTS["setfsgid"],
    "setgroups32": ACTS["setgroups"],
}

ACTS_OF: dict[str, dict[str, list[Act]]] = {"x86_64": ACTS, "aarch64": ACTS, "i386": ACTS | _ACTS_32}
"""By ABI and row."""

REFUSED_OF: dict[str, dict[str, str]] = {
    "x86_64": REFUSED,
    "aarch64": REFUSED,
    "i386": REFUSED | {"umount": string("d")},
}
"""Arguments of the calls that no session may make, by ABI and row."""

RUN = [abi for abi in abis_beside(native()) if abi in ACTS_OF]
"""The ABIs that this machine may run, its own first; another one is skipped where it does not."""


def label(abi: str, row: str) -> str:
    """The name of a row of an ABI in the names of tests."""
    return row if abi == native() else f"{abi}-{row}"
