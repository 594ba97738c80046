"""`sydctl ports`: what the processes of a session listen on and are connected by, seen from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sydctl.ports import Shown, _lines
from sydd.kernel.namespace_probe import private_network_in_child
from sydd.session.sockdiag import Socket
from sydd.supervisor.destination import services
from tests.session.conftest import PATIENCE, Session
from tests.support.unprivileged import Unprivileged, make_home, remove_home

PROFILE = """
extends = "build"
rules = ["allow net any"]
[network]
namespace = "{}"
"""

NAMESPACES = (
    "host",
    pytest.param(
        "private",
        marks=pytest.mark.skipif(private_network_in_child() != 0, reason="needs network namespaces"),
    ),
)

SERVERS = """
import json, os, socket, sys
inet, inet6, unix = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
tcp = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(tcp.getsockname())
accepted = tcp.accept()[0]
tcp6 = socket.create_server(("::1", 0), family=inet6)
udp = socket.socket(inet, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
abstract = socket.socket(unix)
abstract.bind(f"\\0{os.getpid()}\\0two\\x1b")
abstract.listen()
named = socket.socket(unix, socket.SOCK_SEQPACKET)
named.bind(os.path.realpath("named"))
named.listen()
user = socket.socket(unix, socket.SOCK_SEQPACKET)
user.connect("named")
taken = named.accept()[0]
pair = socket.socketpair()
closed, done = os.pipe()
pid = os.fork()
if not pid:
    for each in (tcp, accepted, tcp6, udp, abstract, named, user, taken, *pair):
        each.close()
    os.close(done)
    sys.stdin.read()
    os._exit(0)
os.close(done)
os.read(closed, 1)
told = client.fileno()
client.close()
print(json.dumps({"command": os.getpid(), "child": pid, "tcp": tcp.getsockname()[1],
    "client": accepted.getpeername()[1], "tcp6": tcp6.getsockname()[1], "udp": udp.getsockname()[1],
    "fd": tcp.fileno(), "client_fd": told}), flush=True)
sys.stdin.read()
os.wait()
"""
"""Listens everywhere; its child alone has the client's side of a connection."""


@pytest.fixture
def session() -> Iterator[Session]:
    """Sessions in a work directory of their own."""
    home = make_home()
    yield Session(Unprivileged(home))
    remove_home(home)


def ports(session: Session, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `sydctl ports` as the session's user."""
    return subprocess.run(
        [sys.executable, "-m", "sydctl", "ports", *arguments],
        cwd=session.work,
        env=session.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        **session.user.identity(),
    )


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_ports(session: Session, namespace: str) -> None:
    """Every socket with state, addresses, and who has it; the same from every pid of the session."""
    path = session.write("p.toml", PROFILE.format(namespace))
    # Of another session: not shown.
    other = socket.create_server(("127.0.0.1", 0))
    with other, session.start("python3", "-c", SERVERS, profile=path) as popen:
        assert popen.stdout
        said: dict[str, int] = json.loads(popen.stdout.readline())
        answers = [ports(session, str(pid), "--json") for pid in (popen.pid, said["command"], said["child"])]
        table = ports(session, str(popen.pid))
        everything = ports(session, str(popen.pid), "--all")
    values: list[dict[str, Any]] = [json.loads(answer.stdout) for answer in answers]
    assert values[0]["sockets"] == values[1]["sockets"] == values[2]["sockets"]
    assert values[0]["supervisor"] == popen.pid
    assert values[0]["processes"] == [said["command"], said["child"]]
    found = {
        (one["protocol"], one["state"], one["local"], one["remote"]): one for one in values[0]["sockets"]
    }
    tcp, client = f"127.0.0.1!{said['tcp']}", f"127.0.0.1!{said['client']}"
    named = f"unix:{session.work}/named"
    assert {key for key in found if key[2:] != ("unix:unnamed", "unix:unnamed")} == {
        ("tcp", "listening", tcp, ""),
        ("tcp", "connected", tcp, client),
        ("tcp", "connected", client, tcp),
        ("tcp", "listening", f"[::1]!{said['tcp6']}", ""),
        ("udp", "bound", f"127.0.0.1!{said['udp']}", ""),
        ("unix stream", "listening", f"@{said['command']}\0two\x1b", ""),
        ("unix seqpacket", "listening", named, ""),
        ("unix seqpacket", "connected", "unix:unnamed", named),
        ("unix seqpacket", "connected", named, "unix:unnamed"),
    }
    assert {one["private"] for one in found.values()} == {namespace == "private"}
    listening = found["tcp", "listening", tcp, ""]["holders"]
    assert listening == [{"pid": said["command"], "command": "python3", "descriptors": [said["fd"]]}]
    connected = found["tcp", "connected", client, tcp]["holders"]
    assert connected == [{"pid": said["child"], "command": "python3", "descriptors": [said["client_fd"]]}]
    assert (table.returncode, table.stderr) == (0, "")
    state = "listening, private" if namespace == "private" else "listening"
    (line,) = [line for line in table.stdout.splitlines() if tcp in line and "listening" in line]
    assert line.startswith("tcp ")
    assert state in line
    assert line.endswith(f"{said['command']} python3 ({said['fd']})")
    assert f"@{said['command']}\\x00two\\x1b" in table.stdout
    assert "\x1b" not in table.stdout
    assert len(everything.stdout.splitlines()) == len(table.stdout.splitlines()) + 2  # the socketpair


ORPHAN = """
import os, socket, sys
reader, writer = os.pipe()
if not os.fork():
    if not os.fork():
        os.setsid()
        server = socket.create_server(("127.0.0.1", 0))
        os.write(writer, b"%d\\n" % server.getsockname()[1])
        sys.stdin.read()
    os._exit(0)
os.wait()
print(os.getpid(), os.read(reader, 16).decode(), flush=True)
sys.stdin.read()
"""


def test_orphans_are_of_the_session(session: Session) -> None:
    """A daemon that the command left behind is found from the command's pid as well."""
    path = session.write("p.toml", PROFILE.format("host"))
    with session.start("python3", "-c", ORPHAN, profile=path) as popen:
        assert popen.stdout
        pid, port = popen.stdout.readline().split()
        answer = json.loads(ports(session, pid, "--json").stdout)
    assert [one["local"] for one in answer["sockets"]] == [f"127.0.0.1!{port}"]
    assert answer["sockets"][0]["holders"][0]["pid"] != int(pid)


def test_what_has_ended_has_none(session: Session) -> None:
    """A child that nobody has waited for is no reason to refuse the others."""
    path = session.write("p.toml", PROFILE.format("host"))
    code = (
        "import os, socket, sys\ns = socket.create_server(('127.0.0.1', 0))\npid = os.fork() or os._exit(0)\n"
    )
    code += "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT); print(pid, flush=True); sys.stdin.read()"
    with session.start("python3", "-c", code, profile=path) as popen:
        assert popen.stdout
        pid = int(popen.stdout.readline())
        answer = json.loads(ports(session, str(popen.pid), "--json").stdout)
    assert pid in answer["processes"]
    assert len(answer["sockets"]) == 1


def test_without_sockets(session: Session) -> None:
    """It says so."""
    with session.start("sh", "-c", "echo; read x") as popen:
        assert popen.stdout
        popen.stdout.readline()
        answer = ports(session, str(popen.pid))
    assert (answer.stdout, answer.stderr, answer.returncode) == ("no sockets in 1 process\n", "", 0)


def test_no_session(session: Session) -> None:
    """A process of none, a pid of none, and what is no pid."""
    answer = ports(session, str(os.getpid()))
    assert answer.returncode == 1
    assert answer.stderr == f"sydctl: process {os.getpid()} is neither a 'sydctl launch' nor of a session\n"
    answer = ports(session, str(2**31 - 1))
    assert (answer.stderr, answer.returncode) == (f"sydctl: there is no process {2**31 - 1}\n", 1)
    for word in ("0", "-1", "x", "1\x1b"):
        answer = ports(session, "--", word)
        assert answer.returncode == 2
        assert "is no pid" in answer.stderr
        assert "\x1b" not in answer.stderr


@pytest.mark.root
def test_of_another_user(session: Session) -> None:
    """What this user may not look into is said in one line."""
    path = session.write("p.toml", PROFILE.format("host"))
    code = (
        "import socket, sys\ns = socket.create_server(('127.0.0.1', 0)); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        session.command("python3", "-c", code, profile=path),
        cwd=session.work,
        env=session.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as popen:
        assert popen.stdout
        popen.stdout.readline()
        answer = ports(session, str(popen.pid))
        assert popen.stdin
        popen.stdin.close()
    assert answer.returncode == 1
    assert answer.stderr == (
        f"sydctl: cannot look into the session of process {popen.pid}: Permission denied\n"
    )


def test_services_are_named() -> None:
    """By the port of who serves, or of the peer, and never by one of the kernel's choice."""
    shown = [
        Shown(Socket(1, "tcp", "listening", "127.0.0.1!5432", ""), False, ()),
        Shown(Socket(2, "tcp", "connected", "127.0.0.1!5432", "[::1]!443"), False, ()),
        Shown(Socket(3, "udp", "bound", "0.0.0.0!53", ""), False, ()),
        Shown(Socket(4, "unix stream", "listening", "unix:/a!80", ""), False, ()),
    ]
    known = services()  # which a small system may not have
    postgresql, https, domain = (
        f" ({known[key]})" if key in known else "" for key in ((5432, "tcp"), (443, "tcp"), (53, "udp"))
    )
    rows = [row.split("  ") for row in _lines(shown)]
    found = [[cell.strip() for cell in row if cell.strip()][2:4] for row in rows[1:]]
    assert found == [
        [f"127.0.0.1!5432{postgresql}", "-"],
        ["127.0.0.1!5432", f"[::1]!443{https}"],
        [f"0.0.0.0!53{domain}", "-"],
        ["unix:/a!80", "-"],
    ]
