"""What a fuzz run sends: pieces of frames with descriptors, and calls with parameters nearly right."""

from __future__ import annotations

import json
from typing import Any

from asyncvarlink.conversion import ObjectVarlinkType
from asyncvarlink.interface import varlinksignature
from hypothesis import strategies as st

from sydd.control.interface import Sydd

METHODS = {name: signature for name in dir(Sydd) if (signature := varlinksignature(getattr(Sydd, name)))}
"""Every method and its signature."""

WORDS = [
    "",
    "s1",
    "self",
    "build",
    "/",
    "/tmp",
    "../x",
    "a/b",
    "enforce",
    "audit",
    "hybrid",
    "exec",
    "allow write /**",
    "deny read /etc/**",
    "allow write ${nothing}/**",
    "rules = []",
    "rules = [[[",
    "\x00",
    "\ud800",
    "\udcff",
    "ä" * 100,
    "x" * 3000,
]
NUMBERS = [0, 1, -1, 2, 9, 64, 65, 0o777, 0o1000, 1 << 31, (1 << 63) - 1, -(1 << 63), 10**15]

ATOMS = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=()), max_size=20)
)
ANYTHING = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=8,
)


def _plausible(kind: str) -> st.SearchStrategy[Any]:
    """Values of a type of Varlink, mostly."""
    bare = kind.lstrip("?")
    if bare == "string":
        good: st.SearchStrategy[Any] = st.sampled_from(WORDS)
    elif bare == "int":
        good = st.sampled_from(NUMBERS)
    elif bare == "bool":
        good = st.booleans()
    elif bare.startswith("[]"):
        good = st.lists(_plausible(bare[2:]), max_size=3)
    elif bare.startswith("[string]"):
        good = st.dictionaries(st.sampled_from(WORDS), _plausible(bare[8:]), max_size=3)
    elif bare.startswith("("):
        good = st.sampled_from(bare[1:-1].split(", "))
    else:
        raise ValueError(f"no values of type {kind}")
    return st.one_of(good, good, good, ANYTHING)


def parameters(kind: ObjectVarlinkType) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters of a method: right, nearly right, missing, too many."""
    members: dict[str, st.SearchStrategy[Any]] = {
        name: _plausible(member.as_varlink) for name, member in kind._typemap.items()
    }
    right = st.fixed_dictionaries({}, optional=members) | st.fixed_dictionaries(members)
    further = st.dictionaries(st.sampled_from(["", "x", "session", "\ud800"]), ATOMS, max_size=1)
    return st.tuples(right, st.just({}) | further).map(lambda pair: {**pair[0], **pair[1]})


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A call of any method."""
    name = draw(st.sampled_from(sorted(METHODS)))
    signature = METHODS[name]
    call: dict[str, Any] = {
        "method": f"org.sydd.{name}",
        "parameters": draw(parameters(signature.parameter_type)),
    }
    if signature.more or draw(st.integers(0, 9)) == 0:
        call["more"] = True
        if "follow" in signature.parameter_type._typemap:
            call["parameters"]["follow"] = False
    return call


FRAGMENTS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"\0",
            b"{",
            b"}\0",
            b'{"method":"org.sydd.Info"}\0',
            b'{"method":"org.sydd.Attach","parameters":{"session":"s1","listener":0,"pid":1}}\0',
            b'{"method":"org.sydd.Attach","parameters":{"session":"s1","listener":9223372036854775807,"pid":1}}\0',
            b'{"method":"org.sydd.ListSessions","oneway":true}\0',
            b'{"method":"org.sydd.Subscribe","more":true,"parameters":{"follow":false}}\0',
            b'{"method":"org.sydd.Info","parameters":',
            b'"' + b"\\" * 999,
            b"[" * 999,
            b"9" * 999,
            b"\xff" * 99,
            b" " * 9_000,
        ]
    ),
    calls().map(lambda call: json.dumps(call).encode() + b"\0"),
)
"""Pieces of what a client sends."""
