"""What look-ups tell, byte by byte: about the same objects natively and in sessions."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from sydd.syscalls.table import NUMBERS
from tests.rows.acts32 import RUN, label
from tests.rows.cases import Act, Case
from tests.rows.forms import HERE, Form
from tests.rows.run import Runner
from tests.rows.script import PREPARED, call, do, number, string
from tests.rows.test_allowed import SETTINGS

OUT = "out"
BUFFER = "@512"
NOFOLLOW, EMPTY = "#0x100", "#0x1000"


@pytest.fixture(scope="module")
def shared() -> Iterator[str]:
    """Objects that stay as they are; on a disk, whose inodes have numbers of their own."""
    top = os.path.realpath(tempfile.mkdtemp(prefix="contents-", dir="/var/tmp"))
    os.chmod(top, 0o755)
    try:
        with open(f"{top}/file", "wb") as file:
            file.write(b"content")
        os.link(f"{top}/file", f"{top}/again")
        with open(f"{top}/large", "wb") as file:
            file.truncate(1 << 32)
        os.mkdir(f"{top}/directory", 0o2711)
        os.symlink("file", f"{top}/link")
        os.mkfifo(f"{top}/fifo")
        os.setxattr(f"{top}/file", "user.origin", b"here")
        os.setxattr(f"{top}/file", "user.empty", b"")
        if os.geteuid() == 0:
            os.chown(f"{top}/file", 70000, 123456)
        os.utime(f"{top}/file", ns=(-1_500_000_000, (1 << 33) * 1_000_000_000 + 7))
        # Reading it does not change a time of access that is newer than all others.
        os.utime(f"{top}/link", (4_000_000_000, 1_000_000_000), follow_symlinks=False)
        yield top
    finally:
        shutil.rmtree(top)


OBJECTS = ("file", "again", "large", "directory", "link", "fifo", "/dev/null", "/sys", "missing")


def by_path(row: str) -> list[str]:
    """The forms of a call that takes a path: the words around `P`."""
    return {
        "newfstatat": [f"{HERE} P {BUFFER} {flags}" for flags in ("#0", NOFOLLOW, "#0x6000", "#1")],
        "fstatat64": [f"{HERE} P {BUFFER} {flags}" for flags in ("#0", NOFOLLOW, "#1")],
        "statx": [
            f"{HERE} P {flags} {mask} {BUFFER}"
            for flags, mask in (
                ("#0", "#0xfff"),
                (NOFOLLOW, "#0x7ff"),
                ("#0x4000", "#0x1"),
                ("#0x2000", "#0"),
                ("#0x6000", "#0"),
                ("#0", "#0x80000000"),
                ("#0x10000", "#0"),
            )
        ],
        "file_getattr": [f"{HERE} P @32 {size} #0" for size in ("#24", "#32", "#23", "#5000")],
        "readlink": [f"P @64 {size}" for size in ("#64", "#2", "#0", number(-1))],
        "readlinkat": [f"{HERE} P @64 {size}" for size in ("#64", "#2", "#0")],
        "access": [f"P {mode}" for mode in ("#0", "#1", "#2", "#4", "#7", "#8", "#0x100000004")],
        "faccessat2": [
            f"{HERE} P {words}" for words in ("#1 #0x200", "#1 #0", "#0 #0x100", "#0 #0x800", "#8 #0")
        ],
        "getxattr": [
            f"P {string(name)} @64 {size}"
            for name in ("user.origin", "user.empty", "user.none")
            for size in ("#64", "#4", "#3", "#0", "#70000")
        ],
        "listxattr": [f"P @512 {size}" for size in ("#512", "#0", "#1", "#70000")],
        "name_to_handle_at": [
            f"{HERE} P @136 &{'00' * 8} {flags}" for flags in ("#0", "#0x400", "#0x200", "#4")
        ],
    }.get(row, [f"P {BUFFER}"])


def by_descriptor(row: str) -> list[str]:
    """The same of one that takes a descriptor, `D`."""
    empty = string("")
    return {
        "newfstatat": [f"D {empty} {BUFFER} {EMPTY}"],
        "fstatat64": [f"D {empty} {BUFFER} {EMPTY}"],
        "statx": [f"D {empty} {EMPTY} #0x7ff {BUFFER}", f"D #0 {EMPTY} #0x7ff {BUFFER}"],
        "readlinkat": [f"D {empty} @64 #64"],
        "faccessat2": [f"D {empty} #1 {EMPTY}"],
        "fgetxattr": [f"D {string('user.origin')} @64 #64", f"D {string('user.origin')} @64 #0"],
        "flistxattr": ["D @512 #512"],
        "name_to_handle_at": [f"D {empty} @136 &{'00' * 8} {EMPTY}"],
    }.get(row, [f"D {BUFFER}"])


PATH_ROWS = (
    *("stat", "lstat", "newfstatat", "statx", "file_getattr", "readlink", "readlinkat", "access"),
    *("faccessat2", "getxattr", "listxattr", "name_to_handle_at"),
    *("oldstat", "oldlstat", "stat64", "lstat64", "fstatat64"),
)
FD_ROWS = (
    *("fstat", "newfstatat", "statx", "readlinkat", "faccessat2", "fgetxattr", "flistxattr"),
    *("name_to_handle_at", "oldfstat", "fstat64", "fstatat64"),
)
FILE_SYSTEMS = ("/proc", "/sys", "/dev/pts")
"""Whose figures stay as they are."""

EVERY = [
    pytest.param(abi, row, id=label(abi, row))
    for abi in RUN
    for row in dict.fromkeys((*PATH_ROWS, *FD_ROWS, "statfs", "fstatfs", "statfs64", "fstatfs64"))
    if row in NUMBERS[abi]
]


def cases_of(row: str, shared: str) -> list[Case]:
    """A case for each object and form."""
    found: list[Case] = []

    def add(*script: str) -> None:
        text = f"{len(found)} {script[0]}"
        found.append(Case(row, text, script, Act(text, b"file", ""), Form(text, "")))

    for name in OBJECTS:
        path = name if name.startswith("/") else f"{shared}/{name}"
        if row in PATH_ROWS:
            for words in by_path(row):
                add(call(row, *[string(path) if word == "P" else word for word in words.split()]), OUT)
        if row in FD_ROWS:
            for flags in (os.O_PATH | os.O_NOFOLLOW, os.O_RDONLY | os.O_NONBLOCK):
                for words in by_descriptor(row):
                    arguments = [PREPARED if word == "D" else word for word in words.split()]
                    opened = do("openat", HERE, string(path), number(flags))
                    add(opened, call(row, *arguments), OUT)
    for path in FILE_SYSTEMS if "statfs" in row else ():
        sizes = ("#84", "#83") if row.endswith("64") else ("",)
        for size in sizes:
            if row.startswith("f"):
                add(
                    do("openat", HERE, string(path), number(os.O_PATH)),
                    call(row, PREPARED, size, BUFFER),
                    OUT,
                )
            else:
                add(call(row, string(path), size, BUFFER), OUT)
    return found


@pytest.mark.parametrize(("abi", "row"), EVERY)
def test_the_same_bytes(abi: str, row: str, runner: Runner, shared: str) -> None:
    """Structures, texts, attributes, handles and errnos are as natively."""
    assert runner.abi == abi
    batch = cases_of(row, shared)
    native = [report.lines for report in runner.native(batch)]
    if all(f"call -1 {errno.ENOSYS}" in lines for lines in native):
        pytest.skip(f"this kernel has no {row}")
    for setting, (rules, engine) in SETTINGS.items():
        session = runner.confined(batch, rules, engine)
        wrong = [
            f"{setting}: {case.label}: {got.lines} instead of {expected}"
            for case, expected, got in zip(batch, native, session.reports, strict=True)
            if got.lines != expected
        ]
        assert not wrong, "\n".join(wrong)
