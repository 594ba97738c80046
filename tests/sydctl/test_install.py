"""`sydctl install` and `uninstall` into a directory that stands for a host; for real see tests/systemd."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sydctl import main

ROOT = Path(__file__).resolve().parents[2]


def tree(root: Path) -> dict[str, str]:
    """Every file below a directory: path and content, or where it points to."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory) / name
            content = os.readlink(path) if path.is_symlink() else path.read_text(encoding="utf-8")
            found[str(path.relative_to(root))] = content
    return found


def install(root: Path, *arguments: str) -> int:
    """Install there."""
    return main.main(["install", "--root", str(root), *arguments])


def test_what_goes_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Units with the path of the program, man pages, links; what is printed is what was written."""
    assert install(tmp_path, "--prefix", "/usr") == 0
    files = tree(tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == sorted(str(tmp_path / name) for name in files if not name.endswith("installed"))
    scripts = os.path.dirname(sys.executable)
    assert f"\nExecStart={scripts}/sydd\n" in files["usr/lib/systemd/system/sydd.service"]
    assert f"\nExecStart={scripts}/sydd\n" in files["usr/lib/systemd/user/sydd.service"]
    assert files["usr/bin/sydctl"] == f"{scripts}/sydctl"
    assert {
        "usr/lib/systemd/system/sydd.socket",
        "usr/lib/systemd/system/sydd-sessions.service",
        "usr/lib/systemd/user/sydd.socket",
        "usr/lib/sysusers.d/sydd.conf",
        "usr/lib/tmpfiles.d/sydd.conf",
        "usr/share/man/man1/sydctl.1",
        "usr/share/man/man5/sydd-profile.5",
        "usr/share/man/man7/sydd-rules.7",
        "usr/share/man/man8/sydd.8",
        "usr/share/doc/sydd/examples/build-agent.conf",
    } <= files.keys()


def test_uninstall_leaves_what_was_there(tmp_path: Path) -> None:
    """Everything that was written goes, also after a second install; nothing else."""
    other = tmp_path / "usr/local/lib/systemd/system/other.service"
    other.parent.mkdir(parents=True)
    other.write_text("[Unit]\n")
    for _ in range(2):
        assert install(tmp_path) == 0
    assert main.main(["uninstall", "--root", str(tmp_path)]) == 0
    assert tree(tmp_path) == {"usr/local/lib/systemd/system/other.service": "[Unit]\n"}
    assert not (tmp_path / "usr/local/lib/sydd").exists()
    assert not (tmp_path / "usr/local/share/doc/sydd").exists()


def test_what_an_earlier_version_installed_goes_too(tmp_path: Path) -> None:
    """A unit that this version does not have is still on the list."""
    assert install(tmp_path) == 0
    listed = tmp_path / "usr/local/lib/sydd/installed"
    old = "/usr/local/lib/systemd/system/sydd-old.service"
    listed.write_text(f"{listed.read_text()}{old}\n")
    (tmp_path / old[1:]).write_text("")
    assert install(tmp_path) == 0
    assert main.main(["uninstall", "--root", str(tmp_path)]) == 0
    assert tree(tmp_path) == {}


def test_nothing_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says so."""
    assert main.main(["uninstall", "--root", str(tmp_path)]) == 1
    listed = tmp_path / "usr/local/lib/sydd/installed"
    error = capsys.readouterr().err
    assert error == f"sydctl: cannot uninstall: nothing is installed there: no '{listed}'\n"


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says which."""
    (tmp_path / "file").touch()
    assert install(tmp_path, "--prefix", "/file/x") == 1
    assert capsys.readouterr().err.startswith("sydctl: cannot install: [Errno 20] Not a directory: ")


@pytest.mark.parametrize("unit", sorted((ROOT / "systemd").glob("*/sydd*")), ids=str)
def test_units_name_only_what_is_there(unit: Path) -> None:
    """No placeholder but the one that install fills in."""
    text = unit.read_text(encoding="utf-8")
    assert "@" not in text.replace("@BINDIR@", "").replace("=~@", "").replace(" @", "")


@pytest.mark.root
def test_a_program_that_others_can_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be executed as root: nothing is installed."""
    from sydctl.host import Host, HostError

    scripts = tmp_path / "bin"
    scripts.mkdir()
    for name in ("sydd", "sydctl"):
        (scripts / name).write_text("#!/bin/sh\n")
        (scripts / name).chmod(0o755)
    os.chown(scripts, 65534, 65534)
    with pytest.raises(HostError, match=f"'{scripts}' can be changed by others than root"):
        Host("/", "/usr/local").check_programs(str(scripts))
