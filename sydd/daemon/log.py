"""The daemon's log: structlog to journald where the daemon runs under systemd, else JSON, or for people.

    configure("info")
    log = get_logger()
    log.info("session started", message_id=Message.SESSION_STARTED, session=name, profile="build", uid=1000)

Keys are the fields, in the journal in capitals behind `SYDD_` (`SYDD_SESSION`); their names are stable, and
docs/operations.md lists them. What cannot be written at once is lost and counted (`lost`), whether the disk
is full, the journal stuck or a pipe not read: the log holds up nobody and ends nothing.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol, cast

import structlog

from sydd.daemon import journald
from sydd.daemon.messages import Message

Form = Literal["auto", "journal", "json", "console"]
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
IDENTIFIER: Final = "sydd"

_PRIORITIES: Final = {"debug": "7", "info": "6", "warning": "4", "error": "3", "critical": "2"}
_PIECE: Final = 4096
"""PIPE_BUF: what a pipe that is ready takes without blocking."""

_EVENT_KEYS: Final = {
    "session": "session",
    "profile": "profile",
    "action": "action",
    "access": "access",
    "syscall": "syscall",
    "path": "path",
    "errno": "errno_name",
    "rule": "rule",
    "rule_source": "rule_source",
    "allow": "allow",
    "sequence": "sequence",
    "count": "count",
    "enforced": "enforced",
}
"""Keys of an event (sydd.supervisor.event) and what they are in a record."""


class Sink(Protocol):
    """Where records go.

    Attributes:
        lost: how many could not be written, ever.
    """

    lost: int

    def close(self) -> None:
        """Give up what was opened for it."""


class StreamSink:
    """A descriptor that may be a file, a pipe, a socket or a terminal; it stays the caller's.

    Args:
        fd: the descriptor. It is not made non-blocking, since others may have it, too.
    """

    def __init__(self, fd: int) -> None:
        self.lost = 0
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, record: str) -> None:
        """Write one record as a line, as far as the descriptor takes it now."""
        left = (record + "\n").encode("utf-8", "surrogateescape")
        try:
            while left:
                ready = self._poll.poll(0)
                if not ready or not ready[0][1] & select.POLLOUT:
                    self.lost += 1
                    return
                left = left[os.write(self._fd, left[:_PIECE]) :]
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """The descriptor is the caller's."""


class JournalSink:
    """journald.

    Args:
        journal: the sender.
    """

    def __init__(self, journal: journald.Journal) -> None:
        self.lost = 0
        self._journal = journal

    def write(self, fields: Mapping[str, str]) -> None:
        """Send one record."""
        if not self._journal.send(fields):
            self.lost += 1

    def close(self) -> None:
        """Close the socket; another record opens it again."""
        self._journal.close()


class _Writer:
    """What structlog calls with the last processor's result."""

    def __init__(self, write: Callable[[Any], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = write


class _Bridge(logging.Handler):
    """Takes the records of the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one on."""
        keys: dict[str, Any] = {"logger": record.name}
        if record.exc_info and record.exc_info[1]:
            keys["exc_info"] = record.exc_info[1]
        get_logger().log(min(record.levelno, logging.CRITICAL), record.getMessage(), **keys)


_sink: Sink = StreamSink(2)
_lost_before = 0


def configure(level: str = "info", form: Form = "auto", *, fd: int = 2) -> Sink:
    """Decide where the log goes and what of it, when the daemon starts and when its settings change.

    Args:
        level: one of LEVELS; what is below is not even formatted.
        form: `auto` is the journal where `fd` goes there anyway, console on a terminal, else JSON lines.
        fd: where the forms `json` and `console` write to.

    Returns:
        Where records go from now on.

    Raises:
        ValueError: there is no such level or form.
    """
    global _sink, _lost_before  # noqa: PLW0603  # structlog's own configuration is one of the process, too
    if level not in LEVELS:
        raise ValueError(f"unknown level '{level}': levels are {', '.join(LEVELS)}")
    if form == "auto":
        form = "journal" if journald.is_stderr(fd=fd) else "console" if os.isatty(fd) else "json"
    processors: list[Any] = [structlog.processors.add_log_level, structlog.processors.format_exc_info, _plain]
    sink: JournalSink | StreamSink
    if form == "journal":
        sink = JournalSink(journald.Journal(journald.SOCKET))
        processors += [_to_journal]
    elif form in ("json", "console"):
        sink = StreamSink(fd)
        processors += [structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")]
        if form == "json":
            processors += [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]
        else:
            processors += [_escaped, structlog.dev.ConsoleRenderer(colors=os.isatty(fd))]
    else:
        raise ValueError(f"unknown form of log '{form}': auto, journal, json or console")
    _lost_before += _sink.lost
    _sink.close()
    _sink, writer = sink, _Writer(sink.write)
    # What libraries have to say, asyncio's mistakes among it, is a record like others.
    logging.root.handlers = [_Bridge()]
    logging.root.setLevel(level.upper())
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    return _sink


def get_logger(**bound: Any) -> structlog.typing.FilteringBoundLogger:
    """A logger.

    Args:
        bound: keys that all its records have, such as `session`.
    """
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(**bound))


def lost() -> int:
    """How many records could not be written, ever."""
    return _lost_before + _sink.lost


def violation(event: Mapping[str, Any], **more: Any) -> None:
    """Log an event of a session.

    Args:
        event: as Event.as_json gives it.
        more: keys besides, such as `uid`.
    """
    process = event.get("process") or {}
    keys = {name: event[key] for key, name in _EVENT_KEYS.items() if event.get(key) not in (None, "")}
    keys |= {name: process[name] for name in ("pid", "tid", "command", "exe") if process.get(name)}
    what = f"{event['action']} {event['access']} {event['path']}".rstrip()
    get_logger().warning(what, message_id=Message.VIOLATION, **keys, **more)


def _plain(_logger: Any, _method: str, record: dict[str, Any]) -> dict[str, Any]:
    """Make text of what JSON and the journal do not know, and a message that is one line."""
    for key, value in record.items():
        if isinstance(value, Message):
            record[key] = value.value
        elif isinstance(value, str):
            record[key] = value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        elif value is not None and not isinstance(value, bool | int | float | list | tuple | dict):
            record[key] = str(value)
    record["event"] = _printable(str(record.get("event", "")))
    return record


def _escaped(_logger: Any, _method: str, record: dict[str, Any]) -> dict[str, Any]:
    """Escape what drives a terminal, in all fields but an exception."""
    return {
        key: _printable(value) if isinstance(value, str) and key != "exception" else value
        for key, value in record.items()
    }


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _to_journal(
    _logger: Any, _method: str, record: dict[str, Any]
) -> tuple[tuple[dict[str, str]], dict[str, Any]]:
    """The fields of a record for `JournalSink.send`."""
    level = record.pop("level", "info")
    fields = {
        "MESSAGE": str(record.pop("event", "")),
        "PRIORITY": _PRIORITIES.get(level, "6"),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
    }
    exception = record.pop("exception", None)
    if exception:
        fields["MESSAGE"] += "\n" + exception
    for key, value in record.items():
        if value is not None:
            fields[journald.field_name(key)] = value if isinstance(value, str) else str(value)
    return (fields,), {}
