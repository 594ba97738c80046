"""From bytes to a call: whatever they are, it is a call or BadFrame, and soon."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sydd.control.frame import check_strings, encode, nests_at_most, parse
from sydd.wire.errors import BadArgument, BadFrame

BOUND = 16
SIZE = 256 << 10

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)

BAD = {
    "nothing": b"",
    "no JSON": b"{'method': 1}",
    "no object": b'["org.sydd.Info"]',
    "no method": b'{"parameters": {}}',
    "a method that is no string": b'{"method": 1}',
    "no interface": b'{"method": "Info"}',
    "a bad name": b'{"method": "org.sydd.info"}',
    "parameters that are no object": b'{"method": "org.sydd.Info", "parameters": []}',
    "a flag that is none": b'{"method": "org.sydd.Info", "more": 1}',
    "two flags": b'{"method": "org.sydd.Info", "more": true, "oneway": true}',
    "not UTF-8": b'{"method": "org.sydd.Info\xff"}',
    "UTF-16": '{"method": "org.sydd.Info"}'.encode("utf-16"),
    "an overlong form": b'{"method": "org.sydd.Info\xc0\xaf"}',
    "NaN": b'{"method": "org.sydd.Info", "parameters": {"a": NaN}}',
    "Infinity": b'{"method": "org.sydd.Info", "parameters": {"a": -Infinity}}',
    "an integer beyond 64 bits": b'{"method": "org.sydd.Info", "parameters": {"a": 9223372036854775808}}',
    "a huge integer": b'{"method": "org.sydd.Info", "parameters": {"a": ' + b"9" * 100_000 + b"}}",
    "deep arrays": b'{"method": "org.sydd.Info", "parameters": {"a": ' + b"[" * 1000 + b"]" * 1000 + b"}}",
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "brackets that do not match": b'{"method": "org.sydd.Info", "parameters": {"a": [}]}',
    "a long method": b'{"method": "org.sydd.' + b"a" * 1000 + b'"}',
    "two values": b'{"method": "org.sydd.Info"}{"method": "org.sydd.Info"}',
    "only brackets": b"[" * SIZE,
    "only pairs": b"[]" * (SIZE // 2),
    "only quotation marks": b'"' * SIZE,
    "an unfinished string of escapes": b'"' + b"\\" * (SIZE - 1),
    "an unfinished string of escaped marks": b'"' + b'\\"' * (SIZE // 2 - 1),
    "many numbers": b"[" + b"1," * (SIZE // 2 - 2) + b"1]",
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_what_is_no_call_is_refused(frame: bytes) -> None:
    """Every kind of nonsense is BadFrame, and takes no time that others would notice."""
    begun = time.thread_time()
    with pytest.raises(BadFrame):
        parse(frame, BOUND)
    assert time.thread_time() - begun < 0.5


def test_a_call_is_read() -> None:
    """A call comes out as it went in, unknown members beside it."""
    call = parse(b'{"method":"org.sydd.Info","parameters":{"a":[{"b":"[[[["}]},"more":true,"x":1}', BOUND)
    assert (call.method, call.parameters, call.more, call.oneway) == (
        "org.sydd.Info",
        {"a": [{"b": "[[[["}]},
        True,
        False,
    )


def test_brackets_in_strings_do_not_nest() -> None:
    """Strings may hold what they want, escaped quotation marks too."""
    text = '\\"[[[{{{"' * 1000
    frame = json.dumps({"method": "org.sydd.Info", "parameters": {"a": text}}).encode()
    assert parse(frame, BOUND).parameters == {"a": text}


@given(st.integers(0, 40), st.integers(1, 40))
def test_nesting_is_counted(deep: int, bound: int) -> None:
    """What nests exactly as deep as the bound is let through, and nothing deeper."""
    assert nests_at_most(b"[" * deep + b"]" * deep, bound) == (deep <= bound)
    assert nests_at_most(b"{}[]" * 5 + b"[" * deep + b"]" * deep, bound) == (deep <= bound)


@given(st.binary(max_size=300))
def test_bytes(data: bytes) -> None:
    """Any bytes are a call or BadFrame."""
    try:
        parse(data, BOUND)
    except BadFrame:
        return


@given(JSON)
def test_json(value: object) -> None:
    """Any JSON is a call or BadFrame."""
    try:
        parse(json.dumps(value).encode(), BOUND)
    except BadFrame:
        return


@given(st.dictionaries(st.sampled_from(["method", "parameters", "more", "oneway", "upgrade", "x"]), JSON))
def test_objects(value: dict[str, object]) -> None:
    """Any object with the members of a call is a call or BadFrame."""
    try:
        call = parse(json.dumps(value).encode(), BOUND)
    except BadFrame:
        return
    assert call.method == value["method"]


@given(st.text(st.characters(exclude_categories=())))
def test_strings_become_bytes(text: str) -> None:
    """What check_strings lets through can be a path: it has no NUL and encodes."""
    try:
        check_strings({"path": [text]})
    except BadArgument:
        return
    assert b"\0" not in text.encode("utf-8", "surrogateescape")


def test_replies_are_utf_8() -> None:
    """Bytes of names that are not UTF-8 are written as escapes that every client can read."""
    frame = encode({"parameters": {"path": "/tmp/\udcff\udc80ä", "list": ["\udcfe"], "\ud800": 1}})
    assert frame.endswith(b"\0")
    expected = {"parameters": {"path": r"/tmp/\xff\x80ä", "list": [r"\xfe"], r"\ud800": 1}}
    assert json.loads(frame[:-1].decode("utf-8")) == expected
