"""The block at the end of a session: what was denied or reported, and what to do about it.

Pure: events to text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sydctl.destinations import destinations
from sydctl.text import counted, printable, quoted, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sydd.supervisor.event import Event
    from sydd.supervisor.tasks import Process

MAXIMUM_SHOWN = 20
MAXIMUM_PARENTS = 6
LABEL = 13
"""Width of the labels' column."""

BOLD, RED, YELLOW, GREEN, DIM, RESET = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[0m"


class _Paint:
    """Puts colour around text, or does not."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, code: str) -> str:
        return f"{code}{text}{RESET}" if self._colour else text


def render(
    events: Sequence[Event], width: int, colour: bool, *, limit: int = MAXIMUM_SHOWN, dropped: int = 0
) -> str:
    """The whole block, ending in a newline; empty when there is nothing to tell.

    Args:
        events: with their counts, in the order of first appearance.
        width: columns of the terminal, for the lines that may be shortened; 0 for no bound. Paths and rules
            are never cut.
        colour: whether to use the terminal's colours.
        limit: how many events to show.
        dropped: how many accesses more there were than the journal could remember.
    """
    if not events and not dropped:
        return ""
    paint = _Paint(colour)
    lines = [paint(heading(events, dropped), BOLD)]
    for event in events[:limit]:
        lines += _entry(event, width, paint)
    hidden = len(events) - limit
    if hidden > 0:
        lines.append(f"  … and {hidden} more; --events FILE has all")
    if dropped:
        lines.append(
            f"  … and {counted(dropped, 'access', 'accesses')} of further kinds, which were only counted"
        )
    lines += destinations(events)
    return "\n".join(lines) + "\n"


def heading(events: Sequence[Event], dropped: int = 0) -> str:
    """How much of what happened, in one line."""
    denied = sum(event.count for event in events if event.denied)
    warned = sum(event.count for event in events if event.enforced and not event.denied)
    recorded = sum(event.count for event in events if not event.enforced)
    parts = []
    if denied:
        parts.append(f"{counted(denied, 'access', 'accesses')} denied")
    if warned:
        parts.append(f"{counted(warned, 'access', 'accesses')} reported and allowed")
    if recorded:
        parts.append(f"{counted(recorded, 'access', 'accesses')} recorded, none stopped (mode is audit),")
    if not parts:
        parts.append(f"{counted(dropped, 'access', 'accesses')} reported")
    profile = f" under profile {printable(events[0].profile)}" if events else ""
    return f"sydd: {', '.join(parts).rstrip(',')}{profile}"


def line(event: Event) -> str:
    """One event in one line, for live output."""
    where = "" if event.rule_source == "" else f" ({printable(event.rule_source)})"
    process = f"{printable(event.process.command)}[{event.process.pid}]"
    known = _known(event)
    named = f" ({known})" if known else ""
    return f"sydd: {_what(event)}{named}: {process}, {printable(event.rule)}{where}"


def _what(event: Event) -> str:
    """The action, the access and its object: `deny modify /home/u/.bashrc`."""
    action = event.action if event.enforced or event.action == "warn" else f"would {event.action}"
    # A call that is refused as such has no access, one about no file has no path.
    words = [action, event.access or event.syscall, printable(event.path)]
    return " ".join(word for word in words if word)


def _known(event: Event) -> str:
    """Host and service: `pypi.org, https`."""
    return printable(", ".join(filter(None, (event.host, event.service))))


def _entry(event: Event, width: int, paint: _Paint) -> list[str]:
    result = f"  ({event.syscall}: {event.errno})" if event.errno else f"  ({event.syscall})"
    times = f"  ×{event.count}" if event.count > 1 else ""
    lines = ["  " + paint(_what(event), RED if event.denied else YELLOW) + paint(result, DIM) + times]
    if event.given and event.given != event.path:
        lines.append(_labelled("as given", printable(event.given)))
    known = _known(event)
    if known:
        lines.append(_labelled("known as", known))
    lines.append(_labelled("process", _process(event.process, width - LABEL - 4)))
    source = f"  ({printable(event.rule_source)})" if event.rule_source else ""
    lines.append(_labelled("rule", printable(event.rule) + source))
    if event.decision:
        lines.append(_labelled("decision", printable(event.decision)))
    if event.allow:
        lines.append(_labelled("to allow it", paint(printable(event.allow), GREEN)))
    return lines


def _labelled(label: str, text: str) -> str:
    return f"    {label + ':':<{LABEL}}{text}"


def _process(process: Process, width: int) -> str:
    """`comm[pid]: argv, from parent[pid] < …`, the arguments shortened to what is left of the line."""
    own = f"{printable(process.command)}[{process.pid}]"
    above = [f"{printable(parent.command)}[{parent.pid}]" for parent in process.parents[:MAXIMUM_PARENTS]]
    if len(process.parents) > MAXIMUM_PARENTS:
        above.append("…")
    chain = f", from {' < '.join(above)}" if above else ""
    arguments = " ".join(quoted(word) for word in process.argv)
    room = max(width - len(own) - len(chain) - 2, 24) if width > 0 else 0
    return f"{own}: {shortened(arguments, room)}{chain}" if arguments else own + chain
