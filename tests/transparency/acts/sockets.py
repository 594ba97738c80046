"""Sockets, where the policy allows all of the network: addresses, ports, names in the tree."""

from __future__ import annotations

import os
import socket
import stat
import threading

from tests.transparency.acts.tell import attempt, say


def by_port_of_its_own() -> None:
    """Bound to port 0, found by its number, over IPv4, IPv6 and mapped addresses, also through copies."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            server = socket.create_server((address, 0), family=family)
        except OSError as failure:
            say(address, failure.errno)
            continue
        copy = server.dup()
        server.close()
        client = socket.create_connection(copy.getsockname()[:2])
        end, _ = copy.accept()
        client.sendall(b"hello")
        say(end.recv(9))
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    attempt("nobody there", socket.create_connection, ("127.0.0.1", port))


def datagrams() -> None:
    """Sendto and sendmsg with a name."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"one", receiver.getsockname())
    sender.sendmsg([b"two"], [], 0, receiver.getsockname())
    say(receiver.recv(9), receiver.recv(9))


def local_names() -> None:
    """Unix sockets: by absolute and relative name, abstract, of datagrams; the name has a mode."""
    os.umask(0o27)
    here = os.getcwd()
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        for name in ("relative", f"{here}/absolute", f"\0{here}/abstract"):
            server = socket.socket(socket.AF_UNIX, kind)
            if len(name) > 100:
                continue
            attempt(f"bind {os.path.basename(name)!r}", server.bind, name)
            attempt("again", socket.socket(socket.AF_UNIX, kind).bind, name)
            if kind != socket.SOCK_DGRAM:
                server.listen()
            client = socket.socket(socket.AF_UNIX, kind)
            attempt("connect", client.connect, name)
            client.send(b"x")
            if name[0] != "\0":
                say(f"{os.stat(name).st_mode:o}", stat.S_ISSOCK(os.stat(name).st_mode))
                attempt("open", os.open, name, os.O_RDWR)
                os.unlink(name)
    attempt("missing", socket.socket(socket.AF_UNIX).connect, "missing")
    attempt("missing directory", socket.socket(socket.AF_UNIX).bind, "missing/x")
    os.symlink("made", "link")
    attempt("over a link", socket.socket(socket.AF_UNIX).bind, "link")


def waiting() -> None:
    """Accept and connect that wait, and that do not."""
    server = socket.create_server(("127.0.0.1", 0))
    address = server.getsockname()
    thread = threading.Thread(target=lambda: socket.create_connection(address).sendall(b"late"))
    thread.start()
    end, _ = server.accept()
    say(end.recv(9))
    thread.join()
    server.setblocking(False)
    attempt("accept", server.accept)
    client = socket.socket()
    client.setblocking(False)
    say(client.connect_ex(address) in (0, 115))


def families() -> None:
    """Families that there are not are said not to be."""
    for family in (socket.AF_UNIX, socket.AF_INET, 45, 99):
        for kind in (socket.SOCK_STREAM, 77):
            attempt(
                f"{family:d} {kind}", lambda family=family, kind=kind: socket.socket(family, kind).close()
            )
    attempt("protocol", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 17).close())
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        left, right = socket.socketpair(socket.AF_UNIX, kind)
        left.send(b"pair")
        say(right.recv(9))
