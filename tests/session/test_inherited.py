"""What the command finds: descriptors, environment, umask, limits, directory, signal dispositions."""

from __future__ import annotations

import os
import resource
import signal
import subprocess

import pytest

from tests.session.conftest import PATIENCE, Session

LIST_DESCRIPTORS = """
import os
names = os.listdir("/proc/self/fd")  # one of which was that of the listing
print(sorted(int(name) for name in names if os.path.exists(f"/proc/self/fd/{name}")))
"""
STATUS = "grep -E '^(Sig(Blk|Ign)|NoNewPrivs|Seccomp)' /proc/self/status"


def run_with(
    session: Session, command: list[str], descriptors: tuple[int, ...]
) -> subprocess.CompletedProcess[str]:
    """Run sydctl with further inherited descriptors."""
    return subprocess.run(
        command,
        cwd=session.work,
        env=session.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        pass_fds=descriptors,
        **session.user.identity(),
    )


def test_only_three_descriptors(session: Session) -> None:
    """Nothing of sydd's and nothing of its caller's reaches the command."""
    reader, writer = os.pipe()
    try:
        command = session.command("python3", "-c", LIST_DESCRIPTORS, options=("--events", "/dev/stderr"))
        done = run_with(session, command, (reader, writer))
    finally:
        os.close(reader)
        os.close(writer)
    assert (done.stdout, done.stderr) == ("[0, 1, 2]\n", "")


def test_descriptors_that_the_profile_keeps(session: Session) -> None:
    """They are open under their own numbers, and only they."""
    reader, writer = os.pipe()
    try:
        os.dup2(writer, 57)
        profile = session.profile("[descriptors]\nkeep = [57]\n")
        command = session.command("python3", "-c", LIST_DESCRIPTORS, profile=profile)
        done = run_with(session, command, (reader, writer, 57))
    finally:
        for fd in (reader, writer, 57):
            os.close(fd)
    assert (done.stdout, done.stderr) == ("[0, 1, 2, 57]\n", "")


def test_a_descriptor_that_is_to_be_kept_and_is_not_there(session: Session) -> None:
    """The command does not run without what it was promised."""
    done = session.run("true", profile=session.profile("[descriptors]\nkeep = [57]\n"))
    assert done.returncode == 125
    assert "descriptor 57 is to be kept, but it is not open" in done.stderr


@pytest.mark.parametrize("number", [3, 4])
def test_no_descriptor_of_sydds_own_is_kept(session: Session, number: int) -> None:
    """Where none was inherited by a number that the profile keeps, sydctl has one of its own there."""
    done = session.run("true", profile=session.profile(f"[descriptors]\nkeep = [{number}]\n"))
    assert done.returncode == 125
    assert f"descriptor {number} is to be kept, but it is not open" in done.stderr


def test_the_environment(session: Session) -> None:
    """Dropped, passed although dropped, set; all else as it was."""
    profile = session.profile(
        'rules = []\n[environment]\ndrop = ["SECRET*"]\npass = ["SECRET_NOT"]\nset = { WHERE = "${cwd}/x" }\n'
    )
    given = {"SECRET_KEY": "1", "SECRET_NOT": "2", "OTHER": "3"}
    done = session.run("env", profile=profile, env=given)
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert "SECRET_KEY" not in found
    assert (found["SECRET_NOT"], found["OTHER"], found["WHERE"]) == ("2", "3", f"{session.work}/x")


def test_tokens_do_not_reach_a_build(session: Session) -> None:
    """The shipped profile keeps what usually holds secrets from the command, and gives it TMPDIR."""
    done = session.run(
        "env", env={"GITHUB_TOKEN": "t", "AWS_PROFILE": "p", "SSH_AUTH_SOCK": "/s", "LANG": "C"}
    )
    assert not {"GITHUB_TOKEN", "AWS_PROFILE", "SSH_AUTH_SOCK"} & {
        line.split("=")[0] for line in done.stdout.split()
    }
    assert "LANG=C" in done.stdout
    assert f"TMPDIR={session.home}/sydd-" in done.stdout


def test_what_was_dropped_is_told(session: Session) -> None:
    """With -v, by name and without values."""
    secrets = {"GITHUB_TOKEN": "the-value", "AWS_PROFILE": "other", "LANG": "C"}
    done = session.run("true", env=secrets, options=("-v",))
    (line,) = [line for line in done.stderr.splitlines() if "not passed on: " in line]
    names = line.partition("not passed on: ")[2].split(", ")
    assert {"AWS_PROFILE", "GITHUB_TOKEN"} <= set(names)
    assert "LANG" not in names
    assert names == sorted(names)
    assert "the-value" not in done.stderr
    assert "not passed on" not in session.run("true", env=secrets).stderr


@pytest.mark.parametrize("engine", ["hybrid", "supervisor"])
def test_the_umask(session: Session, engine: str) -> None:
    """The profile's counts, and the one that the command sets, also for what is performed for it."""
    rules = 'rules = ["allow write ${cwd}/**", "warn create ${cwd}/warned*"]\numask = "027"\n'
    script = "umask; mkdir d; touch f warned1; umask 0; touch g warned2; stat -c %a d f warned1 g warned2"
    done = session.run("sh", "-c", script, profile=session.profile(rules), options=("-q", "--engine", engine))
    assert (done.stdout.split(), done.stderr) == (["0027", "750", "640", "640", "666", "666"], "")


def test_limits(session: Session) -> None:
    """Soft and hard limits of the profile, and no core file under `build`."""
    profile = session.profile("rules = []\n[limits]\nnofile = 50\ncpu = 77\n")
    done = session.run("sh", "-c", "ulimit -n; ulimit -Hn; ulimit -t", profile=profile)
    assert done.stdout.split() == ["50", "50", "77"]
    assert session.run("sh", "-c", "ulimit -c").stdout == "0\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 50


def test_the_directory(session: Session) -> None:
    """The caller's, or that of -C, which is also ${cwd}."""
    os.mkdir(f"{session.work}/sub")
    session.user.give(session.work)
    assert session.run("pwd", "-P").stdout == f"{session.work}\n"
    done = session.run("sh", "-c", "pwd -P; touch in && ! touch ../out", options=("-C", "sub", "-q"))
    assert (done.returncode, done.stdout) == (0, f"{session.work}/sub\n")
    assert os.path.exists(f"{session.work}/sub/in")
    assert not os.path.exists(f"{session.work}/out")


def test_signals_are_as_the_caller_had_them(session: Session) -> None:
    """Nothing is blocked; ignored is what the caller ignored, not what Python does."""
    found = dict(line.split(":\t") for line in session.run("sh", "-c", STATUS).stdout.splitlines())
    assert int(found["SigBlk"], 16) == 0
    assert int(found["SigIgn"], 16) & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_nohup_stays_nohup(session: Session) -> None:
    """A signal that the caller ignores is ignored by the command."""
    command = " ".join(["trap '' HUP; exec", *session.command("sh", "-c", "'kill -HUP $$; exit 3'")])
    done = run_with(session, ["sh", "-c", command], ())
    assert (done.returncode, done.stderr) == (3, "")
