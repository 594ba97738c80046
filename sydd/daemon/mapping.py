"""The ids of a user namespace that a session's command gets for its private network, where main is root.

What is to become the command is a fork of main, so that not even its owner may look into it and write its
maps.
"""

from __future__ import annotations

import errno
import os

from sydd.daemon.insiders import is_alive
from sydd.daemon.spec import Identity
from sydd.kernel.fd import FdSet, FileDescriptor
from sydd.kernel.pidfd import pid_of
from sydd.session.privatenet import write_maps


def map_ids(pid: int, handles: FdSet, identity: Identity) -> int:
    """Map the owner of a session to itself, and nobody else.

    Args:
        pid: the process, alone in its user namespace.
        handles: a pidfd of it.
        identity: whose the session is; the process has to be that user's, in all of its ids.

    Returns:
        0, or the errno of what went wrong.
    """
    handle = next(iter(handles), -1)
    try:
        with FileDescriptor(os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
            place = f"/proc/self/fd/{directory.fileno()}"
            # Now: with the process that was opened the number cannot be another one's any more.
            if handle < 0 or pid_of(handle) != pid or not is_alive(handle):
                return errno.ESRCH
            with open(f"{place}/status", "rb") as file:
                lines = dict(line.split(b":", 1) for line in file if b":" in line)
            if lines[b"Uid"].split() != [b"%d" % identity.uid] * 4:
                return errno.EPERM
            write_maps(place, identity.uid, identity.gid)
    except OSError as error:
        return error.errno or errno.EIO
    return 0
