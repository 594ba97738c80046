"""The reference of the control socket, docs/socket.md, made from the interface.

`python -m sydd.control.reference > docs/socket.md` writes it; a test checks that it is current.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any, Final, cast

from asyncvarlink.conversion import ObjectVarlinkType, VarlinkType
from asyncvarlink.interface import VarlinkMethodSignature, varlinksignature

from sydd.control.interface import NAMED, Sydd, with_names
from sydd.control.limits import Limits
from sydd.wire import INTERFACE, values
from sydd.wire.errors import ERRORS

GROUPS: Final = {
    "About the daemon": ("Info", "Health"),
    "Profiles": ("ListProfiles", "GetProfile", "ValidateProfile", "PutProfile", "RemoveProfile"),
    "Sessions begin": ("CreateSession", "Attach", "Run"),
    "Sessions end": ("Wait", "KillSession"),
    "Sessions are looked at": ("ListSessions", "InspectSession", "Check"),
    "Sessions are changed": ("AddRules", "RemoveRules", "ListRules", "Lock", "SetMode"),
    "What happens": ("Subscribe", "Questions", "Decide"),
}
"""The methods in the order of the page; a test sees to it that none is missing."""

REPLIES: Final = (
    values.Info,
    values.Health,
    values.ProfileText,
    values.Outcome,
    values.RuleList,
    values.Details,
)
"""Structures that are whole replies, and have no name in the description."""

INTRODUCTION: Final = """\
# The control socket

<!-- Made by `python -m sydd.control.reference > docs/socket.md`: change sydd/control and sydd/wire. -->

