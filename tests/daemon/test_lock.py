"""`lock = exec`: calls that the launched command itself has written change rules, and no others.

Each attempt is made for real, from inside a session, once where the worker performs connect(2) for whoever
calls, so that all connections are the worker's, and once where the kernel does.
"""

from __future__ import annotations

import json
import sys

import pytest

from sydd.kernel.namespace_probe import unshare_in_child
from tests.daemon.people import Person
from tests.support.daemon import Daemon

CLONE_NEWUSER, CLONE_NEWPID = 0x1000_0000, 0x2000_0000

PARTS = """
import itertools, json, os, socket, sys, threading, time
path = sys.argv[1]

def call(rule, method="AddRules"):
    whole = {"method": f"org.sydd.{method}", "parameters": {"session": "self", **rule}}
    return json.dumps(whole).encode() + bytes(1)

def add(name):
    return call({"rules": [f"deny read /etc/{name}"]})

def connected():
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made

def answer(connection):
    said = b""
    while not said.endswith(bytes(1)) and (more := connection.recv(65536)):
        said += more
    return json.loads(said[:-1]).get("error", "done").rpartition(".")[2]

def asked(connection, *pieces):
    for piece in pieces:
        connection.sendall(piece)
    return answer(connection)

def in_child(act):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, str(act()).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader) as pipe:
        return pipe.read()

def in_thread(act):
    found = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join()
    return found[0]

own = connected()
"""

ATTEMPTS = (
    PARTS
    + """
found = {"locks": asked(own, call({"lock": "exec"}, "Lock"))}
found["the eldest"] = asked(own, add("one"))
found["its thread"] = in_thread(lambda: asked(connected(), add("two")))
found["a child"] = in_child(lambda: asked(connected(), add("bad")))
found["a child by what was connected before"] = in_child(lambda: asked(own, add("bad")))
found["the eldest again"] = asked(own, add("three"))
shared = socket.socket(socket.AF_UNIX)
in_child(lambda: shared.connect(path))
found["the eldest by what a child connected"] = asked(shared, add("four"))
half, rest = add("bad")[:30], add("bad")[30:]
in_child(lambda: own.sendall(half))
found["begun by a child"] = asked(own, rest)
own.sendall(half)
found["ended by a child"] = in_child(lambda: asked(own, rest))
own.sendall(add("bad")[:-1])
found["all but its end by the eldest"] = in_child(lambda: asked(own, bytes(1)))
found["a child looks"] = in_child(lambda: asked(own, call({}, "ListRules")))
found["a child tightens"] = in_child(lambda: asked(own, call({"lock": "on"}, "Lock")))
found["a child has another mode"] = in_child(lambda: asked(own, call({"mode": "audit"}, "SetMode")))
own.sendmsg([add("bad" if sys.argv[2] == "judged" else "five")])
found["by sendmsg"] = answer(own)
found["loosens"] = asked(own, call({"lock": "off"}, "Lock"))
own.set_inheritable(True)
print(json.dumps(found), flush=True)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[3], str(own.fileno())])
"""
)

EXECUTED = """
import json, socket, sys
own = socket.socket(fileno=int(sys.argv[1]))
rule = {"rules": ["deny read /etc/six"]}
for method, more in (("AddRules", rule), ("Lock", {"lock": "on"}), ("ListRules", {})):
    call = {"method": f"org.sydd.{method}", "parameters": {"session": "self", **more}}
    own.sendall(json.dumps(call).encode() + bytes(1))
    said = b""
    while not said.endswith(bytes(1)):
        said += own.recv(65536)
print(json.dumps([rule["rule"] for rule in json.loads(said[:-1])["parameters"]["runtime"]]))
"""

RACE = (
    PARTS
    + """
asked(own, call({"lock": "exec"}, "Lock"))
good, taken, bad = add("good"), call({"rules": ["deny read /etc/good"]}, "RemoveRules"), add("bad")

def attack(connection, size):
    for _ in range(MANY):
        for piece in (bad[:size], bad[size:]):
            connection.sendall(piece)

def write(connection):
    for number in range(MANY):
        connection.sendall(taken if number % 2 else good)

MANY = 14  # of three processes, and the eldest, fewer than may wait
heard = b""
end = time.monotonic() + float(sys.argv[2])
for size in itertools.cycle((len(bad), 40, len(bad) - 1)):
    if time.monotonic() > end:
        break
    shared = connected()
    children = [os.fork()]
    if children[0]:
        children.append(os.fork())
    try:
        if 0 in children:
            attack(shared, size)
        else:
            write(shared)
    except OSError:
        pass  # it was ended, since pieces of several made no call
    if 0 in children:
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    try:
        shared.shutdown(socket.SHUT_WR)
        while said := shared.recv(65536):
            heard += said
    except OSError:
        pass
    shared.close()
other = connected()
other.sendall(call({}, "ListRules"))
print(b"Locked" in heard, b"deny read /etc/good" in heard, b"bad" in heard, b"/etc/bad" in other.recv(65536))
"""
)


