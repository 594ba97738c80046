"""`sydctl ports`: the sockets that the processes of a session listen on and are connected by."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sydctl.main import Failure
from sydctl.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sydd.session.members import Holder
    from sydd.session.sockdiag import Socket

EXIT_UNKNOWN = 1

DESCRIPTION = """\
Show the sockets of a session's processes: where they listen, what they are bound and connected to, and who
has them open. The session is named by the pid of its 'sydctl launch', of its command, or of any process in
it."""

EPILOG = """\
Addresses are written as the rules of profiles have them. Sockets in a network namespace of the session's own
are marked so: their addresses are not those of this machine.

exit status: 0; 1 when there is no such session, or this user may not look into it; 2 for bad arguments.

examples:
  sydctl ports 4711
  sydctl ports 4711 --all
  sydctl ports 4711 --json
"""

HEADINGS = ("PROTOCOL", "STATE", "LOCAL", "REMOTE", "PROCESSES")


@dataclass(frozen=True, slots=True)
class Shown:
    """One socket of the session.

    Attributes:
        socket: what it is.
        private: whether it is in another network namespace than this sydctl.
        holders: who has it open.
    """

    socket: Socket
    private: bool
    holders: Sequence[Holder]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `sydctl ports`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument("session", metavar="PID", type=_pid, help="pid of a sydctl launch or a process in it")
    parser.add_argument(
        "-a", "--all", action="store_true", help="also unix sockets without a name, such as socketpairs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, always with all sockets")


def _pid(word: str) -> int:
    if not word.isascii() or not word.isdecimal() or not 0 < int(word) < 2**31:
        raise argparse.ArgumentTypeError(f"'{word}' is no pid")
    return int(word)


def run(arguments: argparse.Namespace) -> int:
    """Run `sydctl ports`.

    Raises:
        Failure: there is no such session, or it may not be looked into.
    """
    from sydd.session.members import members, supervisor_of

    try:
        supervisor = supervisor_of(arguments.session)
        pids = members(supervisor)
        shown = _shown(pids)
    except LookupError as error:
        raise Failure(str(error), EXIT_UNKNOWN) from None
    except OSError as error:
        why = f"cannot look into the session of process {arguments.session}: {error.strerror}"
        raise Failure(why, EXIT_UNKNOWN) from None
    if arguments.json:
        import json

        print(json.dumps(_as_plain(supervisor, pids, shown), indent=2))
    else:
        named = [item for item in shown if arguments.all or _is_named(item.socket)]
        print("\n".join(_lines(named)) if named else _nothing(len(shown), len(pids)))
    return 0


def _shown(pids: Sequence[int]) -> list[Shown]:
    """The sockets that *pids* have open, in the order of the table."""
    import os

    from sydd.session.members import holders
    from sydd.session.sockdiag import namespace_of, sockets_beside

    held = holders(pids)
    here = namespace_of(os.getpid())
    # One process for each namespace: usually there is one.
    inside = {namespace_of(pid): pid for pid in reversed(pids)}
    inside.pop("", None)
    found = [
        Shown(socket, namespace != here, held[socket.inode])
        for namespace, pid in inside.items()
        for socket in sockets_beside(pid)
        if socket.inode in held
    ]
    return sorted(found, key=lambda item: (item.socket.protocol, item.socket.state, item.socket.local))


def _is_named(socket: Socket) -> bool:
    from sydd.session.sockdiag import UNNAMED

    return socket.local != UNNAMED or socket.remote not in ("", UNNAMED)


def _nothing(hidden: int, processes: int) -> str:
    what = f"no sockets in {counted(processes, 'process', 'processes')}"
    return f"{what}, but {hidden} without a name (--all)" if hidden else what


def _lines(shown: Sequence[Shown]) -> list[str]:
    from sydd.supervisor.destination import services

    names = services()
    rows: list[tuple[str, ...]] = [HEADINGS]
    for item in shown:
        socket = item.socket
        state = f"{socket.state}, private" if item.private else socket.state
        who = ", ".join(map(_holder, item.holders))
        # The port of who has connected is of the kernel's choice, and no service's.
        serves = socket.state in ("listening", "bound")
        local = _named(socket.local, socket.protocol, names) if serves else socket.local
        remote = _named(socket.remote, socket.protocol, names) if socket.remote else "-"
        rows.append(tuple(map(printable, (socket.protocol, state, local, remote, who))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    return [
        "  ".join([f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=True)] + [row[-1]])
        for row in rows
    ]


def _named(address: str, protocol: str, names: Mapping[tuple[int, str], str]) -> str:
    """An address with the service of its port, if it has one: `127.0.0.1!5432 (postgresql)`."""
    port = address.rpartition("!")[2]
    name = names.get((int(port), protocol)) if protocol in ("tcp", "udp") and port.isdecimal() else None
    return f"{address} ({name})" if name else address


def _holder(holder: Holder) -> str:
    return f"{holder.pid} {holder.command} ({' '.join(map(str, holder.descriptors))})"


def _as_plain(supervisor: int, pids: Sequence[int], shown: Sequence[Shown]) -> dict[str, Any]:
    from sydctl.planview import plain

    return {
        "supervisor": supervisor,
        "processes": list(pids),
        "sockets": [
            {**plain(item.socket), "private": item.private, "holders": plain(tuple(item.holders))}
            for item in shown
        ],
    }
