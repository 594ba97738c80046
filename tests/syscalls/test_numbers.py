"""Numbers and look-ups, against the other tables that there are on a development machine."""

from __future__ import annotations

import re

import pytest
import seccompy.syscalls as oracle

from sydd.syscalls import table
from sydd.syscalls.numbers import AARCH64, HIGHEST, X86_64
from sydd.syscalls.numbers32 import ARM, I386
from sydd.syscalls.rows import ROWS
from sydd.syscalls.rows32 import MULTIPLEXERS, ROWS_32


def test_x86_64_agrees_with_another_table() -> None:
    """Name by name, nothing missing and nothing more."""
    expected = {name: nr for name, nr in oracle.X86_64_SYSCALLS.items() if nr <= HIGHEST}
    assert expected == X86_64


def test_aarch64_agrees_with_another_table() -> None:
    """The other table also holds 32-bit names: aliases, and 403 to 423, which 64-bit kernels do not have."""
    others = {name: nr for name, nr in oracle.AARCH64_SYSCALLS.items() if not 403 <= nr <= 423}
    assert AARCH64.items() <= others.items()
    assert set(others.values()) == set(AARCH64.values())


@pytest.mark.parametrize("numbers", table.NUMBERS.values(), ids=list(table.NUMBERS))
def test_no_number_has_two_names(numbers: dict[str, int]) -> None:
    """The filter has one list of entries for a number."""
    assert len(set(numbers.values())) == len(numbers)


def test_common_numbers() -> None:
    """From 424 on all architectures share one numbering."""
    recent = {name: nr for name, nr in X86_64.items() if nr >= 424}
    assert {name: nr for name, nr in AARCH64.items() if nr >= 424} == recent
    assert {name: nr for name, nr in I386.items() if nr >= 424} == recent
    arm = {name: nr for name, nr in ARM.items() if 424 <= nr <= HIGHEST}
    assert recent.items() - arm.items() == {("memfd_secret", 447)}
    assert sorted(recent.values()) == list(range(424, HIGHEST + 1))


def test_libseccomp_agrees() -> None:
    """For all ABIs, where libseccomp knows the name: those that it lacks are newer than it."""
    import pyseccomp

    for arch, audit in table.AUDIT_ARCH.items():
        known = {name: pyseccomp.resolve_syscall(audit, name) for name in table.NUMBERS[arch]}
        for name, nr in table.NUMBERS[arch].items():
            assert known[name] < 0 or known[name] == nr, (arch, name)
        # Those that socketcall and ipc stand for have numbers of libseccomp's own on i386.
        through = {name for calls in MULTIPLEXERS.values() for name in calls.values()}
        unknown = {name for name, nr in known.items() if nr < 0 and table.number(arch, name) <= 456}
        assert unknown <= (through if arch == "i386" else {"uprobe", "uretprobe"}), arch


HEADERS = {
    "i386": "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "arm": "/usr/arm-linux-gnueabihf/include/asm/unistd-eabi.h",
}
"""Where Debian's linux-libc-dev and its cross packages have the kernel's numbers."""


@pytest.mark.parametrize("arch", ["i386", "x86_64", "arm"])
def test_the_kernel_headers_agree(arch: str) -> None:
    """Every number that the installed header knows is ours, by the same name."""
    try:
        with open(HEADERS[arch], encoding="ascii") as file:
            found = re.findall(
                r"^#define __NR_(\w+)\s+\(?(?:__NR_SYSCALL_BASE \+ )?(\d+)\)?$", file.read(), re.MULTILINE
            )
    except FileNotFoundError:
        pytest.skip(f"needs the kernel's headers for {arch}, {HEADERS[arch]}")
    assert len(found) > 300
    ours = table.NUMBERS[arch]
    assert [(name, nr) for name, nr in found if ours.get(name) != int(nr)] == []


def test_look_ups() -> None:
    """There and back, and unknown ones."""
    assert table.native() in table.AUDIT_ARCH
    assert table.number("x86_64", "openat") == 257
    assert table.number("aarch64", "openat") == 56
    assert table.name("aarch64", 56) == "openat"
    assert table.name("x86_64", 99999) == "syscall_99999"
    with pytest.raises(KeyError):
        table.number("aarch64", "open")


def test_rows_by_number() -> None:
    """X86-64 has all rows but those of 32 bits; aarch64 passes over the old names, too."""
    wide = {row.name for row in ROWS} - {row.name for row in ROWS_32}
    assert {row.name for row in table.rows_by_number("x86_64").values()} == wide
    missing = wide - {row.name for row in table.rows_by_number("aarch64").values()}
    # Both name newfstatat otherwise; arm has no multiplexers, nor what was old before it.
    assert wide - set(table.rows_by_name("i386")) == {"newfstatat", "semop", "semtimedop"}
    assert {"semop", "semtimedop"} <= {row.name for row in table.parts("i386", "ipc").values()}
    assert {row.name for row in ROWS_32} <= set(table.rows_by_name("i386"))
    lacking = {
        "newfstatat",
        "utime",
        "oldstat",
        "oldlstat",
        "oldfstat",
        "readdir",
        "socketcall",
        "umount",
        "ipc",
    }
    assert {row.name for row in ROWS} - set(table.rows_by_name("arm")) == lacking
    assert missing == {
        *(
            "access",
            "chmod",
            "chown",
            "creat",
            "futimesat",
            "getdents",
            "lchown",
            "link",
            "lstat",
            "mkdir",
            "mknod",
        ),
        *("open", "readlink", "rename", "rmdir", "stat", "symlink", "unlink", "utime", "utimes"),
    }