The daemon is spoken to by [Varlink](https://varlink.org): calls and replies are JSON objects, each ended by
a NUL byte, over a unix stream socket. The interface is `{interface}`; `org.varlink.service` describes it to
every client:

    varlink help unix:/run/sydd/sydd.sock/{interface}
    varlink call unix:/run/sydd/sydd.sock/{interface}.ListSessions
    varlink call -m unix:/run/sydd/sydd.sock/{interface}.Subscribe '{{"position": 0}}'

The system's socket is `/run/sydd/sydd.sock`, for members of the group `sydd`; that of a user's own daemon
`$XDG_RUNTIME_DIR/sydd/sydd.sock`. `SYDD_SOCKET` names another one to sydctl and to the [Python
client](python-client.md).

## Who may do what

The kernel says who connects (`SO_PEERCRED`, `SO_PEERPIDFD`, `SO_PEERGROUPS`): a user sees and changes the
own sessions, root all. A session of another user is one that there is not. A process inside a session sees
that one alone, and changes its rules as its lock allows; it cannot begin, kill or wait for others, nor
decide questions.

Where the lock is `exec`, the call has to be written by the launched command itself (`SCM_CREDENTIALS`), by
any of its threads, whoever connected, and all of it: with write(2), send(2) or what else names no
destination. Where the profile judges addresses, what is sent with sendmsg(2) is written by the session's
worker, and refused.

## Values

- What is marked optional may be missing or null. Members of a call that the method does not have are an
  error; a client passes over members of replies that it does not know.
- Descriptors go beside the frame (`SCM_RIGHTS`), in one `sendmsg` with its first byte. Their fields hold
  the index among those of the frame, from 0.
- Paths and arguments that are no UTF-8 are sent as lone surrogates: byte `\\xff` is `"\\udcff"`, as
  Python's `os.fsdecode` has it. In replies such bytes are written as `\\xff`.
- Integers beyond 64 bits, `NaN`, NUL in strings and surrogates that stand for no byte are refused.
- `oneway` calls have no reply. Calls marked *stream* are made with `more`; the last reply has null in place
  of an item.
- Calls on one connection are performed one after the other. `Wait` and streams want a connection of their
  own; they end when the caller hangs up.

## Bounds

| | by default | |
|---|---|---|
{limits}

Beyond a bound, and for what is no call, there is one error reply, `LimitReached` or `BadFrame`, and the
connection is closed. Where connections are too many, those are closed first that have begun a call without
an end, or never made one that was right, then those that have been idle for longest: a client connects
again when its connection was closed before it sent a call.
"""


OTHERS: Final = """\
And of `org.varlink.service`: `MethodNotFound`, `InterfaceNotFound`, `InvalidParameter` (its value has the
wrong type, is missing, or there is no such parameter), `ExpectedMore`, `MethodNotImplemented`
(`upgrade`)."""


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION.format(interface=INTERFACE, limits="\n".join(_limits())), "## Methods"]
    for group, names in GROUPS.items():
        lines += ["", f"### {group}"]
        for name in names:
            lines += _method(name)
    lines += ["", "## Structures"]
    for structure in (*NAMED, *REPLIES):
        lines += _structure(structure)
    lines += ["", "## Errors", "", "| error | fields | |", "|---|---|---|"]
    for error in ERRORS:
        fields = ", ".join(f"`{name}: {_type(kind)}`" for name, kind in error.FIELDS.items())
        lines.append(f"| `{error.__name__}` | {fields} | {_cell(inspect.getdoc(error) or '')} |")
    lines += ["", OTHERS]
    return "\n".join(lines) + "\n"


def _limits() -> Iterator[str]:
    texts = dict(_attributes(Limits))
    for name, value in Limits().as_json().items():
        yield f"| `{name}` | {value} | {texts[name]} |"


def _method(name: str) -> list[str]:
    method = getattr(Sydd, name)
    signature = cast("VarlinkMethodSignature", varlinksignature(method))
    stream = " *(stream)*" if signature.more else ""
    lines = ["", f"#### {name}{stream}", "", _code(inspect.getdoc(method) or "")]
    if rows := list(_members(signature.parameter_type)):
        lines += ["", "| parameter | |", "|---|---|", *rows]
    reply = with_names(signature.return_type.as_varlink)
    for structure in REPLIES:
        if reply == with_names(VarlinkType.from_type_annotation(structure).as_varlink):
            return [*lines, "", f"Reply: `{structure.__name__}`."]
    if rows := list(_members(signature.return_type)):
        lines += ["", "| reply | |", "|---|---|", *rows]
    return lines


def _members(members: ObjectVarlinkType) -> Iterator[str]:
    """A row for each member of a structure of asyncvarlink's."""
    for name, kind in _split(with_names(members.as_varlink)):
        yield f"| `{name}` | {_optional(kind)} |"


def _split(struct: str) -> Iterator[tuple[str, str]]:
    """Name and type of each member of `(name: type, …)`, whose types may have commas in parentheses."""
    for member in re.split(r", (?![^(]*\))", struct[1:-1]):
        if member:
            name, _, kind = member.partition(": ")
            yield name, kind


def _structure(structure: type) -> list[str]:
    document = inspect.getdoc(structure) or ""
    lines = ["", f"### {structure.__name__}", "", _code(document.partition("\n\nAttributes:")[0])]
    texts = dict(_attributes(structure))
    lines += ["", "| field | | |", "|---|---|---|"]
    for name, kind in structure.__annotations__.items():
        lines.append(f"| `{name}` | {_optional(_type(kind))} | {texts[name]} |")
    return lines


def _attributes(documented: type) -> Iterator[tuple[str, str]]:
    """Names and texts of the section `Attributes` of a docstring."""
    section = (inspect.getdoc(documented) or "").partition("Attributes:\n")[2]
    for entry in re.split(r"\n(?=    \w)", section.rstrip()):
        name, _, text = entry.strip().partition(":")
        yield name, _cell(text)


def _type(annotation: Any) -> str:
    text = with_names(VarlinkType.from_type_annotation(annotation).as_varlink)
    for reply in REPLIES:
        text = text.replace(with_names(VarlinkType.from_type_annotation(reply).as_varlink), reply.__name__)
    return text


def _optional(kind: str) -> str:
    return f"`{kind[1:]}`, optional" if kind.startswith("?") else f"`{kind}`"


def _cell(text: str) -> str:
    """Text for a table's cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("None ", "null ")


def _code(text: str) -> str:
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(page())
