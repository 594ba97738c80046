"""What `[restrict]` lets a build do, as a user: tracing, namespaces, IPC objects, own priorities."""

from __future__ import annotations

import ctypes
import os
import shutil

import pytest

from sydd.kernel.probe import probe
from tests.session.conftest import Session

ENGINES = ("hybrid", "supervisor", "landlock")

OWN_IPC = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
key = 0x5dd00000 | os.getpid() & 0xffff
made = [libc.msgget(key, 0o1600), libc.semget(key, 1, 0o1600), libc.shmget(key, 4096, 0o1600)]
made.append(libc.msgget(0, 0o600))
assert min(made) >= 0, made
pid = os.fork()
if not pid:
    found = [libc.msgget(key, 0), libc.semget(key, 0, 0), libc.shmget(key, 0, 0)]
    assert found == made[:3], found
    assert libc.msgsnd(made[0], (1).to_bytes(8, "little") + b"x", 1, 0) == 0
    os._exit(0)
assert os.wait()[1] == 0
assert libc.msgrcv(made[0], bytes(16), 8, 0, 0) == 1
assert libc.msgget(key, 0o3600) == -1 and ctypes.get_errno() == 17
libc.shmat.restype = ctypes.c_void_p
assert libc.shmat(made[2], None, 0) != ctypes.c_void_p(-1).value
for call, number, words in (("msgctl", 0, ()), ("semctl", 1, (0,)), ("shmctl", 2, ()), ("msgctl", 3, ())):
    assert libc[call](made[number], *words, 0, None) == 0, call
print("done")
"""

TRACING = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
pid = os.fork()
if not pid:
    os._exit(libc.ptrace(0, 0, 0, 0) and 1)
print(os.wait()[1])
"""


NAMESPACES = """
extends = "build"
rules = ["allow modify,truncate /proc/*/{uid_map,gid_map,setgroups}"]
[restrict]
user_namespaces = "allow"
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_own_ipc(session: Session, engine: str) -> None:
    """What the session makes is its own: fakeroot's queue, a data base's shared memory."""
    done = session.run("python3", "-c", OWN_IPC, options=("--engine", engine))
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_ipc_of_the_user(session: Session) -> None:
    """With ipc = "allow", everything is left to the kernel."""
    libc = ctypes.CDLL(None)
    number = libc.msgget(0, 0o1666)
    try:
        profile = session.profile('extends = "build"\n[restrict]\nipc = "allow"\n')
        code = f"""
import ctypes
print(ctypes.CDLL(None).msgsnd({number}, (1).to_bytes(8, "little") + b"x", 1, 0))
"""
        assert session.run("python3", "-c", code, profile=profile).stdout == "0\n"
        done = session.run("python3", "-c", code, profile="build")
        assert done.stdout == "-1\n"
        assert "deny msgsnd  (msgsnd: EACCES)" in done.stderr
    finally:
        libc.msgctl(number, 0, None)


@pytest.mark.parametrize("engine", ENGINES)
def test_own_priorities(session: Session, engine: str) -> None:
    """nice, renice of the shell from its child, taskset, ionice and prlimit work on what is the session's."""
    script = "renice -n 5 -p $$ && nice -n 3 nice && taskset -p $$ && chrt -b -p 0 $$"
    script += " && ionice -c3 -p $$ && ionice -p $$"
    done = session.run("sh", "-c", script, options=("--engine", engine))
    assert done.returncode == 0, done.stderr
    assert "new priority 5" in done.stdout
    assert "\n8\n" in done.stdout
    assert done.stdout.rstrip().endswith("idle")


@pytest.mark.parametrize(("engine", "status"), [("hybrid", 0), ("landlock", 0), ("supervisor", 256)])
def test_tracing_inside(session: Session, engine: str, status: int) -> None:
    """Allowed by default where Landlock keeps it inside the session; refused where nothing would."""
    done = session.run("python3", "-c", TRACING, options=("--engine", engine))
    assert done.stdout == f"{status}\n"


def test_strace(session: Session) -> None:
    """A tracer by trade."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    done = session.run("strace", "-f", "-o", "log", "sh", "-c", "mkdir made; true")
    assert done.returncode == 0, done.stderr
    with open(f"{session.work}/log", encoding="utf-8") as file:
        assert 'mkdir("made", 0777)' in file.read()


def test_user_namespaces(session: Session) -> None:
    """Refused, but where the profile allows them: then mounts in them are refused all the same."""
    if not probe().user_namespaces:
        pytest.skip("needs user namespaces for users")
    profile = session.profile(NAMESPACES)
    script = "id -u; mount -t tmpfs none . && echo mounted; chroot . true && echo chrooted; "
    script += "touch f; chown 0:0 f && stat -c %u f"
    command = ("unshare", "-Urm", "--propagation", "unchanged", "sh", "-c", script)
    assert "Operation not permitted" in session.run(*command).stderr
    done = session.run(*command, profile=profile)
    assert done.stdout == "0\n0\n"
    assert "deny mount" in done.stderr


def test_ids_in_a_namespace(session: Session) -> None:
    """What the worker looks up there has the ids of the namespace; others are nobody's."""
    if not probe().user_namespaces:
        pytest.skip("needs user namespaces for users")
    profile = session.profile(NAMESPACES.replace("rules = [", 'rules = ["hide stat /nowhere/**", '))
    code = "import os; print(os.stat('f').st_uid, os.stat('f').st_gid, os.stat('/').st_uid)"
    script = f"touch f; stat -c '%u %g' f / | tr '\\n' ' '; python3 -c \"{code}\""
    done = session.run("unshare", "-Ur", "sh", "-c", script, profile=profile)
    assert done.stdout == "0 0 65534 65534 0 0 65534\n"


@pytest.mark.parametrize("engine", ["hybrid", "landlock"])
def test_files_outside_from_a_namespace(session: Session, engine: str) -> None:
    """Root of a namespace of its own is held as before: content, new names, metadata."""
    if not probe().user_namespaces:
        pytest.skip("needs user namespaces for users")
    profile = session.profile(NAMESPACES)
    outside = os.path.join(session.home, "outside")
    os.makedirs(os.path.join(session.home, ".ssh"))
    for path, text in ((outside, "text"), (os.path.join(session.home, ".ssh", "id"), "secret")):
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    session.user.give(session.home)
    script = (
        f"cat {session.home}/.ssh/id; echo x > {outside}; chmod 777 {outside}; mv {outside} {outside}2; true"
    )
    done = session.run("unshare", "-Urpf", "sh", "-c", script, profile=profile, options=("--engine", engine))
    assert "secret" not in done.stdout
    with open(outside, encoding="ascii") as file:
        assert file.read() == "text"
    assert os.stat(outside).st_mode & 0o777 != 0o777


def test_setuid_bits(session: Session) -> None:
    """By default `install -m 4755` works, as package builds do; a profile can forbid it."""
    script = "echo > p; install -m 4755 p made && stat -c %a made"
    assert session.run("sh", "-c", script).stdout == "4755\n"
    profile = session.profile('extends = "build"\n[restrict]\nsetuid_bits = "deny"\n')
    done = session.run("sh", "-c", script, profile=profile)
    assert (done.stdout, done.returncode) == ("", 1)
    assert "Operation not permitted" in done.stderr
