"""What the next daemon gets back."""

from __future__ import annotations

import json
import os
import tempfile

import pytest

from sydd.daemon.config import LimitsTable
from sydd.daemon.journal import noted
from sydd.daemon.quota import Quota, QuotaExceededError
from sydd.daemon.store import Info, Store, sort_out
from sydd.daemon.systemd import Manager, Passed
from sydd.kernel.fd import FileDescriptor
from tests.support.daemon import FakeManager, until


def _open() -> FileDescriptor:
    return FileDescriptor(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))


def test_what_was_passed_is_told_apart() -> None:
    """Sockets, the tape, and sessions by kind; what is there twice is closed."""
    passed = [
        Passed(name, _open())
        for name in ("control", "ab12.info", "ab12.info", "tape.1", "tape.0", "ab12.nonsense", "cd.listener")
    ]
    restored = sort_out(passed)
    try:
        assert [name for name, _ in restored.sockets] == ["control", "ab12.nonsense"]
        assert {name: set(kinds) for name, kinds in restored.sessions.items()} == {
            "ab12": {"info"},
            "cd": {"listener"},
        }
        assert passed[2].fd.closed
        assert restored.tape == (passed[4].fd, passed[3].fd)
    finally:
        for item in passed:
            item.fd.close()


def test_half_a_tape_is_none() -> None:
    """It would lose records without a word."""
    restored = sort_out([Passed("tape.0", _open())])
    assert restored.tape is None


def test_a_store_keeps_one_descriptor_under_a_name_and_removes_all_of_a_session() -> None:
    """Put twice, the second takes the place of the first."""
    with tempfile.TemporaryDirectory() as directory, _open() as file:
        manager = FakeManager(directory)
        try:
            store = Store(Manager(manager.path))
            store.put("ab", "info", file.fileno())
            store.put("ab", "info", file.fileno())
            store.put("ab", "listener", file.fileno())
            until(lambda: manager.names() == {"ab.info", "ab.listener"}, "both are stored")
            assert len(manager.stored["ab.info"]) == 1
            store.remove("ab")
            until(lambda: manager.names() == set(), "nothing is stored")
        finally:
            manager.close()


def test_info_is_whole_whenever_it_is_read() -> None:
    """A state of which only the beginning was written does not count: the one before it does."""
    info = Info()
    info.write_spec({"id": "x", "long": "y" * 5000})
    info.write({"n": 1})
    info.write({"n": 2})
    again = Info(info.file.dup())
    assert (again.spec["id"], again.state) == ("x", {"n": 2})
    again.write({"n": 3})
    place = os.pread(again.file.fileno(), 64, Info.PLACE).index(b"{")
    os.pwrite(again.file.fileno(), b"[", Info.PLACE + place)
    third = Info(info.file.dup())
    assert third.state == {"n": 2}
    for item in (info, again, third):
        item.close()


def test_the_last_event_that_was_told_is_known_whatever_else_is_written() -> None:
    """By the next daemon, which tells those that the worker has noted and nobody was told."""
    info = Info()
    info.write_spec({"id": "x"})
    info.told = 7
    for number in range(4):
        info.write({"n": number, "long": "y" * 100_000})
    again = Info(info.file.dup())
    assert (again.told, again.state["n"]) == (7, 3)
    with FileDescriptor(os.memfd_create("notes", os.MFD_CLOEXEC)) as notes:
        lines = [["attached", 1, 2], ["event", ["a"], {"sequence": 8}], ["rules", ["allow read /x"]]]
        content = "".join(json.dumps(line) + "\n" for line in lines) + '["event", ["b"], {"sequ'
        os.write(notes.fileno(), content.encode())
        assert list(noted(notes.fileno())) == [{"sequence": 8}]
    for item in (info, again):
        item.close()


def test_an_empty_info_is_refused() -> None:
    """Nothing is made up about a session of which nothing is known."""
    with FileDescriptor(os.memfd_create("empty", os.MFD_CLOEXEC)) as file, pytest.raises(ValueError):  # noqa: PT011
        Info(file)


def test_quotas_count_by_user_and_give_back() -> None:
    """One user's sessions do not count for another one."""
    quota = Quota(LimitsTable(sessions=2))
    quota.take("sessions", 1)
    quota.take("sessions", 1)
    quota.take("sessions", 2)
    with pytest.raises(QuotaExceededError, match="2 sessions"):
        quota.take("sessions", 1)
    quota.give_back("sessions", 1)
    quota.take("sessions", 1)
    with pytest.raises(QuotaExceededError, match="2 sessions"):
        quota.take("sessions", 1)
