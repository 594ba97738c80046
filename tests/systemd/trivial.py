"""A service with nothing to do: it answers over its socket what the service manager has given it.

Commands, one a connection: `names`; `store NAME TEXT` puts a file with that text into the descriptor store;
`remove NAME`.
"""

from __future__ import annotations

import json
import os
import socket

from sydd.daemon.cgroups import Cgroups
from sydd.daemon.systemd import Manager, listen_fds, watchdog_interval


def main() -> None:
    """Serve for ever."""
    passed = listen_fds()
    manager = Manager.from_environment()
    (control,) = (each for each in passed if each.name == "control")
    stored = {
        each.name: os.pread(each.fd.fileno(), 100, 0).decode() for each in passed if each is not control
    }
    manager.ready("trivial")
    with socket.socket(fileno=control.fd.steal()) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                word, *rest = connection.recv(4096).decode().split()
                if word == "store":
                    fd = os.memfd_create("trivial")
                    os.write(fd, rest[1].encode())
                    manager.store(rest[0], [fd])
                elif word == "remove":
                    manager.remove(rest[0])
                answer = {
                    "pid": os.getpid(),
                    "stored": stored,
                    "watchdog": watchdog_interval(),
                    "cgroups": Cgroups.find().path,
                }
                connection.sendall(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