NESTED = (
    PARTS
    + """
import ctypes, struct
asked(own, call({"lock": "exec"}, "Lock"))
eldest, ids = os.getpid(), (os.getuid(), os.getgid())

def claimed(pid):
    claim = socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", pid, 0, 0)
    try:
        own.sendmsg([add("bad")], [claim])
    except OSError as error:
        return type(error).__name__
    return answer(own)

def nested():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(int(sys.argv[2])):
        return os.strerror(ctypes.get_errno())
    for name, line in (("setgroups", "deny"), ("uid_map", f"0 {ids[0]} 1"), ("gid_map", f"0 {ids[1]} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    return in_child(lambda: f"{os.getuid()} {os.getpid()} {claimed(eldest)} {claimed(os.getpid())}")

print(in_child(nested), asked(own, add("good")))
"""
)


def _profile(person: Person, daemon: Daemon, how: str) -> str:
    path = f"{person.home}/{how}.toml"
    rule = f"allow connect unix:{daemon.socket}" if how == "judged" else "allow net any"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'extends = "build"\nrules = ["{rule}"]\n')
    return path


@pytest.mark.parametrize("how", ["judged", "native"])
def test_the_eldest_alone_changes_rules(daemon: Daemon, person: Person, how: str) -> None:
    """It is known by what it writes: not by who connected, nor by who holds the connection."""
    profile = _profile(person, daemon, how)
    command = [sys.executable, "-c", ATTEMPTS, daemon.socket, how, EXECUTED]
    process = person.sydctl(["launch", "--daemon", profile, "--", *command], daemon.socket)
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    found, rules = map(json.loads, out.splitlines())
    judged = how == "judged"
    assert found == {
        "locks": "done",
        "the eldest": "done",
        "its thread": "done",
        "a child": "Locked",
        "a child by what was connected before": "Locked",
        "the eldest again": "done",
        # Who made it has ended. Where it was the worker that connected, this lives.
        "the eldest by what a child connected": "done" if judged else "PermissionDenied",
        "begun by a child": "Locked",
        "ended by a child": "Locked",
        "all but its end by the eldest": "Locked",
        "a child looks": "done",
        "a child tightens": "Locked",
        "a child has another mode": "PermissionDenied",
        "by sendmsg": "Locked" if judged else "done",
        "loosens": "Locked",
    }
    names = ["one", "two", "three", *(["four"] if judged else ["five"]), "six"]
    assert rules == [f"deny read /etc/{name}" for name in names]


@pytest.mark.parametrize("how", ["judged", "native"])
@pytest.mark.parametrize("seconds", [0.2, pytest.param(5, marks=pytest.mark.slow)])
def test_nobody_writes_in_the_eldests_name(daemon: Daemon, person: Person, how: str, seconds: float) -> None:
    """Children write whole calls and pieces into connections on which the eldest makes calls."""
    command = [sys.executable, "-c", RACE, daemon.socket, str(seconds)]
    process = person.sydctl(
        ["launch", "--daemon", _profile(person, daemon, how), "--", *command], daemon.socket
    )
    out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    assert out == "True True False False\n"


def test_a_command_that_has_ended_is_nobody(daemon: Daemon, person: Person) -> None:
    """What it leaves gets none of its rights, whatever it has inherited."""
    script = f"""{PARTS}
asked(own, call({{"lock": "exec"}}, "Lock"))
reader, writer = os.pipe()
if os.fork():
    os._exit(0)
os.close(writer)
while os.path.exists(f"/proc/{{sys.argv[2]}}") and os.getppid() == int(sys.argv[2]):
    pass
print(asked(own, add("bad")), asked(connected(), add("bad")))
"""
    command = ["sh", "-c", 'exec "$@" $$', "sh", sys.executable, "-c", script, daemon.socket]
    process = person.sydctl(
        ["launch", "--daemon", _profile(person, daemon, "judged"), "--", *command], daemon.socket
    )
    out, err = process.communicate(timeout=50)
    assert out == "Locked Locked\n", err


@pytest.mark.skipif(
    unshare_in_child(CLONE_NEWUSER | CLONE_NEWPID) != 0, reason="needs user and pid namespaces"
)
def test_root_of_a_namespace_names_nobody_outside(daemon: Daemon, person: Person) -> None:
    """It may name any process of its pid namespace as the writer: the eldest is in none that a child made."""
    path = f"{person.home}/nested.toml"
    rules = ["allow net any", "allow modify,truncate /proc/*/{uid_map,gid_map,setgroups}"]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'extends = "build"\nrules = {json.dumps(rules)}\n[restrict]\nuser_namespaces = "allow"\n')
    command = [sys.executable, "-c", NESTED, daemon.socket, str(CLONE_NEWUSER | CLONE_NEWPID)]
    process = person.sydctl(["launch", "--daemon", path, "--", *command], daemon.socket)
    out, err = process.communicate(timeout=50)
    assert out == "0 1 ProcessLookupError Locked done\n", err
