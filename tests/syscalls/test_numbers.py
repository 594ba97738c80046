"""Numbers and look-ups, against the two other tables that there are on a development machine."""

from __future__ import annotations

import pytest
import seccompy.syscalls as oracle

from sydd.syscalls import table
from sydd.syscalls.numbers import AARCH64, HIGHEST, X86_64
from sydd.syscalls.rows import ROWS


def test_x86_64_agrees_with_another_table() -> None:
    """Name by name, nothing missing and nothing more."""
    expected = {name: nr for name, nr in oracle.X86_64_SYSCALLS.items() if nr <= HIGHEST}
    assert expected == X86_64


def test_aarch64_agrees_with_another_table() -> None:
    """The other table also holds 32-bit names: aliases, and 403 to 423, which 64-bit kernels do not have."""
    others = {name: nr for name, nr in oracle.AARCH64_SYSCALLS.items() if not 403 <= nr <= 423}
    assert AARCH64.items() <= others.items()
    assert set(others.values()) == set(AARCH64.values())


@pytest.mark.parametrize("numbers", [X86_64, AARCH64], ids=["x86_64", "aarch64"])
def test_no_number_has_two_names(numbers: dict[str, int]) -> None:
    """The filter has one list of entries for a number."""
    assert len(set(numbers.values())) == len(numbers)


def test_common_numbers() -> None:
    """From 424 on all architectures share one numbering."""
    recent = {name: nr for name, nr in X86_64.items() if nr >= 424}
    assert {name: nr for name, nr in AARCH64.items() if nr >= 424} == recent
    assert sorted(recent.values()) == list(range(424, HIGHEST + 1))


def test_libseccomp_agrees() -> None:
    """For both architectures, where libseccomp knows the name."""
    import pyseccomp

    for arch, audit in table.AUDIT_ARCH.items():
        for name, nr in table.NUMBERS[arch].items():
            resolved = pyseccomp.resolve_syscall(audit, name)
            assert resolved < 0 or resolved == nr, (arch, name)


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
    """X86-64 has all rows; aarch64 passes over the old names."""
    assert len(table.rows_by_number("x86_64")) == len(ROWS)
    missing = {row.name for row in ROWS} - {row.name for row in table.rows_by_number("aarch64").values()}
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
