"""From the bytes of a frame to a call, and from a reply to bytes; bytes that are no call are BadFrame.

Cost is bounded by length alone: the checks that come before json.loads are a few passes in C, and json.loads
is given nothing that nests deeper than the bound or that holds numbers of any length.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from asyncvarlink import VarlinkMethodCall

from sydd.wire.errors import BadArgument, BadFrame

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string of JSON, or the rest from a quotation mark on that nothing closes; possessive, hence linear."""

_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What os.fsencode cannot make bytes of."""

_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
"""What could be beyond 64 bits, or cost more to read than its length."""
_BYTE: Final = re.compile("[\udc80-\udcff]")
"""What os.fsdecode makes of bytes that are not UTF-8."""

_LONGEST_NAME: Final = 256


def parse(frame: bytes, nesting: int) -> VarlinkMethodCall:
    """The call that a frame holds.

    Args:
        frame: without the NUL that ends it.
        nesting: how deep objects and arrays may nest.

    Raises:
        BadFrame: it is no call.
    """
    bare = _STRING.sub(b"", frame)
    if _LONG_NUMBER.search(bare):
        raise BadFrame("a number beyond 64 bits")
    brackets = bare.translate(None, _BRACKETS)
    if not nests_at_most(brackets, nesting):
        raise BadFrame(f"nested more than {nesting} deep, or brackets that do not match")
    try:
        value = json.loads(frame.decode("utf-8"), parse_constant=_constant)
    except UnicodeDecodeError:
        raise BadFrame("not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"no JSON: {error}") from None
    method = value.get("method") if isinstance(value, dict) else None
    if not isinstance(method, str) or len(method) > _LONGEST_NAME:
        raise BadFrame("no object with a method")
    try:
        return VarlinkMethodCall.fromjson(value)
    except (TypeError, ValueError) as error:
        raise BadFrame(str(error)) from None


def nests_at_most(brackets: bytes, depth: int) -> bool:
    """Whether brackets match and nest at most *depth* deep.

    They do when that many rounds of removing innermost pairs leave none.
    """
    for _ in range(depth):
        if not brackets:
            return True
        left = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(left) == len(brackets):
            return False
        brackets = left
    return not brackets


def _constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def check_strings(value: Any, name: str = "") -> None:
    """See to it that every string can become bytes of a path or an argument.

    Args:
        value: parameters of a call.
        name: what errors call it.

    Raises:
        BadArgument: a string holds NUL, or a surrogate that stands for no byte.
    """
    if isinstance(value, str):
        if "\0" in value:
            raise BadArgument(name, "holds a NUL character")
        if not value.isascii() and _SURROGATE.search(value):
            raise BadArgument(name, "holds a surrogate that stands for no byte")
    elif isinstance(value, dict):
        for key, item in value.items():
            check_strings(key, name or "a name")
            check_strings(item, name or key)
    elif isinstance(value, list):
        for item in value:
            check_strings(item, name)


def encode(reply: dict[str, Any]) -> bytes:
    r"""A reply as a frame, its NUL included; always UTF-8: bytes that are not are written as \xNN."""
    text = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode("utf-8") + b"\0"
    except UnicodeEncodeError:
        return (
            json.dumps(_printable(reply), ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\0"
        )


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        text = _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", value)
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return value
