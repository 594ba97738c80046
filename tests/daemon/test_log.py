"""The daemon's log in its three forms, and with nowhere to go."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from sydd.daemon import journald, log
from sydd.daemon.messages import Message

EVENT = {
    "sequence": 3,
    "session": "s1",
    "profile": "build",
    "enforced": True,
    "action": "deny",
    "access": "modify",
    "syscall": "openat",
    "given": "x",
    "path": "/home/builder/.bashrc",
    "errno": "EACCES",
    "process": {"pid": 12, "tid": 13, "command": "sh", "exe": "/bin/dash", "argv": ["sh"]},
    "rule": "no rule: default",
    "rule_source": "",
    "allow": "allow modify ${home}/.bashrc",
    "count": 1,
}


@pytest.fixture(autouse=True)
def configuration() -> Iterator[None]:
    """As before, afterwards."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


def test_json(tmp_path: Path) -> None:
    """A record is a line; the keys are the fields."""
    with open(tmp_path / "log", "wb") as file:
        log.configure("info", "json", fd=file.fileno())
        log.get_logger(session="s1").info(
            "session started", message_id=Message.SESSION_STARTED, uid=7, at=None
        )
        log.get_logger().debug("nothing")
        log.violation(EVENT, uid=7)
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "message": "session started",
        "level": "info",
        "message_id": Message.SESSION_STARTED.value,
        "session": "s1",
        "uid": 7,
        "at": None,
    }
    del second["time"]
    assert second == {
        "message": "deny modify /home/builder/.bashrc",
        "level": "warning",
        "message_id": Message.VIOLATION.value,
        "session": "s1",
        "profile": "build",
        "action": "deny",
        "access": "modify",
        "syscall": "openat",
        "path": "/home/builder/.bashrc",
        "errno_name": "EACCES",
        "rule": "no rule: default",
        "allow": "allow modify ${home}/.bashrc",
        "sequence": 3,
        "count": 1,
        "enforced": True,
        "pid": 12,
        "tid": 13,
        "command": "sh",
        "exe": "/bin/dash",
        "uid": 7,
    }


def test_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields have stable names; a stream of the journal is recognised."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard, open(tmp_path / "stream", "wb") as stream:
        heard.bind(str(tmp_path / "journal"))
        heard.settimeout(10)
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        monkeypatch.setattr(journald, "SOCKET", str(tmp_path / "journal"))
        sink = log.configure("info", fd=stream.fileno())
        log.violation(EVENT)
        lines = heard.recv(65536).decode().splitlines()
        sink.close()
    assert lines == [
        "MESSAGE=deny modify /home/builder/.bashrc",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=sydd",
        f"MESSAGE_ID={Message.VIOLATION.value}",
        "SYDD_SESSION=s1",
        "SYDD_PROFILE=build",
        "SYDD_ACTION=deny",
        "SYDD_ACCESS=modify",
        "SYDD_SYSCALL=openat",
        "SYDD_PATH=/home/builder/.bashrc",
        "SYDD_ERRNO_NAME=EACCES",
        "SYDD_RULE=no rule: default",
        "SYDD_ALLOW=allow modify ${home}/.bashrc",
        "SYDD_SEQUENCE=3",
        "SYDD_COUNT=1",
        "SYDD_ENFORCED=True",
        "SYDD_PID=12",
        "SYDD_TID=13",
        "SYDD_COMMAND=sh",
        "SYDD_EXE=/bin/dash",
    ]


def test_names_that_drive_a_terminal(tmp_path: Path) -> None:
    """What a confined program chose is escaped in the message."""
    with open(tmp_path / "log", "wb") as file:
        log.configure("info", "console", fd=file.fileno())
        log.violation({**EVENT, "path": "/tmp/\x1b[2J\udcff"})
    text = (tmp_path / "log").read_bytes()
    assert b"\x1b" not in text
    assert b"deny modify /tmp/\\x1b[2J\\xff" in text


def test_a_pipe_that_nobody_reads() -> None:
    """Records are lost and counted; nothing waits."""
    reader, writer = os.pipe()
    sink = log.configure("info", "json", fd=writer)
    for _ in range(3000):
        log.get_logger().info("x" * 100)
    assert sink.lost > 0
    assert log.lost() == sink.lost
    os.close(reader)
    os.close(writer)


def test_a_full_disk() -> None:
    """No space left: lost and counted."""
    with open("/dev/full", "wb", buffering=0) as file:
        sink = log.configure("info", "json", fd=file.fileno())
        log.get_logger().error("where to?")
        assert sink.lost == 1


def test_an_exception_is_one_record(tmp_path: Path) -> None:
    """Its lines stay together."""
    with open(tmp_path / "log", "wb") as file:
        log.configure("info", "json", fd=file.fileno())
        try:
            raise OSError(5, "broken")
        except OSError:
            log.get_logger().exception("a mistake")
    (record,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert record["message"] == "a mistake"
    assert record["exception"].endswith("OSError: [Errno 5] broken")


def test_what_libraries_log(tmp_path: Path) -> None:
    """Records of `logging` are records, too, with the traceback in one."""
    with open(tmp_path / "log", "wb") as file:
        log.configure("info", "json", fd=file.fileno())
        logging.getLogger("asyncio").error("Task %s", "failed", exc_info=OSError("why"))
        logging.getLogger("asyncio").debug("nothing")
    (record,) = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (record["message"], record["level"], record["logger"]) == ("Task failed", "error", "asyncio")
    assert record["exception"] == "OSError: why"


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_unknown_words(level: str, form: log.Form) -> None:
    """They are named."""
    with pytest.raises(ValueError, match="unknown"):
        log.configure(level, form)


def test_message_ids_are_ids() -> None:
    """Each is 128 bits, and another one."""
    ids = [message.value for message in Message]
    assert len(set(ids)) == len(ids)
    assert all(len(bytes.fromhex(each)) == 16 for each in ids)


def test_a_closed_stderr_ends_nothing() -> None:
    """The daemon goes on without an audience."""
    code = (
        "import os; os.close(2); from sydd.daemon import log; log.configure('info', 'json');"
        "log.get_logger().info('x'); print(log.lost())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout == "1\n"
