"""Programs that their user may run and not read: a supervisor without privileges cannot read their memory."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.session.conftest import Session


@pytest.fixture
def private(session: Session) -> str:
    """A directory with programs of root's that others can execute alone."""
    directory = f"{session.home}/private"
    os.mkdir(directory, 0o755)
    for name in ("mkdir", "cat", "mv", "sh"):
        shutil.copy(f"/bin/{name}", directory)
        os.chmod(f"{directory}/{name}", 0o711)
    return directory


@pytest.mark.root
def test_what_the_kernel_holds(session: Session, private: str) -> None:
    """What Landlock grants is done, what it denies is EACCES."""
    options = ("--engine", "hybrid")
    session.write("text", "words\n")
    done = session.run(f"{private}/mkdir", "made", options=options)
    assert (done.returncode, done.stderr) == (0, "")
    assert session.run(f"{private}/cat", "text", options=options).stdout == "words\n"
    assert session.run(f"{private}/mv", "text", "made/moved", options=options).returncode == 0
    assert os.listdir(f"{session.work}/made") == ["moved"]
    done = session.run(f"{private}/mkdir", f"{session.home}/no", options=options)
    assert "Permission denied" in done.stderr
    assert not os.path.exists(f"{session.home}/no")
    script = f"echo x > in; echo x > {session.home}/no; cat in"
    done = session.run(f"{private}/sh", "-c", script, options=options)
    assert done.stdout == "x\n"
    assert "Permission denied" in done.stderr


@pytest.mark.root
def test_what_nobody_holds(session: Session, private: str) -> None:
    """Without Landlock nothing goes on that the supervisor could not judge."""
    done = session.run(f"{private}/mkdir", "made", options=("--engine", "supervisor"))
    assert done.returncode
    assert os.listdir(session.work) == []
