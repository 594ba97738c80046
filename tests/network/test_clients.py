"""Real servers and their clients, started in one session under profiles that extend `build` by a line or two.

The profiles are the examples of docs/network.md.
"""

from __future__ import annotations

import glob
import os
import pwd
import socket
import textwrap

import pytest

from tests.network.conftest import ENGINES
from tests.support.workshop import ROOT, Workshop, needs

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("engine", ENGINES)]

SERVERS = """\
extends = "build"
rules = [
    "allow bind loopback!1024-65535",
    # which interfaces there are: getaddrinfo(3) and npm ask
    "allow net netlink:route",
]
"""

POSTGRESQL = """\
extends = "./servers.toml"
rules = ["allow write /dev/shm/PostgreSQL.*"]
"""

SSH = """\
extends = "./servers.toml"
rules = [
    "filter modify /proc/self/oom_*adj",
    "filter connect,send unix:/**",
]
"""

SERVE = """
servers=()
trap 'kill "${servers[@]}"' EXIT
# serve WORDS COMMAND...: start a server, and wait until it says that it is ready
serve() {
    local words=$1 said line
    shift
    exec {said}< <(exec "$@" 2>&1)
    servers+=($!)
    while read -r line <&"$said"; do
        [[ $line != *"$words"* ]] || return 0
        printf '%s\\n' "$line" >>serve.log
    done
    cat serve.log
    return 1
}
"""


def free_port() -> int:
    """A TCP port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return int(port)


def run(workshop: Workshop, engine: str, script: str, profile: str = "servers") -> list[str]:
    """Run a script under one of the profiles; what it printed. Nothing is denied."""
    for name, text in (("servers", SERVERS), ("postgresql", POSTGRESQL), ("ssh", SSH)):
        workshop.write(f"profiles/{name}.toml", text)
    path = os.path.join(workshop.work, f"profiles/{profile}.toml")
    done = workshop.run(SERVE + script, engine=engine, profile=path)
    assert done.status == 0, done.output
    assert [(event["access"], event["path"]) for event in done.events] == [], done.output
    return done.output.splitlines()


def test_the_documentation_has_the_profiles(engine: str) -> None:
    """Word by word."""
    with open(os.path.join(ROOT, "docs/network.md"), encoding="utf-8") as file:
        page = file.read()
    for text in (SERVERS, POSTGRESQL, SSH):
        assert textwrap.indent(text, "    ") in page


def test_curl(workshop: Workshop, engine: str) -> None:
    """By address, by name, to IPv6, and through a unix socket that a proxy listens on."""
    needs("curl")
    workshop.write("index", "hello\n")
    workshop.write("web.py", WEB)
    port, six = free_port(), free_port()
    script = f"""
serve Serving python3 web.py AF_INET 127.0.0.1 {port}
serve Serving python3 web.py AF_INET6 ::1 {six}
serve Serving python3 web.py AF_UNIX http
curl -sS http://127.0.0.1:{port}/index
curl -sS http://localhost:{port}/index
curl -sS 'http://[::1]:{six}/index'
curl -sS --unix-socket http http://any/index
"""
    assert run(workshop, engine, script) == ["hello"] * 4


WEB = """
import http.server, socket, socketserver, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def address_string(self):
        return "somebody"
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AddressFamily[sys.argv[1]]
with Server(sys.argv[2] if sys.argv[1] == "AF_UNIX" else (sys.argv[2], int(sys.argv[3])), Handler) as server:
    print("Serving", flush=True)
    server.serve_forever()
"""
"""Python's own http.server asks the name service for its name."""


def test_ssh(workshop: Workshop, engine: str) -> None:
    """A command, a file, a forwarded connection, and an agent; the server is the user's own."""
    needs("ssh", "sshd", "ssh-keygen", "ssh-agent")
    if pwd.getpwnam(workshop.user.name).pw_shell.endswith(("nologin", "false")):
        pytest.skip(f"needs a user who can log in; {workshop.user.name} cannot (SYDD_TEST_USER)")
    port = free_port()
    workshop.write("index", "hello\n")
    workshop.write("sshd_config", SSHD.format(port=port, work=workshop.work))
    workshop.write("ssh_config", SSH_CLIENT.format(port=port, work=workshop.work))
    script = f"""
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f key
serve 'Server listening' /usr/sbin/sshd -D -e -f $PWD/sshd_config
serve 'SSH_AUTH_SOCK' ssh-agent -D -a $PWD/agent
export SSH_AUTH_SOCK=$PWD/agent
ssh-add -q key
mv key elsewhere
ssh -F ssh_config server 'echo $((40 + 2))'
scp -O -q -F ssh_config index server:$PWD/copy
cat copy
ssh -F ssh_config -W 127.0.0.1:{port} server </dev/null | head -c 8
"""
    assert run(workshop, engine, script, "ssh") == ["42", "hello", "SSH-2.0-"]


SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {work}/host
AuthorizedKeysFile {work}/key.pub
PidFile none
StrictModes no
UsePAM no
"""

SSH_CLIENT = """
Host server
  HostName 127.0.0.1
  Port {port}
  StrictHostKeyChecking accept-new
  UserKnownHostsFile {work}/known
  LogLevel ERROR
  BatchMode yes
"""


def test_git(workshop: Workshop, engine: str) -> None:
    """Clone and push by git's own daemon, clone by HTTP."""
    needs("git")
    workshop.write("web.py", WEB)
    port, web = free_port(), free_port()
    script = f"""
export GIT_AUTHOR_NAME=n GIT_AUTHOR_EMAIL=e GIT_COMMITTER_NAME=n GIT_COMMITTER_EMAIL=e
git init -q -b main origin
echo hello > origin/index
git -C origin add index
git -C origin commit -qm one
git -C origin update-server-info
options='--verbose --export-all --enable=receive-pack'
serve Ready git daemon $options --listen=127.0.0.1 --port={port} --base-path=$PWD
serve Serving python3 web.py AF_INET 127.0.0.1 {web}
git clone -q git://127.0.0.1:{port}/origin one
git -C one commit -q --allow-empty -m two
git -C one push -q origin HEAD:refs/heads/new
git -C origin log --oneline new | wc -l
git clone -q http://127.0.0.1:{web}/origin/.git two
cat two/index
"""
    assert run(workshop, engine, script) == ["2", "hello"]


def test_postgresql(workshop: Workshop, engine: str) -> None:
    """A cluster of the session's own: by unix socket and TCP, many clients, parallel workers."""
    directories = glob.glob("/usr/lib/postgresql/*/bin")
    if not directories:
        pytest.skip("needs the package postgresql")
    workshop.write("parallel.sql", PARALLEL)
    port = free_port()
    script = f"""
PATH=$PATH:{directories[-1]}
export PGUSER=me PGDATABASE=postgres PGPORT={port}
initdb -D data -A trust -U me --no-sync >log
trap 'pg_ctl -s -D data -m immediate stop' EXIT
pg_ctl -s -D data -l log -o "-h 127.0.0.1 -k $PWD" -w start
for host in $PWD 127.0.0.1 localhost; do
    psql -qtAX -h $host -c 'select 40 + 2' -c 'select inet_client_addr()'
done
pgbench -qi -h $PWD >>log 2>&1
pgbench -n -c 4 -j 2 -t 20 -h 127.0.0.1 2>&1 | grep processed
psql -qtAX -h $PWD -f parallel.sql
"""
    assert run(workshop, engine, script, "postgresql") == [
        *("42", "", "42", "127.0.0.1", "42", "127.0.0.1"),
        "number of transactions actually processed: 80/80",
        "100000",
    ]


PARALLEL = """
set parallel_setup_cost = 0;
set parallel_tuple_cost = 0;
set min_parallel_table_scan_size = 0;
select count(*) from pgbench_accounts;
"""


def test_redis(workshop: Workshop, engine: str) -> None:
    """By unix socket, IPv4 and IPv6, many clients, and a background save, which forks."""
    needs("redis-server", "redis-cli", "redis-benchmark")
    port = free_port()
    script = f"""
addresses='127.0.0.1 ::1'
serve 'accept connections at' redis-server --port {port} --bind $addresses --unixsocket $PWD/redis --save ''
redis-cli -s redis set key value
redis-cli -h 127.0.0.1 -p {port} get key
redis-cli -h ::1 -p {port} get key
redis-cli -h localhost -p {port} get key
redis-benchmark -q -s redis -n 2000 -c 20 -t set >log
redis-benchmark -q -p {port} -n 2000 -c 20 -t set >>log
redis-cli -s redis save
ls dump.rdb
"""
    assert run(workshop, engine, script) == ["OK", "value", "value", "value", "OK", "dump.rdb"]
