"""Channels between main and the processes of a session."""

from __future__ import annotations

from typing import Any

from sydd.daemon.channel import Channel


def _said(channel: Channel) -> dict[str, Any] | None:
    received = channel.receive()
    if received is None:
        return None
    with received[1]:
        return received[0]


def test_last_words_are_heard_from_who_has_not_read_everything() -> None:
    """The kernel says ECONNRESET first, and what was said before is there still."""
    ours, theirs = Channel.pair()
    theirs.send({"type": "event"})
    theirs.send({"type": "ended"})
    ours.send({"type": "rules"})
    theirs.close()
    assert [_said(ours), _said(ours), _said(ours)] == [{"type": "event"}, {"type": "ended"}, None]
    ours.close()
