"""The part of the block at the end that says where a session wanted to go, when that was to many places.

Pure: events to text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sydctl.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.supervisor.event import Event

MANY = 4
"""Different addresses from which on there is a summary."""

MAXIMUM_GROUPS = 12
MAXIMUM_NAMES = 4
"""Lines of the summary, and addresses in each."""

_ACCESSES = frozenset({"connect", "bind", "send"})
_BY_NAME = {"unix": "unix", "@": "abstract", "netlink": "netlink", "family": "family"}


@dataclass(slots=True)
class _Group:
    """What goes into one line.

    Attributes:
        names: the addresses, without their port.
        count: how often.
    """

    names: dict[str, None] = field(default_factory=dict)
    count: int = 0


def destinations(events: Sequence[Event]) -> list[str]:
    """The lines of the summary, by access and port; none where there are few addresses.

    Args:
        events: of the whole session; those about other things are passed over.
    """
    groups: dict[str, _Group] = {}
    for event in events:
        if event.access not in _ACCESSES or not event.path or event.syscall in ("socket", "socketpair"):
            continue
        port, name = _parts(event)
        group = groups.setdefault(f"{event.access} {port}", _Group())
        group.names[name] = None
        group.count += event.count
    if sum(len(group.names) for group in groups.values()) < MANY:
        return []
    most = sorted(groups.items(), key=lambda item: -item[1].count)
    lines = ["  where to, by port:"]
    for port, group in most[:MAXIMUM_GROUPS]:
        times = f" ×{group.count}" if group.count > 1 else ""
        lines.append(f"    {printable(port)}{times}: {_names(group)}")
    hidden = len(most) - MAXIMUM_GROUPS
    return [*lines, f"    … and {hidden} more"] if hidden > 0 else lines


def _parts(event: Event) -> tuple[str, str]:
    """What the line is headed by, and the address itself: `!443 (https)` and `pypi.org`."""
    for prefix, kind in _BY_NAME.items():
        if event.path.startswith(prefix):
            return kind, event.path
    address, _, port = event.path.rpartition("!")
    service = f" ({event.service})" if event.service else ""
    return f"!{port}{service}", event.host or address


def _names(group: _Group) -> str:
    names = list(group.names)
    shown = ", ".join(map(printable, names[:MAXIMUM_NAMES]))
    return f"{shown} … and {len(names) - MAXIMUM_NAMES} more" if len(names) > MAXIMUM_NAMES else shown
