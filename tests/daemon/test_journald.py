"""The native protocol of the journal, heard by a socket that plays journald, and read by journald itself."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sydd.daemon.journald import Journal, encode, field_name, is_stderr


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of journald."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "journal"))
        channel.settimeout(10)
        yield channel


@pytest.fixture
def journal(heard: socket.socket) -> Iterator[Journal]:
    """A sender to it."""
    sender = Journal(heard.getsockname())
    yield sender
    sender.close()


def test_fields_with_and_without_lines() -> None:
    """A value with a newline has its length before it; others end with theirs."""
    assert encode({"MESSAGE": "one", "SYDD_PATH": "a\nb"}) == (
        b"MESSAGE=one\nSYDD_PATH\n" + struct.pack("<Q", 3) + b"a\nb\n"
    )


def test_bytes_that_are_no_text() -> None:
    """A path keeps its bytes."""
    assert encode({"SYDD_PATH": os.fsdecode(b"/\xff")}) == b"SYDD_PATH=/\xff\n"


def test_names() -> None:
    """What journald knows keeps its name, all else is prefixed; what it would drop is an error."""
    assert [field_name(key) for key in ("session", "message_id", "rule_source")] == [
        "SYDD_SESSION",
        "MESSAGE_ID",
        "SYDD_RULE_SOURCE",
    ]
    with pytest.raises(ValueError, match="no name for a field"):
        field_name("a=b")


def test_a_large_record_is_a_sealed_memfd(journal: Journal, heard: socket.socket) -> None:
    """What no datagram holds comes as a descriptor that nobody can change any more."""
    fields = {f"SYDD_FIELD_{number}": "x" * 60_000 for number in range(10)}
    assert journal.send(fields)
    message, descriptors, _, _ = socket.recv_fds(heard, 4096, 1)
    assert message == b""
    with open(descriptors[0], "rb") as file:
        assert os.pread(file.fileno(), 1 << 20, 0) == encode(fields)
        with pytest.raises(PermissionError):
            os.pwrite(file.fileno(), b"y", 0)


def test_a_stuck_journal_loses_records_and_says_so(journal: Journal, heard: socket.socket) -> None:
    """A full queue never blocks; the next record that gets through comes after the number of those lost."""
    sent = 0
    while journal.send({"MESSAGE": f"{sent}"}):
        sent += 1
        assert sent < 10_000
    assert not journal.send({"MESSAGE": "lost, too"})
    assert [heard.recv(4096) for _ in range(sent)][-1] == f"MESSAGE={sent - 1}\n".encode()
    assert journal.send({"MESSAGE": "on"})
    assert b"SYDD_LOST=2\n" in heard.recv(4096)
    assert heard.recv(4096) == b"MESSAGE=on\n"
    assert (journal.lost, journal.lost_ever) == (0, 2)


def test_a_journal_that_is_started_anew(tmp_path: Path) -> None:
    """Without a journal records are lost; with the next one they go on."""
    path = str(tmp_path / "journal")
    journal = Journal(path)
    assert not journal.send({"MESSAGE": "nobody"})
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(path)
            assert journal.send({"MESSAGE": "again"})
            assert b"records were lost" in channel.recv(4096)
        os.unlink(path)
        assert not journal.send({"MESSAGE": "gone"})
    journal.close()


def test_whether_a_stream_is_the_journals(tmp_path: Path) -> None:
    """By device and inode of the stream itself, as the variable may be inherited."""
    with open(tmp_path / "stream", "wb") as stream, open(tmp_path / "other", "wb") as other:
        stat = os.fstat(stream.fileno())
        environment = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        assert is_stderr(environment, stream.fileno())
        assert not is_stderr(environment, other.fileno())
    assert not is_stderr({}, 2)
