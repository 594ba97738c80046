"""What the hub tells, in the log: one record for each, with the fields and the MESSAGE_ID of its kind."""

from __future__ import annotations

from typing import Final

from sydd.daemon import log
from sydd.daemon.hub import Hub, Lost, Record
from sydd.daemon.messages import Message

KINDS: Final = {
    "started": Message.SESSION_STARTED,
    "ended": Message.SESSION_ENDED,
    "restored": Message.SESSION_RESTORED,
    "killed": Message.SESSION_KILLED,
    "restarted": Message.WORKER_REPLACED,
    "rules": Message.RULES_CHANGED,
    "mode": Message.RULES_CHANGED,
    "limit": Message.LIMIT_REACHED,
    "lock": Message.LOCK_CHANGED,
    "question": Message.QUESTION,
    "trouble": Message.TROUBLE,
}
LOUD: Final = frozenset({"limit", "restarted", "trouble"})
QUIET: Final = frozenset({"created", "repeated", "question"})
NUMBERS: Final = frozenset({"pid", "status"})
"""Of what the notices of the interface have as text."""


async def write(hub: Hub) -> None:
    """Log all that happens from now on, until it is cancelled.

    Args:
        hub: what tells.
    """
    subscription = hub.subscribe(own=True)
    try:
        while (item := await subscription.get()) is not None:
            if isinstance(item, Lost):
                log.get_logger().warning(
                    f"{item.count} records were not logged: too many at a time", count=item.count
                )
            else:
                _log(item)
    finally:
        subscription.close()


def _log(record: Record) -> None:
    data = record.data
    if record.kind == "access":
        log.violation(data["event"], uid=record.owner)
        return
    logger = log.get_logger(session=record.session, uid=record.owner)
    detail = data.get("detail", {})
    keys = {name: int(value) if name in NUMBERS else value for name, value in detail.items() if value != ""}
    if data.get("count"):
        keys["count"] = data["count"]
    failed = record.kind in LOUD or bool(keys.get("failure"))
    tell = logger.warning if failed else logger.debug if record.kind in QUIET else logger.info
    tell(data["message"], message_id=KINDS.get(record.kind), kind=record.kind, **keys)
