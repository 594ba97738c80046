"""What is executed along with a command, and that the launch itself is not judged by exec rules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sydd.session.executables import executed_files


def test_program_and_loader() -> None:
    """A dynamically linked program comes with its loader."""
    files = executed_files("/bin/sh")
    assert files[0] == os.path.realpath("/bin/sh")
    assert "ld-linux" in files[1]


def test_script(tmp_path: Path) -> None:
    """A script comes with its interpreter, and that with its loader."""
    script = tmp_path / "script"
    script.write_text("#! /bin/sh -e\n")
    assert executed_files(str(script))[:2] == (str(script), os.path.realpath("/bin/sh"))


def test_scripts_that_name_each_other(tmp_path: Path) -> None:
    """A circle of interpreters ends, as the kernel ends it."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(f"#!{two}\n")
    two.write_text(f"#!{one}\n")
    assert executed_files(str(one)) == (str(one), str(two))


def test_what_is_no_program(tmp_path: Path) -> None:
    """A missing file is nothing; one without a format is itself."""
    plain = tmp_path / "plain"
    plain.write_text("hello\n")
    assert executed_files(str(tmp_path / "missing")) == ()
    assert executed_files(str(plain)) == (str(plain),)


def test_launch_is_not_judged(tmp_path: Path) -> None:
    """Under `deny exec /**` the command starts, and what it wants to execute does not."""
    command = [
        sys.executable,
        "-m",
        "sydctl",
        "launch",
        "-C",
        str(tmp_path),
        "--rule",
        "deny exec /**",
        "build",
    ]
    result = subprocess.run(
        [*command, "--", "/bin/sh", "-c", "echo launched; /bin/echo again"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "launched\n"
    assert result.returncode == 126
    assert "deny exec" in result.stderr


@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
def test_warned_of(tmp_path: Path, engine: str) -> None:
    """What a rule says to `warn` of is executed, at every name that the rule matches, and told."""
    tool = tmp_path / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho tool\n")
    tool.chmod(0o755)
    later = "cp bin/tool bin/made && bin/made && bin/tool && /bin/echo echo && no/refused"
    (tmp_path / "no").mkdir()
    shutil.copy(tool, tmp_path / "no" / "refused")
    events = tmp_path / "events"
    result = subprocess.run(
        [
            *(sys.executable, "-m", "sydctl", "launch", "--engine", engine, "-C", str(tmp_path)),
            *("--events", str(events), "--rule", "allow write ${cwd}/**"),
            *("--rule", "warn exec ${cwd}/bin/**", "--rule", "warn exec /**/echo"),
            *("--rule", "deny exec ${cwd}/no/**", "build", "--", "/bin/sh", "-c", later),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "tool\ntool\necho\n", result.stderr
    assert result.returncode == 126, result.stderr
    told = [json.loads(line) for line in events.read_text().splitlines()]
    judged = [(event["action"], Path(event["path"]).name) for event in told if event.get("access") == "exec"]
    assert judged == [("warn", "made"), ("warn", "tool"), ("warn", "echo"), ("deny", "refused")]
