"""The interface: that it agrees with the daemon, and what it says about itself."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from asyncvarlink.interface import varlinksignature

from sydd.client import Client
from sydd.control import reference
from sydd.control.backend import Backend, SessionRequest
from sydd.control.interface import REPLIES, Sydd
from sydd.supervisor.event import Event
from sydd.supervisor.tasks import Process
from sydd.wire import errors, events

ROOT = Path(__file__).resolve().parents[2]
METHODS = {name: signature for name in dir(Sydd) if (signature := varlinksignature(getattr(Sydd, name)))}


def snake(name: str) -> str:
    """ListSessions → list_sessions."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def public(kind: type) -> set[str]:
    """The public methods of a class and what it extends."""
    return {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))}


def test_every_method_has_its_backend() -> None:
    """Interface and backend have the same methods."""
    assert {snake(name) for name in METHODS} == public(Backend)


def test_every_method_is_in_the_client() -> None:
    """The client has a method for each of the interface's."""
    assert {snake(name) for name in METHODS} == public(Client) - {"close"}


def test_every_method_is_described() -> None:
    """Each has a sentence, and so has each error."""
    assert [name for name in METHODS if not getattr(Sydd, name).__doc__] == []
    assert [error.__name__ for error in errors.ERRORS if not error.__doc__] == []


@pytest.mark.parametrize(
    ("wire", "value"),
    [(events.AccessEvent, Event), (events.CallingProcess, Process)],
    ids=["event", "process"],
)
def test_events_have_the_fields_of_the_socket(wire: type, value: type) -> None:
    """What the supervisor writes about an access is what the socket says it is."""
    assert list(wire.__annotations__) == [field.name for field in dataclasses.fields(value)]


def test_both_calls_for_a_session_take_what_a_session_takes() -> None:
    """CreateSession and Run have every field of a request."""
    wanted = {field.name for field in dataclasses.fields(SessionRequest)}
    for name, further in (("CreateSession", set()), ("Run", {"descriptors"})):
        given = set(METHODS[name].parameter_type.as_type.__annotations__)
        assert given == wanted | further


@pytest.mark.parametrize("error", errors.ERRORS, ids=lambda error: error.__name__)
def test_errors_are_told_whole(error: type[errors.ControlError]) -> None:
    """Each error has a line for people, and its fields go over the wire."""
    values = {name: ["a", "b"] if kind == list[str] else kind() for name, kind in error.FIELDS.items()}
    raised = error(**values)
    assert REPLIES[error](**raised.parameters()).toreply().tojson() == {
        "error": f"org.sydd.{error.__name__}",
        "parameters": values,
    }
    assert isinstance(str(raised), str)


def test_fields_of_errors_are_asked_for() -> None:
    """An error without all of its fields is none."""
    with pytest.raises(TypeError):
        errors.NoSuchSession()
    with pytest.raises(TypeError):
        errors.NoSuchSession("a", "b")
    with pytest.raises(TypeError):
        errors.NoSuchSession("a", name="b")
    assert errors.NoSuchSession("a").session == errors.NoSuchSession(session="a").session


def test_structures_have_names_in_the_description() -> None:
    """The description names structures instead of writing them out each time."""
    text = Sydd.render_interface_description()
    assert "type Session (session: string, label: string," in text
    assert "method ListSessions(ended: ?bool) -> (sessions: []Session)" in text
    assert text.count("label: string,") == 1


def test_the_reference_is_current() -> None:
    """docs/socket.md is what the interface says now, about every method."""
    made = reference.page()
    assert made == (ROOT / "docs" / "socket.md").read_text(encoding="utf-8"), (
        "python -m sydd.control.reference"
    )
    assert [name for name in METHODS if f"#### {name}" not in made] == []
