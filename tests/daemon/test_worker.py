"""The worker process of a session: whose it is, what it can reach, who can reach it, what it says."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from sydd.daemon.spec import Identity
from tests.daemon.people import Person
from tests.support.daemon import children, until
from tests.support.workers import Refused, Session

Begin = Callable[..., Session]


def identity(person: Person) -> Identity:
    """Of a person; its group has the same number where root made it up."""
    gid = person.uid if os.geteuid() == 0 else os.getegid()
    groups = (gid,) if os.geteuid() == 0 else tuple(os.getgroups())
    return Identity(person.uid, gid, groups, str(person.uid), person.home)


@pytest.fixture
def begin(person: Person) -> Iterator[Begin]:
    """Begins sessions of the person in its home."""
    begun: list[Session] = []

    def make(profile: str = "build", **how: object) -> Session:
        session = Session(identity(person), person.home, profile, **how)
        begun.append(session)
        return session.__enter__()

    yield make
    for session in begun:
        session.__exit__()


def status(pid: int) -> dict[str, str]:
    """/proc/<pid>/status."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return {line.partition(":")[0]: line.partition(":")[2].strip() for line in file}


def objects(pid: int) -> list[str]:
    """What the descriptors of a process are."""
    return [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]


SLEEP = ("sleep", "1000")


