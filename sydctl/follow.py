"""What the daemon tells about a session, also when it is restarted meanwhile."""

from __future__ import annotations

from sydd.client import DisconnectedError, NotRunningError
from sydd.client.patience import Patience

TYPE_CHECKING = False
if TYPE_CHECKING:  # without typing, which is slow to import
    from collections.abc import Iterator, Sequence

    from sydd.client import Client
    from sydd.supervisor.journal import Journal
    from sydd.wire.events import Notice


def notices(
    client: Client, session: str | None, position: int | None, kinds: Sequence[str] | None = None
) -> Iterator[Notice]:
    """What happens, as it happens; after a restart of the daemon it goes on where it was.

    Args:
        client: of the daemon.
        session: of this one alone, until it ends; None for all.
        position: of the notice to begin after; None for now.
        kinds: of notices; None for all.

    Raises:
        UnavailableError: the daemon is not there, or did not come back.
        ControlError: it refuses.
    """
    patience = Patience()
    while True:
        try:
            with client.subscribe(session, position=position, kinds=kinds) as stream:
                for notice in stream:
                    position = max(position or 0, notice["position"])
                    yield notice
                return
        except (DisconnectedError, NotRunningError) as error:
            patience.bear(error)


def record(journal: Journal, notice: Notice) -> None:
    """Take a notice down in the journal of a session."""
    kind = notice["kind"]
    if kind == "access" and notice["event"] is not None:
        from sydd.supervisor.event import Event

        event = Event.from_json(notice["event"])
        journal.add(_key(event.sequence), event)
    elif kind == "repeated":
        journal.recount(_key(notice["sequence"]), notice["count"])
    elif kind == "dropped":
        journal.dropped += notice["count"]
    elif kind == "lost":
        journal.lost = f"{notice['count']} notices of the daemon"
    elif kind == "trouble":
        journal.trouble(notice["message"])


def _key(sequence: int) -> tuple[str, str, str, str]:
    return str(sequence), "", "", ""
