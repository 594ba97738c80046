"""Calls with pointers, sizes and flags that no program would use: the same errno, no hang, no stumbling."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sydd.plan.plan import Engine
from sydd.syscalls.row import Operation, Row
from sydd.syscalls.rows import FLAG_REQUESTS, ROWS
from tests.fuzz.arena import Arena, Result, Setting
from tests.fuzz.test_paths import SETTINGS
from tests.fuzz.trees import Entry
from tests.rows.script import BAD, KNOWN, call, data, do, number, opened, string
from tests.syscalls.signatures import SIGNATURES

DENYING = Setting(("deny read ${cwd}/t/d/**", "allow net any"), Engine.SUPERVISOR)
"""Under it nothing may be written, and not everything read."""

JUDGING = Setting(("allow write /**", "allow net any", "deny net 192.0.2.255"), Engine.HYBRID)
"""Under it every address is judged, and all of those that are tried here are allowed."""

TREE = [
    Entry(0, b"d", "directory", b""),
    Entry(1, b"f", "file", b""),
    Entry(0, b"f", "file", b""),
    Entry(0, b"l", "link", b"d/f"),
    Entry(0, b"loop", "link", b"loop"),
]
HELD = (
    opened(b".", os.O_RDONLY),
    opened(b"f", os.O_RDONLY),
    opened(b"d/f", os.O_PATH),
    do("inotify_init1", "#0"),
    # Of datagrams, whose addresses are paths: nothing leaves the tree.
    do("socketpair", "#1", "#2", "#0", "@8"),
    do("socket", "#1", "#2", "#0"),
)

ADDRESSES = (
    0,
    1,
    0x1000,
    0xDEAD000,
    0x7FFF_FFFF_F000,
    0x8000_0000_0000,
    1 << 63,
    0xFFFF_8880_0000_0000,
    (1 << 64) - 1,
)
"""Of nothing, of the kernel, and of what cannot be an address."""

_words = st.sampled_from(
    (b"f", b"d/f", b"l", b"loop", b"new", b"d/", b".", b"", b"n" * 255, b"n" * 256, b"user.a")
)
_long = st.sampled_from((4094, 4095, 4096, 5000, 70000)).map(
    lambda size: b"./" * (size // 2) + b"f" * (size % 2)
)
_texts = st.one_of(_words, _words, _words, _long)
_bytes = st.one_of(
    st.binary(max_size=40),
    st.builds(
        struct.pack, st.just("=QQQ"), *[st.sampled_from((0, 1, 0o100, 0o102, 0o644, 8, 1 << 31, 1 << 40))] * 3
    ),
    st.builds(struct.pack, st.just("=qqqq"), *[st.sampled_from((0, 5, -1, 999_999, 10**9, 0x3FFFFFFF))] * 4),
    st.sampled_from((bytes(24), bytes(32), bytes(25), bytes(4096), bytes(24) + b"x", bytes(5000))),
)
_pointers = st.one_of(
    st.sampled_from(ADDRESSES).map(number),
    st.just(BAD),
    _texts.map(string),
    _texts.map(lambda text: ">" + text.hex()),
    _texts.filter(len).map(lambda text: "!" + text.hex()),
    _words.map(lambda text: "|" + text.hex()),
    _bytes.map(data),
    _bytes.map(lambda content: ">" + content.hex()),
    st.just("@512"),
)
# Not those that the programs inherit: linkat(2) asks who opened a descriptor.
_descriptors = st.sampled_from(
    (-100, -100, 3, 4, 5, 6, 7, 9, 99, -1, 1 << 31, (1 << 32) + 3, (1 << 63) + 4)
).map(number)
_sizes = st.sampled_from(
    (0, 1, 7, 8, 16, 23, 24, 25, 32, 256, 4096, 4097, 65536, 65537, 1 << 31, 1 << 32, 1 << 63, -1)
)
_bits = st.lists(st.integers(0, 63), max_size=3).map(lambda bits: sum({1 << bit for bit in bits}))
_flags = st.one_of(
    _bits, st.sampled_from((0, 0, 0, 0x100, 0x200, 0x400, 0x1000, 0o100, 0o102, 0o1000, 0x410000))
)
_names = st.sampled_from(
    (b"", b"\1", b"\1\0", b"\0\0", b"\1\0there", b"\1\0f", b"\1\0none", b"\1\0\0none", b"\2\0xx")
)
_ancillary = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.builds(
        lambda length, level, kind, content: struct.pack("=Qii", length, level, kind) + content,
        st.sampled_from((0, 15, 16, 20, 20, 24, 28, 28, 1 << 40)),
        st.sampled_from((0, 1, 1, 1, 41)),
        st.sampled_from((0, 1, 1, 2, 3)),
        st.sampled_from((b"", b"\3\0\0\0", b"\3\0\0\0\5\0\0\0", b"\xff" * 4, bytes(12), b"\x63\0\0\0")),
    ),
)
_messages = st.builds(
    lambda name, content, control: f"%{name.hex()},{content.hex()},{control.hex()}",
    _names,
    st.binary(max_size=9),
    _ancillary,
)
_anything = st.one_of(_pointers, _pointers, _sizes.map(number), _flags.map(number))
_requests = st.builds(
    lambda request, more: number(request | more << 32),
    st.sampled_from([*FLAG_REQUESTS.values()]),
    st.integers(0, 1),
)

_POINTERS = frozenset(
    [
        "argv",
        "buf",
        "dirent",
        "envp",
        "handle",
        "how",
        "list",
        "mnt_id",
        "name",
        "oldname",
        "statbuf",
        "times",
        "uaddr",
        "uargs",
        "ufattr",
        "umyaddr",
        "usockvec",
        "utimes",
        "uservaddr",
        "value",
        "arg",
        "buffer",
        "addr",
        "buff",
        "msg",
        "mmsg",
    ]
)
"""Names that the kernel gives to arguments that are addresses."""

_LEFT_OUT = frozenset({"execve", "execveat", "prctl"})
"""A program that is executed tells nothing more; some operations of prctl(2) no process gets over."""


def _register(row: Row, place: int) -> st.SearchStrategy[str]:
    """Values of one argument of *row*."""
    if place in (row.path, row.path2):
        return _pointers
    if place in (row.dirfd, row.dirfd2, row.fd):
        return _descriptors
    if place in (row.flags, row.mode):
        return _flags.map(number)
    if row.name == "ioctl" and place == 1:
        return _requests
    names = SIGNATURES.get(row.name, ())
    if row.operation is Operation.SEND and place in row.extra:
        return st.one_of(_anything, _names.map(data), _messages, st.sampled_from((2, 7, 8)).map(number))
    if place < len(names) and names[place] in _POINTERS:
        return _anything
    # Not an address, which differs from program to program.
    return st.one_of(_sizes.map(number), _flags.map(number))


def _script(row: Row, arguments: tuple[str, ...]) -> list[str]:
    return [*HELD, call(row.name, *arguments)]


def scripts(row: Row) -> st.SearchStrategy[list[str]]:
    """Calls of one row with arbitrary arguments."""
    registers = st.tuples(*(_register(row, place) for place in range(6)))
    return registers.map(lambda arguments: _script(row, arguments))


_OF_OTHERS = frozenset(
    {
        Operation.SIGNAL,
        Operation.PROCESS,
        Operation.IPC_GET,
        Operation.IPC_USE,
        Operation.CONFINE,
        Operation.MULTIPLEX,
    }
)
"""With random arguments these would reach whatever runs here; or they are of another ABI."""

_ABOUT_ADDRESSES = (Operation.SOCKET, Operation.SEND)

TRIED = [
    row for row in ROWS if row.name in KNOWN and row.name not in _LEFT_OUT and row.operation not in _OF_OTHERS
]


@pytest.fixture(scope="module")
def sessions(place: Arena) -> Iterator[Arena]:
    """The programs: settings that allow everything, one that allows nothing."""
    with place.open({**SETTINGS, "judging": JUDGING, "denying": DENYING}) as arena:
        yield arena


def _answer(result: Result) -> tuple[int, int]:
    """Result and errno of the one call; what a signal ended has none."""
    for line in result.lines:
        if line.startswith("call "):
            _, value, number_of_error = line.split()
            return int(value), int(number_of_error)
    raise AssertionError(f"no answer: {result.lines}")


def is_known(row: Row, script: list[str], natively: tuple[int, int], got: tuple[int, int]) -> bool:
    """Whether a difference is one that docs/security.md names."""
    if row.name in (
        "fsetxattr",
        "fremovexattr",
        "fgetxattr",
        "flistxattr",
    ):  # AT_FDCWD is a descriptor to some kernels
        return got == (-1, errno.EBADF) and number(-100) in script[-1]
    if row.name == "ioctl":  # of what keeps no flags; EOPNOTSUPP since Linux 6.17
        return got == (-1, errno.ENOTTY) and natively == (-1, errno.EOPNOTSUPP)
    if (
        row.name == "file_setattr"
    ):  # which flags there are, only the kernel knows, and looks at the path later
        return got[0] < 0 and natively == (-1, errno.EINVAL)
    # Device nodes are refused by the filter, before anything is looked at.
    return row.operation is Operation.MKNOD and got == (-1, errno.EPERM) and natively[0] < 0


def check(sessions: Arena, row: Row, script: list[str]) -> None:
    """Fail when a session says something else, or a denying one something for which there is no reason."""
    expected, results = sessions.results(TREE, script)
    denied = results.pop("denying")
    natively = _answer(expected)
    if row.operation is Operation.REFUSED:
        assert {_answer(got) for got in (*results.values(), denied)} == {(-1, row.errno)}
        return
    if row.fd is None or row.operation not in _ABOUT_ADDRESSES:
        del results["judging"]  # which sockets it lets be made is told elsewhere
    for name, got in results.items():
        answer = _answer(got)
        assert answer == natively or is_known(row, script, natively, answer), (
            f"{name}: {answer}, not {natively}"
        )
        assert got.tree == expected.tree, name
    answer = _answer(denied)
    assert answer in (natively, (-1, errno.EACCES)) or is_known(row, script, natively, answer), (
        f"denied: {answer}"
    )


_common = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("row", TRIED, ids=lambda row: row.name)
def test_malformed(row: Row, sessions: Arena) -> None:
    """A few calls of each row, always the same."""

    @settings(_common, max_examples=10, derandomize=True)
    @given(scripts(row))
    def one(script: list[str]) -> None:
        check(sessions, row, script)

    one()


FOUND = (
    # A umode_t has 16 bits, whatever is in the register.
    ("mknodat", "#0xffffffffffffff9c", "=66", "#0x80000000", "#0x0"),
    ("mkdirat", "#0xffffffffffffff9c", "=6e6577", "#0xfff00001ed"),
    # What is wrong with an address comes before what is wrong with the content.
    ("sendto", "#0x7", "#0x0", "#0x1", "#0x0", "=66", "#0x2"),
    ("sendto", "#0x9", "#0x0", "#0x1", "#0x0", "=66", "#0x2"),
)
"""Calls by which differences were found."""


@pytest.mark.parametrize("words", FOUND, ids=" ".join)
def test_found(words: tuple[str, ...], sessions: Arena) -> None:
    """Calls that once said something else."""
    row = next(row for row in TRIED if row.name == words[0])
    check(sessions, row, _script(row, words[1:]))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", TRIED, ids=lambda row: row.name)
def test_many_malformed(row: Row, sessions: Arena) -> None:
    """New calls of each row each time."""

    @settings(_common, max_examples=200)
    @given(scripts(row))
    def one(script: list[str]) -> None:
        check(sessions, row, script)

    one()