def test_identity(begin: Begin, person: Person) -> None:
    """Ids and groups are the owner's; of capabilities the worker has the one, in effect where it serves."""
    session = begin()
    session.start(*SLEEP)
    (keeper,) = children(session.child.pid)
    own = identity(person)
    worker = session.child.pid
    (serving,) = (int(name) for name in os.listdir(f"/proc/{worker}/task") if int(name) != worker)
    for pid, kept, used in ((worker, 1 << 19, 0), (serving, 1 << 19, 1 << 19), (keeper, 0, 0)):
        about = status(pid)
        assert about["Uid"].split() == [str(own.uid)] * 4
        assert about["Gid"].split() == [str(own.gid)] * 4
        assert sorted(map(int, about["Groups"].split())) == sorted(own.groups)
        wanted = [0, kept, used, 0] if os.geteuid() == 0 else [0] * 4
        assert [int(about[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == wanted
    assert status(session.command)["CapPrm"] == "0" * 16
    assert os.getsid(session.command) == session.command


@pytest.mark.root
def test_identity_of_root() -> None:
    """Root's worker keeps what its sessions keep, and the one by which it sees into them."""
    from sydd.plan.capabilities import KEPT_MASK

    own = Identity(0, 0, (0,), "root", "/root")
    with Session(own, "/") as session:
        session.start(*SLEEP)
        (keeper,) = children(session.child.pid)

        def beyond() -> int:
            tasks = os.listdir(f"/proc/{session.child.pid}/task")
            return sum(int(status(int(task))["CapPrm"], 16) & ~(KEPT_MASK | 1 << 19) for task in tasks)

        until(lambda: not beyond(), "each thread has given up the rest before it serves")
        assert int(status(keeper)["CapPrm"], 16) & ~(1 << 5) == 0


@pytest.mark.root
def test_descriptors(begin: Begin) -> None:
    """Nothing of main's, and nothing of the command's, is open in worker and keeper."""
    ours, theirs = os.pipe()
    silent, end = os.pipe()
    os.set_inheritable(theirs, True)
    try:
        session = begin()
        # What it says comes after its last call that somebody has to answer.
        session.start("sh", "-c", "echo on; read x", descriptors=[silent, theirs, theirs])
        assert os.read(ours, 9) == b"on\n"
        pipe = os.readlink(f"/proc/self/fd/{theirs}")
        (keeper,) = children(session.child.pid)
        for pid in (session.child.pid, keeper):
            found = objects(pid)
            assert pipe not in found
            known = ("/dev/null", "socket:", "pipe:", "anon_inode:", "/memfd:sydd-", "/proc/self/fd")
            own = (f"/proc/{pid}/fd", f"/proc/{pid}/task/{pid}/mountinfo")
            assert [name for name in found if not name.startswith((*known, *own))] == []
            assert sum(name.startswith("socket:") for name in found) <= 3
        assert pipe in objects(session.command)
    finally:
        for fd in (ours, theirs, silent, end):
            os.close(fd)


LOOK = """
import os, sys
found = []
for pid in sys.argv[1:]:
    for name in ("fd", "mem", "environ", "maps", "map_files", "task/%s/fd" % pid):
        try:
            path = "/proc/%s/%s" % (pid, name)
            os.listdir(path) if "fd" in name or "files" in name else open(path, "rb").read(1)
            found.append(path)
        except OSError:
            pass
print("found", found)
"""


def test_not_dumpable(begin: Begin, person: Person) -> None:
    """The owner's own programs, outside the session, cannot look into worker and keeper."""
    import subprocess
    import sys

    session = begin()
    session.start(*SLEEP)
    (keeper,) = children(session.child.pid)

    def look(*pids: int) -> str:
        words = [sys.executable, "-I", "-S", "-c", LOOK, *map(str, pids)]
        done = subprocess.run(words, check=True, capture_output=True, text=True, **person.identity())
        return str(done.stdout.strip())

    assert look(session.child.pid, keeper) == "found []"
    with subprocess.Popen(SLEEP, **person.identity()) as plain:
        try:
            # A process of its own it can look into, so that the above says something.
            assert look(plain.pid) != "found []"
        finally:
            plain.kill()


@pytest.mark.root
def test_others(begin: Begin, other: Person) -> None:
    """Another user reaches neither worker nor command, and cannot signal them."""
    import subprocess
    import sys

    session = begin()
    session.start(*SLEEP)
    pids = (session.child.pid, *children(session.child.pid), session.command)
    code = LOOK + (
        "sent = 0\n"
        "for pid in sys.argv[1:]:\n"
        "    try: os.kill(int(pid), 15); sent += 1\n"
        "    except PermissionError: pass\n"
        "print(sent)\n"
    )
    words = [sys.executable, "-I", "-S", "-c", code, *map(str, pids)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, **other.identity())
    # That /proc/<pid>/maps can be opened and read is for the kernel to say.
    assert done.stdout == "found []\n0\n"


def test_a_bad_profile(person: Person) -> None:
    """It is told with its place, and nothing is left."""
    with open(f"{person.home}/bad.toml", "w", encoding="utf-8") as file:
        file.write('rules = [\n    "allow wriet /srv/**",\n]\n')
    os.chmod(person.home, 0o755)
    with pytest.raises(Refused) as caught, Session(identity(person), person.home, f"{person.home}/bad.toml"):
        pass
    (said,) = caught.value.args
    assert (said["kind"], said["line"], said["column"]) == ("policy", 2, 12)
    assert "wriet" in said["message"]
    assert [name for name in os.listdir(person.home) if name.startswith("sydd-")] == []


def test_a_missing_directory(person: Person) -> None:
    """It is told."""
    session = Session(identity(person), "/nonexistent")
    with pytest.raises(Refused) as caught:
        session.until(lambda: False)
    assert caught.value.args[0]["kind"] == "setup"
    session.__exit__()


def test_events_and_figures(begin: Begin, person: Person) -> None:
    """What is denied is told once, and counted; every call is in the figures."""
    session = begin(environment={"TMPDIR": person.home})
    code = "for n in $(seq 50); do echo x > /etc/no; done; exit 7"
    session.start("sh", "-c", code + " 2>/dev/null")
    assert session.end() == 7
    (event,) = [event for event in session.events() if event["path"] == "/etc/no"]
    assert event["action"] == "deny"
    counts = [said["count"] for said in session.said if said["type"] == "repeated"]
    assert max(counts) == 50
    assert session.last("ended")["events"]["total"] == 50
    assert session.last("ended")["handled"] > 50
    assert not os.path.exists(session.prepared["tmp"])


def test_rules_and_questions(begin: Begin, person: Person) -> None:
    """Rules hold for the next call; who is asked decides; figures and verdicts are given."""
    profile = f"{person.home}/p.toml"
    with open(profile, "w", encoding="utf-8") as file:
        file.write(
            'name = "p"\ndescription = "a test"\nextends = "build"\n'
            'rules = ["ask read ${home}/asked"]\n[limits]\nruntime = ["allow write ${home}/new/**"]\n'
        )
    os.mkdir(f"{person.home}/new")
    os.mkdir(f"{person.home}/work")
    with open(f"{person.home}/asked", "w", encoding="utf-8") as file:
        file.write("the answer\n")
    for name in (".", "new", "work", "asked", "p.toml"):
        os.chmod(f"{person.home}/{name}", 0o755)
        os.chown(f"{person.home}/{name}", identity(person).uid, identity(person).gid)
    session = Session(identity(person), f"{person.home}/work", profile)
    with session:
        ours, theirs = os.pipe()
        back, out = os.pipe()
        nowhere = os.open(os.devnull, os.O_RDWR)
        script = "while read l; do eval $l; echo done $?; done"
        session.start("sh", "-c", script, descriptors=[ours, out, nowhere])
        for fd in (ours, out, nowhere):
            os.close(fd)

        def order(line: str) -> bytes:
            os.write(theirs, line.encode() + b"\n")
            found = b""
            while not found.endswith(b"\n") or b"done" not in found:
                found += os.read(back, 100)
            return found

        assert order(f"echo x > {person.home}/new/a") == b"done 2\n"
        assert "error" in session.ask("rules", lines=["allow write /srv/**"])
        assert session.ask("rules", lines=["allow write ${home}/new/**"]).keys() == {"type", "id"}
        assert order(f"echo x > {person.home}/new/a") == b"done 0\n"
        (verdict,) = session.ask("check", access="create", object=f"{person.home}/new/b")["verdicts"]
        assert verdict["allowed"]
        session.kill()
        session.until(lambda: session.replaced == 1)
        assert order(f"echo x > {person.home}/new/b") == b"done 0\n"
        session.ask("rules", lines=[])
        assert order(f"echo x > {person.home}/new/c") == b"done 2\n"
        os.write(theirs, f"read x < {person.home}/asked; echo $x\n".encode())
        session.until(lambda: session.has("ask"))
        first = session.last("ask")["question"]
        session.kill()  # whoever waits is asked about by the next worker, under another number
        session.until(lambda: session.last("ask")["question"] != first)
        assert session.ask("decision", question=session.last("ask")["question"], allow=True)
        assert os.read(back, 100).startswith(b"the answer\n")
        figures = session.ask("statistics")
        assert figures["notifications"]["openat"]["error"] >= 2
        assert 1 <= sum(figures["buckets"]) <= figures["handled"]
        os.close(theirs)
        os.close(back)
        session.end()


def test_the_command_is_killed(begin: Begin) -> None:
    """Main tells the keeper; double-forked processes end, too."""
    session = begin()
    session.start("sh", "-c", "(setsid sleep 1000 & setsid sleep 1000 &); exec sleep 1000")
    assert session._keeper
    session._keeper.send({"type": "kill"})
    assert session.end() == 128 + signal.SIGKILL
    session.until(lambda: session.has("empty"))
